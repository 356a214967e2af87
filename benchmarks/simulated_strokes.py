"""Strokes as a person would paint them, drawn from a true mask: short curves in objects and around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.project.corrections.correction import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

OBJECTS, BACKGROUND = 5, 6  # strokes of each class, and of the background, on one image
PIXELS = 40  # length of a stroke on an image of 256 pixels
STEP = 2.0  # pixels from one touch of the brush to the next
TURN = 0.5  # radians that the hand turns at each, about
NEAR = 8  # pixels around objects in which half of the strokes of the background begin


def simulate_strokes(
    labels: NDArray[np.uint8], objects: NDArray[np.int32] | None, seed: int
) -> NDArray[np.uint8]:
    """Paint on one image.

    Parameters
    ----------
    labels : numpy.ndarray
        (Y, X) uint8, the truth: 0 background, 1..K classes.
    objects : numpy.ndarray or None
        (Y, X) int32, the truth; connected foreground where it is not known.
    seed : int
        Of the hand.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8: classes where it is painted, 255 elsewhere.
    """
    import cv2

    draw = np.random.default_rng(seed)
    scale = max(min(labels.shape) / 256, 0.5)
    radius = max(1, round(1.5 * scale))
    painted = np.full(labels.shape, IGNORE, np.uint8)
    for label in np.unique(labels):
        region = labels == label
        depth = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
        for start in _starts(region, depth, objects if label else None, draw, NEAR * scale, bool(label)):
            touched = np.zeros(labels.shape, np.uint8)
            for point in _walk(start, depth, draw, PIXELS * scale):
                cv2.circle(touched, point, radius, 1, -1)
            painted[(touched > 0) & region] = label
    return painted


def strokes_on(truth: NDArray[np.uint8], label: int, count: int, seed: int) -> list[list[tuple[int, int]]]:
    """Ways of the brush, (row, column) each, that lie in one class of a true mask (Y, X)."""
    import cv2

    draw = np.random.default_rng((seed, label))
    region = truth == label
    depth = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    starts = _starts(region, depth, None, draw, NEAR, bool(label))
    return [[(y, x) for x, y in _walk(start, depth, draw, PIXELS)] for start in starts[:count]]


def _starts(
    region: NDArray[np.bool_],
    depth: NDArray[np.float32],
    objects: NDArray[np.int32] | None,
    draw: np.random.Generator,
    near: float,
    foreground: bool,
) -> list[tuple[int, int]]:
    """Where strokes begin: inside different objects; of the background half of them near one."""
    import cv2

    if foreground:
        numbers = np.where(region, objects, 0) if objects is not None else None
        if numbers is None:
            numbers = cv2.connectedComponents(region.astype(np.uint8))[1]
        every = np.unique(numbers[numbers > 0])
        starts = []
        for number in draw.permutation(every)[:OBJECTS]:
            inside = np.where(numbers == number, depth, 0)
            places = np.argwhere(inside >= max(0.7 * inside.max(), 1))
            starts += [places[draw.integers(len(places))]] if len(places) else []
        return [(int(y), int(x)) for y, x in starts]
    close = np.argwhere((depth >= min(2.0, depth.max())) & (depth <= near))
    far = np.argwhere(depth >= min(near, depth.max()))
    starts = [
        places[draw.integers(len(places))] for places in (close, far) * (BACKGROUND // 2) if len(places)
    ]
    return [(int(y), int(x)) for y, x in starts]


def _walk(
    start: tuple[int, int], depth: NDArray[np.float32], draw: np.random.Generator, length: float
) -> list[tuple[int, int]]:
    """(x, y) of the touches of one stroke, which stays inside its region."""
    place, angle = np.array(start, float), draw.uniform(0, 2 * np.pi)
    points = [(start[1], start[0])]
    for _ in range(int(length / STEP)):
        for _try in range(8):
            turned = angle + draw.normal(0, TURN * (1 + _try))
            ahead = place + STEP * np.array([np.sin(turned), np.cos(turned)])
            y, x = (int(n) for n in np.round(ahead))
            if 0 <= y < depth.shape[0] and 0 <= x < depth.shape[1] and depth[y, x] > 1:
                place, angle = ahead, turned
                points.append((x, y))
                break
        else:
            break
    return points
