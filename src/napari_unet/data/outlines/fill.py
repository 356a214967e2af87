"""Pixels of outlines: a pixel belongs to an outline if its centre lies within.

Neighbours that share an edge share no pixel and leave none out. A centre that lies on an edge belongs to
the outline to its right or, on a level edge, below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.data.outlines.outline import BoxRuns, Picture, Polygon, Runs, malformed
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.outlines.outline import DrawnOutline, Piece

OUTSIDE = 1.0  # pixels that an outline may overhang the image: what rounding and a hand's width make
UNCLEAR = 0.05  # share of an outline's pixels that its own loops may enclose twice
MOST_STEPS = 2**28  # rows that the edges of one ring pass: seconds of work
STEPS_AT_ONCE = 2**22

Filled = tuple[int, int, "NDArray[np.bool_]"]  # top, left, (Y, X) pixels


def fill(outline: DrawnOutline, shape: tuple[int, int], what: str) -> Filled:
    """The pixels of an outline.

    Parameters
    ----------
    outline : DrawnOutline
        What to fill.
    shape : (int, int)
        (Y, X) of the image.
    what : str
        For errors: "outline 3 of a.json".

    Returns
    -------
    top, left : int
        Of the box, inside the image.
    pixels : numpy.ndarray
        (Y, X) bool, within the box; the box may be empty.

    Raises
    ------
    DataError
        If it lies outside the image, crosses itself, or was made for an image of another size.
    """
    found = [_fill_piece(piece, shape, what) for piece in outline.pieces]
    if len(found) == 1:
        return found[0]
    found = [one for one in found if one[2].size]
    if not found:
        return 0, 0, np.zeros((0, 0), bool)
    top, left = min(one[0] for one in found), min(one[1] for one in found)
    bottom = max(one[0] + one[2].shape[0] for one in found)
    right = max(one[1] + one[2].shape[1] for one in found)
    whole = np.zeros((bottom - top, right - left), bool)
    for y, x, pixels in found:
        whole[y - top : y - top + pixels.shape[0], x - left : x - left + pixels.shape[1]] |= pixels
    return top, left, whole


def _fill_piece(piece: Piece, shape: tuple[int, int], what: str) -> Filled:
    if isinstance(piece, Polygon):
        return _fill_polygon(piece, shape, what)
    if isinstance(piece, Runs):
        return _fill_runs(piece, shape, what)
    return _cut(piece, shape, what)


def _cut(piece: BoxRuns | Picture, shape: tuple[int, int], what: str) -> Filled:
    """Pixels of a box, which are made only once it is known to lie in the image."""
    box = piece.box
    inside = box.top >= -OUTSIDE and box.left >= -OUTSIDE
    if not inside or box.top + box.height > shape[0] + OUTSIDE or box.left + box.width > shape[1] + OUTSIDE:
        far = (box.left, box.top) if not inside else (box.left + box.width, box.top + box.height)
        raise _outside(what, far, shape)
    pixels = _of_runs(piece, what) if isinstance(piece, BoxRuns) else _of_picture(piece, what)
    top, left = max(box.top, 0), max(box.left, 0)
    rows = slice(top - box.top, min(box.height, shape[0] - box.top))
    return top, left, pixels[rows, left - box.left : min(box.width, shape[1] - box.left)]


def _of_runs(piece: BoxRuns, what: str) -> NDArray[np.bool_]:
    count = piece.box.height * piece.box.width
    if not _sound(piece.counts, count) or piece.counts.sum() > count:
        raise malformed(what, f"run lengths of {count} pixels", "others")
    values = np.repeat(np.arange(len(piece.counts)) % 2 == 1, piece.counts)
    pixels = np.zeros(count, bool)
    pixels[: len(values)] = values
    return pixels.reshape(piece.box.height, piece.box.width)


def _of_picture(piece: Picture, what: str) -> NDArray[np.bool_]:
    pixels = decode_labels(piece.data, what)
    grey: NDArray[Any] = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    if grey.shape != (piece.box.height, piece.box.width):
        raise malformed(what, f"a mask of {piece.box.width} x {piece.box.height} pixels", "another size")
    found: NDArray[np.bool_] = grey > 0
    return found


def _sound(counts: NDArray[np.int64], most: int) -> bool:
    """Whether run lengths are numbers of which none is below 0 or more than there are pixels."""
    return bool(((counts >= 0) & (counts <= most)).all())


def _fill_polygon(piece: Polygon, shape: tuple[int, int], what: str) -> Filled:
    for corners in piece.rings:
        _check_inside(corners, shape, what)
    around = piece.rings if piece.parity else piece.rings[:1]
    low = np.min([corners.min(axis=0) for corners in around], axis=0)
    high = np.max([corners.max(axis=0) for corners in around], axis=0)
    left, top = (max(0, int(np.floor(value))) for value in low)
    right = min(shape[1], int(np.ceil(high[0])))
    bottom = min(shape[0], int(np.ceil(high[1])))
    if right <= left or bottom <= top:
        return 0, 0, np.zeros((0, 0), bool)
    box = (top, left, bottom, right)
    pixels = _fill_ring(piece.rings[0], box, what)
    for other in piece.rings[1:]:
        if piece.parity:
            pixels ^= _fill_ring(other, box, what)
        else:
            pixels &= ~_fill_ring(other, box, what)
    return top, left, pixels


def _check_inside(corners: NDArray[np.float64], shape: tuple[int, int], what: str) -> None:
    off = (corners < -OUTSIDE) | (corners > np.array(shape[::-1]) + OUTSIDE)
    if off.any():
        x, y = corners[off.any(axis=1)][0]
        raise _outside(what, (float(x), float(y)), shape)


def _outside(what: str, place: tuple[float, float], shape: tuple[int, int]) -> DataError:
    return DataError(
        f"{what} lies outside its image",
        code="data.outlines.outside",
        expected=f"x from 0 to {shape[1]} and y from 0 to {shape[0]}",
        got=f"a corner at x {place[0]:g}, y {place[1]:g}",
        remedy="check that it was drawn on this image, in pixels, and not on a larger or smaller copy",
    )


def _fill_ring(corners: NDArray[np.float64], box: tuple[int, int, int, int], what: str) -> NDArray[np.bool_]:
    """Pixels within a ring, in a box (top, left, bottom, right).

    A ring that runs around some pixels twice, or one way around some and the other way around others,
    crosses itself. Little loops of a hand are filled.
    """
    turns = _turns(corners, box, what)
    pixels: NDArray[np.bool_] = turns != 0
    forward, backward = int((turns > 0).sum()), int((turns < 0).sum())
    twice = int((np.abs(turns) > 1).sum())
    if max(min(forward, backward), twice) > UNCLEAR * (forward + backward):
        raise DataError(
            f"{what} crosses itself",
            code="data.outlines.crossing",
            expected="an outline that runs around its object once",
            got=f"{max(min(forward, backward), twice)} of {forward + backward} pixels enclosed in two ways",
            remedy="draw it again, or cut it in two",
        )
    return pixels


def _turns(corners: NDArray[np.float64], box: tuple[int, int, int, int], what: str) -> NDArray[np.int32]:
    """How often a ring runs around the centre of each pixel of a box; (Y, X) int32, one way above 0."""
    top, left, bottom, right = box
    start, end = corners, np.roll(corners, -1, axis=0)
    sign = np.sign(end[:, 1] - start[:, 1]).astype(np.int32)
    # From the upper end to the lower, so that an edge that two outlines share gives both the same places.
    upper = np.where((sign > 0)[:, None], start, end)
    lower = np.where((sign > 0)[:, None], end, start)
    first = np.clip(np.ceil(upper[:, 1] - 0.5), top, bottom).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 1] - 0.5), top, bottom).astype(np.int64)
    counts = last - first
    if (steps := int(counts.sum())) > MOST_STEPS:
        raise DataError(
            f"{what} has too many corners",
            code="data.outlines.large",
            expected=f"edges that pass at most {MOST_STEPS:,} rows of pixels",
            got=f"{steps:,}",
            remedy="simplify it in the program that it was drawn in",
        )
    slope = np.divide(
        lower[:, 0] - upper[:, 0],
        lower[:, 1] - upper[:, 1],
        out=np.zeros(len(corners)),
        where=counts > 0,
    )
    grid = np.zeros((bottom - top, right - left + 1), np.int32)
    sums = np.cumsum(counts)
    begin = 0
    while begin < len(corners):
        done = int(sums[begin - 1]) if begin else 0
        stop = max(begin + 1, int(np.searchsorted(sums, done + STEPS_AT_ONCE, side="right")))
        part = slice(begin, stop)
        edge = np.repeat(np.arange(begin, min(stop, len(corners))), counts[part])
        row = np.arange(len(edge)) - np.repeat(sums[part] - counts[part] - done, counts[part]) + first[edge]
        x = upper[edge, 0] + (row + 0.5 - upper[edge, 1]) * slope[edge]
        column = np.clip(np.ceil(x - 0.5), left, right).astype(np.int64)
        np.add.at(grid, (row - top, column - left), sign[edge])
        begin = stop
    return np.cumsum(grid[:, :-1], axis=1, dtype=np.int32)


def _fill_runs(piece: Runs, shape: tuple[int, int], what: str) -> Filled:
    if piece.size != shape:
        raise DataError(
            f"{what} was made for an image of another size",
            code="data.outlines.size",
            expected=f"{shape[1]} x {shape[0]} pixels",
            got=f"{piece.size[1]} x {piece.size[0]}",
            remedy="check that it belongs to this image, and not to a larger or smaller copy",
        )
    pixels = shape[0] * shape[1]
    sound = _sound(piece.counts, pixels)
    if not sound or piece.counts.sum() != pixels:
        got = f"{piece.counts.sum()} pixels" if sound else f"a run of {piece.counts.max()} pixels, or below 0"
        raise malformed(what, f"run lengths of {pixels} pixels", got)
    ends = np.cumsum(piece.counts)
    begins, ends = ends[:-1:2], ends[1::2]
    begins, ends = begins[ends > begins], ends[ends > begins]
    if not len(begins):
        return 0, 0, np.zeros((0, 0), bool)
    height = shape[0]
    left, right = int(begins[0]) // height, int(ends[-1] - 1) // height + 1
    # Whole columns: their pixels follow one another.
    steps = np.zeros((right - left) * height + 1, np.int8)
    steps[begins - left * height] += 1
    steps[ends - left * height] -= 1
    columns = np.cumsum(steps[:-1], dtype=np.int8).astype(bool).reshape(right - left, height)
    rows = np.flatnonzero(columns.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    return top, left, columns[:, top:bottom].T
