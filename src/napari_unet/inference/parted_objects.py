"""Objects that are separated in an image that is never held whole: the same as in all of it at once.

Cores, and the watershed that grows them, are found part by part. Each part is seen with so much around it
that nothing beyond can decide anything in it. That is checked for each part (``certain``, ``UNKNOWN``);
where it fails, more around the part is read. So memory holds a part and tables of objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.agglomeration import NEAR, may_be_core, over_borders
from napari_unet.inference.joined import PartPieces, join, number_part, pieces_of_part
from napari_unet.inference.objects import (
    RISE_OF_DEPTH,
    RISE_OF_PROBABILITY,
    RISE_OF_SHAPE,
    UNKNOWN,
    border_cores,
    distance_within,
    filled_up,
    flood,
    lowered,
    smoothed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_unet.inference.joined import JoinedPieces, PieceNumber
    from napari_unet.settings import Separation

    # (rows, columns) -> (Y, X) uint8 mask, (Y, X, K) float32 probabilities, (Y, X) float32 separation.
    Read = Callable[
        [slice, slice], tuple[NDArray[np.uint8], NDArray[np.float32] | None, NDArray[np.float32] | None]
    ]
    # (rows, columns) -> (Y, X) uint8 mask, (Y, X) float32 height, (Y, X) int numbers of cores.
    ReadCores = Callable[[slice, slice], tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]]
    Sides = tuple[bool, bool, bool, bool]

EDGE = 12  # pixels from where an image is cut off in which cores between borders may be others: specks
SMOOTHED = 4  # pixels that smoothing mixes, either way
AROUND = 64  # pixels that are looked at around a part at first


@dataclass(frozen=True)
class Window:
    """A part of an image, and some of what is around it.

    Attributes
    ----------
    rows, columns : slice
        With what is around.
    inner : tuple of slice
        The part itself, within that.
    cut : tuple of bool
        Whether the image continues above, below, left and right.
    """

    rows: slice
    columns: slice
    inner: tuple[slice, slice]
    cut: Sides

    @classmethod
    def around(cls, rows: slice, columns: slice, margin: int, shape: tuple[int, int]) -> Window:
        """So many pixels around a part of an image (Y, X), as far as it has them."""
        wide = [
            slice(max(part.start - margin, 0), min(part.stop + margin, size))
            for part, size in zip((rows, columns), shape, strict=True)
        ]
        inner = [
            slice(part.start - all_of_it.start, part.stop - all_of_it.start)
            for part, all_of_it in zip((rows, columns), wide, strict=True)
        ]
        cut = (
            wide[0].start > 0,
            wide[0].stop < shape[0],
            wide[1].start > 0,
            wide[1].stop < shape[1],
        )
        return cls(wide[0], wide[1], (inner[0], inner[1]), cut)

    def near_cut(self, depth: int) -> NDArray[np.bool_]:
        """(Y, X) bool: so many pixels along the sides where the image continues."""
        height = self.rows.stop - self.rows.start
        near = np.zeros((height, self.columns.stop - self.columns.start), bool)
        sides = [near[:depth], near[max(height - depth, 0) :], near[:, :depth], near[:, -depth:]]
        for cut, side in zip(self.cut, sides, strict=True):
            side |= cut
        return near


@dataclass(frozen=True)
class ObjectWay:
    """How touching objects are separated.

    Attributes
    ----------
    how : str
        "connected", "learned", "probability", "shape" or "agglomerate", as ``objects.way_of`` gives it.
    kind : str
        What the separation was trained to be, "distance" or "border".
    core : float
        Of learned borders: depth from which a pixel is of a core.
    join : float
        Of "agglomerate": mean probability along a common border from which on two fragments are one.
    """

    how: str
    kind: Separation = "none"
    core: float = 0.5
    join: float = 0.6

    def grown_into(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels that cores grow into, of a mask (Y, X) uint8; one pixel along a cut side may lack."""
        return over_borders(mask) if self.how == "agglomerate" else mask

    def cores(
        self,
        inside: NDArray[np.bool_],
        probability: NDArray[np.float32] | None,
        separation: NDArray[np.float32] | None,
        window: Window,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        """Height and cores of one class, as ``find_objects`` finds them, and where both are certain."""
        if self.how == "connected":
            return np.zeros(inside.shape, np.float32), np.zeros_like(inside), np.ones_like(inside)
        if self.how == "learned":
            assert separation is not None
            if self.kind == "border":
                height, cores = border_cores(inside, probability, separation, self.core)
                return height, cores, ~window.near_cut(EDGE)
            height = smoothed(separation)
            return certain_maxima(inside, height, height, window.near_cut(SMOOTHED), 1.0, RISE_OF_DEPTH)
        if self.how == "probability":
            assert probability is not None
            height = smoothed(probability)
            return certain_maxima(inside, height, height, window.near_cut(SMOOTHED), 1.0, RISE_OF_PROBABILITY)
        least = most = inside
        if self.how == "agglomerate":
            assert probability is not None
            least, most = core_bounds(inside, probability, window.near_cut(NEAR))
        return _peaks_of_shape(least, most, window)


def core_bounds(
    inside: NDArray[np.bool_], probability: NDArray[np.float32], near_cut: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The least and the most that ``may_be_core`` finds in the whole, of a part that is cut off."""
    core = may_be_core(inside, probability)
    return core & ~near_cut, core | (inside & near_cut)


def _peaks_of_shape(
    least: NDArray[np.bool_], most: NDArray[np.bool_], window: Window
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """As ``objects.peaks``: once as if nothing were beyond, once as if all were there that could be."""
    low = smoothed(_distance(least, window.cut, closed=True))
    high = smoothed(_distance(most, window.cut, closed=False))
    highest = float(high.max(initial=0)) + 2 * SMOOTHED
    return certain_maxima(most, low, high, window.near_cut(SMOOTHED), highest, RISE_OF_SHAPE)


def certain_maxima(
    inside: NDArray[np.bool_],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    beyond: NDArray[np.bool_],
    highest: float,
    rise: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Maxima of a part, as ``objects.maxima`` finds them in the whole, and where they are certain.

    Parameters
    ----------
    inside : numpy.ndarray
        (Y, X) or (Z, Y, X) bool: the mask.
    low, high : numpy.ndarray
        Of that shape, float32: the least and the most that the height can be.
    beyond : numpy.ndarray
        Of that shape, bool: where the height is not known at all.
    highest : float
        More than the height can be there.
    rise : float
        Of maxima above the saddle to a higher one.

    Returns
    -------
    height, cores, certain : numpy.ndarray
        Of that shape.
    """
    low = np.where(inside & ~beyond, low, 0).astype(np.float32)
    high = np.where(inside, np.where(beyond, np.float32(highest), high), 0).astype(np.float32)
    filled = filled_up(low, lowered(inside, low, rise))
    least = (low - filled >= rise) & inside
    # What is filled already is filled under a higher height, too: little is left to spread.
    np.maximum(filled, np.where(beyond, high, lowered(inside, high, rise)), out=filled)
    cores = (high - filled_up(high, filled) >= rise) & inside
    return low, cores, (low == high) & (cores == least)


def _distance(inside: NDArray[np.bool_], cut: Sides, *, closed: bool) -> NDArray[np.float32]:
    """Distance to the mask's edge; where the image is cut off the mask ends there, or it never ends."""
    padded = np.pad(inside, 1, mode="edge")
    if closed:
        for one, side in zip(cut, (padded[:1], padded[-1:], padded[:, :1], padded[:, -1:]), strict=True):
            side &= not one
    return distance_within(padded)[1:-1, 1:-1]


@dataclass(frozen=True, eq=False)
class PartCores:
    """What of a part has to be known to join its objects with those of others.

    Attributes
    ----------
    pieces : PartPieces
        Of the mask.
    cores : PartPieces
        Of the cores, which do not connect over corners.
    within : numpy.ndarray
        (cores,) int64: the piece in which each core lies.
    first_of_pieces, first_of_cores : numpy.ndarray
        (pieces,) and (cores,) int64: place of the first pixel of each in the image, row by row.
    """

    pieces: PartPieces
    cores: PartPieces
    within: NDArray[np.int64]
    first_of_pieces: NDArray[np.int64]
    first_of_cores: NDArray[np.int64]


def look_for_cores(
    read: Read, rows: slice, columns: slice, shape: tuple[int, int], way: ObjectWay
) -> tuple[PartCores, NDArray[np.float32], NDArray[np.int32]]:
    """Find the cores of a part.

    Parameters
    ----------
    read : callable
        Reads a region of the image.
    rows, columns : slice
        The part.
    shape : (int, int)
        (Y, X) of the image.
    way : ObjectWay
        How objects are separated.

    Returns
    -------
    found : PartCores
        To be joined.
    height : numpy.ndarray
        (Y, X) float32 of the part, 0 outside the mask: cores grow downhill.
    numbers : numpy.ndarray
        (Y, X) int32 of the part: its cores, 0 none.
    """
    margin = 2 * EDGE if way.how == "learned" and way.kind == "border" else AROUND
    while True:
        window = Window.around(rows, columns, margin, shape)
        mask, probabilities, separation = read(window.rows, window.columns)
        part = way.grown_into(mask)[window.inner]
        height, cores, certain = _of_all_classes(mask, probabilities, separation, window, way)
        if certain[window.inner][part > 0].all():
            break
        margin *= 2
    kept = np.ascontiguousarray(height[window.inner])
    of_class = np.where(cores[window.inner], part, 0).astype(np.uint8)
    numbers, count = number_part(of_class, corners=False)
    pieces, found = number_part(part)
    within = np.zeros(count + 1, np.int64)
    within[numbers.ravel()] = pieces.ravel()
    looked = PartCores(
        pieces_of_part(part, pieces, found), pieces_of_part(of_class, numbers, count), within[1:],
        _first_pixels(pieces, found, rows, columns, shape),
        _first_pixels(numbers, count, rows, columns, shape),
    )  # fmt: skip
    return looked, kept, numbers


def _first_pixels(
    numbers: NDArray[np.int32], count: int, rows: slice, columns: slice, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """(count,) int64: place in an image (Y, X) of the first pixel of each number of a part, row by row."""
    there, at = np.unique(numbers, return_index=True)
    y, x = np.divmod(at[there > 0], numbers.shape[1])
    assert len(y) == count
    return np.asarray((y + rows.start) * shape[1] + x + columns.start, np.int64)


def _of_all_classes(
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.float32] | None,
    separation: NDArray[np.float32] | None,
    window: Window,
    way: ObjectWay,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    height, cores = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, bool)
    certain = np.ones(mask.shape, bool)
    for label in np.unique(mask[window.inner][mask[window.inner] > 0]):
        inside = mask == label
        probability = None
        if probabilities is not None:
            probability = probabilities[..., min(int(label), probabilities.shape[-1]) - 1]
        own, found, sure = way.cores(inside, probability, separation, window)
        height[inside], cores[inside], certain[inside] = own[inside], found[inside], sure[inside]
    return height, cores, certain


@dataclass(eq=False)
class PartedObjects:
    """Objects of a whole image, by the numbers that pieces and cores have in its parts.

    They are numbered as in an image in memory.

    Attributes
    ----------
    of_pieces : dict
        Place of a part to (N + 1,) int32: number of the object that each of its pieces is; 0 for background
        and for pieces that several objects share.
    of_cores : dict
        Place of a part to (M + 1,) int32: number of the object that each of its cores is of, of pieces that
        several objects share; 0 for others.
    count : int
        Of objects.
    classes : numpy.ndarray
        (count + 1,) uint8: class of each object; 0 for background.
    """

    of_pieces: dict[PieceNumber, NDArray[np.int32]] = field(default_factory=dict)
    of_cores: dict[PieceNumber, NDArray[np.int32]] = field(default_factory=dict)
    count: int = 0
    classes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1, np.uint8))


