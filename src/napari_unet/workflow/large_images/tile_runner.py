"""Runs the tiles of a large image in batches that fit into memory."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.predict import (
    PartNetwork,
    average_over_flips,
    average_part_over_flips,
)
from napari_unet.workflow.large_images.plan import pixel_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.models.model import Model
    from napari_unet.workflow.large_images.plan import Block, LargeImage

    Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class TileRunner:
    """Runs tiles in batches of one size; where memory does not last, in half of that from then on.

    Parameters
    ----------
    large : LargeImage
        Which flips are averaged over, how many tiles run together.
    model : Model
        That answers.
    on_smaller : callable
        Called with the new size, once for each halving.
    """

    def __init__(
        self, large: LargeImage, model: Model, on_smaller: Callable[[int], None] = lambda _: None
    ) -> None:
        self.large = large
        self.plan = large.plan
        self.flips = large.flips
        self.batch = large.batch
        self.on_smaller = on_smaller
        self.model = model
        self.partial = (
            PartNetwork(model.predictor_of_part, self.plan.part_shape) if self.plan.partial else None
        )

    @cached_property
    def network(self) -> Network:
        """What answers for whole tiles; compiled only if it is asked, as it takes time and memory."""
        if self.large.channels > len(self.model.classes) or self.model.recipe.network.separation == "none":
            return pixel_outputs(self.model)
        return self.model.probabilities

    def run(self, blocks: Sequence[Block], tiles: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """What the network says of the tiles of blocks, in order.

        Parameters
        ----------
        blocks : sequence of Block
            At most as many as run together.
        tiles : sequence of numpy.ndarray
            Of each block, ``plan.tile_shape`` + (C,) float32.

        Returns
        -------
        list of numpy.ndarray
            (Y', X', K) float32 of each, as ``BlockPlan.finish`` takes it.

        Raises
        ------
        MemoryError
            If not even one tile fits; or whatever the backend raises then.
        """
        if self.partial is not None:
            return [
                average_part_over_flips(
                    self.partial, tile, self.plan.offset(block.number), self.flips, self.large.rays
                )
                for block, tile in zip(blocks, tiles, strict=True)
            ]
        done: list[NDArray[np.float32]] = []
        while len(done) < len(tiles):
            some = list(tiles[len(done) : len(done) + self.batch])
            # Always as many, so that an answer never depends on which tiles ran together.
            full = np.stack([*some, *[some[-1]] * (self.batch - len(some))])
            try:
                done += list(average_over_flips(self.network, full, self.flips, self.large.rays)[: len(some)])
            except Exception as error:
                if not is_out_of_memory(error) or self.batch == 1:
                    raise
                self.batch //= 2
                self.on_smaller(self.batch)
        return done


OUT_OF_MEMORY = ("out of memory", "resource_exhausted", "can't allocate memory", "failed to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so, in the words of any backend."""
    name = type(error).__name__
    if isinstance(error, MemoryError) or name in {"ResourceExhaustedError", "OutOfMemoryError"}:
        return True
    text = str(error).lower()
    return name in {"XlaRuntimeError", "JaxRuntimeError", "RuntimeError", "InternalError"} and (
        any(words in text for words in OUT_OF_MEMORY)
    )
