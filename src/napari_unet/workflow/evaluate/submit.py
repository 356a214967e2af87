"""Submitting: the test images of a competition through a model, into its table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_unet.atomic import check_outputs
from napari_unet.data.catalog import open_dataset
from napari_unet.data.file_names import composed
from napari_unet.data.files.input_files import input_files
from napari_unet.data.files.source import natural_key, open_source
from napari_unet.data.masks.mask_tables import LAYOUTS, TableLayout
from napari_unet.data.tables import header_in_words, header_of, read_table
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import DataError, ModelError, WorkbenchError
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.export.submission import Unfinished, encode_mask, write_submission
from napari_unet.models.ensemble import load_any
from napari_unet.models.shipped import locate
from napari_unet.progress import tracked
from napari_unet.workflow.inputs.content_path import content_hash
from napari_unet.workflow.inputs.left_out import LeftOut, check_some_left
from napari_unet.workflow.inputs.mask_folder import read_masks
from napari_unet.workflow.large_images.any_size import segment_any_size

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress

Part = Literal["test", "labelled", "held-out"]
Masks = Iterator[tuple["Sample", "NDArray[np.integer]"]]


@dataclass(frozen=True)
class Submission:
    """What was written.

    Attributes
    ----------
    path : pathlib.Path
        Of the table.
    layout : TableLayout
        Of the competition.
    images, rows : int
        In it.
    resumed : int
        Images of them that an earlier, stopped run did.
    checked : str
        Name of the sample submission it was compared with, or "".
    left_out : tuple of LeftOut
        Images that could not be read. Those of the test have an empty mask in the table, which needs all
        of them; others are not in it.
    """

    path: Path
    layout: TableLayout
    images: int
    rows: int
    resumed: int
    checked: str
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class SubmitTask:
    """Write a submission.

    Attributes
    ----------
    data : pathlib.Path
        The competition's data.
    out : pathlib.Path
        The table to write.
    model : pathlib.Path, optional
        To segment with.
    masks : pathlib.Path, optional
        Folder or zip of masks named after the images, instead of a model.
    part : str
        "test": images without a reference mask in the competition's test folder. "labelled": those
        with one, so that it can be scored here. "held-out": those of them the model has not seen.
    format : str, optional
        Layout of the data.
    """

    data: Path
    out: Path
    model: Path | None = None
    masks: Path | None = None
    part: Part = "test"
    format: str | None = None
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Submission:
        """Segment what is not done yet, and write the table. What was done before a stop stays."""
        if self.out.is_dir():
            raise DataError(
                f"{self.out} is a folder", code="data.file.folder", expected="a name like submission.csv"
            )
        check_outputs([self.out], overwrite=self.overwrite)
        dataset = open_dataset(self.data, self.format)
        check_outputs([self.out], input_files((*dataset.samples, *dataset.unlabelled)), overwrite=True)
        layout = LAYOUTS.get(dataset.format)
        if layout is None:
            raise DataError(
                f"{self.data} is of no competition known here",
                code="data.competition.unknown",
                expected=" or ".join(LAYOUTS),
                got=dataset.format,
                remedy="give the folder or the zip of the competition's data",
            )
        if self.model is None and self.masks is None:
            raise DataError(
                "there is nothing to submit", code="data.nothing", expected="a model or a folder of masks"
            )
        model = load_any(self.model, default_precision()) if self.model is not None else None
        if model is not None and len(model.classes) != 1:
            raise ModelError(
                "the model does not fit the competition",
                code="model.classes.count",
                expected=f"one class, {dataset.classes[0]}",
                got=", ".join(model.classes),
                remedy="use a model that was trained on such data",
            )
        chosen = self._chosen(dataset, layout, model)
        order, checked = self._order(layout, list(chosen))
        # As the competition spells them, which may be otherwise than the names of its files.
        by_name = {composed(image): sample for image, sample in chosen.items()}
        chosen = {image: by_name[composed(image)] for image in order}
        unfinished = Unfinished(self.out, self._key(dataset, order))
        resumed = sum(image in unfinished.rows for image in order)
        names = {sample.id: image for image, sample in chosen.items()}
        waiting = [chosen[image] for image in order if image not in unfinished.rows]
        try:
            left: list[LeftOut] = []

            def leave_out(sample: Sample, error: WorkbenchError) -> None:
                left.append(LeftOut.of(sample, error))

            masks = self._masks(dataset, waiting, model, layout, cancel, leave_out)
            for sample, mask in tracked(masks, len(waiting), "Segmenting", on_progress, cancel):
                unfinished.add(names[sample.id], encode_mask(mask, layout))
            check_some_left(left, len(order))
            missing = {names[item.id] for item in left}
            if self.part != "test":
                order = [image for image in order if image not in missing]
            nothing = {image: encode_mask(np.zeros((1, 1), np.uint8), layout) for image in missing}
            write_submission(self.out, layout, {**unfinished.rows, **nothing}, order)
        except BaseException:
            unfinished.close(keep=self.model is not None)  # masks are read again faster than compared
            raise
        unfinished.close(keep=False)
        rows = sum(len(nothing.get(image) or unfinished.rows[image]) for image in order)
        images = len(order) - len(missing.intersection(order))
        return Submission(self.out, layout, images, rows, resumed, checked, tuple(left))

    def _masks(
        self,
        dataset: Dataset,
        samples: list[Sample],
        model: AnyModel | None,
        layout: TableLayout,
        cancel: CancelToken,
        leave_out: Callable[[Sample, WorkbenchError], None],
    ) -> Masks:
        """Masks of images, or their objects where a row is an object."""
        if model is not None:
            for result in segment_any_size(samples, model, cancel=cancel, on_problem=leave_out):
                yield result.sample, result.objects if layout.objects else result.mask
            return
        assert self.masks is not None
        for sample, mask, objects in read_masks(dataset, self.masks, samples, leave_out):
            yield sample, objects if layout.objects else mask

    def _chosen(self, dataset: Dataset, layout: TableLayout, model: AnyModel | None) -> dict[str, Sample]:
        """The images of the part, by the names the competition has for them."""
        if self.part == "test":
            samples = [s for s in dataset.unlabelled if "test" in s.image_name.lower().rsplit("/", 1)[0]]
            # The numbers of nerve test images occur in the training set, too, so that ids differ there.
            found = {PurePosixPath(s.image_name).stem: s for s in samples}
            return dict(sorted(found.items(), key=lambda item: natural_key(item[0])))
        samples = list(dataset.samples)
        if self.part == "held-out":
            if model is None:
                raise DataError(
                    "masks do not tell which images are held out",
                    code="data.heldout.missing",
                    expected="a model",
                )
            seen = TrainingMembership(model.provenance)
            samples = [s for s in samples if self._is_held_out(dataset, s, seen)]
        return {s.id: s for s in samples}

    @staticmethod
    def _is_held_out(dataset: Dataset, sample: Sample, seen: TrainingMembership) -> bool:
        try:
            return seen.part(dataset.image(sample)) not in {"train", "validation"}
        except WorkbenchError:
            return True  # whoever segments it finds the same, and says so

    def _order(self, layout: TableLayout, images: list[str]) -> tuple[list[str], str]:
        """The images in the order of the sample submission, where the data set has one."""
        if self.part == "test":
            source = open_source(self.data)
            for name in source.sizes:
                if name.rsplit("/", 1)[-1] not in layout.samples:
                    continue
                header = header_of(source, name)
                if header != tuple(c.lower() for c in layout.columns):
                    raise DataError(
                        f"{name} is not of the {layout.title}",
                        code="data.competition.different",
                        expected=",".join(layout.columns),
                        got=header_in_words(source, name),
                    )
                rows = read_table(source, name, layout.columns)
                wanted = list(dict.fromkeys(row[layout.columns[0]] for row in rows))
                there = set(map(composed, images))
                missing = sorted(image for image in wanted if composed(image) not in there)
                if missing and len(missing) == len(wanted):
                    continue  # of another stage
                if missing:
                    raise DataError(
                        f"{name} lists images that are not there",
                        code="data.submission.missing",
                        expected=f"all {len(wanted)} of them",
                        got=f"{len(missing)} are missing, such as {missing[0]}",
                        remedy="unpack all test images",
                    )
                return wanted, name
        if not images:
            raise DataError(
                f"{self.data} has no images to submit",
                code="data.images.missing",
                expected={
                    "test": "images in a folder test or stage1_test",
                    "labelled": "images with reference masks",
                    "held-out": "images the model has not seen",
                }[self.part],
                remedy="unpack the competition's test images, or choose another part",
            )
        return images, ""

    def _key(self, dataset: Dataset, order: list[str]) -> str:
        """Of all that decides what the rows will be; no two runs over masks share one."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\n".join([dataset.format, str(self.data.resolve()), self.part, *order]).encode())
        if self.model is not None:
            digest.update(content_hash(locate(self.model)).encode())
        else:
            digest.update(np.random.default_rng().bytes(16))
        return digest.hexdigest()
