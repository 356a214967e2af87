"""One number for an object through all slices of a stack, where it overlaps itself from slice to slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers = NDArray[np.integer]

LEAST_OVERLAP = 0.25  # intersection over union of an object in two slices; as cellpose stitches


class StackNumbers:
    """Numbers the objects of a stack, slice after slice, so that no number means two things.

    A linked object has the number of the object in the slice before that it overlaps. Each is the
    other's best partner, their intersection over union is at least `LEAST_OVERLAP`, and they are of one
    class. Without links, every object of every slice has a number of its own.

    Parameters
    ----------
    linked : bool
        Whether objects are linked.
    free : callable, optional
        (n) -> whether number n may be used; all may by default.
    """

    def __init__(self, linked: bool, free: Callable[[int], bool] = lambda number: True) -> None:
        self.linked = linked
        self.last = 0
        self._free = free
        self._before: tuple[Numbers, NDArray[np.uint8]] | None = None

    def start_again(self) -> None:
        """Link the next slice to none: it is the first one of another stack along the last axis."""
        self._before = None

    def table(self, objects: Numbers, mask: NDArray[np.uint8]) -> NDArray[np.int32]:
        """What the numbers of the next slice become.

        Parameters
        ----------
        objects : numpy.ndarray
            (Y, X) of integers, 0 background, one number an object.
        mask : numpy.ndarray
            (Y, X) uint8: the class of every pixel.

        Returns
        -------
        numpy.ndarray
            (highest number + 1,) int32; ``table[objects]`` is the slice with its numbers in the stack.
        """
        present = np.flatnonzero(np.bincount(objects.ravel()))
        table = np.zeros(int(objects.max(initial=0)) + 1, np.int32)
        if self.linked and self._before is not None:
            for before, now in partners(*self._before, objects, mask):
                table[now] = before
        for number in present[present > 0]:
            if not table[number]:
                self.last = next(n for n in range(self.last + 1, self.last + 4) if self._free(n))
                table[number] = self.last
        if self.linked:
            self._before = table[objects], mask
        return table

    def number(self, objects: Numbers, mask: NDArray[np.uint8]) -> NDArray[np.int32]:
        """(Y, X) int32: the next slice, with its numbers in the stack; see ``table``."""
        return self.table(objects, mask)[objects]


def partners(
    before: Numbers, mask_before: NDArray[np.uint8], now: Numbers, mask_now: NDArray[np.uint8]
) -> list[tuple[int, int]]:
    """Objects of two neighbouring slices that are one object.

    Parameters
    ----------
    before, now : numpy.ndarray
        (Y, X) of integers, 0 background, one number an object.
    mask_before, mask_now : numpy.ndarray
        (Y, X) uint8: the classes of their pixels.

    Returns
    -------
    list of tuple
        (number before, number now); no number comes twice on either side. Of two partners that overlap
        equally well the one with the lower number is taken.
    """
    both = (before > 0) & (now > 0) & (mask_before == mask_now)
    if not both.any():
        return []
    width = int(now.max()) + 1
    pairs, shared = np.unique(before[both].astype(np.int64) * width + now[both], return_counts=True)
    first, second = pairs // width, pairs % width
    area_before, area_now = np.bincount(before.ravel()), np.bincount(now.ravel())
    return matched(first, second, shared / (area_before[first] + area_now[second] - shared))


def matched(
    first: NDArray[np.int64], second: NDArray[np.int64], overlap: NDArray[np.floating]
) -> list[tuple[int, int]]:
    """Pairs of objects of two slices that are each other's best partners; see ``partners``.

    Parameters
    ----------
    first, second : numpy.ndarray
        (N,) numbers of the objects that overlap.
    overlap : numpy.ndarray
        (N,) in [0, 1], intersection over union.
    """
    found, taken_before, taken_now = [], set(), set()
    for place in np.lexsort((second, first, -overlap)):
        if overlap[place] < LEAST_OVERLAP:
            break
        a, b = int(first[place]), int(second[place])
        if a not in taken_before and b not in taken_now:
            found.append((a, b))
        taken_before.add(a)
        taken_now.add(b)
    return found
