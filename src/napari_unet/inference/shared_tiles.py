"""Blocks of a large image made of the very tiles that it would be cut into in memory; neighbours share them.

For networks whose answer depends on where a tile lies, such as one that finds objects: other tiles would find
others.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.blocks import UNIT, BlockAxis, BlockPlan
from napari_unet.inference.resample import Resampling, apply
from napari_unet.inference.tiling import TilePlan, plan_tiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.inference.tiling import AxisPlan
    from napari_unet.networks.sizes import InputSizes

BLOCK = 1024  # pixels of a block, either way, about


@dataclass(frozen=True)
class SharedTiles:
    """Tiles of an image, and the blocks that are made of them.

    Attributes
    ----------
    plan : BlockPlan
        Where blocks lie.
    tiles : TilePlan
        Of the image as the network is shown it.
    """

    plan: BlockPlan
    tiles: TilePlan

    @property
    def _pairs(self) -> list[tuple[BlockAxis, AxisPlan]]:
        return [(self.plan.rows, self.tiles.rows), (self.plan.columns, self.tiles.columns)]

    def _place(self, tile: int) -> tuple[int, int]:
        return divmod(tile, len(self.tiles.columns.starts))

    def of_block(self, number: int) -> list[int]:
        """Numbers of the tiles that a block is made of."""
        found = []
        for (axis, tiles), at in zip(self._pairs, self.plan.place(number), strict=True):
            first, last = axis.needed(at)
            inner = [tiles.inner(one)[0] for one in range(len(tiles.starts))]
            found.append([one for one, part in enumerate(inner) if part.start < last and part.stop > first])
        return [y * len(self.tiles.columns.starts) + x for y in found[0] for x in found[1]]

    def source(self, tile: int) -> tuple[slice, slice]:
        """Rows and columns of the image that have to be read for a tile."""
        found = []
        for (axis, tiles), at in zip(self._pairs, self._place(tile), strict=True):
            places = tiles.indices(at)
            reads = Resampling(axis.full, axis.size, axis.area).reads(
                int(places.min()), int(places.max()) + 1
            )
            found.append(slice(*reads))
        return found[0], found[1]

    def cut(self, values: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
        """Make a tile, (Y, X, C) float32, of the prepared pixels of ``source(tile)``."""
        source = self.source(tile)
        places = [tiles.indices(at) for (_, tiles), at in zip(self._pairs, self._place(tile), strict=True)]
        if all(axis.full == axis.size for axis, _ in self._pairs):
            return values[np.ix_(places[0] - source[0].start, places[1] - source[1].start)]
        made = [
            Resampling(axis.full, axis.size, axis.area).matrix(at, part.start, part.stop)
            for (axis, _), at, part in zip(self._pairs, places, source, strict=True)
        ]
        return apply(made[0], made[1], values)

    def finish(self, outputs: Mapping[int, NDArray[np.float32]], number: int) -> NDArray[np.float32]:
        """Blend what the network says of the tiles of a block, by their numbers: (Y, X, K) float32."""
        at = self.plan.place(number)
        needed = [slice(*axis.needed(one)) for (axis, _), one in zip(self._pairs, at, strict=True)]
        channels = next(iter(outputs.values())).shape[-1]
        total = np.zeros((*(part.stop - part.start for part in needed), channels), np.float32)
        for tile in self.of_block(number):
            into, out_of, windows = [], [], []
            for (_, tiles), place, part in zip(self._pairs, self._place(tile), needed, strict=True):
                inner, start = tiles.inner(place)[0], tiles.starts[place]
                both = slice(max(inner.start, part.start), min(inner.stop, part.stop))
                into.append(slice(both.start - part.start, both.stop - part.start))
                out_of.append(slice(both.start - start, both.stop - start))
                windows.append(tiles.windows[place][out_of[-1]])
            said = outputs[tile][tuple(out_of)]
            if len(self.tiles) > 1:
                said = said * functools.reduce(np.multiply.outer, windows)[..., None]
            total[tuple(into)] += said
        total = np.clip(total, 0.0, 1.0)
        if all(axis.full == axis.size for axis, _ in self._pairs):
            return total
        made = []
        for (axis, _), one in zip(self._pairs, at, strict=True):
            result = axis.result(one)
            made.append(axis.back.matrix(np.arange(result.start, result.stop), *axis.needed(one)))
        return apply(made[0], made[1], total)


def plan_shared_tiles(
    shape: tuple[int, int],
    shown: tuple[int, int],
    sizes: InputSizes,
    tile: int,
    overlap: int,
    piece: tuple[int, int] = (0, 0),
) -> SharedTiles:
    """Lay tiles as ``plan_tiles`` does, and blocks over them.

    Parameters
    ----------
    shape : (int, int)
        (Y, X) of the image and of the result.
    shown : (int, int)
        (Y, X) of what the network is shown of it.
    sizes, tile, overlap
        As of ``plan_tiles``.
    piece : tuple of int
        Blocks have sides of multiples of this (Y, X); 0: any.
    """
    tiles = plan_tiles(shown, sizes, tile, overlap)
    area = shown[0] * shown[1] < shape[0] * shape[1]
    axes = []
    for full, size, own, unit in zip(shape, shown, tiles.axes, piece, strict=True):
        even = -(-full // -(-full // BLOCK) // UNIT) * UNIT
        block = unit * max(1, BLOCK // unit) if unit else even
        axes.append(BlockAxis(full, size, area, block, own.tile, 0, 0, 1, own.tile))
    return SharedTiles(BlockPlan(axes[0], axes[1]), tiles)
