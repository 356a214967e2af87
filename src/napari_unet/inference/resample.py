"""Resizing a part of an image as OpenCV resizes the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Resampling:
    """How pixels along one axis become fewer or more.

    Attributes
    ----------
    before, after : int
        Pixels of the whole axis.
    area : bool
        Whether they are averaged, weighted by area; else the two nearest are mixed. OpenCV averages if the
        image as a whole becomes smaller.
    """

    before: int
    after: int
    area: bool

    @property
    def step(self) -> float:
        """Pixels before for one after."""
        return self.before / self.after

    def reads(self, first: int, last: int) -> tuple[int, int]:
        """What pixels `first` to `last` (not included) after are made of: the first, and behind the last."""
        if self.before == self.after:
            return first, last
        if self.area:
            start, stop = int(np.floor(first * self.step)), int(np.ceil(last * self.step))
        else:
            start = int(np.floor((first + 0.5) * self.step - 0.5))
            stop = int(np.floor((last - 0.5) * self.step - 0.5)) + 2
        return max(start, 0), min(max(stop, start + 1), self.before)

    def matrix(self, places: NDArray[np.intp], start: int, stop: int) -> Any:
        """Weights that make pixels at these places of pixels `start` to `stop`.

        Parameters
        ----------
        places : numpy.ndarray
            Numbers of pixels after; any order, any of them more than once.
        start, stop : int
            Of the pixels before that are there; all that `places` are made of must be among them.

        Returns
        -------
        scipy.sparse.csr_array
            (places, stop - start) float32; rows sum to 1.
        """
        from scipy import sparse

        rows, columns, weights = self._area(places) if self.area else self._mixed(places)
        used = weights > 0
        columns = np.clip(columns, 0, self.before - 1) - start
        return sparse.csr_array(
            (weights[used].astype(np.float32), (rows[used], columns[used])),
            shape=(len(places), stop - start),
        )

    def _area(self, places: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        start = places * self.step
        first = np.floor(start + 1e-9).astype(np.intp)
        reach = int(np.ceil(self.step)) + 1
        columns = first[:, None] + np.arange(reach)
        covered = np.minimum(columns + 1, (start + self.step)[:, None]) - np.maximum(columns, start[:, None])
        covered = np.where((columns < self.before) & (covered > 1e-6), covered, 0.0)
        weights = covered / covered.sum(axis=1, keepdims=True)
        rows = np.broadcast_to(np.arange(len(places))[:, None], columns.shape)
        return rows.ravel(), columns.ravel(), weights.ravel()

    def _mixed(self, places: NDArray[np.intp]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        place = np.clip((places + 0.5) * self.step - 0.5, 0, self.before - 1)
        first = np.floor(place).astype(np.intp)
        share = place - first
        rows = np.tile(np.arange(len(places)), 2)
        columns = np.concatenate([first, first + 1])
        return rows, columns, np.concatenate([1 - share, share])


def apply(rows: Any, columns: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weigh (Y, X, C) float32 along Y by one matrix and along X by another: (Y', X', C) float32."""
    height, width, channels = values.shape
    down = np.asarray(rows @ values.reshape(height, width * channels)).reshape(-1, width, channels)
    turned = np.ascontiguousarray(down.transpose(1, 0, 2)).reshape(width, -1)
    across = np.asarray(columns @ turned).reshape(columns.shape[0], -1, channels)
    return np.ascontiguousarray(across.transpose(1, 0, 2), np.float32)
