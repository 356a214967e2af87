"""What stored values of masks stand for, and masks out of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.sample import ReferenceMask
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.masks.mask_pixels import MaskInFile


@dataclass
class MaskValues:
    """Which stored values stand for which class, the same for a whole data set.

    Attributes
    ----------
    kind : str
        "values": one number a class. "colours": one colour a class. "threshold": above it is
        class 1. "objects": numbers are objects of class 1. "numbered": numbers are objects whose classes the
        file says. "channels": one channel a class.
    values : tuple
        Stored values of the classes 1..K (numbers, colours, or numbers of channels).
    threshold : float
        For "threshold", of types that `thresholds` does not name.
    thresholds : dict
        By stored type.
    unknown : int, optional
        The stored value of pixels about which nothing is known, for "values" and "objects".
    alpha : bool
        Whether the masks are drawn in transparency.
    background : int, optional
        The channel that is background, for "channels".
    soft : bool
        Whether channels hold probabilities, of which the highest counts.
    names : tuple of str
        Of the classes 1..K, for "numbered": files may number them otherwise.
    """

    kind: str
    values: tuple[tuple[int, ...], ...] = ()
    threshold: float = 0
    unknown: int | None = None
    thresholds: dict[str, float] = field(default_factory=dict)
    alpha: bool = False
    background: int | None = None
    soft: bool = False
    names: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """K."""
        if self.kind == "numbered":
            return len(self.names)
        return len(self.values) if self.kind in {"values", "colours", "channels"} else 1

    def read(self, stored: MaskInFile, name: str) -> ReferenceMask:
        """The mask that a file stands for.

        Parameters
        ----------
        stored : MaskInFile
            What is in the file.
        name : str
            Of the file, for errors.

        Raises
        ------
        DataError
            If it has a value that stands for nothing.
        """
        pixels = stored.alpha if self.alpha and stored.alpha is not None else stored.numbers
        if self.kind == "channels":
            return self._of_channels(pixels, name)
        if self.kind == "numbered":
            return read_numbered(stored, name, self.names)
        if self.kind == "threshold":
            grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
            return ReferenceMask((grey > self._threshold_for(grey)).astype(np.uint8))  # type: ignore[operator]
        if self.kind == "objects" and pixels.ndim == 2:
            return self._of_objects(pixels)
        return self._of_values(pixels, name)

    def _threshold_for(self, grey: NDArray[Any]) -> float:
        threshold = self.thresholds.get(grey.dtype.name, self.threshold)
        # Masks of 0 and 1 among soft ones of 0 to 255 were never made soft.
        plain = threshold > 1 and self.thresholds and grey.max(initial=0) == 1
        return 0 if plain else threshold

    def _of_objects(self, pixels: NDArray[Any]) -> ReferenceMask:
        unknown = _equal(pixels, self.unknown)
        numbers = np.where(unknown | (pixels < 0), 0, pixels)
        if numbers.max(initial=0) > np.iinfo(np.int32).max:
            numbers = np.unique(numbers, return_inverse=True)[1].reshape(numbers.shape)
        objects = numbers.astype(np.int32)
        weights = (~unknown).astype(np.float32) if unknown.any() else None
        return ReferenceMask((objects > 0).astype(np.uint8), objects, weights)

    def _of_values(self, pixels: NDArray[Any], name: str) -> ReferenceMask:
        labels = np.zeros(pixels.shape[:2], np.uint8 if len(self.values) < 256 else np.uint16)
        known = (pixels == 0) if pixels.ndim == 2 else (pixels == 0).all(axis=2)
        for number, value in enumerate(self.values, start=1):
            # A mask without colours among colour-coded ones has three equal channels.
            if pixels.ndim == 2:
                found = _equal(pixels, value[0] if len(set(value)) == 1 else None)
            else:
                found = (pixels.astype(np.int64) == np.array(value)).all(axis=2)
            labels[found] = number
            known |= found
        unknown = _equal(pixels, self.unknown) if pixels.ndim == 2 else np.zeros(labels.shape, bool)
        if not (known | unknown).all():
            raise DataError(
                f"{name} has a value that no other mask has",
                code="data.mask.values",
                expected=f"0 or one of {', '.join(str(v[0] if len(v) == 1 else v) for v in self.values)}",
                got=str(pixels[~(known | unknown)][0]),
                remedy="mend the mask, or leave the image out",
            )
        weights = (~unknown).astype(np.float32) if unknown.any() else None
        return ReferenceMask(labels, weights=weights)

    def _of_channels(self, pixels: NDArray[Any], name: str) -> ReferenceMask:
        count = len(self.values) + (self.background is not None)
        if pixels.ndim == 2:
            if pixels.any():
                raise DataError(
                    f"{name} has no channels",
                    code="data.mask.channels",
                    expected=f"{count} channels, one a class",
                )
            return ReferenceMask(np.zeros(pixels.shape, np.uint8))
        if pixels.shape[2] != count:
            raise DataError(
                f"{name} does not have as many channels as other masks",
                code="data.mask.channels",
                expected=str(count),
                got=str(pixels.shape[2]),
                remedy="mend the mask, or leave the image out",
            )
        number = np.zeros(count, np.uint8)
        for place, (channel,) in enumerate(self.values, start=1):
            number[channel] = place
        if not self.soft:
            check_overlap(pixels, name)
        # Pixels of no channel are background.
        labels = np.where(pixels.any(axis=2), number[pixels.argmax(axis=2)], 0)
        return ReferenceMask(labels.astype(np.uint8))


def read_numbered(stored: MaskInFile, name: str, names: tuple[str, ...]) -> ReferenceMask:
    """The mask of a file that says the classes of its objects.

    Parameters
    ----------
    stored : MaskInFile
        What is in the file.
    name : str
        Of the file, for errors.
    names : tuple of str
        Of the classes 1..K of the data set.

    Raises
    ------
    DataError
        If the file does not say it, or has a class that the data set does not have, or an object without one.
    """
    about, pixels = stored.numbered, stored.numbers
    if about is None or pixels.ndim != 2:
        raise DataError(
            f"{name} does not say of which class its objects are",
            code="data.mask.numbered",
            expected="a file like the other masks, exported with numbers of objects",
            remedy="export it again, or leave the image out",
        )
    unknown = [one for one in about.names if one not in names]
    if unknown:
        raise DataError(
            f"{name} has objects of a class that the data set does not have",
            code="data.mask.classes",
            expected=", ".join(names),
            got=", ".join(unknown),
        )
    objects = np.asarray(pixels, np.int64)
    class_of = np.array([0, *(names.index(one) + 1 for one in about.names)], np.uint8)[about.classes]
    without = np.flatnonzero(np.bincount(objects.ravel(), minlength=len(class_of))[len(class_of) :])
    known = class_of[np.minimum(objects, len(class_of) - 1)]
    if len(without) or bool((known[objects > 0] == 0).any()):
        raise DataError(
            f"{name} does not say of which class all of its objects are",
            code="data.mask.numbered",
            expected="the numbers that it was exported with",
            remedy="export it again, or say --masks-are objects or classes",
        )
    return ReferenceMask(np.where(objects > 0, known, 0).astype(np.uint8), objects.astype(np.int32))


def check_overlap(pixels: NDArray[Any], name: str) -> None:
    """Refuse channels of which more than one claims a pixel.

    Raises
    ------
    DataError
        With the number of such pixels.
    """
    claims = np.count_nonzero(pixels, axis=2)
    if shared := int((claims > 1).sum()):
        raise DataError(
            f"the channels of {name} overlap, so they are no masks of classes",
            code="data.mask.overlap",
            expected="at most one channel above 0 in each pixel",
            got=f"{shared} pixels in two or more channels",
            remedy="save one mask for each channel, and a data set for each class",
        )


def _equal(pixels: NDArray[Any], value: int | None) -> NDArray[np.bool_]:
    if value is None or (pixels.dtype.kind in "bu" and value < 0):
        return np.zeros(pixels.shape, bool)
    return np.asarray(pixels == value)