def join_objects(parts: Mapping[PieceNumber, PartCores]) -> PartedObjects:
    """Join pieces and cores over the borders of parts; parameters as ``joined.join``."""
    pieces = join({place: part.pieces for place, part in parts.items()})
    cores = join({place: part.cores for place, part in parts.items()}, corners=False)
    piece_of = np.zeros(cores.count + 1, np.int64)
    for place, part in parts.items():
        piece_of[cores.numbers[place][1:]] = pieces.numbers[place][part.within]
    cores_in = np.bincount(piece_of[1:], minlength=pieces.count + 1)
    without = cores_in == 0
    without[0] = False
    # Class by class: the cores first, then the pieces without one, as in an image in memory.
    bare = np.flatnonzero(without)
    of_class = np.concatenate([pieces.classes[piece_of[1:]], pieces.classes[bare]])
    firsts = (
        _firsts(cores, {place: part.first_of_cores for place, part in parts.items()})[1:],
        _firsts(pieces, {place: part.first_of_pieces for place, part in parts.items()})[bare],
    )
    kind = np.repeat([0, 1], [cores.count, len(bare)])
    order = np.lexsort((np.concatenate(firsts), kind, of_class))
    number = np.zeros(len(order), np.int32)
    number[order] = np.arange(1, len(order) + 1)
    of_core = np.concatenate([[0], number[: cores.count]]).astype(np.int32)
    of_piece = np.zeros(pieces.count + 1, np.int32)
    of_piece[bare] = number[cores.count :]
    alone = np.flatnonzero(cores_in[piece_of] == 1)
    of_piece[piece_of[alone]] = of_core[alone]
    of_core[alone] = 0
    return PartedObjects(
        {place: of_piece[own] for place, own in pieces.numbers.items()},
        {place: of_core[own] for place, own in cores.numbers.items()},
        len(order),
        np.concatenate([[0], of_class[order]]).astype(np.uint8),
    )


