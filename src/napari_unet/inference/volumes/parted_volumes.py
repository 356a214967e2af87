"""Objects of volumes that are never held whole: the same as in all of the volume at once.

Pieces and cores are numbered part by part, and joined where parts touch. A piece with several cores is shared
out by the watershed, part by part. So much around a part is read that nothing beyond can decide anything in
it. ``flood`` checks that; where it fails, more is read. Maxima of shape or probability are found likewise.
So memory holds a part, and tables of pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.agglomeration import NEAR, Contacts, inside_of, over_borders
from napari_unet.inference.objects import (
    RISE_OF_PROBABILITY,
    RISE_OF_SHAPE,
    UNKNOWN,
    distance_within,
    flood,
)
from napari_unet.inference.parted_objects import certain_maxima, core_bounds
from napari_unet.inference.volumes.volume_objects import SMALLEST_CORE, smoothed_volume, smoothing_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Box = tuple[slice, slice, slice]  # along Z, Y and X
    ReadBox = Callable[[Box], NDArray[Any]]

AROUND = 24  # voxels that are looked at around a part at first
SIDE = 96  # voxels of the parts that are looked at, or shared out, at once
PEAKS = {"shape", "probability", "agglomerate"}  # ways in which cores are maxima, not what a network learned


@dataclass(frozen=True, eq=False)
class VolumePieces:
    """Connected pieces of a volume, by the numbers that they have in its parts.

    Attributes
    ----------
    whole : numpy.ndarray
        (parts of pieces + 1,) int64: the whole piece, 1..M, of each number that is stored; 0 for background.
    sizes : numpy.ndarray
        (M + 1,) int64, voxels.
    classes : numpy.ndarray
        (M + 1,) uint8.
    first : numpy.ndarray
        (M + 1,) int64: place of the first voxel of each, slice by slice and row by row.
    """

    whole: NDArray[np.int64]
    sizes: NDArray[np.int64]
    classes: NDArray[np.uint8]
    first: NDArray[np.int64]

    def in_order(self, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Numbers of the wanted whole pieces, (M + 1,) bool: class by class, then by their first voxel."""
        found = np.flatnonzero(wanted)
        return found[np.lexsort((self.first[found], self.classes[found]))]


def number_pieces(
    read: ReadBox,
    boxes: Sequence[Box],
    numbers: Any,
    *,
    corners: bool,
    on_part: Callable[[Box, NDArray[np.int64], NDArray[np.intp]], None] | None = None,
) -> VolumePieces:
    """Number the connected pieces of each class, part by part, and join them.

    Parameters
    ----------
    read : callable
        (box) -> (Z, Y, X) uint8, 0 background, 1..K.
    boxes : sequence of tuple of slice
        Parts of the volume on a grid, slice by slice and row by row.
    numbers : array
        (Z, Y, X) of integers, in memory or on disk: gets the numbers of the parts of pieces.
    corners : bool
        Whether pieces connect over edges and corners, not over faces alone.
    on_part : callable, optional
        Takes a box, the numbers of its pieces, and the place of the first voxel of each in it.
    """
    from scipy import ndimage, sparse
    from scipy.sparse.csgraph import connected_components

    around = np.ones((3, 3, 3), bool) if corners else None
    count, shape = 0, tuple(numbers.shape[-3:])
    classes: list[NDArray[np.uint8]] = [np.zeros(1, np.uint8)]
    sizes: list[NDArray[np.int64]] = []
    first: list[NDArray[np.int64]] = []
    pairs: list[NDArray[np.int64]] = []
    for box in boxes:
        labels = read(box)
        own: NDArray[np.int64] = np.zeros(labels.shape, np.int64)
        for label in np.unique(labels[labels > 0]):
            found, more = ndimage.label(labels == label, structure=around)
            own += np.where(found > 0, found + count, 0)
            count += more
            classes.append(np.full(more, label, np.uint8))
        numbers[box] = own.astype(np.uint32)
        there, at, size = np.unique(own, return_index=True, return_counts=True)
        there, at, size = (values[there > 0] for values in (there, at, size))
        place = np.stack(np.unravel_index(at, labels.shape)) + [[part.start] for part in box]
        sizes.append(size)
        first.append(np.ravel_multi_index(tuple(place), shape))
        if on_part is not None:
            on_part(box, there, at)
        pairs += list(_touching(own, numbers, box, corners))
    of_part = np.concatenate(classes)
    touching = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    touching = touching[:, of_part[touching[0]] == of_part[touching[1]]]
    graph = sparse.coo_array((np.ones(touching.shape[1], bool), touching), shape=(count + 1, count + 1))
    _, whole = connected_components(graph, directed=False)
    whole = np.unique(whole, return_inverse=True)[1].astype(np.int64)
    whole = _zero_first(whole)
    total = int(whole.max())
    all_sizes = np.zeros(total + 1, np.int64)
    all_first = np.full(total + 1, np.iinfo(np.int64).max)
    all_classes = np.zeros(total + 1, np.uint8)
    if count:
        np.add.at(all_sizes, whole[1:], np.concatenate(sizes))
        np.minimum.at(all_first, whole[1:], np.concatenate(first))
        all_classes[whole[1:]] = of_part[1:]
    return VolumePieces(whole, all_sizes, all_classes, all_first)


