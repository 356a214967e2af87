"""Small, picklable callables that read one image or one mask when they are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.image_files import decode_image, decode_labels
from napari_unet.data.reading import ImageReading, current_reading
from napari_unet.data.run_length import decode_run_lengths
from napari_unet.data.sample import ReferenceMask
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.data.source import Source


@dataclass(frozen=True)
class ImageLoader:
    """Reads an image: () -> (Y, X, C) in the stored dtype."""

    source: Source
    name: str
    page: int | None = None
    reading: ImageReading = field(default_factory=current_reading)

    def __call__(self) -> NDArray[np.generic]:
        """Read and decode."""
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
        pixels = decode_labels(self.source.read(self.name), self.name, self.page)
        if pixels.ndim == 3:
            pixels = pixels.max(axis=2)
        labels = (pixels > self.threshold).astype(np.uint8)  # type: ignore[operator]
        return ReferenceMask(labels)


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
    """Reads a mask kept as one file an object."""

    source: Source
    names: tuple[str, ...]

    def __call__(self) -> ReferenceMask:
        """Read every object and merge them."""
        masks = []
        for name in self.names:
            pixels = decode_labels(self.source.read(name), name)
            masks.append((pixels if pixels.ndim == 2 else pixels.max(axis=2)) > 0)  # type: ignore[operator]
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
                f"the object masks beside {name} differ in size",
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


@dataclass
class MaskValues:
    """Which stored values stand for which class, the same for a whole data set.

    Attributes
    ----------
    kind : str
        "values": one number a class; "colours": one colour a class; "threshold": above it is
        class 1; "objects": numbers are objects of class 1.
    values : tuple
        Stored values of the classes 1..K (numbers, or colours).
    threshold : int
        For "threshold".
    unknown : int, optional
        The stored value of pixels about which nothing is known, for "values".
    """

    kind: str
    values: tuple[tuple[int, ...], ...] = ()
    threshold: int = 0
    unknown: int | None = None

    @property
    def classes(self) -> int:
        """K."""
        return len(self.values) if self.kind in {"values", "colours"} else 1


@dataclass(frozen=True)
class LabelMaskLoader:
    """Reads a mask whose values or colours are classes, as the data set's ``MaskValues`` say."""

    source: Source
    name: str
    meaning: MaskValues = field(hash=False)
    page: int | None = None

    def __call__(self) -> ReferenceMask:
        """Read, decode and map."""
        pixels = decode_labels(self.source.read(self.name), self.name, self.page)
        meaning = self.meaning
        if meaning.kind == "objects" and pixels.ndim == 2:
            objects = pixels.astype(np.int32)
            return ReferenceMask((objects > 0).astype(np.uint8), objects)
        if meaning.kind == "threshold":
            grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
            return ReferenceMask((grey > meaning.threshold).astype(np.uint8))  # type: ignore[operator]
        labels = np.zeros(pixels.shape[:2], np.uint8)
        known = (pixels == 0) if pixels.ndim == 2 else (pixels == 0).all(axis=2)
        for number, value in enumerate(meaning.values, start=1):
            # A mask without colours among colour-coded ones has three equal channels.
            if pixels.ndim == 2:
                found = pixels == value[0] if len(set(value)) == 1 else np.zeros(labels.shape, bool)
            else:
                found = (pixels == np.array(value, pixels.dtype)).all(axis=2)
            labels[found] = number
            known |= found
        unknown = np.zeros(labels.shape, bool)
        if meaning.unknown is not None and pixels.ndim == 2:
            unknown = pixels == meaning.unknown
        if not (known | unknown).all():
            strange = pixels[~(known | unknown)][0]
            raise DataError(
                f"{self.name} has a value that no other mask has",
                expected=f"0 or one of {', '.join(str(v[0] if len(v) == 1 else v) for v in meaning.values)}",
                got=str(strange),
                remedy="mend the mask, or leave the image out",
            )
        weights = (~unknown).astype(np.float32) if unknown.any() else None
        return ReferenceMask(labels, weights=weights)
