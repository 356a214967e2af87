"""What is seen in the masks that are looked at, before anything is decided about their values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.mask_evidence import pieces_of
from napari_unet.data.masks.mask_values import check_overlap
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.masks.mask_evidence import Piece
    from napari_unet.data.masks.mask_pixels import MaskInFile

MAX_CLASSES = 32
UNKNOWN = 255  # in masks of classes: the borders of Pascal VOC, what Cityscapes leaves out
UNKNOWN_BELOW = -1  # in masks of signed types, as training programs and watersheds write it
CLEAR_SHARE = 0.9  # of black and white pixels, where all between are smoothed edges
NEARLY_CLEAR = 0.7  # of nearly black and nearly white pixels, in masks of probabilities
ONES = {1, 255, 65535}  # how programs write "true"
ROUNDING = 0.02  # by which probabilities may miss their sum
FEW_SOFT = 3
FEWEST_COUNTED = 8  # masks
MOST_COUNTED = 2**16 - 1  # value up to which pixels are counted by value
COUNTED_PIXELS = 2**23  # in which pieces are counted; more tell no more, and take long


@dataclass
class Sightings:
    """What is seen in the masks that were looked at.

    Attributes
    ----------
    counts : dict
        Number of pixels by stored type and value, of masks without colours.
    colours : set of tuple
        Of the masks with colours.
    complete : bool
        Whether every mask was looked at.
    mixed : bool
        Whether any mask has 255 and lower positive values.
    blank, partly : bool
        Whether any mask is 255 throughout, and whether any has 255 and other values.
    single : bool
        Whether no mask has more than one value besides 0.
    alpha : bool
        Whether any mask is drawn in transparency.
    lossy : bool
        Whether any TIFF was compressed with loss.
    fractions : bool
        Whether any mask of floats has values between whole numbers.
    lowest, highest : float
        Of all numbers.
    pieces : list of dict
        What each mask's values form, for masks with several values; of many masks the first ones.
    counted : int
        Pixels of those masks.
    channels : int
        Of masks with one channel a class; 0 if there are none.
    areas : list of int
        Pixels in each channel.
    filled : bool
        Whether every pixel of those masks is in a channel.
    soft_channels : bool
        Whether they hold probabilities.
    overlapping : str
        Name of a mask whose channels overlap, and the number of such pixels.
    pixels : int
        Looked at in all.
    inverted : str
        Name of a mask whose file says that 0 is white; empty if there is none.
    named : dict
        Names of the classes of objects, in the order of the files that say them.
    unnamed : bool
        Whether any mask does not say the classes of its objects.
    """

    counts: dict[str, Counter[int]] = field(default_factory=dict)
    colours: set[tuple[int, ...]] = field(default_factory=set)
    complete: bool = True
    mixed: bool = False
    blank: bool = False
    partly: bool = False
    single: bool = True
    alpha: bool = False
    inverted: str = ""
    lossy: bool = False
    fractions: bool = False
    lowest: float = 0
    highest: float = 0
    pieces: list[dict[int, Piece]] = field(default_factory=list)
    counted: int = 0
    channels: int = 0
    areas: list[int] = field(default_factory=list)
    filled: bool = True
    soft_channels: bool = False
    overlapping: DataError | None = None
    plain: bool = False
    pixels: int = 0
    named: dict[str, None] = field(default_factory=dict)
    unnamed: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the objects that the numbers in all masks are; empty unless every file says them."""
        return () if self.unnamed else tuple(self.named)

    def add(self, mask: MaskInFile, name: str) -> None:
        """Take in a mask.

        Raises
        ------
        DataError
            If it is none.
        """
        pixels = mask.numbers
        self.alpha |= mask.is_drawn_in_alpha
        if mask.inverted and not self.inverted:
            self.inverted = name
        self.unnamed |= mask.numbered is None
        self.named |= dict.fromkeys(() if mask.numbered is None else mask.numbered.names)
        self.pixels += pixels.shape[0] * pixels.shape[1]
        if pixels.ndim == 3 and mask.channels:
            self._add_channels(pixels, name)
        elif pixels.ndim == 3:
            self._add_colours(pixels, name)
        else:
            self._add_numbers(pixels, name)

    def _add_numbers(self, pixels: NDArray[Any], name: str) -> None:
        if pixels.dtype.kind == "c" or (pixels.dtype.kind == "f" and not np.isfinite(pixels).all()):
            raise _no_mask(name, "fractions or NaN")
        if pixels.dtype.kind == "f" and (pixels != np.round(pixels)).any():
            if pixels.min() < 0 or pixels.max() > UNKNOWN:
                raise _no_mask(name, "fractions or NaN")
            self.fractions = True
            self.highest = max(self.highest, float(pixels.max()))
            self.counts.setdefault(pixels.dtype.name, Counter())
            return
        low, high = (pixels.min(), pixels.max()) if pixels.size else (0, 0)
        if pixels.dtype.kind in "bui" and low >= 0 and high <= MOST_COUNTED:  # much faster than sorting
            histogram = np.bincount(pixels.ravel())
            values, counts = np.flatnonzero(histogram), histogram[histogram > 0]
        else:
            values, counts = np.unique(pixels.astype(np.int64), return_counts=True)
        seen = self.counts.setdefault(pixels.dtype.name, Counter())
        seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self.lowest, self.highest = min(self.lowest, values.min()), max(self.highest, values.max())
        self.blank |= bool(low == high == UNKNOWN)
        self.partly |= bool(low < UNKNOWN and (values == UNKNOWN).any())
        positive = values[values > 0]
        self.single &= len(positive) <= 1
        self.mixed |= bool((values == UNKNOWN).any() and ((values > 0) & (values < UNKNOWN)).any())
        enough = self.counted > COUNTED_PIXELS and len(self.pieces) >= FEWEST_COUNTED
        if len(positive) and positive[-1] > 1 and not enough and not self._grey(values, counts):
            self.counted += pixels.size
            # 255 as the highest value may be the border between objects, or what is unknown.
            known = np.where(pixels == UNKNOWN, 0, pixels) if positive[-1] == UNKNOWN else pixels
            self.pieces.append(pieces_of(known))

    @staticmethod
    def _grey(values: NDArray[np.int64], counts: NDArray[np.int64]) -> bool:
        """Whether a mask is clearly black and white, with grey between, whose pieces tell nothing."""
        if len(values) <= 2 and values[-1] in ONES:
            return True
        black_or_white = counts[0] + counts[-1] >= CLEAR_SHARE * counts.sum() and values[-1] == UNKNOWN
        return bool(len(values) - 2 > MAX_CLASSES and black_or_white)

    def _add_colours(self, pixels: NDArray[Any], name: str) -> None:
        if pixels.dtype.kind == "f" and (pixels != np.round(pixels)).any():
            raise _no_mask(name, "fractions or NaN")
        wide = pixels.astype(np.int64)
        codes = np.unique((wide[..., 0] << 32) | (wide[..., 1] << 16) | wide[..., 2]).tolist()
        if len(codes) <= MAX_CLASSES + 1:
            self.colours.update((c >> 32, c >> 16 & 0xFFFF, c & 0xFFFF) for c in codes)
        count = max(len(codes), len(self.colours))
        if count > MAX_CLASSES + 1:
            raise DataError(
                f"{name} has too many colours for a mask",
                code="data.mask.colours",
                expected=f"at most {MAX_CLASSES} besides black",
                got=str(count),
                remedy="save masks without loss and without smoothing",
            )

    def _add_channels(self, pixels: NDArray[Any], name: str) -> None:
        count = pixels.shape[2]
        if self.channels and count != self.channels:
            raise DataError(
                f"{name} does not have as many channels as other masks",
                code="data.mask.channels",
                expected=str(self.channels),
                got=str(count),
            )
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise _no_mask(name, "NaN")
        if pixels.min() < 0:
            raise _no_mask(name, "negative values in channels")
        if not self.channels:
            self.channels, self.areas = count, [0] * count
        if count > MAX_CLASSES + 1:
            raise DataError(
                f"{name} has too many channels for a mask",
                code="data.mask.channels",
                expected=f"at most {MAX_CLASSES}, one a class",
                got=str(count),
                remedy="save the classes as whole numbers in one channel",
            )
        values = np.unique(pixels)
        total = pixels.sum(axis=2, dtype=np.float64)
        full = float(values[-1])
        if len(values) <= 2 and (len(values) == 1 or values[0] == 0):
            try:
                check_overlap(pixels, name)
            except DataError as error:
                self.overlapping = error
            self.filled &= bool((total > 0).all())
        elif np.allclose(total, total.flat[0], rtol=ROUNDING, atol=FEW_SOFT if full > 1 else ROUNDING):
            self.soft_channels = True
        else:
            raise DataError(
                f"{name} has several channels that are neither classes nor probabilities",
                code="data.mask.channels",
                expected="0 and one other value in each channel, or probabilities that add up to 1",
                got=f"{len(values)} values up to {full:g}",
                remedy="save the classes as whole numbers in one channel",
            )
        winners = np.bincount(pixels.argmax(axis=2)[total > 0].ravel(), minlength=count)
        self.areas = [area + int(more) for area, more in zip(self.areas, winners, strict=True)]

    def check_channels(self, name: str) -> None:
        """Refuse channels that overlap, or other masks among them.

        Raises
        ------
        DataError
            With what is wrong.
        """
        if self.overlapping is not None:
            raise self.overlapping
        if self.colours or any(self.numbers() - {0}):
            raise DataError(
                f"some masks like {name} have channels and others have none",
                code="data.mask.channels",
                expected="one channel a class in all of them",
                remedy="save all masks in one way",
            )
        if any(0 in seen for seen in self.counts.values()):
            self.filled = False  # an empty mask without a channel for background

    def numbers(self) -> set[int]:
        """All values of masks without colours."""
        return {value for seen in self.counts.values() for value in seen}

    @property
    def might_be_objects(self) -> bool:
        """Whether there is more than one value besides background."""
        return len({n for n in self.numbers() if n > 0}) > 1 and not self.fractions and not self.colours

    def black_and_white(self, *, strict: bool = False) -> bool:
        """Whether masks have, besides 0, nothing but one value, or each no more than what says "true".

        Parameters
        ----------
        strict : bool
            Whether 1 in some masks and 255 in others of the same type are two values.
        """
        positive = {name: {v for v in seen if v != 0} for name, seen in self.counts.items()}
        every = set().union(*positive.values())
        if len(every) <= 1:
            return True
        if not strict and self.single and every <= ONES and not self.has_blank:
            return True
        greatest = {"bool": 1, "uint8": 255, "uint16": 65535}
        return all(values <= {greatest.get(name, 1)} for name, values in positive.items())

    @property
    def has_blank(self) -> bool:
        """Whether masks of 0 and 1 go with ones that are 255 throughout: nobody has annotated those."""
        return self.blank and not self.partly and 1 in self.numbers()

    def has_unknown(self, names: tuple[str, ...]) -> bool:
        """Whether 255 stands for unknown pixels among classes: all others are small, or fit the names."""
        positive = {n for n in self.numbers() if n > 0}
        classes = positive - {UNKNOWN}
        highest = max(classes, default=0)
        if UNKNOWN not in positive or not classes or highest > (len(names) or MAX_CLASSES):
            return False
        if names and (len(names) >= UNKNOWN - 1 or highest < len(names) == len(positive)):
            return False  # the names leave 255 for a class
        # With one class, 0 and 1 in some masks and 0 and 255 in others are two ways to write the same.
        return len(classes) > 1 or self.mixed or self.has_blank

    def smoothed(self) -> bool:
        """Whether masks are black and white but for edges in grey, as resizing and networks leave them."""
        shades = {name: seen for name, seen in self.counts.items() if name in {"uint8", "uint16"}}
        if not shades or self.counts.keys() - {"uint8", "uint16", "bool"}:
            return False
        grey = False
        for name, seen in shades.items():
            full = max(seen)
            between = sorted(v for v in seen if 0 < v < full)
            if not between:
                continue
            # Numbers of classes are few and small.
            many = len(between) > MAX_CLASSES or (len(between) > 2 and between[0] > MAX_CLASSES)
            white = full in ONES if name == "uint16" else full == UNKNOWN
            if not many or not white:
                return False
            total = seen.total()
            clear = seen[0] + seen[full] >= CLEAR_SHARE * total and seen[full] > 0
            nearly = {v: n for v, n in seen.items() if v <= full / 8 or v >= full * 7 / 8}
            bright = sum(n for v, n in nearly.items() if v > full / 2)
            if not clear and not (
                self._scattered() and sum(nearly.values()) >= NEARLY_CLEAR * total and bright > 0
            ):
                return False
            grey = True
        return grey

    def _scattered(self) -> bool:
        """Whether values form many pieces each, as shades do and numbers of objects do not."""
        pieces = [piece.count for mask in self.pieces for piece in mask.values()]
        return bool(pieces) and float(np.mean(pieces)) > 2

    def halves(self) -> dict[str, float]:
        """For each stored type, the value halfway to its white; 0 where there is nothing between."""
        cuts: dict[str, float] = {}
        for name, seen in self.counts.items():
            if name.startswith("float"):
                cuts[name] = 0.5 if self.highest <= 1 else UNKNOWN / 2
            elif name == "bool" or not seen or len(seen) <= 2:
                cuts[name] = 0.0 if name == "bool" else max(seen, default=0) // 2
            else:
                cuts[name] = max(seen) // 2
        return cuts


def _no_mask(name: str, got: str) -> DataError:
    return DataError(
        f"{name} is not a mask",
        code="data.mask.values",
        expected="whole numbers, or shades between 0 and 1",
        got=got,
        remedy="save the classes as whole numbers",
    )
