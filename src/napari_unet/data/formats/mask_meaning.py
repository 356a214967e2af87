"""What the values in the masks of a data set mean: classes, colours, objects, or black and white.

Found from a sample of the masks, for the whole set at once, so that a value means the same in every
mask. What is not certain is reported.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Problem
from napari_unet.data.image_files import LOSSY_SUFFIXES, decode_labels, label_pages, suffix_of
from napari_unet.data.loaders import MaskValues
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.source import Source

MAX_CLASSES = 32
MASKS_LOOKED_AT = 300
PIXELS_LOOKED_AT = 2**25  # about half a second
FEWEST_LOOKED_AT = 8
MANY_CLASSES = 8  # more of them, numbered on from 1, might be objects
UNKNOWN = 255  # in masks of classes: the borders of Pascal VOC, what Cityscapes leaves out
HALFWAY = 127
CLEAR_SHARE = 0.9  # of black and white pixels, where all between are smoothed edges


@dataclass
class Values:
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
        Whether any mask has 255 beside lower positive values.
    """

    counts: dict[str, Counter[int]] = field(default_factory=dict)
    colours: set[tuple[int, ...]] = field(default_factory=set)
    complete: bool = True
    mixed: bool = False

    def add(self, pixels: NDArray[np.generic], name: str) -> None:
        """Take in a mask, (Y, X) numbers or (Y, X, 3) colours."""
        if np.issubdtype(pixels.dtype, np.floating) and not _whole_numbers(pixels.astype(np.float64)):
            raise DataError(
                f"{name} is not a mask",
                expected="whole numbers",
                got="fractions or NaN",
                remedy="save the classes as whole numbers",
            )
        if pixels.ndim == 3:
            self._add_colours(pixels, name)
            return
        if pixels.dtype in (np.bool_, np.uint8, np.uint16):
            histogram = np.bincount(pixels.ravel())
            values, counts = np.flatnonzero(histogram), histogram[histogram > 0]
        else:
            values, counts = np.unique(pixels.astype(np.int64), return_counts=True)
        seen = self.counts.setdefault(pixels.dtype.name, Counter())
        seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self.mixed |= bool((values == UNKNOWN).any() and ((values > 0) & (values < UNKNOWN)).any())

    def _add_colours(self, pixels: NDArray[np.generic], name: str) -> None:
        wide = pixels.astype(np.int64)
        codes = np.unique((wide[..., 0] << 32) | (wide[..., 1] << 16) | wide[..., 2]).tolist()
        if len(codes) <= MAX_CLASSES + 1:
            self.colours.update((c >> 32, c >> 16 & 0xFFFF, c & 0xFFFF) for c in codes)
        count = max(len(codes), len(self.colours))
        if count > MAX_CLASSES + 1:
            raise DataError(
                f"{name} has too many colours for a mask",
                expected=f"at most {MAX_CLASSES} besides black",
                got=str(count),
                remedy="save masks without loss and without smoothing",
            )

    def numbers(self) -> set[int]:
        """All values of masks without colours."""
        return {value for seen in self.counts.values() for value in seen}

    def black_and_white(self) -> bool:
        """Whether masks of every type have, besides 0, nothing but one value, or the type's greatest."""
        positive = {name: {v for v in seen if v != 0} for name, seen in self.counts.items()}
        if len(set().union(*positive.values())) <= 1:
            return True
        greatest = {"bool": 1, "uint8": 255, "uint16": 65535}
        return all(values <= {greatest.get(name, 1)} for name, values in positive.items())

    def has_unknown(self, names: tuple[str, ...]) -> bool:
        """Whether 255 stands for unknown pixels among classes: all others are small, or fit the names."""
        positive = {n for n in self.numbers() if n}
        classes = positive - {UNKNOWN}
        highest = max(classes, default=0)
        if UNKNOWN not in positive or not classes or highest > (len(names) or MAX_CLASSES):
            return False
        if names and (len(names) >= UNKNOWN - 1 or highest < len(names) == len(positive)):
            return False  # the names leave 255 for a class
        # With one class, 0 and 1 in some masks and 0 and 255 in others are two ways to write the same.
        return len(classes) > 1 or self.mixed

    def smoothed(self) -> bool:
        """Whether masks are black and white but for edges in grey, as resizing leaves them."""
        if self.counts.keys() != {"uint8"}:
            return False
        seen = self.counts["uint8"]
        between = sorted(v for v in seen if 0 < v < 255)
        # Numbers of classes are few and small.
        grey = len(between) > MAX_CLASSES or (len(between) > 2 and between[0] > MAX_CLASSES)
        return grey and seen[255] > 0 and seen[0] + seen[255] >= CLEAR_SHARE * seen.total()


