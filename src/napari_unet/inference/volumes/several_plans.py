"""Volumes block by block for several voices: members of an ensemble, or the planes of one network."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.ensembles.ensemble import RunningMean
from napari_unet.inference.volumes.volume_blocks import CellGrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.inference.volumes.volume_blocks import Box


@dataclass(frozen=True, eq=False)
class SeveralPlans(CellGrid):
    """Plans of several networks for one volume, with the same cells; tiles of one plan after another.

    Attributes
    ----------
    full, cell : tuple of int
        (Z, Y, X) of the volume and of a cell.
    plans : tuple of CellGrid
        Of each network.
    weights : tuple of float
        Share of each in the mean.
    classes : int
        Channels of an answer that are probabilities.
    spread : bool
        Whether it is wanted how far voices lie apart, in one channel more.
    """

    full: tuple[int, int, int]
    cell: tuple[int, int, int]
    plans: tuple[CellGrid, ...]
    weights: tuple[float, ...]
    classes: int
    spread: bool = False

    partial = False  # tiles are computed as wholes

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        return tuple(accumulate(map(len, self.plans)))

    def __len__(self) -> int:
        """Tiles of all."""
        return self._ends[-1]

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Of one after another."""
        return tuple(side for plan in self.plans for side in plan.tile_shape)

    def member_of(self, tile: int) -> tuple[int, int]:
        """Number of the plan that a tile is of, and the number that it has there."""
        member = bisect_right(self._ends, tile)
        return member, tile - self._first(member)

    def _first(self, member: int) -> int:
        return self._ends[member - 1] if member else 0

    def result(self, tile: int) -> Box:
        """As the plan of the tile says."""
        member, own = self.member_of(tile)
        return self.plans[member].result(own)

    def tiles_of(self, cell: int) -> list[int]:
        """Numbers of the tiles of all plans that weigh in a cell."""
        return [
            self._first(member) + tile
            for member, plan in enumerate(self.plans)
            for tile in plan.tiles_of(cell)
        ]

    def blend(self, cell: int, answer: Callable[[int, Box], NDArray[Any]]) -> NDArray[np.float32]:
        """Make a cell of the answers of all.

        Parameters
        ----------
        cell : int
            Its number.
        answer : callable
            (tile, part of its answer) -> values, as the plan of the tile takes them.

        Returns
        -------
        numpy.ndarray
            (Z, Y, X, K) float32 in [0, 1], and with `spread` (Z, Y, X, K + 1).
        """
        depth, height, width = (part.stop - part.start for part in self.part(cell))
        total = RunningMean((depth * height, width))  # slices on top of each other are one tall image
        for member, (plan, weight) in enumerate(zip(self.plans, self.weights, strict=True)):
            first = self._first(member)

            def own(tile: int, part: Box, first: int = first) -> NDArray[Any]:
                return answer(first + tile, part)

            voices = list(plan.voices(cell, own))
            for one in voices:
                total.add(one.reshape(depth * height, width, -1), weight / len(voices))
        found = total.mean
        if self.spread:
            found = np.concatenate([found, total.spread(self.classes)[..., None]], axis=-1)
        return found.reshape(depth, height, width, -1)
