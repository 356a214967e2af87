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
from napari_unet.progress import tracked
from napari_unet.workflow.inputs.left_out import LeftOut, Written, check_some_left
from napari_unet.workflow.segment.prefetch import read_ahead, written_behind
from napari_unet.workflow.segment.segment_samples import chosen_samples, segment_samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
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

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Written:
        """Segment; give back the masks' paths. Damaged images are left out, masks before a stop stay."""
        samples = self._samples()
        stems = unique_stems(s.id for s in samples)
        files = (file for s in samples for file in self._files(stems[s.id]))
        check_outputs(files, input_files(samples), overwrite=self.overwrite)
        return self.write(samples, load_any(self.model, default_precision()), on_progress, cancel)

    def write(
        self, samples: Sequence[Sample], model: AnyModel, on_progress: OnProgress, cancel: CancelToken
    ) -> Written:
        """Segment these with a model that is loaded; the rest as ``run``."""
        stems = unique_stems(s.id for s in samples)
        left: list[LeftOut] = []
        results = segment_samples(
            read_ahead(samples), model, self.settings, cancel,
            lambda sample, error: left.append(LeftOut.of(sample, error)),
            disagreement=self.disagreement,
        )  # fmt: skip
        written = written_behind(
            (
                partial(self._write_one, result, stems[result.sample.id], len(model.classes)),
                result.probabilities.nbytes,
            )
            for result in tracked(results, len(samples), "Segmenting", on_progress, cancel)
        )
        if not self.beside_others:
            check_some_left(left, len(samples))
        return Written(written, left)

    def _files(self, stem: str) -> tuple[Path, ...]:
        """All that may be written of an image."""
        names = [f"{stem}.tif" if self.objects else f"{stem}.png"]
        names += [f"{stem}_probabilities.tif"] * self.probabilities
        names += [f"{stem}_disagreement.tif"] * self.disagreement
        return tuple(self.out / name for name in names)

    def _write_one(self, result: Segmentation, stem: str, classes: int) -> Path:
        if self.objects:
            path = write_objects(self.out / f"{stem}.tif", result.objects)
        else:
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