def _whole_numbers(pixels: NDArray[np.float64]) -> bool:
    return bool((np.isfinite(pixels) & (pixels == np.round(pixels))).all())


def find_meaning(
    source: Source, masks: Sequence[str]
) -> tuple[dict[str, MaskValues], tuple[str, ...], list[Problem]]:
    """What the values of the masks of a data set mean, and what the classes are called.

    Up to 300 masks and 32 million pixels are read. A classes.txt (one name a line) or classes.json (a
    list) at the root names the classes 1..K and settles how many there are; one name alone makes
    several values objects of that class.

    Parameters
    ----------
    source : Source
        Where they are.
    masks : sequence of str
        Their names.

    Returns
    -------
    dict
        Mask name to meaning. One meaning serves all but JPEG masks, which are cut halfway.
    tuple of str
        Names of the classes.
    list of Problem
        Kind "interpretation": what was taken for one thing and might be another.

    Raises
    ------
    DataError
        If the values make no sense as classes, colours or objects, or do not fit the named classes.
    """
    lossy = [name for name in masks if suffix_of(name) in LOSSY_SUFFIXES]
    exact = [name for name in masks if suffix_of(name) not in LOSSY_SUFFIXES]
    problems: list[Problem] = []
    names = declared_classes(source)
    meaning = MaskValues("threshold", threshold=0)
    if exact:
        meaning = _meaning(_look_at(source, exact), exact[0], names, problems)
    if lossy:
        _check_lossy(source, lossy, meaning)
    if names and len(names) != meaning.classes:
        raise DataError(
            "the named classes do not fit the masks",
            expected=f"{meaning.classes} names in classes.txt or classes.json",
            got=str(len(names)),
            remedy="name every class but the background",
        )
    count = meaning.classes
    generic = ("foreground",) if count == 1 else tuple(f"class {n}" for n in range(1, count + 1))
    halfway = MaskValues("threshold", threshold=HALFWAY)
    return {**dict.fromkeys(exact, meaning), **dict.fromkeys(lossy, halfway)}, names or generic, problems


def _chosen(masks: Sequence[str]) -> list[str]:
    """Some of the masks in random order, the same every time."""
    order = np.random.default_rng(0).permutation(len(masks))
    return [masks[i] for i in order[:MASKS_LOOKED_AT]]


def _look_at(source: Source, masks: Sequence[str]) -> Values:
    values = Values()
    pixels = looked_at = 0
    for name in _chosen(masks):
        if pixels > PIXELS_LOOKED_AT and looked_at >= FEWEST_LOOKED_AT:
            break
        for mask in label_pages(source.read(name), name):
            values.add(mask, name)
            pixels += mask.size
        looked_at += 1
    values.complete = looked_at == len(masks)
    return values