def _firsts(joined: JoinedPieces, firsts: Mapping[PieceNumber, NDArray[np.int64]]) -> NDArray[np.int64]:
    """(count + 1,) int64: place of the first pixel of each whole piece."""
    found = np.full(joined.count + 1, np.iinfo(np.int64).max)
    for place, first in firsts.items():
        np.minimum.at(found, joined.numbers[place][1:], first)
    return found


def number_parted(
    read: ReadCores,
    rows: slice,
    columns: slice,
    shape: tuple[int, int],
    of_pieces: NDArray[np.int32],
    around: int = AROUND,
) -> NDArray[np.int32]:
    """Number the objects of a part.

    Parameters
    ----------
    read : callable
        Reads a region of mask, height, and the objects whose cores are there: numbers of the whole image.
    rows, columns : slice
        The part.
    shape : (int, int)
        (Y, X) of the image.
    of_pieces : numpy.ndarray
        (N + 1,) int32 of ``PartedObjects``.
    around : int
        Pixels around the part that are looked at first.

    Returns
    -------
    numpy.ndarray
        (Y, X) int32 of the part, 0 background.
    """
    part, _, _ = read(rows, columns)
    pieces, _ = number_part(part)
    numbers = np.asarray(of_pieces[pieces], np.int32)
    contested = (part > 0) & (numbers == 0)
    while contested.any():
        box = _box_of(contested)
        place = (
            slice(rows.start + box[0].start, rows.start + box[0].stop),
            slice(columns.start + box[1].start, columns.start + box[1].stop),
        )
        window = Window.around(*place, around, shape)
        grown = _grown(read, window, contested[box])
        known = contested[box] & (grown != UNKNOWN)
        numbers[box][known] = grown[known]
        contested[box] &= ~known
        around *= 2
    return numbers


def _box_of(there: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _grown(read: ReadCores, window: Window, contested: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Objects of a part, (Y, X) int32, where it is contested; ``UNKNOWN`` where more has to be looked at."""
    mask, height, markers = read(window.rows, window.columns)
    grown = np.zeros(contested.shape, np.int32)
    edge = window.near_cut(1)
    part = mask[window.inner]
    for label in np.unique(part[contested]):
        pieces, count = number_part((mask == label).astype(np.uint8))
        ours = contested & (part == label)
        wanted = np.zeros(count + 1, bool)
        wanted[pieces[window.inner][ours]] = True
        found = flood(height, markers, wanted[pieces], edge)
        grown[ours] = found[window.inner][ours]
    return grown
