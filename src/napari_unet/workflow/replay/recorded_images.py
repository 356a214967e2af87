"""Images that a run record names: those of layers, parts of images, images with masks of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.data.catalog import open_images
from napari_unet.data.lossless_images import read_exactly
from napari_unet.data.masks.mask_reading import Choice  # noqa: TC001 - pydantic reads it
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.task import FromCaller
from napari_unet.errors import DataError
from napari_unet.settings import Settings
from napari_unet.workflow.inputs.content_path import ContentPath  # noqa: TC001 - pydantic reads it
from napari_unet.workflow.inputs.image_reference import CallReference, FileReference, References
from napari_unet.workflow.inputs.labelled_images import GivenData, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.split import Split
    from napari_unet.workflow.inputs.image_reference import ImageReference

Rectangle = tuple[int, int, int, int]
Plane = Literal["labels", "verified", "objects"]


class RecordedImage(Settings):
    """An image of a run, and what was done to it or known of it.

    Rectangles are top, left, bottom, right in pixels of the image; the ends are not part of them.

    Attributes
    ----------
    id : str
        What results call it.
    place : ContentPath
        The file, or the data set.
    name : str
        Which image in it; empty where the file was written for the run record and holds nothing else.
    format : str or None
        Layout of the data set; None for files.
    masks_are : str
        How the masks of the data set were read; see ``MaskReading``.
    channels : tuple of str
        Names or numbers of the channels that were read; empty: all.
    part : tuple of int or None
        The rectangle that the file holds; None: the whole image.
    shape : tuple of int or None
        (Y, X) of the whole image where regions of it were segmented.
    regions : tuple of tuple of int
        What was segmented, one after another; all of it if empty.
    predicted : bool
        Whether the model was put on it.
    mask : ContentPath or None
        A mask of it next to the run record: a person's, or the reference.
    holds : tuple of str
        What the channels of that file are: "labels" 0..K, "verified" 0 or 1, "objects" by number.
    group : str
        What must not be parted.
    pixel_size : str
        As ``parse_pixel_size`` reads it; empty if unknown.
    """

    id: str
    place: ContentPath
    name: str = ""
    format: str | None = None
    masks_are: Choice = ""
    channels: tuple[str, ...] = ()
    part: Rectangle | None = None
    shape: tuple[int, int] | None = None
    regions: tuple[Rectangle, ...] = ()
    predicted: bool = True
    mask: ContentPath | None = None
    holds: tuple[Plane, ...] = ("labels",)
    group: str = ""
    pixel_size: str = ""

    @property
    def paths(self) -> tuple[ContentPath, ...]:
        """All files and folders that it is read from."""
        return (self.place,) if self.mask is None else (self.place, self.mask)

    def with_paths(self, change: Callable[[ContentPath], ContentPath]) -> RecordedImage:
        """The same with other places."""
        mask = None if self.mask is None else change(self.mask)
        return self.model_copy(update={"place": change(self.place), "mask": mask})

    def read_mask(self) -> ReferenceMask:
        """Read the mask next to the run record.

        Raises
        ------
        DataError
            If it is not there, damaged, or not what it should be.
        """
        assert self.mask is not None
        pixels = read_exactly(self.mask.found)
        if pixels.shape[2] != len(self.holds) or "labels" not in self.holds:
            raise DataError(
                f"{self.mask.path} is not the mask of {self.id}",
                code="data.mask.channels",
                expected=f"{len(self.holds)} channels: {', '.join(self.holds)}",
                got=f"{pixels.shape[2]}",
            )
        planes = dict(zip(self.holds, np.moveaxis(pixels, -1, 0), strict=True))
        return ReferenceMask(
            np.ascontiguousarray(planes["labels"]).astype(np.uint8),
            planes["objects"].astype(np.int32) if "objects" in planes else None,
            planes["verified"].astype(np.float32) if "verified" in planes else None,
        )


def mask_planes(mask: ReferenceMask) -> tuple[NDArray[Any], tuple[Plane, ...]]:
    """What is written of a mask: (Y, X, C), and what the channels are; weights become 0 or 1."""
    planes: dict[Plane, NDArray[Any]] = {"labels": mask.labels}
    if mask.weights is not None:
        planes["verified"] = mask.weights > 0
    if mask.objects is not None:
        planes["objects"] = mask.objects
    dtype = np.uint8 if mask.objects is None else np.int32
    return np.stack([plane.astype(dtype) for plane in planes.values()], axis=-1), tuple(planes)


class RecordedImages:
    """Opens images of a run record; files and data sets stay open."""

    def __init__(self) -> None:
        self._references = References()
        self._files: dict[str, dict[str, Sample]] = {}

    def sample(self, image: RecordedImage) -> Sample:
        """The image as it is called in the run record, lazily read; with its mask if there is one.

        Errors come when it is read: DataError if it is not there any more.
        """
        load_mask: Callable[[], ReferenceMask] | None = None
        if image.mask is not None:
            load_mask = image.read_mask
        elif image.format is not None and (found := self._opened(image)).has_mask:
            load_mask = found.read_mask
        return Sample(
            image.id,
            lambda: self._opened(image).read_image(),
            load_mask,
            image.group or None,
            image_name=image.name if image.format is not None else "",
            load_region=lambda rows, columns: self._region(image, rows, columns),
        )

    def _opened(self, image: RecordedImage) -> Sample:
        if not image.name:
            return Sample(image.id, partial(read_exactly, image.place.found))
        try:
            if image.format is not None:
                found = FileReference(
                    image.place.found, image.format, image.name, image.masks_are, image.channels
                )
                return self._references.sample(found)
            return self.in_file(image.place)[image.name]
        except (KeyError, FileNotFoundError) as error:
            raise DataError(
                f"there is no image {image.name} in {image.place.path}",
                code="data.image.unknown",
                remedy="put the file back",
            ) from error

    def in_file(self, place: ContentPath) -> dict[str, Sample]:
        """All images in a file, by their names in it; errors as ``open_images``."""
        if place.path not in self._files:
            self._files[place.path] = {s.id: s for s in open_images((place.found,))}
        return self._files[place.path]

    def _region(self, image: RecordedImage, rows: slice, columns: slice) -> NDArray[np.generic]:
        if image.part is None:
            return self._opened(image).read_region(rows, columns)
        top, left, bottom, right = image.part
        if rows.start < top or columns.start < left or rows.stop > bottom or columns.stop > right:
            raise DataError(
                f"{image.place.path} does not hold all that was segmented of {image.id}",
                code="data.image.changed",
            )
        moved = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        return self._opened(image).read_region(*moved)

    def reference(self, image: RecordedImage) -> ImageReference:
        """The image as tasks take it."""
        sample = self.sample(image)
        mask = None if sample.load_mask is None else FromCaller(sample.load_mask)
        return CallReference(image.id, FromCaller(sample.read_image), mask, FromCaller(sample.read_region))

    def correction(self, image: RecordedImage) -> LabelledImage:
        """The image with what a person says of it."""
        return LabelledImage(self.reference(image), group=image.group)


def given_data(
    name: str, images: Iterable[RecordedImage], classes: tuple[str, ...], split: Split | None = None
) -> GivenData:
    """Images with masks as data to train on, or to score on."""
    opened = RecordedImages()
    return GivenData(name, tuple(opened.correction(image) for image in images), classes, split)


def files_of(images: Iterable[RecordedImage], folder: Path) -> set[Path]:
    """Of the files that images are read from, those in a folder."""
    return {place.found for image in images for place in image.paths if place.found.parent == folder}