def _zero_first(whole: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same groups, that of the background with the number 0."""
    background = whole[0]
    return np.where(whole == background, 0, np.where(whole < background, whole + 1, whole))


def _touching(own: NDArray[np.int64], numbers: Any, box: Box, corners: bool) -> Iterator[NDArray[np.int64]]:
    """Pairs of pieces of a part and of parts before it."""
    for axis in range(3):
        if not box[axis].start:
            continue
        sides = [a for a in range(3) if a != axis]
        place: list[slice] = list(box)
        place[axis] = slice(box[axis].start - 1, box[axis].start)
        lead = []
        for side in sides:
            # Along the axes before this one nothing beyond the part is numbered yet that is not looked at.
            beyond = side > axis
            start = max(box[side].start - 1, 0) if beyond else box[side].start
            stop = min(box[side].stop + 1, numbers.shape[side - 3]) if beyond else box[side].stop
            place[side] = slice(start, stop)
            lead.append((box[side].start - start, stop - box[side].stop))
        before = np.asarray(numbers[tuple(place)]).astype(np.int64).squeeze(axis)
        before = np.pad(before, [(1 - low, 1 - high) for low, high in lead])
        ours: NDArray[np.int64] = np.asarray(own.take(0, axis=axis))
        shifts = product((0, 1, 2), repeat=2) if corners else [(1, 1)]
        for down, right in shifts:
            theirs = before[down : down + ours.shape[0], right : right + ours.shape[1]]
            both = (ours > 0) & (theirs > 0)
            if both.any():
                yield np.unique(np.stack([ours[both], theirs[both]]), axis=1)


@dataclass(frozen=True, eq=False)
class VolumeObjects:
    """What is known of the objects of a volume.

    Attributes
    ----------
    count : int
        Of objects.
    classes : numpy.ndarray
        (count + 1,) uint8; 0 for background.
    """

    count: int
    classes: NDArray[np.uint8]


@dataclass(eq=False)
class PartedVolume:
    """A volume in parts, and where its objects go. Arrays are (Z, Y, X), in memory or on disk.

    Attributes
    ----------
    mask : array
        uint8, 0 background, 1..K.
    height : array or None
        float: how deep in objects voxels lie, by the network; of other ways with cores gets that by the mask
        or the probabilities.
    pieces, cores : array
        Of integers, for numbers in between.
    objects : array
        Of integers: gets 0 for background, 1..N.
    boxes : sequence of tuple of slice
        Parts, on a grid, slice by slice and row by row; whole files of what is on disk.
    how : str
        "connected", "learned", "shape", "probability" or "agglomerate", as ``objects.way_of`` gives it.
    bricks : sequence of tuple of slice
        Parts in which maxima are looked for, as thick as wide if that can be; whole files, too.
    probabilities : array or None
        (Z, Y, X, K) float32, of ways that need them.
    join : float
        Of "agglomerate": mean probability along a common border from which on two fragments are one.
    core : float
        Height from which on a voxel is of a core.
    smooth : bool
        Whether the height is smoothed.
    anisotropy : float
        How many times as thick a slice is as a pixel is wide.
    on_part : callable
        Called with what is done, once for each part.
    """

    mask: Any
    height: Any
    pieces: Any
    cores: Any
    objects: Any
    boxes: Sequence[Box]
    how: str = "learned"
    bricks: Sequence[Box] = ()
    probabilities: Any = None
    join: float = 0.6
    core: float = 0.5
    smooth: bool = True
    anisotropy: float = 1.0
    on_part: Callable[[str], None] = lambda words: None

    def number(self) -> VolumeObjects:
        """Find the objects, and give each voxel the number of its own; as ``find_volume_objects``."""
        if self.how in PEAKS:
            self._find_peaks()
        found = self._grow_cores()
        return self._joined(found) if self.how == "agglomerate" else found

    def _grow_cores(self) -> VolumeObjects:
        pieces = number_pieces(self._read_mask, self.boxes, self.pieces, corners=True)
        if self.how == "connected":
            return self._write_pieces(pieces)
        of_core: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]

        def within(box: Box, numbers: NDArray[np.int64], at: NDArray[np.intp]) -> None:
            del numbers
            of_core.append(np.asarray(self.pieces[box]).ravel()[at].astype(np.int64))

        cores = number_pieces(self._read_cores, self.boxes, self.cores, corners=False, on_part=within)
        kept = cores.sizes >= (1 if self.how in PEAKS else SMALLEST_CORE)
        kept[0] = False
        piece_of = np.zeros(len(cores.sizes), np.int64)
        piece_of[cores.whole] = pieces.whole[np.concatenate(of_core)]
        cores_in = np.bincount(piece_of[kept], minlength=len(pieces.sizes))
        without = cores_in == 0
        without[0] = False
        # Class by class: the cores first, then the pieces without one, as in a volume in memory.
        order = [(int(cores.classes[n]), 0, int(cores.first[n]), int(n)) for n in np.flatnonzero(kept)]
        order += [(int(pieces.classes[n]), 1, int(pieces.first[n]), int(n)) for n in np.flatnonzero(without)]
        order.sort()
        of_whole_core = np.zeros(len(cores.sizes), np.int64)
        of_whole_piece = np.zeros(len(pieces.sizes), np.int64)
        for number, (_, kind, _, n) in enumerate(order, start=1):
            (of_whole_piece if kind else of_whole_core)[n] = number
        alone = kept & (cores_in[piece_of] == 1)
        of_whole_piece[piece_of[alone]] = of_whole_core[alone]
        contested = cores_in > 1
        tables = _Tables(of_whole_piece[pieces.whole], contested[pieces.whole], of_whole_core[cores.whole])
        self._share_out(tables)
        classes = np.array([0, *(label for label, *_ in order)], np.uint8)
        return VolumeObjects(len(order), classes)

    def _read_mask(self, box: Box) -> NDArray[np.uint8]:
        self.on_part("Joining pieces")
        return self._grown_into(box)

    def _grown_into(self, box: Box) -> NDArray[np.uint8]:
        """(Z, Y, X) uint8: what cores grow into in a part."""
        if self.how != "agglomerate":
            return np.asarray(self.mask[box])
        wide, inner = self._with_around(box, (1, 1, 1))
        return over_borders(np.asarray(self.mask[wide]))[inner]

    def _with_around(self, box: Box, reach: Sequence[int]) -> tuple[Box, Box]:
        """So many voxels around a part, and where the part is in that."""
        wide: Box = tuple(  # type: ignore[assignment]
            slice(max(part.start - by, 0), min(part.stop + by, size))
            for part, by, size in zip(box, reach, self.mask.shape[-3:], strict=True)
        )
        inner: Box = tuple(  # type: ignore[assignment]
            slice(part.start - all_of_it.start, part.stop - all_of_it.start)
            for part, all_of_it in zip(box, wide, strict=True)
        )
        return wide, inner

    def _margins(self, margin: int) -> tuple[int, int, int]:
        """A margin along each axis: as many slices as make the same way."""
        return max(2, round(margin / max(self.anisotropy, 1.0))), margin, margin

    def _read_cores(self, box: Box) -> NDArray[np.uint8]:
        self.on_part("Joining cores")
        deep = np.asarray(self.cores[box]) > 0 if self.how in PEAKS else self._heights(box) > self.core
        return np.where(deep, np.asarray(self.mask[box]), 0).astype(np.uint8)

    def _find_peaks(self) -> None:
        """Store how high voxels lie, and where there are maxima."""
        for box in self.bricks or self.boxes:
            self.on_part("Finding cores")
            shape = tuple(part.stop - part.start for part in box)
            height, cores = np.zeros(shape, np.float32), np.zeros(shape, np.uint32)
            for inner in _cut(shape):
                z, y, x = (
                    slice(of_box.start + part.start, of_box.start + part.stop)
                    for of_box, part in zip(box, inner, strict=True)
                )
                height[inner], cores[inner] = self._peaks((z, y, x))
            self.height[box] = height
            self.cores[box] = cores

    def _peaks(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Height and maxima of a part, as the whole has them: as much is read as makes them certain."""
        part, margin = np.asarray(self.mask[box]), AROUND
        height, cores = np.zeros(part.shape, np.float32), np.zeros(part.shape, bool)
        for label in np.unique(part[part > 0]):
            ours = part == label
            while True:
                wide, inner = self._with_around(box, self._margins(margin))
                inside = np.asarray(self.mask[wide]) == label
                found, peaks, certain = self._certain_peaks(wide, inside, int(label))
                if certain[inner][ours].all():
                    break
                margin *= 2
            height[ours], cores[ours] = found[inner][ours], peaks[inner][ours]
        return height, cores

    def _certain_peaks(
        self, wide: Box, inside: NDArray[np.bool_], label: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        """As ``volume_objects`` finds the maxima of a class: height, cores, and where both are certain."""
        shape, reach = self.mask.shape[-3:], smoothing_reach(self.anisotropy)
        beyond = _near_cut(wide, shape, reach)
        if self.how == "probability":
            height = smoothed_volume(self._probability(wide, label), self.anisotropy)
            return certain_maxima(inside, height, height, beyond, 1.0, RISE_OF_PROBABILITY)
        least = most = inside
        if self.how == "agglomerate":
            near_cut = _near_cut(wide, shape, (NEAR, NEAR, NEAR))
            least, most = core_bounds(inside, self._probability(wide, label), near_cut)
        # Once as if the mask ended where it is cut off, once as if it never ended there.
        low = smoothed_volume(self._distance(least, wide, closed=True), self.anisotropy)
        high = smoothed_volume(self._distance(most, wide, closed=False), self.anisotropy)
        sides = (self.anisotropy, 1.0, 1.0)
        highest = float(high.max(initial=0)) + 2 * sum(a * b for a, b in zip(reach, sides, strict=True))
        return certain_maxima(most, low, high, beyond, highest, RISE_OF_SHAPE)

    def _probability(self, box: Box, label: int) -> NDArray[np.float32]:
        """(Z, Y, X) float32 of a class in a part."""
        of_class = np.asarray(self.probabilities[box])
        return np.asarray(of_class[..., min(label, of_class.shape[-1]) - 1], np.float32)

    def _distance(self, inside: NDArray[np.bool_], wide: Box, *, closed: bool) -> NDArray[np.float32]:
        padded = np.pad(inside, 1, mode="edge")
        if closed:
            for axis, (part, size) in enumerate(zip(wide, self.mask.shape[-3:], strict=True)):
                line = np.moveaxis(padded, axis, 0)
                line[0] &= part.start == 0
                line[-1] &= part.stop == size
        return distance_within(padded, (self.anisotropy, 1.0, 1.0))[1:-1, 1:-1, 1:-1]

    def _joined(self, fragments: VolumeObjects) -> VolumeObjects:
        """Join fragments where the network sees no border, and number what results."""
        seen = []
        for box in self.boxes:
            self.on_part("Comparing fragments")
            z, y, x = (
                slice(part.start, min(part.stop + 1, size))
                for part, size in zip(box, self.mask.shape[-3:], strict=True)
            )
            wide = self._grown_into((z, y, x))
            inside = inside_of(wide, np.asarray(self.probabilities[z, y, x]))
            shape = tuple(part.stop - part.start for part in box)
            seen.append(Contacts.of_part(np.asarray(self.objects[z, y, x]), wide, inside, shape))
        table = Contacts.of_parts(seen).joined(fragments.count, self.join)
        for box in self.boxes:
            self.on_part("Numbering objects")
            found = np.where(np.asarray(self.mask[box]) > 0, table[np.asarray(self.objects[box])], 0)
            self.objects[box] = found.astype(np.uint32)
        _, first = np.unique(table, return_index=True)
        return VolumeObjects(len(first) - 1, fragments.classes[first])

    def _heights(self, box: Box) -> NDArray[np.float32]:
        """(Z, Y, X) float32 of a part, smoothed as the whole is."""
        if not self.smooth or self.how in PEAKS:
            return np.asarray(self.height[box], np.float32)
        wide, inner = self._with_around(box, smoothing_reach(self.anisotropy))
        return smoothed_volume(np.asarray(self.height[wide], np.float32), self.anisotropy)[inner]

    def _write_pieces(self, pieces: VolumePieces) -> VolumeObjects:
        wanted = np.arange(len(pieces.sizes)) > 0
        order = pieces.in_order(wanted)
        number = np.zeros(len(pieces.sizes), np.int64)
        number[order] = np.arange(1, len(order) + 1)
        table = number[pieces.whole]
        for box in self.boxes:
            self.on_part("Numbering objects")
            self.objects[box] = table[np.asarray(self.pieces[box])].astype(np.uint32)
        return VolumeObjects(len(order), np.concatenate([[0], pieces.classes[order]]).astype(np.uint8))

    def _share_out(self, tables: _Tables) -> None:
        """Number all voxels; those of pieces with several cores by the core that they belong to."""
        around = AROUND
        for box in self.boxes:
            self.on_part("Numbering objects")
            pieces = np.asarray(self.pieces[box])
            numbers = tables.of_pieces[pieces]
            for inner in _cut(pieces.shape):
                contested = tables.contested[pieces[inner]]
                own = numbers[inner]
                margin = around
                while contested.any():
                    margin, around = margin * 2, margin
                    self._grow(box, inner, own, contested, tables, margin // 2)
            self.objects[box] = numbers.astype(np.uint32)

    def _grow(
        self,
        box: Box,
        inner: Box,
        own: NDArray[np.int64],
        contested: NDArray[np.bool_],
        tables: _Tables,
        margin: int,
    ) -> None:
        """Number contested voxels as far as what is around them tells; those are contested no more."""
        lines = [np.flatnonzero(contested.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        spans = [slice(int(there[0]), int(there[-1]) + 1) for there in lines]
        z, y, x = (
            slice(part.start + of_box.start + span.start, part.start + of_box.start + span.stop)
            for part, of_box, span in zip(box, inner, spans, strict=True)
        )
        wide, within = self._with_around((z, y, x), self._margins(margin))
        pieces, mask = np.asarray(self.pieces[wide]), self._grown_into(wide)
        markers = tables.of_cores[np.asarray(self.cores[wide])]
        height = self._heights(wide)
        looked_at = tuple(spans)
        edge = _near_cut(wide, self.mask.shape[-3:], (1, 1, 1))
        shared = tables.contested[pieces]
        for label in np.unique(mask[within][contested[looked_at]]):
            grown = flood(height, markers, shared & (mask == label), edge)[within]
            known = contested[looked_at] & (mask[within] == label) & (grown != UNKNOWN)
            own[looked_at][known] = grown[known]
            contested[looked_at] &= ~known


@dataclass(frozen=True, eq=False)
class _Tables:
    """Numbers of objects by those that are stored of pieces and cores.

    ``contested`` says which pieces several objects share; ``of_pieces`` has 0 for them.
    """

    of_pieces: NDArray[np.int64]
    contested: NDArray[np.bool_]
    of_cores: NDArray[np.int64]


def _cut(shape: tuple[int, ...]) -> Iterator[Box]:
    """Parts of an array that are shared out at once."""
    ways = [[slice(start, min(start + SIDE, size)) for start in range(0, size, SIDE)] for size in shape]
    yield from product(*ways)


def _near_cut(box: Box, shape: Sequence[int], depths: Sequence[int]) -> NDArray[np.bool_]:
    """(Z, Y, X) bool: so many voxels along each axis at the sides of a part where the volume continues."""
    near = np.zeros([part.stop - part.start for part in box], bool)
    for axis, (part, size, depth) in enumerate(zip(box, shape, depths, strict=True)):
        line = np.moveaxis(near, axis, 0)
        line[: depth if part.start > 0 else 0] = True
        line[max(len(line) - depth, 0) if part.stop < size else len(line) :] = True
    return near
