"""Volumes block by block in planes across z, y and x: slabs that are answered for, cells made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.volumes.planes import AXES, mean_of_planes
from napari_unet.inference.volumes.volume_blocks import LARGEST_CELL, CellGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.inference.volumes.volume_blocks import Box

SLAB_VOXELS = 2**23  # that are read together


@dataclass(frozen=True, eq=False)
class PlanePlan(CellGrid):
    """Slabs of planes along each axis of a volume, and cells of the result.

    A slab is what is called a tile elsewhere. Those along Z come first, then those along Y and X.

    Attributes
    ----------
    full : tuple of int
        (Z, Y, X) of the volume, and of the result.
    cell : tuple of int
        (Z, Y, X) of a cell; the last along an axis has what is left.
    slabs : tuple of int
        Planes of a slab along Z, Y and X; the last along an axis has what is left.
    reach : int
        Planes on either side that are seen as neighbours.
    """

    full: tuple[int, int, int]
    cell: tuple[int, int, int]
    slabs: tuple[int, int, int]
    reach: int = 0

    partial = False  # planes are computed as wholes

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        return tuple(-(-full // slab) for full, slab in zip(self.full, self.slabs, strict=True))

    def __len__(self) -> int:
        """Slabs."""
        return sum(self._counts)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Planes of a slab along each axis."""
        return self.slabs

    def slab(self, tile: int) -> tuple[int, int, int]:
        """Axis of a slab, its first plane, and the one after its last."""
        axis = 0
        while tile >= self._counts[axis]:
            tile -= self._counts[axis]
            axis += 1
        first = tile * self.slabs[axis]
        return axis, first, min(first + self.slabs[axis], self.full[axis])

    def _box(self, axis: int, first: int, last: int) -> Box:
        parts = [slice(0, size) for size in self.full]
        parts[axis] = slice(first, last)
        return parts[0], parts[1], parts[2]

    def source(self, tile: int) -> Box:
        """What of the volume has to be read for a slab: its planes and their neighbours."""
        axis, first, last = self.slab(tile)
        return self._box(axis, max(first - self.reach, 0), min(last + self.reach, self.full[axis]))

    def wanted(self, tile: int) -> range:
        """Numbers of the planes of a slab in what ``source`` gives."""
        axis, first, last = self.slab(tile)
        before = self.source(tile)[axis].start
        return range(first - before, last - before)

    def result(self, tile: int) -> Box:
        """What of the result a slab answers for."""
        return self._box(*self.slab(tile))

    def finish(self, outputs: NDArray[np.float16], tile: int) -> NDArray[np.float16]:
        """All of an answer is stored."""
        return outputs

    def tiles_of(self, cell: int) -> list[int]:
        """Numbers of the slabs that a cell is made of."""
        found, before = [], 0
        for part, slab, count in zip(self.part(cell), self.slabs, self._counts, strict=True):
            found += [before + n for n in range(part.start // slab, (part.stop - 1) // slab + 1)]
            before += count
        return found

    def blend(self, cell: int, answer: Callable[[int, Box], NDArray[np.float16]]) -> NDArray[np.float32]:
        """Make a cell of the answers for its slabs.

        Parameters
        ----------
        cell : int
            Its number.
        answer : callable
            (slab, part of its answer along its own axis and the others) -> (N, A, B, K) float16.

        Returns
        -------
        numpy.ndarray
            (Z, Y, X, K) float32 in [0, 1], as large as ``part(cell)``.
        """
        return mean_of_planes(list(self._along_axes(cell, answer)))

    def voices(self, cell: int, answer: Callable[[int, Box], NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """As ``CellGrid`` has them: one along each axis."""
        for found in self._along_axes(cell, answer):
            yield found.astype(np.float32)

    def _along_axes(
        self, cell: int, answer: Callable[[int, Box], NDArray[np.float16]]
    ) -> Iterator[NDArray[np.float16]]:
        wanted = self.part(cell)
        found: list[list[NDArray[np.float16]]] = [[] for _ in range(AXES)]
        for tile in self.tiles_of(cell):
            axis, first, last = self.slab(tile)
            along = slice(max(wanted[axis].start, first) - first, min(wanted[axis].stop, last) - first)
            others = [part for n, part in enumerate(wanted) if n != axis]
            found[axis].append(np.moveaxis(answer(tile, (along, others[0], others[1])), 0, axis))
        for axis, parts in enumerate(found):
            yield np.concatenate(parts, axis=axis)


def plan_plane_blocks(
    full: tuple[int, int, int], reach: int, voxels: int, cell: tuple[int, int, int] | None = None
) -> PlanePlan:
    """Lay slabs and cells over a volume.

    Parameters
    ----------
    full : tuple of int
        (Z, Y, X) of the volume.
    reach : int
        Planes on either side that are seen as neighbours.
    voxels : int
        Of a slab, at most, as far as one plane has so few.
    cell : tuple of int, optional
        (Z, Y, X) of a cell of a result that was begun.
    """
    slabs = [max(1, min(voxels // (math.prod(full) // size), size)) for size in full]
    if cell is None:
        z, y, x = (-(-size // -(-size // LARGEST_CELL)) for size in full)
        cell = z, y, x
    return PlanePlan(full, cell, (slabs[0], slabs[1], slabs[2]), reach)
