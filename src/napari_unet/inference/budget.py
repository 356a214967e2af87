"""How large tiles and batches may be for the memory there is."""

from __future__ import annotations

import bisect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.inference.predict import BATCH_PIXELS, MAX_BATCH
from napari_unet.networks.graphs.cost import held_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.networks.graphs.partial_output import PartialOutput
    from napari_unet.networks.sizes import InputSizes

GIGABYTE = 2**30
ALWAYS = 150 * 2**20  # bytes: what a backend takes to compute at all, and the files that are open
SPARE = 1.45  # what backends hold above the tensors that are needed, measured
NATIVE_SPARE = 1.6  # the same of OpenVINO, which lays numbers out in blocks of channels
LOOKED_AT = 256  # pixels; what is held grows with the area
LARGEST_TILE = 4096


@dataclass(frozen=True)
class Budget:
    """What fits into memory.

    Attributes
    ----------
    tile : int
        Largest input side of the network.
    batch : int
        Tiles that run together.
    """

    tile: int
    batch: int


@dataclass(frozen=True)
class TileCost:
    """Bytes that tiles take.

    Attributes
    ----------
    by_network : callable
        Of a tile (Y, X) while the network runs.
    buffers : float
        For each pixel: the tile that runs, the one that is read, the one that is written.
    whole : (int, int)
        (Y, X) of a tile that holds all of an image; none is larger.
    """

    by_network: Callable[[tuple[int, int]], float]
    buffers: float
    whole: tuple[int, int] = (sys.maxsize, sys.maxsize)

    @classmethod
    def of(
        cls,
        network: Any,
        sizes: InputSizes,
        itemsize: int,
        channels: int,
        outputs: int,
        narrow: PartialOutput | None = None,
        halo: int = 0,
        spare: float = SPARE,
        whole: tuple[int, int] = (sys.maxsize, sys.maxsize),
    ) -> TileCost:
        """By the graph of a network.

        Parameters
        ----------
        network : keras.Model
            That computes.
        sizes : InputSizes
            Of it.
        itemsize : int
            Bytes of a number it computes with.
        channels, outputs : int
            Of what goes in, stored, and of what comes out.
        narrow : PartialOutput, optional
            Where only the middle of each tile is computed to the end.
        halo : int
            Pixels around that middle, along an axis of which a tile does not hold all.
        spare : float
            What is held for each number that is needed.
        whole : (int, int)
            (Y, X) of a tile that holds all of an image.
        """
        buffers = 4.0 * (3 * channels + 3 * outputs)
        if narrow is not None:
            found = narrow  # a name that stays

            def of_part(tile: tuple[int, int]) -> float:
                y, x = (
                    side if side >= all_of_it else max(side - 2 * halo, sizes.step)
                    for side, all_of_it in zip(tile, whole, strict=True)
                )
                return found.held_values(tile, (y, x)) * itemsize * spare

            return cls(of_part, buffers, whole)
        side = sizes.at_least(LOOKED_AT + 2 * sizes.margin)
        each = held_values(network, (side, side)) / side**2 * itemsize * spare
        return cls(lambda tile: each * tile[0] * tile[1], buffers, whole)

    def shape(self, side: int) -> tuple[int, int]:
        """(Y, X) of the largest tile whose sides are at most `side`."""
        return min(side, self.whole[0]), min(side, self.whole[1])

    def bytes(self, tile: tuple[int, int]) -> float:
        """Of a tile (Y, X)."""
        return self.by_network(tile) + self.buffers * tile[0] * tile[1]


def fit(cost: TileCost, sizes: InputSizes, memory: float, batch_pixels: int = 0) -> Budget:
    """The largest tile, and the largest batch of it, that fit.

    Parameters
    ----------
    cost : TileCost
        Of the network.
    sizes : InputSizes
        Of the network.
    memory : float
        Gigabytes, without those that the program has taken already.
    batch_pixels : int
        Pixels that are worth running together; 0: as suits processors.

    Returns
    -------
    Budget
        The smallest tile the network takes, if nothing fits.
    """
    room = memory * GIGABYTE - ALWAYS
    smallest = max(sizes.minimum, sizes.for_output(sizes.multiple))
    steps = max(LARGEST_TILE - smallest, 0) // sizes.multiple
    fitting = bisect.bisect_right(
        range(steps + 1), max(room, 0), key=lambda n: cost.bytes(cost.shape(smallest + n * sizes.multiple))
    )
    tile = smallest + max(fitting - 1, 0) * sizes.multiple
    return Budget(tile, batch_for(cost, cost.shape(tile), memory, batch_pixels))


def batch_for(
    cost: TileCost, tile: tuple[int, int], memory: float, batch_pixels: int = 0, flips: int = 1
) -> int:
    """How many tiles run together: as many as fit and are worth it, a power of two.

    Parameters
    ----------
    cost, memory, batch_pixels
        As ``fit``.
    tile : (int, int)
        (Y, X) of each.
    flips : int
        Ways in which each is turned.

    Returns
    -------
    int
        1 if not even one fits.
    """
    room = memory * GIGABYTE - ALWAYS
    fitting = room / max(flips * cost.bytes(tile), 1)
    worth = (batch_pixels or BATCH_PIXELS) / max(flips * tile[0] * tile[1], 1)
    batch = 1
    while 2 * batch <= min(fitting, worth, MAX_BATCH):
        batch *= 2
    return batch
