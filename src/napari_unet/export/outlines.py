"""Outlines along the edges of pixels, so that what lies within is the very object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vertex = tuple[int, int]


@dataclass(frozen=True)
class Outline:
    """The outline of one piece of an object whose pixels hang together over edges.

    Attributes
    ----------
    exterior : tuple of (int, int)
        Corners (x, y), the first not repeated. A pixel in row r and column c is the square from (c, r)
        to (c + 1, r + 1). No corner is visited twice.
    holes : tuple of tuple
        Likewise, the other way round; they may touch each other and the exterior in corners.
    """

    exterior: tuple[Vertex, ...]
    holes: tuple[tuple[Vertex, ...], ...] = ()


def trace(region: NDArray[np.bool_], top: int = 0, left: int = 0) -> tuple[Outline, ...]:
    """Outline an object.

    Parameters
    ----------
    region : numpy.ndarray
        (Y, X) bool.
    top, left : int
        Where its first row and column lie in the image, in pixels.

    Returns
    -------
    tuple of Outline
        One for each piece connected over edges, from top to bottom. Pieces that touch over a corner
        only are outlines of their own. So polygons and multipolygons made of them are valid by
        the rules of OGC simple features. None where the region is empty.

    Notes
    -----
    Edges between pixel and background are joined to loops that keep the pixel to their right and turn
    right where two pixels touch over a corner. What a loop encloses after coming back to a corner is a
    loop of its own. Then one loop of a piece runs clockwise (as seen on the screen), the others around
    holes.
    """
    from scipy import ndimage

    pieces, count = ndimage.label(region)
    out = []
    for number, box in enumerate(ndimage.find_objects(pieces, count), start=1):
        loops = _loops(pieces[box] == number, top + box[0].start, left + box[1].start)
        # Only one runs clockwise as seen on the screen, so that the area within counts above 0.
        (exterior,) = (loop for loop in loops if _doubled_area(loop) > 0)
        out.append(Outline(exterior, tuple(loop for loop in loops if loop is not exterior)))
    return tuple(out)


def _doubled_area(loop: tuple[Vertex, ...]) -> int:
    """Twice the area within, in pixels; below 0 for a hole."""
    return sum(
        x * below - right * y for (x, y), (right, below) in zip(loop, loop[1:] + loop[:1], strict=True)
    )


def _loops(piece: NDArray[np.bool_], top: int, left: int) -> list[tuple[Vertex, ...]]:
    """All loops around a piece, without a corner that is visited twice."""
    edges = _edges(piece)
    starts: dict[Vertex, list[Vertex]] = {}
    for start, end in edges:
        starts.setdefault(start, []).append(end)
    loops = []
    for first in list(starts):
        while first in starts:
            loops += _simple(_walk(first, starts))
    return [tuple((x + left, y + top) for x, y in loop) for loop in loops]


def _walk(first: Vertex, starts: dict[Vertex, list[Vertex]]) -> list[Vertex]:
    """The corners of one loop; its edges are taken out of `starts`."""
    path, at, came = [first], first, (0, 0)
    while True:
        ends = starts[at]
        # Where two edges begin both are across the way come: one turns right, the other left.
        end = ends[0] if len(ends) == 1 else _right_turn(came, at, ends)
        ends.remove(end)
        if not ends:
            del starts[at]
        came, at = (end[0] - at[0], end[1] - at[1]), end
        if at == first and (at not in starts or _closed(came, at, path, starts)):
            return path
        path.append(at)


def _closed(came: Vertex, at: Vertex, path: list[Vertex], starts: dict[Vertex, list[Vertex]]) -> bool:
    """Whether a loop that is back at its first corner, from which another edge leads, ends here."""
    (other,) = starts[at]
    return _right_turn(came, at, [path[1], other]) == path[1]


def _right_turn(came: Vertex, at: Vertex, ends: list[Vertex]) -> Vertex:
    """The end that lies to the right; y runs downwards, so right of (x, y) is (-y, x)."""
    right = -came[1], came[0]
    return max(ends, key=lambda end: (end[0] - at[0]) * right[0] + (end[1] - at[1]) * right[1])


def _simple(path: list[Vertex]) -> list[tuple[Vertex, ...]]:
    """Cut a loop wherever it comes back to a corner."""
    loops: list[tuple[Vertex, ...]] = []
    stack: list[Vertex] = []
    place: dict[Vertex, int] = {}
    for vertex in path:
        if vertex in place:
            back = place[vertex]
            loops.append(tuple(stack[back:]))
            for dropped in stack[back + 1 :]:
                del place[dropped]
            del stack[back + 1 :]
        else:
            place[vertex] = len(stack)
            stack.append(vertex)
    loops.append(tuple(stack))
    return loops


def _edges(piece: NDArray[np.bool_]) -> list[tuple[Vertex, Vertex]]:
    """Straight edges (start, end) as long as they can be, with the pixels to their right."""
    padded = np.pad(piece, 1).astype(np.int8)
    out: list[tuple[Vertex, Vertex]] = []
    for steps, swap in ((np.diff(padded, axis=0)[:, 1:-1], False), (np.diff(padded, axis=1)[1:-1].T, True)):
        # 1 where a pixel begins below (or to the right), -1 where one ended: runs of equal steps.
        fenced = np.pad(steps, ((0, 0), (1, 1)))
        changes = np.diff(fenced, axis=1) != 0
        lines, places = np.nonzero(changes)
        values = fenced[lines, places + 1]
        begins = np.flatnonzero(values)
        for index in begins:
            line, first, last = int(lines[index]), int(places[index]), int(places[index + 1])
            forward = (values[index] > 0) != swap
            ends = (first, last) if forward else (last, first)
            points = [(line, at) if swap else (at, line) for at in ends]
            out.append((points[0], points[1]))
    return out
