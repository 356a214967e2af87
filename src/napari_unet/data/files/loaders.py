"""Small, picklable callables that read one image or one mask when they are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.image_kinds import suffix_of
from napari_unet.data.files.decoders.microscope_files import PLUGINS
from napari_unet.data.files.image_files import decode_image
from napari_unet.data.files.reading import ImageReading, current_reading
from napari_unet.data.masks.mask_pixels import decode_labels, decode_stored
from napari_unet.data.masks.mask_values import MaskValues
from napari_unet.data.masks.run_length import decode_run_lengths
from napari_unet.data.sample import ReferenceMask
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.data.files.source import Source


@dataclass(frozen=True)
class ImageLoader:
    """Reads an image: () -> (Y, X, C) in the stored dtype."""

    source: Source
    name: str
    page: int | None = None
    reading: ImageReading = field(default_factory=current_reading)

    def __call__(self) -> NDArray[np.generic]:
        """Read and decode."""
        if suffix_of(self.name) in PLUGINS:  # read by their path, and often larger than one image
            with self.source.open(self.name) as file:
                return decode_image(file, self.name, self.page, self.reading)
        return decode_image(self.source.read(self.name), self.name, self.page, self.reading)


@dataclass(frozen=True)
class BinaryMaskLoader:
    """Reads a mask with one class: foreground is what is above a threshold.

    Attributes
    ----------
    source, name, page
        The mask file.
    threshold : int
        0 for masks of any depth, 127 for lossy ones.
    """

    source: Source
    name: str
    threshold: int = 0
    page: int | None = None

    def __call__(self) -> ReferenceMask:
        """Read and decode."""
        stored = decode_stored(self.source.read(self.name), self.name, self.page)
        return MaskValues("threshold", threshold=self.threshold).read(stored, self.name)


@dataclass(frozen=True)
class RunLengthLoader:
    """Decodes a mask from run lengths, one text an object.

    Attributes
    ----------
    runs : tuple of str
        One text for a whole mask, or several for as many objects.
    image : callable
        Reads the image, whose size the mask has.
    name : str
        Of the image.
    """

    runs: tuple[str, ...]
    image: Callable[[], NDArray[np.generic]]
    name: str

    def __call__(self) -> ReferenceMask:
        """Read the image for its size, and decode."""
        shape = self.image().shape[:2]
        if len(self.runs) <= 1:
            text = self.runs[0] if self.runs else ""
            return ReferenceMask(decode_run_lengths(text, (shape[0], shape[1]), self.name))
        masks = [decode_run_lengths(text, (shape[0], shape[1]), self.name) for text in self.runs]
        return merge_objects([m.astype(bool) for m in masks], self.name)


@dataclass(frozen=True)
class ObjectFilesLoader:
    """Reads a mask of one file an object."""

    source: Source
    names: tuple[str, ...]

    def __call__(self) -> ReferenceMask:
        """Read every object and merge them."""
        masks = []
        for name in self.names:
            pixels = decode_labels(self.source.read(name), name)
            grey: NDArray[Any] = pixels if pixels.ndim == 2 else pixels.max(axis=2)
            full = np.iinfo(grey.dtype).max if grey.dtype.kind in "iu" else 1
            # Of white objects the grey between is an edge, or what compression left.
            masks.append(grey > (full // 2 if full > 1 and grey.max(initial=0) == full else 0))
        return merge_objects(masks, self.names[0])


def merge_objects(masks: list[NDArray[np.bool_]], name: str) -> ReferenceMask:
    """Number objects; where they overlap the smaller stays on top, so that none disappears.

    Parameters
    ----------
    masks : list of numpy.ndarray
        (Y, X) bool, one an object.
    name : str
        For the error.

    Raises
    ------
    DataError
        If they differ in size.
    """
    shape = masks[0].shape
    for mask in masks:
        if mask.shape != shape:
            raise DataError(
                f"the object masks of {name} differ in size",
                code="data.mask.size",
                expected=f"{shape[1]} x {shape[0]}",
                got=f"{mask.shape[1]} x {mask.shape[0]}",
                remedy="replace the one that is off",
            )
    objects = np.zeros(shape, np.int32)
    claims = np.zeros(shape, np.uint16)
    order = sorted(range(len(masks)), key=lambda i: -int(masks[i].sum()))
    for index in order:
        objects[masks[index]] = index + 1
        claims += masks[index]
    return ReferenceMask((objects > 0).astype(np.uint8), objects, overlap=int((claims > 1).sum()))


@dataclass(frozen=True)
class LabelMaskLoader:
    """Reads a mask whose values, colours or channels mean what the data set's ``MaskValues`` say.

    Attributes
    ----------
    source, name
        The mask file.
    meaning : MaskValues
        Of the data set.
    page : int, optional
        Of a file with several; without it several pages are channels.
    """

    source: Source
    name: str
    meaning: MaskValues = field(hash=False)
    page: int | None = None

    def __call__(self) -> ReferenceMask:
        """Read, decode and map."""
        stored = decode_stored(self.source.read(self.name), self.name, self.page)
        return self.meaning.read(stored, self.name)