def _meaning(values: Values, name: str, names: tuple[str, ...], problems: list[Problem]) -> MaskValues:
    numbers = values.numbers()
    if values.colours:
        known = values.colours | {(n, n, n) for n in numbers}
        return MaskValues("colours", tuple(sorted(c for c in known if any(c))))
    if min(numbers, default=0) < 0:
        raise DataError(
            f"masks like {name} have negative values",
            expected="0 for background, and positive classes",
            got=str(min(numbers)),
            remedy="save the classes as numbers from 0",
        )
    positive = sorted(n for n in numbers if n)
    if values.black_and_white():
        if values.complete or not positive or len(positive) > 1:
            return MaskValues("threshold", threshold=0)
        # A value that shows up only in masks not looked at shall be told, not taken for the same.
        return MaskValues("values", ((positive[0],),))
    if values.smoothed():
        message = f"masks like {name} have grey edges; values above {HALFWAY} are taken as foreground"
        problems.append(Problem("interpretation", message, "save masks without smoothing", (name,)))
        return MaskValues("threshold", threshold=HALFWAY)
    if values.has_unknown(names):
        message = f"{UNKNOWN} in masks like {name} is taken as unknown, so those pixels do not count"
        remedy = f"if {UNKNOWN} is a class, give it the number after the others"
        problems.append(Problem("interpretation", message, remedy, (name,)))
        classes = _classes_or_objects([n for n in positive if n != UNKNOWN], name, names, problems)
        return replace(classes, unknown=UNKNOWN)
    if len(names) == 1:
        return MaskValues("objects")
    return _classes_or_objects(positive, name, names, problems)


def _classes_or_objects(
    positive: list[int], name: str, names: tuple[str, ...], problems: list[Problem]
) -> MaskValues:
    count, highest = len(positive), positive[-1]
    if highest <= max(MAX_CLASSES, len(names)):
        if count > MANY_CLASSES and count == highest and not names:
            message = f"the values 1 to {highest} in masks like {name} are taken as {highest} classes"
            remedy = "if they number objects, write the name of their one class into classes.txt"
            problems.append(Problem("interpretation", message, remedy, (name,)))
        return MaskValues("values", tuple((v,) for v in range(1, max(highest, len(names)) + 1)))
    if count <= MAX_CLASSES:
        return MaskValues("values", tuple((v,) for v in positive))
    if highest <= 4 * count:
        message = f"the {count} values in masks like {name} are taken as numbers of objects"
        problems.append(Problem("interpretation", message, "check a mask", (name,)))
        return MaskValues("objects")
    raise DataError(
        f"masks like {name} have too many values to be classes",
        expected=f"at most {MAX_CLASSES} classes, or objects numbered from 1",
        got=f"{count} values up to {highest}",
        remedy="save masks without loss and without smoothing",
    )


def _check_lossy(source: Source, masks: Sequence[str], meaning: MaskValues) -> None:
    """Refuse JPEG masks that cannot be black and white."""
    remedy = "save masks as PNG or TIFF"
    if meaning.classes > 1 or meaning.kind == "objects":
        raise DataError(
            f"{masks[0]} is a JPEG among masks of several classes",
            expected="masks saved without loss",
            remedy=remedy,
        )
    between = bright = highest = 0
    for name in _chosen(masks)[:FEWEST_LOOKED_AT]:
        pixels = decode_labels(source.read(name), name)
        grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
        histogram = np.bincount(grey.ravel(), minlength=256)
        between += int(histogram[64:192].sum())
        bright += int(histogram[192:].sum())
        highest = max(highest, int(np.flatnonzero(histogram)[-1]))
    if between > bright or 32 < highest <= HALFWAY:
        raise DataError(
            f"masks like {masks[0]} are JPEGs that are not black and white",
            expected="values near 0 and 255",
            got=f"{between} pixels in between, {highest} the brightest",
            remedy=remedy,
        )


def declared_classes(source: Source) -> tuple[str, ...]:
    """Names of the classes 1..K in classes.txt or classes.json at the root; empty without them.

    Raises
    ------
    DataError
        If the file is not a list of names.
    """
    if "classes.json" in source.sizes:
        try:
            names = json.loads(source.read("classes.json"))
        except ValueError as error:
            raise DataError("classes.json is not JSON", got=str(error)[:100]) from error
        if not isinstance(names, list) or not all(isinstance(n, str) and n.strip() for n in names):
            raise DataError("classes.json is not a list of names", expected='like ["nerve", "vessel"]')
    elif "classes.txt" in source.sizes:
        text = source.read("classes.txt").decode("utf-8-sig", "replace")
        names = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        return ()
    if len(names) > 1 and names[0].lower() == "background":
        names = names[1:]
    return tuple(names)
