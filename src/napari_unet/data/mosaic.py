"""Which tiles were cut side by side from one larger image: found where their edges continue.

The edge of one tile and that of its neighbour are each carried on by half a pixel and compared; true
neighbours meet in the middle. Cutting the TGS tiles in two and looking for the other half this way
finds 97 in 100 at a precision above 0.99 (``benchmarks/mosaics.py``), which is what the bounds below
were set by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample

FLAT = 2.0  # grey levels of deviation below which a tile shows nothing to match
CLEAR_ACROSS = 1.5  # times closer than the second best, side by side
CLEAR_DOWN = 2.0  # one above the other, where layers make edges look alike
ALIKE = 4.0  # times the distance between columns within the tiles
FAR = 12.0  # times that distance, beyond which even a clear best match is none
BLOCK = 1024


@dataclass(frozen=True)
class Seam:
    """Two tiles that continue each other.

    Attributes
    ----------
    first, second : int
        Left and right, or upper and lower tile.
    across : bool
        Side by side; else one above the other.
    clarity : float
        How many times closer than the second best match.
    """

    first: int
    second: int
    across: bool
    clarity: float


def find_seams(tiles: NDArray[np.generic]) -> list[Seam]:
    """Find the tiles that continue each other.

    Parameters
    ----------
    tiles : numpy.ndarray
        (N, Y, X) grey values, all of one size.

    Returns
    -------
    list of Seam
        Mutual best matches that are clear; at most one on each side of a tile.
    """
    seams = []
    values = tiles.astype(np.float32)
    shown = np.flatnonzero(values.std(axis=(1, 2)) >= FLAT)
    for across in (True, False):
        turned = values[shown] if across else values[shown].transpose(0, 2, 1)
        seams += [
            Seam(int(shown[s.first]), int(shown[s.second]), across, s.clarity)
            for s in _seams_across(turned, CLEAR_ACROSS if across else CLEAR_DOWN, ALIKE if across else 0.0)
        ]
    return seams


def _seams_across(tiles: NDArray[np.float32], clear: float, alike: float) -> list[Seam]:
    count = len(tiles)
    if count < 3 or tiles.shape[2] < 8:
        return []
    right = 1.5 * tiles[:, :, -1] - 0.5 * tiles[:, :, -2]
    left = 1.5 * tiles[:, :, 0] - 0.5 * tiles[:, :, 1]
    inner = _inner_distance(tiles)
    best = np.zeros(count, np.intp)
    nearest = np.zeros(count, np.float32)
    second = np.zeros(count, np.float32)
    best_left, nearest_left = np.zeros(count, np.intp), np.full(count, np.inf, np.float32)
    left_squares = (left**2).sum(axis=1)
    for start in range(0, count, BLOCK):
        rows = np.arange(start, min(start + BLOCK, count))
        distance = (right[rows] ** 2).sum(axis=1)[:, None] + left_squares - 2 * right[rows] @ left.T
        distance[rows - start, rows] = np.inf
        best[rows] = distance.argmin(axis=1)
        lowest = np.partition(distance, 1, axis=1)[:, :2]
        nearest[rows], second[rows] = np.maximum(lowest[:, 0], 0), np.maximum(lowest[:, 1], 0)
        closest = distance.argmin(axis=0)
        value = distance[closest, np.arange(count)]
        closer = value < nearest_left
        best_left[closer], nearest_left[closer] = closest[closer] + start, value[closer]
    mutual = best_left[best] == np.arange(count)
    clarity = second / np.maximum(nearest, 1.0)
    usual = 0.5 * (inner + inner[best]) + 30.0  # a floor for tiles that are almost flat
    taken = mutual & (((clarity >= clear) & (nearest < FAR * usual)) | (nearest < alike * usual))
    return [Seam(int(i), int(best[i]), True, float(clarity[i])) for i in np.flatnonzero(taken)]


def _inner_distance(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) the same distance as at seams, but at columns within each tile, on average."""
    columns = range(2, tiles.shape[2] - 3, max(1, tiles.shape[2] // 16))
    total = np.zeros(len(tiles), np.float32)
    for c in columns:
        gap = (
            1.5 * tiles[:, :, c]
            - 0.5 * tiles[:, :, c - 1]
            - 1.5 * tiles[:, :, c + 1]
            + 0.5 * tiles[:, :, c + 2]
        )
        total += (gap**2).sum(axis=1)
    return np.asarray(total / len(columns), np.float32)


def mosaic_groups(samples: Sequence[Sample]) -> list[str]:
    """A group for every tile: those that hang together by seams, or are the same picture.

    Parameters
    ----------
    samples : sequence of Sample
        The tiles; all are read, in grey.

    Returns
    -------
    list of str
        "mosaic ID" with the id of the first tile of the group.
    """
    parent = list(range(len(samples)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i: int, j: int) -> None:
        a, b = sorted((root(i), root(j)))
        parent[b] = a

    by_shape: dict[tuple[int, ...], list[int]] = {}
    grey: list[NDArray[np.generic]] = []
    seen: dict[bytes, int] = {}
    for index, sample in enumerate(samples):
        tile = np.ascontiguousarray(sample.read_image()[..., 0])
        grey.append(tile)
        by_shape.setdefault(tile.shape, []).append(index)
        if tile.std() >= FLAT:
            join(index, seen.setdefault(tile.tobytes(), index))
    for members in by_shape.values():
        for seam in find_seams(np.stack([grey[i] for i in members])):
            join(members[seam.first], members[seam.second])
    return [f"mosaic {samples[root(i)].id}" for i in range(len(samples))]
