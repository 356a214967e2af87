"""Objects from star-convex polygons: the best first, those that mostly lie on better ones left out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.objects import WEIGHTS, smoothed
from napari_unet.networks.layers.star_shape import LONGEST, directions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LEAST = 0.3  # depth, by the network, from which a pixel may be the middle of an object
OVERLAP = 0.4  # share of the smaller polygon that two may have in common
REACH = len(WEIGHTS) - 1  # pixels that smoothing mixes, either way
ROUNDING = 1e-5  # of smoothed depth
CELL = 64  # pixels: of squares in which polygons are looked up
SMALLEST = 1.0  # pixels of a ray


@dataclass(frozen=True, eq=False)
class Stars:
    """Polygons around middles.

    Attributes
    ----------
    middles : numpy.ndarray
        (N, 2) float64, Y and X.
    rays : numpy.ndarray
        (N, 32) float64, pixels.
    depth : numpy.ndarray
        (N,) float64 in [0, 1], the deepest first.
    """

    middles: NDArray[np.float64]
    rays: NDArray[np.float64]
    depth: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.depth)

    def some(self, numbers: Sequence[int] | NDArray[np.integer]) -> Stars:
        """Those of these numbers, in that order."""
        chosen = np.asarray(numbers, np.intp)
        return Stars(self.middles[chosen], self.rays[chosen], self.depth[chosen])

    @property
    def corners(self) -> NDArray[np.float64]:
        """(N, 32, 2) float64, Y and X of the polygons' corners."""
        return self.middles[:, None] + self.rays[..., None] * directions()


def find_stars(depth: NDArray[np.float32], distances: NDArray[np.float32], least: float = LEAST) -> Stars:
    """Polygons of all places that are deeper than their surroundings.

    Parameters
    ----------
    depth : numpy.ndarray
        (Y, X) float32 in [0, 1].
    distances : numpy.ndarray
        (Y, X, 32) float32 in [0, 1], shares of 1024 pixels.
    least : float
        Depth below which no pixel is a middle.
    """
    y, x, smooth = find_middles(depth, least)
    order = np.argsort(-smooth, kind="stable")
    y, x = y[order], x[order]
    return stars_of(np.stack([y, x], axis=1), distances[y, x], smooth[order])


