"""Segmenting and exporting the images that a run record names one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_unet.data.file_names import unique_stems
from napari_unet.data.files.pixel_size import parse_pixel_size
from napari_unet.data.sample import Sample
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import WorkbenchError
from napari_unet.export.masks import write_mask
from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.object_confidence import ObjectConfidence
from napari_unet.models.ensemble import load_any
from napari_unet.progress import tracked
from napari_unet.workflow.export.mask_sources import PROGRAM, Failed, OpenedMask, segmented
from napari_unet.workflow.replay.recorded_images import RecordedImages
from napari_unet.workflow.segment.prediction import Region
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.export.segmented import SegmentedImage
    from napari_unet.metrics.object_confidence import Said
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings, Separation
    from napari_unet.workflow.replay.recorded_images import RecordedImage
    from napari_unet.workflow.segment.segment_samples import Segmentation

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Assembled:
    """What a model says of an image, put together from the regions that it was put on.

    Attributes
    ----------
    shape : tuple of int
        (Y, X) of the whole image.
    regions : tuple of Region
        In the order in which they were segmented.
    box : Region
        Around all of them.
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1] of that box, 0 where nothing was segmented.
    separation : numpy.ndarray or None
        (Y, X) float32 in [0, 1] of it.
    separation_kind : str
        See ``Segmentation``.
    """

    shape: tuple[int, int]
    regions: tuple[Region, ...]
    box: Region
    probabilities: NDArray[np.float32]
    separation: NDArray[np.float32] | None
    separation_kind: Separation

    @classmethod
    def of(cls, shape: tuple[int, int], parts: Sequence[tuple[Region, Segmentation]]) -> Assembled:
        """Put regions together; where two overlap the later one counts."""
        regions = tuple(region for region, _ in parts)
        box = Region(
            min(r.top for r in regions), min(r.left for r in regions),
            max(r.bottom for r in regions), max(r.right for r in regions),
        )  # fmt: skip
        first = parts[0][1]
        height, width = box.bottom - box.top, box.right - box.left
        probabilities = np.zeros((height, width, first.probabilities.shape[2]), np.float32)
        separation = None if first.separation is None else np.zeros((height, width), np.float32)
        for region, part in parts:
            place = _within(region, box).slices
            probabilities[place] = part.probabilities
            if separation is not None:
                separation[place] = part.separation
        return cls(shape, regions, box, probabilities, separation, first.separation_kind)

    def mask(self, settings: InferenceSettings, model: AnyModel) -> NDArray[np.uint8]:
        """(Y, X) uint8, 0..K, of the whole image: each region by itself, as the window does it."""
        found = np.zeros(self.probabilities.shape[:2], np.uint8)
        for region in self.regions:
            place = _within(region, self.box).slices
            found[place] = mask_from_probabilities(
                self.probabilities[place],
                settings.threshold,
                settings.minimum_size,
                activation=model.recipe.network.activation,
            )
        return self._whole(found)

    def objects(self, mask: NDArray[np.uint8], settings: InferenceSettings) -> NDArray[np.int32]:
        """(Y, X) int32: the objects of a mask of the whole image, as predicted or corrected."""
        separation = None if self.separation is None else self._whole(self.separation)
        return find_objects(mask, settings, self._whole(self.probabilities), separation, self.separation_kind)

    def whole(self) -> Said:
        """Probabilities (Y, X, K) and separation (Y, X) or None, of the whole image."""
        separation = None if self.separation is None else self._whole(self.separation)
        return self._whole(self.probabilities), separation

    def _whole(self, values: NDArray[Number]) -> NDArray[Number]:
        if values.shape[:2] == self.shape:
            return values
        whole = np.zeros((*self.shape, *values.shape[2:]), values.dtype)
        whole[self.box.slices] = values
        return whole


def _within(region: Region, box: Region) -> Region:
    return Region(
        region.top - box.top, region.left - box.left, region.bottom - box.top, region.right - box.left
    )


def assemble(
    images: Sequence[RecordedImage], model: AnyModel, settings: InferenceSettings, cancel: CancelToken
) -> Iterator[Assembled | WorkbenchError]:
    """Put a model on images, or on their regions; what cannot be read comes as its error, in its place."""
    opened = RecordedImages()
    of: dict[int, tuple[int, Region | None]] = {}  # sample -> image, region
    made: list[Sample] = []  # so that no other sample gets its number
    problems: dict[int, WorkbenchError] = {}

    def parts() -> Iterator[Sample]:
        for number, image in enumerate(images):
            for rectangle in image.regions or (None,):
                region = None if rectangle is None else Region(*rectangle)
                load = partial(_load, opened, image, region)
                made.append(Sample(image.id, load))
                of[id(made[-1])] = number, region
                yield made[-1]

    def failed(sample: Sample, error: WorkbenchError) -> None:
        problems.setdefault(of[id(sample)][0], error)

    results = segment_samples(parts(), model, settings, cancel, failed)
    waiting: tuple[int, Region, Segmentation] | None = None

    def following() -> tuple[int, Region, Segmentation] | None:
        result = next(results, None)
        if result is None:
            return None
        number, region = of[id(result.sample)]
        return number, region or Region(0, 0, *result.mask.shape), result

    waiting = following()
    for number, image in enumerate(images):
        found: list[tuple[Region, Segmentation]] = []
        while waiting is not None and waiting[0] == number:
            found.append((waiting[1], waiting[2]))
            waiting = following()
        if number in problems or not found:
            yield problems[number]
        else:
            yield Assembled.of(image.shape or found[0][1].mask.shape, found)


def _load(opened: RecordedImages, image: RecordedImage, region: Region | None) -> NDArray[np.generic]:
    sample = opened.sample(image)
    return sample.read_image() if region is None else sample.read_region(*region.slices)


@dataclass(frozen=True)
class SegmentImagesTask:
    """Segment images of a run record and write a mask for each, as ``SegmentTask`` does.

    Attributes
    ----------
    images : tuple of RecordedImage
        With their regions, if only these were segmented; the mask is as large as the image.
    model : pathlib.Path
        Folder or zip.
    out : pathlib.Path
        Folder of the masks.
    settings : InferenceSettings, optional
        Instead of the model's own.
    """

    images: tuple[RecordedImage, ...]
    model: Path
    out: Path
    settings: InferenceSettings | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> list[Path]:
        """Segment; give back the masks' paths. Masks written before a stop stay."""
        model = load_any(self.model, default_precision())
        settings = self.settings or model.recipe.inference
        stems = unique_stems(image.id for image in self.images)
        written = []
        results = zip(self.images, assemble(self.images, model, settings, cancel), strict=True)
        for image, result in tracked(results, len(self.images), "Segmenting", on_progress, cancel):
            if isinstance(result, WorkbenchError):
                raise result
            mask = result.mask(settings, model)
            written.append(write_mask(self.out / f"{stems[image.id]}.png", mask, len(model.classes)))
        return written


