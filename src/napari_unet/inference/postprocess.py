"""From probabilities to masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mask_from_probabilities(
    probabilities: NDArray[np.float32], threshold: float = 0.5, minimum_size: int = 0
) -> NDArray[np.uint8]:
    """Mask of the most probable class where it is more probable than the threshold.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1], classes 1..K.
    threshold : float
        Pixels whose highest probability is not above it are background.
    minimum_size : int
        Connected pieces of a class with fewer pixels become background.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    """
    best = probabilities.argmax(axis=-1)
    highest = np.take_along_axis(probabilities, best[..., None], axis=-1)[..., 0]
    mask = np.where(highest > threshold, best + 1, 0).astype(np.uint8)
    return remove_small(mask, minimum_size) if minimum_size > 1 else mask


def remove_small(mask: NDArray[np.uint8], minimum_size: int) -> NDArray[np.uint8]:
    """Drop connected pieces (over edges and corners) of a class with fewer pixels.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8.
    minimum_size : int
        In pixels.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8.
    """
    import cv2

    kept = mask.copy()
    for label in np.unique(mask[mask > 0]):
        _, pieces, statistics, _ = cv2.connectedComponentsWithStats(
            (mask == label).astype(np.uint8), connectivity=8
        )
        small = statistics[:, cv2.CC_STAT_AREA] < minimum_size
        small[0] = False
        kept[small[pieces]] = 0
    return kept