def find_middles(
    depth: NDArray[np.float32], least: float = LEAST
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Rows, columns and smoothed depth of pixels that are deeper than their surroundings, row by row."""
    import cv2

    smooth = smoothed(depth)
    highest = np.asarray(cv2.dilate(smooth, np.ones((3, 3), np.uint8)))
    y, x = np.nonzero((smooth >= highest) & (smooth > least))
    return y, x, smooth[y, x]


def may_be_middles(depth: NDArray[np.float32], least: float = LEAST) -> NDArray[np.bool_]:
    """(Y, X) bool: pixels of a part of an image that are middles in some image that the part may be of."""
    import cv2

    def as_if_nothing_around(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return smoothed(np.pad(values, REACH))[REACH:-REACH, REACH:-REACH]

    inside = as_if_nothing_around(np.asarray(depth, np.float32))
    around = 1 - as_if_nothing_around(np.ones(depth.shape, np.float32))
    may = inside + around > least - ROUNDING
    middle = tuple(slice(REACH + 1, size - REACH - 1) for size in depth.shape)
    highest = np.asarray(cv2.dilate(inside, np.ones((3, 3), np.uint8)))
    may[middle] &= (inside >= highest)[middle]
    return may


def stars_of(
    middles: NDArray[np.integer], distances: NDArray[np.floating], depth: NDArray[np.floating]
) -> Stars:
    """Polygons of middles (N, 2), their rays (N, 32) in shares of 1024 pixels, and their depth (N,)."""
    rays = np.maximum(distances.astype(np.float64) * LONGEST, SMALLEST)
    return Stars(middles.astype(np.float64), rays, depth.astype(np.float64))


def suppress(stars: Stars, overlap: float = OVERLAP, on_each: Callable[[], object] = lambda: None) -> Stars:
    """Leave out polygons of which too much lies on a deeper one that stays (non-maximum suppression).

    Parameters
    ----------
    stars : Stars
        The deepest first.
    overlap : float
        Share of the smaller of two polygons that they may have in common.
    on_each : callable
        Is called for each polygon.
    """
    if not len(stars):
        return stars
    low, high = boxes_of(stars)
    corners = stars.corners
    accepted: list[int] = []
    drawn: dict[int, NDArray[np.bool_]] = {}
    near: defaultdict[tuple[int, int], list[int]] = defaultdict(
        list
    )  # accepted ones by the squares they reach
    for number in range(len(stars)):
        on_each()
        ours = filled(corners[number], low[number], high[number])
        first, last = low[number] // CELL, high[number] // CELL + 1
        cells = [(y, x) for y in range(first[0], last[0]) for x in range(first[1], last[1])]
        others = {other for cell in cells for other in near.get(cell, ())}
        if any(_lies_on(number, ours, other, drawn[other], low, high, overlap) for other in others):
            continue
        accepted.append(number)
        drawn[number] = ours
        for cell in cells:
            near[cell].append(number)
    return stars.some(accepted)


def boxes_of(stars: Stars) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """(N, 2) first and last row and column of each polygon."""
    corners = stars.corners
    return np.floor(corners.min(axis=1)).astype(int), np.ceil(corners.max(axis=1)).astype(int)


def _lies_on(
    number: int,
    ours: NDArray[np.bool_],
    other: int,
    theirs: NDArray[np.bool_],
    low: NDArray[np.int_],
    high: NDArray[np.int_],
    overlap: float,
) -> bool:
    first = np.maximum(low[number], low[other])
    last = np.minimum(high[number], high[other]) + 1
    if (first >= last).any():
        return False
    a, b = (
        mask[tuple(slice(f - o, e - o) for f, e, o in zip(first, last, origin, strict=True))]
        for mask, origin in ((ours, low[number]), (theirs, low[other]))
    )
    return bool((a & b).sum() > overlap * min(ours.sum(), theirs.sum()))


def filled(corners: NDArray[np.float64], low: NDArray[np.int_], high: NDArray[np.int_]) -> NDArray[np.bool_]:
    """A polygon's pixels within its box, both ends of which are part of it."""
    import cv2

    canvas = np.zeros(tuple(high - low + 1), np.uint8)
    points = np.rint((corners - low)[:, ::-1]).astype(np.int32)
    cv2.fillPoly(canvas, [points], 1)
    return canvas.astype(np.bool_)


def star_objects(
    depth: NDArray[np.float32],
    distances: NDArray[np.float32],
    least: float = LEAST,
    overlap: float = OVERLAP,
) -> NDArray[np.int32]:
    """Objects as star-convex polygons.

    Parameters
    ----------
    depth, distances, least
        As ``find_stars``.
    overlap : float
        As ``suppress``.

    Returns
    -------
    numpy.ndarray
        (Y, X) int32, 0 background, 1..N, the deepest first; where polygons overlap the deeper one has the
        pixel.

    References
    ----------
    Schmidt, Weigert, Broaddus, Myers 2018, doi:10.1007/978-3-030-00934-2_30.
    """
    return drawn_stars(suppress(find_stars(depth, distances, least), overlap), depth.shape)


def drawn_stars(stars: Stars, shape: tuple[int, ...], origin: tuple[int, int] = (0, 0)) -> NDArray[np.int32]:
    """Polygons, the deepest first, drawn into an image (Y, X) whose first pixel is `origin`: 1..N."""
    objects = np.zeros(shape, np.int32)
    low, high = boxes_of(stars)
    corners, start = stars.corners, np.array(origin)
    for number in reversed(range(len(stars))):
        mask = filled(corners[number], low[number], high[number])
        first = np.maximum(low[number] - start, 0)
        last = np.minimum(high[number] + 1 - start, shape)
        if (first >= last).any():
            continue
        place = tuple(slice(f, e) for f, e in zip(first, last, strict=True))
        part = tuple(slice(f - o, e - o) for f, e, o in zip(first, last, low[number] - start, strict=True))
        objects[place][mask[part]] = number + 1
    return objects
