"""Overlap tiles with mirrored borders: images of any size through a network of few sizes.

The strategy of the U-Net paper (doi:10.1007/978-3-319-24574-4_28). For unpadded networks the
output tiles abut and the result equals that on the whole mirrored image; for padded ones
neighbouring tiles overlap and are blended smoothly.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import SizeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.networks.sizes import InputSizes

RAMP = 32  # pixels over which one tile gives way to the next
TILE_VOXELS = 2**21  # of a volume: about a gigabyte while the network runs
AROUND_VOXELS = 14  # that a tile of a volume sees, at least, around those that it answers for
VOXEL_RAMP = 4  # over which one such tile gives way to the next


@dataclass(frozen=True)
class AxisPlan:
    """Tiles along one axis.

    Attributes
    ----------
    size : int
        Of the image.
    tile : int
        Input size of every tile.
    margin : int
        What the network loses at either end.
    starts : tuple of int
        Where the output of each tile begins; all lie within or around the image.
    answered : int
        How much of its output each tile answers for. Where outputs are blended, all of it. Where
        they abut, a multiple of the network's step, because of pooling: a network gives the same
        answer only if it is shifted by that.
    ramp : int
        Pixels over which one tile gives way to the next, in the middle of what they share.
    """

    size: int
    tile: int
    margin: int
    starts: tuple[int, ...]
    answered: int
    ramp: int = RAMP

    @property
    def output(self) -> int:
        """Output size of every tile."""
        return self.tile - 2 * self.margin

    def indices(self, number: int) -> NDArray[np.intp]:
        """Pixels of the image that tile `number` is made of, mirrored at the ends."""
        start = self.starts[number] - self.margin
        # Mirrored about the first and the last pixel, again and again where the image is small.
        period = max(2 * self.size - 2, 1)
        wrapped = np.arange(start, start + self.tile) % period
        return np.where(wrapped < self.size, wrapped, period - wrapped)

    @cached_property
    def mirrored(self) -> tuple[tuple[slice, NDArray[np.intp]], ...]:
        """The pixels of the image that each tile needs, and ``indices`` counted from the first of them."""
        found = map(self.indices, range(len(self.starts)))
        return tuple((slice(at.min(), at.max() + 1), at - at.min()) for at in found)

    def within(self, number: int) -> slice | None:
        """The image's pixels that tile `number` is made of, if none is mirrored."""
        start = self.starts[number] - self.margin
        inside = start >= 0 and start + self.tile <= self.size
        return slice(start, start + self.tile) if inside else None

    def inner(self, number: int) -> tuple[slice, slice]:
        """The part of the image tile `number` answers for, and that part within its output."""
        start = self.starts[number]
        first, last = max(start, 0), min(start + self.answered, self.size)
        return slice(first, last), slice(first - start, last - start)

    @cached_property
    def windows(self) -> tuple[NDArray[np.float32], ...]:
        """Weights of each tile's output: ramps where tiles overlap, summing to 1 at every pixel."""
        if self.margin:
            return tuple(np.ones(self.output, np.float32) for _ in self.starts)
        raw = []
        for number, start in enumerate(self.starts):
            place = np.arange(start, start + self.output) + 0.5
            window = np.ones(self.output)
            if number > 0:
                shared = self.starts[number - 1] + self.output - start
                window *= _ramp(place - start, shared, self.ramp)
            if number < len(self.starts) - 1:
                following = self.starts[number + 1]
                shared = start + self.output - following
                window *= _ramp(start + self.output - place, shared, self.ramp)
            raw.append(window)
        total = np.zeros(self.size)
        for number, window in enumerate(raw):
            image, tile = self.inner(number)
            total[image] += window[tile]
        out = []
        for number, window in enumerate(raw):
            image, tile = self.inner(number)
            scaled = window.copy()
            scaled[tile] /= total[image]
            out.append(scaled.astype(np.float32))
        return tuple(out)


