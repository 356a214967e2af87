"""Volumes block by block: the overlap tiles of a whole volume, and cells of the result made of them.

A network answers one tile after another, in any order, anywhere. Each answer is used where its weight is
not zero. A cell of the result is there once all tiles that weigh in it have answered. So what comes out is
what ``predict_probabilities`` makes of the whole volume, and no tile is computed twice.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.resample import Resampling, apply
from napari_unet.inference.tiling import TilePlan, plan_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.networks.sizes import InputSizes

    Box = tuple[slice, slice, slice]  # along Z, Y and X

LARGEST_CELL = 128  # voxels along each axis: a file of the result


class CellGrid:
    """Cells of a result, each made of the answers for some tiles.

    Attributes
    ----------
    full : tuple of int
        (Z, Y, X) of the volume, and of the result.
    cell : tuple of int
        (Z, Y, X) of a cell; the last along an axis has what is left.
    """

    full: tuple[int, int, int]
    cell: tuple[int, int, int]

    def __len__(self) -> int:
        """Tiles."""
        raise NotImplementedError

    def tiles_of(self, cell: int) -> list[int]:
        """Numbers of the tiles that weigh in a cell, in their order."""
        raise NotImplementedError

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """What decides the answers, where they depend on the tiles."""
        raise NotImplementedError

    def result(self, tile: int) -> Box:
        """What of the result a tile answers for most."""
        raise NotImplementedError

    def voices(self, cell: int, answer: Callable[[int, Box], NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Answers for a cell, (Z, Y, X, K) float32 in [0, 1] each, whose mean it is; as ``blend``."""
        raise NotImplementedError

    @cached_property
    def _grid(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(-(-a // b) for a, b in zip(self.full, self.cell, strict=True))

    @property
    def cells(self) -> int:
        """How many there are."""
        return math.prod(self._grid)

    def place(self, cell: int) -> tuple[int, ...]:
        """Number of a cell along each axis, which is that of its file."""
        return tuple(map(int, np.unravel_index(cell, self._grid)))

    def part(self, cell: int) -> Box:
        """What of the result a cell is."""
        z, y, x = (
            slice(n * side, min((n + 1) * side, full))
            for n, side, full in zip(self.place(cell), self.cell, self.full, strict=True)
        )
        return z, y, x

    @cached_property
    def _cells_of(self) -> dict[int, tuple[int, ...]]:
        found: dict[int, list[int]] = {}
        for cell in range(self.cells):
            for tile in self.tiles_of(cell):
                found.setdefault(tile, []).append(cell)
        return {tile: tuple(cells) for tile, cells in found.items()}

    def cells_of(self, tile: int) -> tuple[int, ...]:
        """Numbers of the cells that a tile weighs in."""
        return self._cells_of.get(tile, ())


@dataclass(frozen=True, eq=False)
class VolumePlan(CellGrid):
    """Tiles over a volume, and cells of the result.

    Attributes
    ----------
    full : tuple of int
        (Z, Y, X) of the volume, and of the result.
    tiles : TilePlan
        Of what the network is shown, whose slices may be resized.
    cell : tuple of int
        (Z, Y, X) of a cell; the last along an axis has what is left.
    """

    full: tuple[int, int, int]
    tiles: TilePlan
    cell: tuple[int, int, int]

    partial = False  # tiles are computed as wholes

    def __len__(self) -> int:
        """Tiles."""
        return len(self.tiles)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """(Z, Y, X) of every tile."""
        return self.tiles.tile_shape

    @cached_property
    def size(self) -> tuple[int, int, int]:
        """(Z, Y, X) of what the network is shown."""
        z, y, x = (axis.size for axis in self.tiles.axes)
        return z, y, x

    @cached_property
    def _there(self) -> tuple[Resampling, ...]:
        area = math.prod(self.size[1:]) < math.prod(self.full[1:])
        return tuple(Resampling(a, b, area) for a, b in zip(self.full, self.size, strict=True))

    @cached_property
    def _back(self) -> tuple[Resampling, ...]:
        return tuple(Resampling(r.after, r.before, not r.area and r.before != r.after) for r in self._there)

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        return tuple(len(axis.starts) for axis in self.tiles.axes)

    # Tiles

    @cached_property
    def _supports(self) -> tuple[tuple[slice, ...], ...]:
        """Along each axis what of the shown volume each tile weighs in."""
        found = []
        for axis in self.tiles.axes:
            spans = []
            for number, window in enumerate(axis.windows):
                image, tile = axis.inner(number)
                weighs = np.flatnonzero(window[tile]) if len(axis.starts) > 1 else np.arange(axis.size)
                spans.append(slice(image.start + int(weighs[0]), image.start + int(weighs[-1]) + 1))
            found.append(tuple(spans))
        return tuple(found)

    def _tile_place(self, tile: int) -> tuple[int, ...]:
        return tuple(map(int, np.unravel_index(tile, self._counts)))

    def support(self, tile: int) -> Box:
        """What of the shown volume a tile weighs in: more of its answer need not be stored."""
        z, y, x = (spans[n] for spans, n in zip(self._supports, self._tile_place(tile), strict=True))
        return z, y, x

    def result(self, tile: int) -> Box:
        """What of the result a tile answers for most, from the middle of one overlap to that of the next."""
        parts = []
        for axis, spans, n, back in zip(
            self.tiles.axes, self._supports, self._tile_place(tile), self._back, strict=True
        ):
            first = 0 if n == 0 else (spans[n - 1].stop + spans[n].start) // 2
            last = axis.size if n == len(spans) - 1 else (spans[n].stop + spans[n + 1].start) // 2
            parts.append(slice(first * back.after // axis.size, last * back.after // axis.size))
        return parts[0], parts[1], parts[2]

    def source(self, tile: int) -> Box:
        """What of the volume has to be read for a tile."""
        parts = []
        for axis, n, there in zip(self.tiles.axes, self._tile_place(tile), self._there, strict=True):
            places = axis.indices(n)
            parts.append(slice(*there.reads(int(places.min()), int(places.max()) + 1)))
        return parts[0], parts[1], parts[2]

    def cut(self, values: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
        """Make a tile.

        Parameters
        ----------
        values : numpy.ndarray
            (Z, Y, X, C) float32, prepared, of ``source(tile)``.
        tile : int
            Its number.

        Returns
        -------
        numpy.ndarray
            ``tile_shape`` + (C,) float32.
        """
        source = self.source(tile)
        places = [axis.indices(n) for axis, n in zip(self.tiles.axes, self._tile_place(tile), strict=True)]
        if self.full == self.size:
            return values[np.ix_(*(at - part.start for at, part in zip(places, source, strict=True)))]
        y, x = (
            there.matrix(at, part.start, part.stop)
            for there, at, part in zip(self._there[1:], places[1:], source[1:], strict=True)
        )
        return np.stack([apply(y, x, values[z]) for z in places[0] - source[0].start])

    def finish(self, outputs: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
        """The part of an answer (Z', Y', X', K) that weighs: what of it is stored, as ``support`` has it."""
        inside = []
        for axis, n, part in zip(self.tiles.axes, self._tile_place(tile), self.support(tile), strict=True):
            image, own = axis.inner(n)
            first = own.start + part.start - image.start
            inside.append(slice(first, first + part.stop - part.start))
        return outputs[tuple(inside)]

    # Cells

    def _needed(self, cell: int) -> Box:
        """What of the shown volume a cell is made of."""
        z, y, x = (
            slice(*back.reads(part.start, part.stop))
            for back, part in zip(self._back, self.part(cell), strict=True)
        )
        return z, y, x

    def tiles_of(self, cell: int) -> list[int]:
        """Numbers of the tiles that weigh in a cell, in their order."""
        along = [
            [n for n, span in enumerate(spans) if span.start < part.stop and part.start < span.stop]
            for spans, part in zip(self._supports, self._needed(cell), strict=True)
        ]
        return [int(np.ravel_multi_index(place, self._counts)) for place in product(*along)]

    def blend(self, cell: int, answer: Callable[[int, Box], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Make a cell of the answers of its tiles.

        Parameters
        ----------
        cell : int
            Its number.
        answer : callable
            (tile, part of what ``finish`` gave of it) -> (Z', Y', X', K) float32.

        Returns
        -------
        numpy.ndarray
            (Z, Y, X, K) float32 in [0, 1], as large as ``part(cell)``.
        """
        needed = self._needed(cell)
        shape = [part.stop - part.start for part in needed]
        total: NDArray[np.float32] | None = None
        for tile in self.tiles_of(cell):
            shared = [_both(a, b) for a, b in zip(self.support(tile), needed, strict=True)]
            stored = tuple(_within(s, a) for s, a in zip(shared, self.support(tile), strict=True))
            values = answer(tile, (stored[0], stored[1], stored[2]))
            if total is None:
                total = np.zeros((*shape, values.shape[-1]), np.float32)
            if len(self) > 1:
                values = values * functools.reduce(np.multiply.outer, self._weights(tile, shared))[..., None]
            total[tuple(_within(s, part) for s, part in zip(shared, needed, strict=True))] += values
        assert total is not None
        np.clip(total, 0.0, 1.0, out=total)
        if self.full == self.size:
            return total
        y, x = (
            back.matrix(np.arange(part.start, part.stop), have.start, have.stop)
            for back, part, have in zip(self._back[1:], self.part(cell)[1:], needed[1:], strict=True)
        )
        return np.stack([apply(y, x, one) for one in total])

    def voices(self, cell: int, answer: Callable[[int, Box], NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """As ``CellGrid`` has them: there is one."""
        yield self.blend(cell, answer)

    def _weights(self, tile: int, shared: list[slice]) -> Iterator[NDArray[np.float32]]:
        for axis, n, part in zip(self.tiles.axes, self._tile_place(tile), shared, strict=True):
            image, own = axis.inner(n)
            yield axis.windows[n][own][part.start - image.start : part.stop - image.start]


def _both(a: slice, b: slice) -> slice:
    return slice(max(a.start, b.start), min(a.stop, b.stop))


def _within(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def plan_volume_blocks(
    full: tuple[int, int, int],
    shown: tuple[int, int],
    sizes: InputSizes,
    voxels: int,
    cell: tuple[int, int, int] | None = None,
) -> VolumePlan:
    """Lay tiles and cells over a volume.

    Parameters
    ----------
    full : tuple of int
        (Z, Y, X) of the volume.
    shown : tuple of int
        (Y, X) of what the network is shown of a slice.
    sizes : InputSizes
        Of the network.
    voxels : int
        Of a tile, at most; see ``plan_volume``.
    cell : tuple of int, optional
        (Z, Y, X) of a cell of a result that was begun; else about the distance of two tiles.
    """
    tiles = plan_volume((full[0], *shown), sizes, voxels)
    if cell is None:
        steps = []
        for axis, of_full in zip(tiles.axes, full, strict=True):
            step = axis.size if len(axis.starts) == 1 else axis.starts[1] - axis.starts[0]
            count = max(1, round(axis.size / step), -(-of_full // LARGEST_CELL))
            steps.append(-(-of_full // count))
        cell = steps[0], steps[1], steps[2]
    return VolumePlan(full, tiles, cell)
