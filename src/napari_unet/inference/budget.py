"""How large tiles and batches may be for the memory there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.inference.predict import BATCH_PIXELS, MAX_BATCH
from napari_unet.networks.cost import held_values

if TYPE_CHECKING:
    from napari_unet.networks.sizes import InputSizes

GIGABYTE = 2**30
ALWAYS = 150 * 2**20  # bytes: what a back end takes to compute at all, and the files that are open
SPARE = 1.4  # what back ends hold above the tensors that are needed, measured
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
    by_network : float
        For each pixel of input while the network runs.
    beside : float
        For each pixel: the tile that runs, the one that is read, the one that is written.
    """

    by_network: float
    beside: float

    @classmethod
    def of(cls, network: Any, sizes: InputSizes, itemsize: int, channels: int, outputs: int) -> TileCost:
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
        """
        side = sizes.at_least(LOOKED_AT + 2 * sizes.margin)
        held = held_values(network, (side, side)) / side**2
        return cls(held * itemsize * SPARE, 4.0 * (3 * channels + 3 * outputs))

    def bytes(self, tile: int, batch: int = 1) -> float:
        """Of `batch` square tiles."""
        return batch * tile**2 * (self.by_network + self.beside)


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
    tile = int((max(room, 0) / (cost.by_network + cost.beside)) ** 0.5)
    tile = min(tile, LARGEST_TILE)
    smallest = max(sizes.minimum, sizes.for_output(sizes.multiple))
    fitting = sizes.at_least(tile)
    if fitting > tile:
        fitting -= sizes.multiple
    return Budget(max(fitting, smallest), batch_for(cost, max(fitting, smallest) ** 2, memory, batch_pixels))


def batch_for(cost: TileCost, pixels: int, memory: float, batch_pixels: int = 0) -> int:
    """Tiles of so many pixels that run together: as many as fit and are worth it, a power of two."""
    room = memory * GIGABYTE - ALWAYS
    fitting = room / max(pixels * (cost.by_network + cost.beside), 1)
    worth = (batch_pixels or BATCH_PIXELS) / max(pixels, 1)
    batch = 1
    while 2 * batch <= min(fitting, worth, MAX_BATCH):
        batch *= 2
    return batch
