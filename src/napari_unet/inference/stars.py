"""Objects from star-convex polygons: the best first, those that mostly lie on better ones left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.networks.layers.star_shape import LONGEST, directions

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 0.3  # depth, by the network, from which a pixel may be the middle of an object
OVERLAP = 0.4  # share of the smaller polygon that two may have in common
SMOOTH = 1.0  # pixels; noise must not make two middles of one
MOST = 20_000  # middles looked at, the deepest first
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
    import cv2

    smooth = np.asarray(cv2.GaussianBlur(np.ascontiguousarray(depth, np.float32), (0, 0), SMOOTH))
    highest = np.asarray(cv2.dilate(smooth, np.ones((3, 3), np.uint8)))
    y, x = np.nonzero((smooth >= highest) & (smooth > least))
    order = np.argsort(-smooth[y, x], kind="stable")[:MOST]
    y, x = y[order], x[order]
    rays = np.maximum(distances[y, x].astype(np.float64) * LONGEST, SMALLEST)
    return Stars(np.stack([y, x], axis=1).astype(np.float64), rays, smooth[y, x].astype(np.float64))


def suppress(stars: Stars, overlap: float = OVERLAP) -> Stars:
    """Leave out polygons of which too much lies on a deeper one that stays (non-maximum suppression).

    Parameters
    ----------
    stars : Stars
        The deepest first.
    overlap : float
        Share of the smaller of two polygons that they may have in common.
    """
    corners = stars.corners
    low, high = np.floor(corners.min(axis=1)).astype(int), np.ceil(corners.max(axis=1)).astype(int)
    accepted: list[int] = []
    drawn: list[NDArray[np.bool_]] = []
    for number in range(len(stars)):
        ours = filled(corners[number], low[number], high[number])
        if _lies_on(number, ours, accepted, drawn, low, high, overlap):
            continue
        accepted.append(number)
        drawn.append(ours)
    return Stars(stars.middles[accepted], stars.rays[accepted], stars.depth[accepted])


def _lies_on(
    number: int,
    ours: NDArray[np.bool_],
    accepted: list[int],
    drawn: list[NDArray[np.bool_]],
    low: NDArray[np.int_],
    high: NDArray[np.int_],
    overlap: float,
) -> bool:
    if not accepted:
        return False
    chosen = np.array(accepted)
    near = ((low[chosen] <= high[number]) & (high[chosen] >= low[number])).all(axis=1)
    for place in np.flatnonzero(near):
        other, theirs = chosen[place], drawn[place]
        first = np.maximum(low[number], low[other])
        last = np.minimum(high[number], high[other]) + 1
        a, b = (
            mask[tuple(slice(f - o, e - o) for f, e, o in zip(first, last, origin, strict=True))]
            for mask, origin in ((ours, low[number]), (theirs, low[other]))
        )
        if (a & b).sum() > overlap * min(ours.sum(), theirs.sum()):
            return True
    return False


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
    stars = suppress(find_stars(depth, distances, least), overlap)
    objects = np.zeros(depth.shape, np.int32)
    corners = stars.corners
    for number in reversed(range(len(stars))):
        low = np.floor(corners[number].min(axis=0)).astype(int)
        high = np.ceil(corners[number].max(axis=0)).astype(int)
        mask = filled(corners[number], low, high)
        first, last = np.maximum(low, 0), np.minimum(high + 1, depth.shape)
        place = tuple(slice(f, e) for f, e in zip(first, last, strict=True))
        part = tuple(slice(f - o, e - o) for f, e, o in zip(first, last, low, strict=True))
        objects[place][mask[part]] = number + 1
    return objects