@dataclass(frozen=True)
class RecordedMasks:
    """Masks to export of the images of a run record: those that a person made, else those of a model.

    Attributes
    ----------
    images : tuple of RecordedImage
        In order.
    model : pathlib.Path or None
        None if it was put on none of them.
    settings : InferenceSettings
        How masks are made, and objects separated.
    classes : tuple of str
        Their names.
    """

    images: tuple[RecordedImage, ...]
    model: Path | None
    settings: InferenceSettings
    classes: tuple[str, ...]

    def open(self) -> OpenedMask:
        """Look what there is; the model is loaded when the first image is wanted."""
        return OpenedMask(tuple(image.id for image in self.images), self._read)

    def _read(self, cancel: CancelToken) -> Iterator[SegmentedImage | Failed]:
        model = None if self.model is None else load_any(self.model, default_precision())
        predicted = [image for image in self.images if image.predicted and model is not None]
        said = iter(()) if model is None else assemble(predicted, model, self.settings, cancel)
        opened = RecordedImages()
        for image in self.images:
            cancel.check()
            result = next(said) if image.predicted and model is not None else None
            try:
                if isinstance(result, WorkbenchError):
                    raise result
                yield self._segmented(opened, image, result, model)
            except WorkbenchError as error:
                yield Failed(image.id, error.sentence, error.code)

    def _segmented(
        self, opened: RecordedImages, image: RecordedImage, said: Assembled | None, model: AnyModel | None
    ) -> SegmentedImage:
        settings, numbers = self.settings, None
        if image.mask is not None:
            drawn = image.read_mask()
            mask, numbers = drawn.labels, drawn.objects
        else:
            assert said is not None and model is not None
            mask = said.mask(settings, model)
        about = {"program": PROGRAM, "threshold": settings.threshold, "minimum_size": settings.minimum_size}
        if self.model is not None:
            about["model"] = self.model.name
        size = parse_pixel_size(image.pixel_size) if image.pixel_size else None
        roots = () if image.format is None else (image.place.found,)
        made = segmented(opened.sample(image), mask, self.classes, None, size, about, roots)

        def objects() -> NDArray[np.int32]:
            if numbers is not None:
                return numbers  # a person joined some
            return find_objects(mask, settings) if said is None else said.objects(mask, settings)

        if said is None or model is None:
            return replace(made, load_objects=objects)
        confidence = ObjectConfidence.of(model.provenance)
        return replace(made, load_objects=objects, load_said=said.whole, confidence=confidence)
