"""An order that does not offer the same kind of image again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPEATED = 0.2  # of IoU: how much better an image may be and still come before one like those offered already
ALIKE = 0.5  # mean squared difference, in units of the variance, at which likeness has fallen to 1 / e
AHEAD = 50  # images at the front that are ordered for variety


def appearance(image: NDArray[np.generic], probabilities: NDArray[np.float32]) -> tuple[float, ...]:
    """A few numbers by which kinds of images differ.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C) as it was read, of any dtype and range.
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1] that a model gives it.

    Returns
    -------
    tuple of float
        Mean, deviation, colour (mean distance of the channels from their mean), sharpness (mean step
        between neighbours over the deviation), share of foreground, share of hesitation. The first
        three are logarithms, as ranges of images differ.
    """
    values = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    grey = values.mean(axis=2)
    deviation = float(grey.std())
    colour = float(np.abs(values - grey[..., None]).mean())
    steps = [float(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (0, 1) if grey.shape[axis] > 1]
    sharpness = float(np.mean(steps)) / deviation if steps and deviation > 0 else 0.0
    measured = [float(np.log1p(abs(v))) for v in (float(grey.mean()), deviation, colour)]
    highest = probabilities.max(axis=2)
    hesitation = float((highest * (1 - highest)).mean())
    return (*measured, sharpness, float(highest.mean()), hesitation)


def varied_order(
    iou: NDArray[np.float64],
    appearances: NDArray[np.float64],
    done: NDArray[np.float64] | None = None,
) -> list[int]:
    """Order images worst first, but hold back what looks like images before it.

    Parameters
    ----------
    iou : numpy.ndarray
        (N,) known or estimated, 0 to 1, ascending.
    appearances : numpy.ndarray
        (N, D), as ``appearance`` gives them.
    done : numpy.ndarray, optional
        (M, D) of images corrected already.

    Returns
    -------
    list of int
        Positions 0..N - 1. Each is that of the image with the lowest sum of IoU and 0.2 times the likeness
        to the image before it, or done, that is most like it; behind the first 50 by IoU alone.

    Notes
    -----
    Likeness is exp(-d / 0.5), where d is the mean squared difference of the appearances, each divided by
    its standard deviation over all images. Worst-first alone offers near copies of the one image that a
    model fails on; Sener, Savarese 2018, arXiv:1708.00489, on why a batch should cover the data.
    """
    count = len(iou)
    every = appearances if done is None or not len(done) else np.concatenate([appearances, done])
    spread = every.std(axis=0) if count else np.ones(1)
    scaled = every / np.where(spread > 1e-9, spread, np.inf)
    likeness = np.zeros(count)
    for other in scaled[count:]:
        likeness = np.maximum(likeness, _likeness(scaled[:count], other))
    left = np.ones(count, bool)
    order: list[int] = []
    while len(order) < min(AHEAD, count):
        cost = np.where(left, iou + REPEATED * likeness, np.inf)
        best = int(np.argmin(cost))
        order.append(best)
        left[best] = False
        likeness = np.maximum(likeness, _likeness(scaled[:count], scaled[best]))
    return [*order, *np.flatnonzero(left).tolist()]


def _likeness(images: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    difference = ((images - other) ** 2).mean(axis=1)
    return np.asarray(np.exp(-difference / ALIKE))
