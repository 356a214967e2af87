"""Blocks: parts of a large result that are computed each by itself, in any order, anywhere.

Each block is the middle of one tile, which is as much larger as the network sees around a pixel. So what
comes out is what the network would say of the whole image, without seams, and blocks need nothing of each
other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.resample import Resampling, apply

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.networks.sizes import InputSizes

UNIT = 16  # pixels; sides of blocks are multiples of it, which several files can share


@dataclass(frozen=True)
class BlockAxis:
    """Blocks along one axis.

    Attributes
    ----------
    full : int
        Pixels of the image, and of the result.
    size : int
        Pixels of what the network is shown, after resizing.
    area : bool
        Whether the image is averaged to become that.
    block : int
        Pixels of the result in a block; the last has what is left.
    tile : int
        Input size of the network.
    margin : int
        What the network loses at either end.
    halo : int
        How far around a pixel the network looks, as far as this is respected.
    step : int
        Tiles of networks that lose nothing begin at multiples of it.
    part : int
        Of the tile, what holds all that a block is made of; a multiple of `step` as the tile.
    """

    full: int
    size: int
    area: bool
    block: int
    tile: int
    margin: int
    halo: int
    step: int
    part: int

    def __len__(self) -> int:
        return -(-self.full // self.block)

    def result(self, number: int) -> slice:
        """The pixels of the result that block `number` is."""
        return slice(number * self.block, min((number + 1) * self.block, self.full))

    @property
    def back(self) -> Resampling:
        """From what the network says to the result: the other way round."""
        return Resampling(self.size, self.full, not self.area and self.size != self.full)

    def needed(self, number: int) -> tuple[int, int]:
        """What of the network's answers to the resized image a block is made of."""
        part = self.result(number)
        return self.back.reads(part.start, part.stop)

    def start(self, number: int) -> int:
        """Where in the resized image the output of the block's tile begins."""
        first, _ = self.needed(number)
        if self.margin:
            return first // self.step * self.step
        # No further than what holds the image's last pixel, so that borders are borders.
        last = -(-max(self.size - self.tile, 0) // self.step) * self.step
        return min(max(first - self.halo, 0) // self.step * self.step, last)

    def offset(self, number: int) -> int:
        """Where in the tile the part begins."""
        first, _ = self.needed(number)
        return min((first - self.start(number)) // self.step * self.step, self.tile - self.part)

    def places(self, number: int) -> NDArray[np.intp]:
        """Pixels of the resized image that the block's tile is made of, (tile,) int, mirrored at borders."""
        period = max(2 * self.size - 2, 1)
        wrapped = (self.start(number) - self.margin + np.arange(self.tile)) % period
        return np.where(wrapped < self.size, wrapped, period - wrapped)

    def source(self, number: int) -> slice:
        """The pixels of the image that have to be read for a block."""
        places = self.places(number)
        start, stop = Resampling(self.full, self.size, self.area).reads(
            int(places.min()), int(places.max()) + 1
        )
        return slice(start, stop)


@dataclass(frozen=True)
class BlockPlan:
    """Blocks over an image.

    Attributes
    ----------
    rows, columns : BlockAxis
        Along Y and X.
    partial : bool
        Whether the network answers for the part of a tile alone.
    """

    rows: BlockAxis
    columns: BlockAxis
    partial: bool = False

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def part_shape(self) -> tuple[int, int]:
        """(Y, X) of the part of every tile."""
        return self.rows.part, self.columns.part

    def offset(self, number: int) -> tuple[int, int]:
        """Row and column of a block's tile at which the part begins."""
        row, column = self.place(number)
        return self.rows.offset(row), self.columns.offset(column)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """(Y, X) of every tile."""
        return self.rows.tile, self.columns.tile

    def place(self, number: int) -> tuple[int, int]:
        """Row and column of block `number`; row by row."""
        return divmod(number, len(self.columns))

    def result(self, number: int) -> tuple[slice, slice]:
        """Rows and columns of the result that a block is."""
        row, column = self.place(number)
        return self.rows.result(row), self.columns.result(column)

    def source(self, number: int) -> tuple[slice, slice]:
        """Rows and columns of the image that have to be read for a block."""
        row, column = self.place(number)
        return self.rows.source(row), self.columns.source(column)

    def cut(self, values: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """Make the tile of a block.

        Parameters
        ----------
        values : numpy.ndarray
            (Y, X, C) float32, prepared, of ``source(number)``.
        number : int
            Of the block.

        Returns
        -------
        numpy.ndarray
            ``tile_shape`` + (C,) float32.
        """
        row, column = self.place(number)
        pairs = [(self.rows, row), (self.columns, column)]
        if all(axis.full == axis.size for axis, _ in pairs):
            y, x = (axis.places(n) - axis.source(n).start for axis, n in pairs)
            return _picked(values, y, x)
        made = [
            Resampling(axis.full, axis.size, axis.area).matrix(
                axis.places(n), axis.source(n).start, axis.source(n).stop
            )
            for axis, n in pairs
        ]
        return apply(made[0], made[1], values)

    def finish(self, outputs: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """Make the result of a block of what the network said of its tile.

        Parameters
        ----------
        outputs : numpy.ndarray
            (Y', X', K) float32; of the part alone if it is narrow.
        number : int
            Of the block.

        Returns
        -------
        numpy.ndarray
            (Y, X, K) float32, as large as ``result(number)``.
        """
        row, column = self.place(number)
        pairs = [(self.rows, row), (self.columns, column)]
        inner = []
        for axis, n in pairs:
            first, last = axis.needed(n)
            origin = axis.start(n) + (axis.offset(n) if self.partial else 0)
            inner.append(slice(first - origin, last - origin))
        part = outputs[inner[0], inner[1]]
        if all(axis.full == axis.size for axis, _ in pairs):
            return part
        made = []
        for axis, n in pairs:
            result = axis.result(n)
            made.append(axis.back.matrix(np.arange(result.start, result.stop), *axis.needed(n)))
        return apply(made[0], made[1], np.ascontiguousarray(part))


def _picked(
    values: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Rows and columns of (Y, X, C), without a copy of what is picked in one piece."""
    if not np.array_equal(rows, np.arange(len(values))):
        values = values[rows]
    whole = np.array_equal(columns, np.arange(values.shape[1]))
    return values if whole else values[:, columns]


def plan_blocks(
    shape: tuple[int, int],
    shown: tuple[int, int],
    sizes: InputSizes,
    halo: int,
    most: int,
    piece: tuple[int, int] = (0, 0),
    block: tuple[int, int] | None = None,
) -> BlockPlan:
    """Lay blocks over an image.

    Parameters
    ----------
    shape : (int, int)
        (Y, X) of the image and of the result.
    shown : (int, int)
        (Y, X) of what the network is shown of it.
    sizes : InputSizes
        Of the network.
    halo : int
        Pixels around a pixel that decide what is said of it; not used for networks that lose a margin.
    most : int
        Largest input size of the network.
    piece : tuple of int
        Blocks have sides of multiples of this (Y, X); 0: any.
    block : (int, int), optional
        (Y, X) of blocks, as those of another network have it.

    Returns
    -------
    BlockPlan
        With as few pixels in tiles as that allows.
    """
    area = shown[0] * shown[1] < shape[0] * shape[1]
    given = block or (0, 0)
    rows = plan_block_axis(shape[0], shown[0], sizes, halo, most, area, piece[0], given[0])
    columns = plan_block_axis(shape[1], shown[1], sizes, halo, most, area, piece[1], given[1])
    return BlockPlan(rows, columns)


def plan_block_axis(
    full: int,
    size: int,
    sizes: InputSizes,
    halo: int,
    most: int,
    area: bool,
    piece: int = 0,
    given: int = 0,
) -> BlockAxis:
    """Lay blocks along one axis; parameters as ``plan_blocks``, `given` as its `block`."""
    multiple = sizes.multiple if sizes.margin else sizes.step
    if sizes.margin:
        halo = 0
    halo = -(-halo // multiple) * multiple

    def with_block(block: int) -> BlockAxis:
        # Of a result that is resized, the ends of a block lie anywhere between two steps.
        slack = 0 if full == size and block % multiple == 0 else 2 * multiple + 2
        wanted = int(np.ceil(block * size / full)) + slack + 2 * halo
        tile = sizes.for_output(min(wanted, max(size, 1)) if not sizes.margin else wanted)
        part = min(tile, -(-(wanted - 2 * halo) // multiple) * multiple)
        return BlockAxis(full, size, area, block, tile, sizes.margin, halo, multiple, part)

    if given:
        return with_block(given)
    if piece:
        count = max(1, full // piece)
        blocks = [with_block(piece * n) for n in range(1, count + 2)]
        fitting = [axis for axis in blocks if axis.tile <= most]
        return min(fitting or blocks[:1], key=lambda axis: (len(axis) * axis.tile, axis.tile))
    unit = -(-UNIT // multiple) * multiple
    number = 1
    while True:
        block = -(-full // number // unit) * unit
        axis = with_block(block)
        if axis.tile <= most or block <= unit:
            return axis
        number += 1
