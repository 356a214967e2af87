"""An object between two slices of a volume in which a person painted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 4  # pixels around the object that are looked at
BAND = 2.5  # pixels from the painted outlines within which it is seen what the network knows of them
SMOOTH = 1.0  # pixels, of the probability and of the directions in which the outline faces
PULL = 6.0  # pixels by which the network moves an outline at most, times what it knows
MOST = 0.3  # change of the probability across a pixel that counts as much as any greater one


def fill_between(
    first: NDArray[np.bool_],
    last: NDArray[np.bool_],
    count: int,
    probability: NDArray[np.floating] | None = None,
) -> NDArray[np.bool_]:
    """Interpolate an object between two slices.

    Parameters
    ----------
    first, last : numpy.ndarray
        (Y, X) bool: the object in both slices; in one piece or in several.
    count : int
        How many slices lie between them.
    probability : numpy.ndarray, optional
        (count + 2, Y, X) in [0, 1]: of the object's class, in both slices and in those between. It moves the
        interpolated outline as far as it agrees with the two painted ones.

    Returns
    -------
    numpy.ndarray
        (count, Y, X) bool: the object in each of these slices, the one after `first` first.

    Raises
    ------
    DataError
        If a slice is empty, or the slices differ in size.

    Notes
    -----
    Signed distances to both outlines are averaged, the nearer slice weighs more, and the object is where that
    average is above 0 (Raya and Udupa 1990, doi:10.1109/42.52980). Where the two shapes overlap more once
    their centres lie on each other, the object moves: each shape is first shifted along the line between
    the centres.

    An outline may lie where the probability falls through some level, or along a ridge of low probability
    between two objects. The painted outlines show which of the two it is, and how far it can be trusted.
    """
    first, last = np.asarray(first, bool), np.asarray(last, bool)
    if first.shape != last.shape or not (first.any() and last.any()):
        raise DataError(
            "there is nothing to interpolate",
            code="data.fill.empty",
            expected="the object in two slices of one size",
            got="an empty slice" if first.shape == last.shape else f"{first.shape} and {last.shape}",
            remedy="paint the object in both slices",
        )
    filled = np.zeros((count, *first.shape), bool)
    box = _box(first | last, MARGIN + (count + 1) // 2)
    ends = [_signed_distance(one[box]) for one in (first, last)]
    move = _move(first[box], last[box])
    guide = None if probability is None else _Guide.learned(ends, probability[(slice(None), *box)])
    for number in range(count):
        share = (number + 1) / (count + 1)
        shape = (1 - share) * _shifted(ends[0], share * move)
        shape += share * _shifted(ends[1], (share - 1) * move)
        if guide is not None and probability is not None:
            shape += guide.pull(shape, probability[number + 1][box])
        filled[number][box] = shape > 0
    return filled


@dataclass(frozen=True)
class _Guide:
    """What the network's probability says of where an object ends.

    Attributes
    ----------
    ridge : bool
        Whether outlines lie along ridges of low probability; else where it falls through `level`.
    level : float
        That.
    trust : float
        0 to 1, how far that is so at the painted outlines.
    """

    ridge: bool
    level: float
    trust: float

    @classmethod
    def learned(cls, ends: list[NDArray[np.float32]], probability: NDArray[np.floating]) -> _Guide:
        """Learn from the painted outlines, as distances to them (Y, X), and the probability around them."""
        shown = [(ends[0], probability[0]), (ends[1], probability[-1])]
        outline = np.concatenate([_smoothed(p)[np.abs(shape) < 1] for shape, p in shown])
        level = float(outline.mean()) if outline.size else 0.5
        found = []
        for ridge in (False, True):
            guide = cls(ridge, level, 1.0)
            right = [((guide.sign(shape, p) > 0) == (shape > 0))[np.abs(shape) <= BAND] for shape, p in shown]
            share = float(np.concatenate(right).mean()) if sum(r.size for r in right) else 0.5
            found.append(cls(ridge, level, max(0.0, 2 * share - 1)))
        return max(found, key=lambda guide: guide.trust)

    def sign(self, shape: NDArray[np.float32], probability: NDArray[np.floating]) -> NDArray[np.float32]:
        """(Y, X) float32 in [-0.3, 0.3]: above 0 where the network takes a pixel for inside."""
        smooth = _smoothed(probability)
        if not self.ridge:
            return np.asarray(np.clip(smooth - self.level, -MOST, MOST), np.float32)
        # Towards a ridge the probability falls outward, behind it it rises.
        down, right = np.gradient(smooth)
        outward = np.gradient(_smoothed(-shape))
        falls = -(down * outward[0] + right * outward[1])
        return np.asarray(np.clip(falls, -MOST, MOST), np.float32)

    def pull(self, shape: NDArray[np.float32], probability: NDArray[np.floating]) -> NDArray[np.float32]:
        """(Y, X) float32: pixels by which an outline moves outward."""
        if not self.trust:
            return np.zeros_like(shape)
        return PULL * self.trust * self.sign(shape, probability)


def _smoothed(values: NDArray[np.floating]) -> NDArray[np.float32]:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(np.asarray(values, np.float32), SMOOTH), np.float32)


def _box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Rows and columns that hold a mask, with a margin where there is room for it."""
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(mask.any(axis=axis))
        sides.append(slice(max(0, int(places[0]) - margin), int(places[-1]) + 1 + margin))
    return sides[0], sides[1]


def _signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(Y, X) float32: pixels to the outline, above 0 inside; half a pixel at the pixels next to it.

    What lies beyond the border of the image is not known to be outside.
    """
    from scipy import ndimage

    if mask.all():
        return np.full(mask.shape, float(max(mask.shape)), np.float32)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), np.float32)


def _move(first: NDArray[np.bool_], last: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2,) pixels by which the object moves from the first to the last slice; 0 where that fits no better."""
    centres = [np.argwhere(one).mean(axis=0) for one in (first, last)]
    move = centres[1] - centres[0]
    y, x = (int(n) for n in np.round(move))
    moved = np.zeros_like(first)
    rows, columns = np.nonzero(first)
    rows, columns = rows + y, columns + x
    there = (rows >= 0) & (rows < first.shape[0]) & (columns >= 0) & (columns < first.shape[1])
    moved[rows[there], columns[there]] = True
    if np.count_nonzero(moved & last) > np.count_nonzero(first & last):
        return np.asarray(move, np.float64)
    return np.zeros(2)


def _shifted(distance: NDArray[np.float32], by: NDArray[np.float64]) -> NDArray[np.float32]:
    from scipy import ndimage

    if not by.any():
        return distance
    return np.asarray(ndimage.shift(distance, by, order=1, mode="nearest"), np.float32)
