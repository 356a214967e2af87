"""Changing a binary picture without changing what hangs together: simple points, thinning, warping.

Membranes (0) hang together over edges and corners, interiors (1) over edges alone, so that a membrane
one pixel wide, even a diagonal one, separates. A pixel is simple if neither pieces nor holes come or go
when it changes sides (Kong, Rosenfeld 1989, doi:10.1016/0734-189X(89)90147-3), which its eight
neighbours decide.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The neighbours around a pixel, clockwise from the upper left; bit i of a code is neighbour i.
AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
EDGES = (1, 3, 5, 7)  # those that share an edge with it
MOST_ROUNDS = 10_000


EVERY = (slice(None), slice(None))


def membranes_around(membranes: NDArray[np.bool_], part: tuple[slice, slice] = EVERY) -> NDArray[np.uint8]:
    """Codes of which of a pixel's eight neighbours are membrane; all is, beyond the border.

    Parameters
    ----------
    membranes : numpy.ndarray
        (Y, X) bool.
    part : (slice, slice)
        Of which pixels.

    Returns
    -------
    numpy.ndarray
        uint8, as large as the part.
    """
    padded = np.pad(membranes, 1, constant_values=True).astype(np.uint8)
    height, width = membranes.shape
    codes = np.zeros(membranes[part].shape, np.uint8)
    for bit, (dy, dx) in enumerate(AROUND):
        codes |= padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width][part] << np.uint8(bit)
    return codes


def _pieces(members: set[int], *, corners: bool) -> list[set[int]]:
    """Neighbours in pieces; with corners, those that touch over one belong together, too."""
    left, pieces = set(members), []
    while left:
        piece, fresh = set[int](), {left.pop()}
        while fresh:
            piece |= fresh
            near = {
                other
                for one in fresh
                for other in left
                if _touch(AROUND[one], AROUND[other], corners=corners)
            }
            left -= near
            fresh = near
        pieces.append(piece)
    return pieces


def _touch(one: tuple[int, int], other: tuple[int, int], *, corners: bool) -> bool:
    dy, dx = abs(one[0] - other[0]), abs(one[1] - other[1])
    return max(dy, dx) == 1 if corners else dy + dx == 1


@cache
def simple_codes() -> NDArray[np.bool_]:
    """(256,) whether a pixel with these membranes around it is simple."""
    simple = np.zeros(256, np.bool_)
    for code in range(256):
        membranes = {bit for bit in range(8) if code >> bit & 1}
        interior = set(range(8)) - membranes
        reached = [p for p in _pieces(interior, corners=False) if p & set(EDGES)]
        simple[code] = len(_pieces(membranes, corners=True)) == 1 and len(reached) == 1
    return simple


def thin(membranes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Membranes thinned to lines of one pixel; what they part stays parted, what ends stays an end.

    Parameters
    ----------
    membranes : numpy.ndarray
        (Y, X) bool.

    Returns
    -------
    numpy.ndarray
        (Y, X) bool.

    Notes
    -----
    Layer by layer, from the four sides in turn; simple points of one side that are no ends may go at
    once (Rosenfeld 1975, doi:10.1016/S0019-9958(75)90150-7). What lies beyond the border counts as
    membrane, so that lines reach the border rather than recede from it.
    """
    line = membranes.copy()
    removable = simple_codes() & (np.array([code.bit_count() for code in range(256)]) > 1)
    changed = True
    while changed:
        changed = False
        for bit in EDGES:
            codes = membranes_around(line)
            gone = line & (codes >> np.uint8(bit) & 1 == 0) & removable[codes]
            if gone.any():
                line &= ~gone
                changed = True
    return line


def warp(
    interior: NDArray[np.bool_], target: NDArray[np.bool_], fixed: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Change a picture towards another, pixel by pixel, as far as nothing merges, parts, comes or goes.

    Parameters
    ----------
    interior, target : numpy.ndarray
        (Y, X) bool, True inside cells.
    fixed : numpy.ndarray, optional
        (Y, X) bool, pixels that stay as they are.

    Returns
    -------
    numpy.ndarray
        (Y, X) bool; pixels that differ from the target still could not change without changing the
        topology.

    Notes
    -----
    Every second pixel of every second row at a time: no two of them are neighbours, so that each
    stays simple when the others change. Only pixels that differ change, so that it ends in a local
    optimum, as the challenge's own program does: a line cannot cross pixels on which both agree.
    """
    warped = interior.copy()
    simple = simple_codes()
    wrong = warped != target
    if fixed is not None:
        wrong &= ~fixed
    parts = [(slice(y, None, 2), slice(x, None, 2)) for y in (0, 1) for x in (0, 1)]
    for _ in range(MOST_ROUNDS):
        before = np.count_nonzero(wrong)
        for part in parts:
            if wrong[part].any():
                flips = wrong[part] & simple[membranes_around(~warped, part)]
                warped[part] ^= flips
                wrong[part] &= ~flips
        if np.count_nonzero(wrong) == before:
            break
    return warped
