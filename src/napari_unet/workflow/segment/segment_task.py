"""Segmenting files that fit into memory: a mask for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from napari_unet.atomic import check_outputs
from napari_unet.data.catalog import open_dataset, open_images
from napari_unet.data.file_names import unique_stems
from napari_unet.data.files.input_files import input_files
from napari_unet.engine.hardware import default_precision
from napari_unet.export.masks import write_mask, write_objects, write_probabilities
from napari_unet.models.ensemble import load_any
from napari_unet.models.model_folder import read_settings
from napari_unet.progress import tracked
from napari_unet.workflow.inputs.chosen_samples import chosen_samples
from napari_unet.workflow.inputs.left_out import LeftOut, Written, check_some_left
from napari_unet.workflow.segment.prefetch import read_ahead, written_behind
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.segment.segmented_stacks import SegmentedStacks, numbered
from napari_unet.workflow.segment.three_planes import sees_volumes
from napari_unet.workflow.segment.unlike_images import UnlikeImages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.masks.numbered_objects import NumberedObjects
    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings, Recipe
    from napari_unet.workflow.segment.segment_samples import Segmentation


@dataclass(frozen=True)
class SegmentTask:
    """Segment files and write a mask for each.

    Attributes
    ----------
    inputs : tuple of pathlib.Path
        Files, folders, zips, data sets.
    model : pathlib.Path
        Folder or zip.
    out : pathlib.Path
        Folder of the masks.
    probabilities : bool
        Whether to write those as well.
    disagreement : bool
        Whether to write where the members of an ensemble, or a model's answers to the flipped image,
        lie apart.
    settings : InferenceSettings, optional
        Instead of the model's own.
    objects : bool
        Whether to write the numbers of objects instead of classes.
    names : tuple of str, optional
        Ids of the images to segment; all if not given.
    format : str, optional
        Layout of the one input, if it is not to be recognized.
    overwrite : bool
        Whether files that are there are replaced; never those that are read.
    beside_others : bool
        Whether the caller segments other images as well, so that it is no error if all of these are left
        out.
    one_file : bool
        Whether all slices of a stack go into one TIFF; their objects are numbered through. A model that sees
        several slices of a volume writes one OME-TIFF a volume, whatever this says.
    link_objects : bool
        Whether an object of a stack has one number in all slices, see ``StackNumbers``.
    over_time : bool
        Whether images of a folder, in their order, and slices of a stack are time series. An object has one
        number in all of them then, and a table says what becomes of it. Objects are written.
    """

    inputs: tuple[Path, ...]
    model: Path
    out: Path
    probabilities: bool = False
    settings: InferenceSettings | None = field(default=None)
    objects: bool = False
    names: tuple[str, ...] | None = None
    format: str | None = None
    disagreement: bool = False
    overwrite: bool = False
    beside_others: bool = False
    one_file: bool = False
    link_objects: bool = False
    over_time: bool = False

    def __post_init__(self) -> None:
        if self.over_time and not self.objects:
            object.__setattr__(self, "objects", True)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Written:
        """Segment; give back the masks' paths. Damaged images are left out, masks before a stop stay."""
        samples = self._samples()
        stems = unique_stems(s.id for s in samples)
        stacks = self._stacks(samples, lambda: read_settings(self.model)[0])
        files = [file for s in samples for file in self._files(stems[s.id], alone=s.id not in stacks)]
        check_outputs([*files, *stacks.paths, *stacks.tables], input_files(samples), overwrite=self.overwrite)
        return self.write(samples, load_any(self.model, default_precision()), on_progress, cancel)

    def write(
        self, samples: Sequence[Sample], model: AnyModel, on_progress: OnProgress, cancel: CancelToken
    ) -> Written:
        """Segment these with a model that is loaded; the rest as ``run``."""
        stems = unique_stems(s.id for s in samples)
        left: list[LeftOut] = []
        unlike = UnlikeImages(model.provenance, model.normalization)
        results = segment_samples(
            read_ahead(unlike.watched(samples)), model, self.settings, cancel,
            lambda sample, error: left.append(LeftOut.of(sample, error)),
            disagreement=self.disagreement,
        )  # fmt: skip
        stacks = self._stacks(samples, lambda: model.recipe)

        def calls() -> Iterator[tuple[Callable[[], Path | None], int]]:
            for result in tracked(results, len(samples), "Segmenting", on_progress, cancel):
                objects = stacks.take(result, model.classes)
                alone = result.sample.id not in stacks
                stem, classes = stems[result.sample.id], len(model.classes)
                said = None if objects is None else numbered(result, objects, model.classes)
                write = partial(self._write_one, result, objects, said, stem, classes, alone=alone)
                yield write, result.probabilities.nbytes
            for file in stacks.files():
                yield file.write, 0
            for table in stacks.tables:
                yield partial(stacks.write_table, table, model.classes), 0

        written = [path for path in written_behind(calls()) if path is not None]
        if not self.beside_others:
            check_some_left(left, len(samples))
        return Written(written, left, unlike.sentence)

    def _stacks(self, samples: Sequence[Sample], recipe: Callable[[], Recipe]) -> SegmentedStacks:
        def volumes() -> bool:
            made = recipe()
            return sees_volumes(made.network, self.settings or made.inference)

        return SegmentedStacks(
            self.out, samples, objects=self.objects, one_file=self.one_file,
            link_objects=self.link_objects, over_time=self.over_time,
            volumes=not self.over_time and volumes(),
        )  # fmt: skip

    def _files(self, stem: str, *, alone: bool) -> tuple[Path, ...]:
        """All that may be written of an image, but for the file of its stack."""
        names = [f"{stem}.tif" if self.objects else f"{stem}.png"] * alone
        names += [f"{stem}_probabilities.tif"] * self.probabilities
        names += [f"{stem}_disagreement.tif"] * self.disagreement
        return tuple(self.out / name for name in names)

    def _write_one(
        self,
        result: Segmentation,
        objects: NDArray[np.int32] | None,
        said: NumberedObjects | None,
        stem: str,
        classes: int,
        *,
        alone: bool,
    ) -> Path | None:
        """Write what there is of an image, but a slice that is in the file of its stack."""
        path = None
        if alone and objects is not None:
            path = write_objects(self.out / f"{stem}.tif", objects, said)
        elif alone:
            path = write_mask(self.out / f"{stem}.png", result.mask, classes)
        if self.probabilities:
            write_probabilities(self.out / f"{stem}_probabilities.tif", result.probabilities)
        if self.disagreement and result.disagreement is not None:
            write_probabilities(self.out / f"{stem}_disagreement.tif", result.disagreement[..., None])
        return path

    def _samples(self) -> Sequence[Sample]:
        if self.format is None:
            samples: Sequence[Sample] = open_images(self.inputs)
        else:
            dataset = open_dataset(self.inputs[0], self.format)
            samples = (*dataset.samples, *dataset.unlabelled)
        return chosen_samples(samples, self.names, str(self.inputs[0]))
