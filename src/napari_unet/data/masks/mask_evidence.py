"""Whether the values of masks number objects or name classes, judged by the pieces that they form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPECK = 0.02  # share of the largest piece of a value below which a piece does not count
NEARLY_ALL = 0.9
MOST = 0.75  # a few objects are cut in pieces
SOME = 0.6
FEW_CLASSES = 8
FEWEST_PIXELS = 4  # of objects; a picture that is no mask has as few of each value
MANY_CLASSES = 32
MOST_PIXELS = 2**22  # of a mask; of larger ones every second or third is enough
SAME_PLACE = 0.5  # of the spread of all pieces: values that stay within it have places of their own


@dataclass(frozen=True)
class Piece:
    """One value in one mask: its pieces, its pixels, and the middle of it all, 0 to 1 either way."""

    count: int
    size: int
    middle: tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """What the values are.

    Attributes
    ----------
    objects : bool
        Whether they number objects.
    sure : bool
        Whether a person need not be asked.
    why : str
        In words.
    single : float
        Share of values that are one piece each, 0 to 1.
    """

    objects: bool
    sure: bool
    why: str
    single: float = 0.0


def pieces_of(pixels: NDArray[np.generic]) -> dict[int, Piece]:
    """The pieces that each value of a mask forms; pieces touch over corners, too.

    Parameters
    ----------
    pixels : numpy.ndarray
        (Y, X) whole numbers; 0 and below is background.
    """
    from skimage.measure import label

    step = int(np.ceil(np.sqrt(pixels.size / MOST_PIXELS))) if pixels.size > MOST_PIXELS else 1
    pixels = pixels[::step, ::step]
    height, width = pixels.shape
    filled = pixels > 0  # type: ignore[operator]
    tall, wide = filled.any(axis=1).nonzero()[0], filled.any(axis=0).nonzero()[0]
    if not len(tall):
        return {}
    box = slice(tall[0], tall[-1] + 1), slice(wide[0], wide[-1] + 1)
    numbers = np.where(filled[box], pixels[box], 0).astype(np.int64)
    pieces = label(numbers, background=0, connectivity=2)
    down, along = np.nonzero(pieces)
    flat = pieces[down, along]
    count = int(flat.max())
    sizes = np.bincount(flat, minlength=count + 1)
    rows = np.bincount(flat, down + tall[0], minlength=count + 1)
    columns = np.bincount(flat, along + wide[0], minlength=count + 1)
    value_of = np.zeros(count + 1, np.int64)
    value_of[flat] = numbers[down, along]
    values, place = np.unique(value_of[1:], return_inverse=True)
    largest = np.zeros(len(values), np.int64)
    np.maximum.at(largest, place, sizes[1:])
    counts = np.bincount(place, sizes[1:] >= SPECK * largest[place], minlength=len(values))
    areas = np.bincount(place, sizes[1:], minlength=len(values))
    y = np.bincount(place, rows[1:], minlength=len(values)) / areas / height
    x = np.bincount(place, columns[1:], minlength=len(values)) / areas / width
    found = zip(*(a.tolist() for a in (values, counts, areas, y, x)), strict=True)
    return {
        value: Piece(int(number), int(size) * step**2, (row, column))
        for value, number, size, row, column in found
    }


def judge(masks: Sequence[dict[int, Piece]]) -> Verdict:
    """Whether values number objects, by all masks together.

    Numbered objects are one piece each, are numbered on from 1 in every mask however many there are, or
    never twice in the whole set. Classes come again, in several pieces, and some are missing.

    Parameters
    ----------
    masks : sequence of dict
        ``pieces_of`` each.
    """
    masks = [mask for mask in masks if mask]
    pieces = [piece for mask in masks for piece in mask.values()]
    single = sum(piece.count == 1 for piece in pieces) / max(len(pieces), 1)
    return replace(_judged(masks, single), single=single)


def _judged(masks: Sequence[dict[int, Piece]], single: float) -> Verdict:
    values = set().union(*masks)
    counts = [len(mask) for mask in masks]
    pairs = sum(counts)
    why = f"{single:.0%} of the values in a mask are one piece each"
    sizes = [piece.size for mask in masks for piece in mask.values()]
    if sizes and float(np.median(sizes)) < FEWEST_PIXELS:
        return Verdict(objects=False, sure=len(values) <= FEW_CLASSES, why="most values have a few pixels")
    if len(values) < 2 or single < SOME:
        return Verdict(objects=False, sure=True, why=why)
    numbered = sum(set(mask) == set(range(1, len(mask) + 1)) for mask in masks) / len(masks)
    varied = len(set(counts)) > 1
    if len(masks) > 1 and pairs <= 1.2 * len(values) and single >= MOST:
        several = pairs >= 1.5 * len(masks)
        return Verdict(several, several, f"{why}, and hardly a value is in two masks")
    if len(values) == 2:
        doubtful = single >= NEARLY_ALL and numbered == 1
        return Verdict(objects=False, sure=not doubtful, why=f"there are two values; {why}")
    if len(masks) == 1:
        objects = single >= (NEARLY_ALL if len(values) <= MANY_CLASSES else SOME) and len(values) > 3
        return Verdict(objects, sure=False, why=f"{why}, but there is one mask only")
    if numbered >= NEARLY_ALL and single >= MOST:
        why += ", and they count on from 1 in every mask"
        if varied:
            clear = len(values) > FEW_CLASSES or (len(set(counts)) > 2 and len(masks) > 3)
            return Verdict(objects=True, sure=clear and single >= NEARLY_ALL, why=why)
        placed = _have_places(masks)
        why += ", each in its place" if placed else ", anywhere"
        return Verdict(objects=not placed, sure=False, why=why)
    if len(values) > FEW_CLASSES and single >= MOST and float(np.median(counts)) >= 4:
        return Verdict(objects=True, sure=len(values) > MANY_CLASSES and single >= NEARLY_ALL, why=why)
    if len(values) > MANY_CLASSES:
        return Verdict(objects=True, sure=False, why=why)
    doubtful = single >= NEARLY_ALL and (max(counts) > 3 or len(values) > FEW_CLASSES)
    return Verdict(objects=False, sure=not doubtful, why=why)


def _have_places(masks: Sequence[dict[int, Piece]]) -> bool:
    """Whether each value stays about where it is from mask to mask, as organs do, either way."""
    values = set().union(*masks)
    middles = np.array([piece.middle for mask in masks for piece in mask.values()])
    total = middles.var(axis=0)
    within = np.zeros(2)
    for value in values:
        own = np.array([mask[value].middle for mask in masks if value in mask])
        within += own.var(axis=0) * len(own)
    return bool((within <= SAME_PLACE * total * len(middles)).all())