def _ramp(place: NDArray[np.floating[Any]], shared: int, ramp: int) -> NDArray[np.float64]:
    """From 0 to 1 along half a cosine in the middle of an overlap.

    Near its own border a tile does not see enough to be asked: its neighbour answers there.
    """
    if shared <= 0:
        return np.ones(len(place))
    wide = min(shared, ramp)
    share = (place - (shared - wide) / 2) / wide
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(share, 0, 1)))


def plan_axis(size: int, sizes: InputSizes, tile: int, overlap: int) -> AxisPlan:
    """Lay tiles along one axis.

    Parameters
    ----------
    size : int
        Of the image, at least 1.
    sizes : InputSizes
        Of the network.
    tile : int
        Largest input size wanted; raised to the smallest the network takes.
    overlap : int
        Pixels of blending between padded tiles, at most half a tile; unpadded ones need none.

    Returns
    -------
    AxisPlan
        One tile if the image fits into it.

    Raises
    ------
    SizeError
        If the image is empty.
    """
    if size < 1:
        raise SizeError(
            "an image without pixels cannot be segmented",
            code="size.empty",
            expected="1 x 1 or more",
            got=f"{size}",
        )
    whole = sizes.for_output(size)
    largest = max(sizes.at_least(tile), sizes.minimum)
    if largest > tile and largest - sizes.multiple >= sizes.minimum:
        largest -= sizes.multiple
    output = sizes.output(largest)
    if sizes.margin:
        if whole <= largest:
            return AxisPlan(size, whole, sizes.margin, (0,), sizes.output(whole))
        largest = max(largest, sizes.for_output(sizes.multiple))
        step = sizes.output(largest) // sizes.multiple * sizes.multiple
        return AxisPlan(size, largest, sizes.margin, tuple(range(0, size, step)), step)
    if whole <= largest:
        # In the middle, so that what was mirrored lies on both sides.
        return AxisPlan(size, whole, 0, (-((whole - size) // 2),), whole)
    # On the network's grid; the last tile reaches beyond the image if need be.
    reach = output - min(overlap, output // 2)
    grid = sizes.step if reach >= sizes.step else sizes.multiple
    step = max(reach // grid, 1) * grid
    count = -(-(size - output) // step) + 1
    return AxisPlan(size, largest, 0, tuple(step * number for number in range(count)), output)


@dataclass(frozen=True)
class TilePlan:
    """Tiles over an image or a volume.

    Attributes
    ----------
    axes : tuple of AxisPlan
        Along Y and X, or Z, Y and X.
    """

    axes: tuple[AxisPlan, ...]

    def __len__(self) -> int:
        return math.prod(self._counts)

    @property
    def _counts(self) -> tuple[int, ...]:
        return tuple(len(axis.starts) for axis in self.axes)

    @property
    def rows(self) -> AxisPlan:
        """Along Y."""
        return self.axes[-2]

    @property
    def columns(self) -> AxisPlan:
        """Along X."""
        return self.axes[-1]

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """(Y, X) or (Z, Y, X) of every tile's input."""
        return tuple(axis.tile for axis in self.axes)

    def _of(self, number: int) -> list[tuple[AxisPlan, int]]:
        """Each axis, and the number of a tile along it."""
        return list(zip(self.axes, map(int, np.unravel_index(number, self._counts)), strict=True))

    def cut(self, image: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """Cut tile `number` out of an image.

        Parameters
        ----------
        image : numpy.ndarray
            (Y, X, C) or (Z, Y, X, C) float32, of the shape the plan was made for.
        number : int
            Below the number of tiles; row by row.

        Returns
        -------
        numpy.ndarray
            ``tile_shape`` + (C,) float32, mirrored beyond the image's borders.
        """
        places = self._of(number)
        inside = [axis.within(place) for axis, place in places]
        if None not in inside:
            # A copy, as tiles wait for others to fill a batch, and a view would keep the image alive.
            return image[tuple(inside)].copy()
        seen, indices = zip(*(axis.mirrored[place] for axis, place in places), strict=True)
        image = image[seen]
        for number, along in enumerate(indices):  # one axis after another is faster than all at once
            image = image.take(along, axis=number)
        return image

    def add(self, total: NDArray[np.float32], number: int, tile: NDArray[np.float32]) -> None:
        """Add the weighted output of a tile to what the whole image is put together in.

        Parameters
        ----------
        total : numpy.ndarray
            (Y, X, K) or (Z, Y, X, K) float32, zeros before the first tile; complete after the last, as the
            weights of all tiles sum to 1 at every pixel. Changed in place.
        number : int
            Of the tile; the order does not matter.
        tile : numpy.ndarray
            (Y', X', K) or (Z', Y', X', K) float32, the network's output.
        """
        places = self._of(number)
        both = [axis.inner(place) for axis, place in places]
        in_image, in_tile = tuple(one for one, _ in both), tuple(one for _, one in both)
        part = tile[in_tile]
        if len(self) > 1:
            windows = [axis.windows[place][one] for (axis, place), one in zip(places, in_tile, strict=True)]
            part = part * functools.reduce(np.multiply.outer, windows)[..., None]
        total[in_image] += part


def plan_tiles(
    shape: tuple[int, ...], sizes: InputSizes, tile: int | tuple[int, ...], overlap: int | tuple[int, ...]
) -> TilePlan:
    """Lay tiles over an image or a volume.

    Parameters
    ----------
    shape : tuple of int
        (Y, X) of the image, or (Z, Y, X).
    sizes, tile, overlap
        As ``plan_axis``; tile and overlap of every axis, or one for all.

    Returns
    -------
    TilePlan
        One tile if the image fits into it. Tiles are as large along Y as along X unless the image is
        smaller than a tile along one of them.

    Raises
    ------
    SizeError
        If the image is empty.
    """
    tiles = (tile,) * len(shape) if isinstance(tile, int) else tile
    overlaps = (overlap,) * len(shape) if isinstance(overlap, int) else overlap
    return TilePlan(tuple(map(plan_axis, shape, sizes.per_axis(len(shape)), tiles, overlaps)))


def plan_volume(shape: tuple[int, ...], sizes: InputSizes, voxels: int = TILE_VOXELS) -> TilePlan:
    """Lay tiles over a volume, as few as a number of voxels at a time allows.

    Parameters
    ----------
    shape : tuple of int
        (Z, Y, X).
    sizes : InputSizes
        Of a network that takes volumes.
    voxels : int
        Of a tile, at most, as far as the network takes such small ones.

    Returns
    -------
    TilePlan
        The longest side, in steps of the network, is cut first. Neighbours share 32 voxels, or a third of a
        tile if that is less, and give way to each other in the four in the middle.

    Notes
    -----
    What neighbours share is computed twice, along each axis. So a tile of 128 x 128 x 128 voxels costs 2.4
    times what it answers for. If neighbours shared 48 voxels, it would cost 4.1 times that. A network sees
    farther than 14 voxels, but that changes its answers little: ``benchmarks/volume_blocks.py --seams``
    measures it.
    """
    per_axis = sizes.per_axis(len(shape))
    tile = [one.at_least(side) for one, side in zip(per_axis, shape, strict=True)]
    while math.prod(tile) > voxels:
        steps = [side / one.multiple for side, one in zip(tile, per_axis, strict=True)]
        longest = max(range(len(tile)), key=steps.__getitem__)
        one = per_axis[longest]
        if tile[longest] <= one.minimum:
            break
        tile[longest] -= one.multiple
    shared = tuple(min(side // 3, 2 * AROUND_VOXELS + VOXEL_RAMP) for side in tile)
    plan = plan_tiles(shape, sizes, tuple(tile), shared)
    ramps = (min(VOXEL_RAMP, max(both // 3, 1)) for both in shared)
    return TilePlan(tuple(replace(axis, ramp=ramp) for axis, ramp in zip(plan.axes, ramps, strict=True)))
