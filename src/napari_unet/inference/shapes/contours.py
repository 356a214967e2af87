"""Boundaries refined by watershed contours: where cells nearly touch, a line is drawn between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

SMOOTH = 1.0  # pixels; noise must not make two basins of one
DEPTH = 0.1  # by which the probability between two cells must fall short of that in both
WEIGHTS = tuple(round(0.1 * n, 1) for n in range(10))


def watershed_contours(probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Lines between the basins of a map of cell interiors.

    Parameters
    ----------
    probability : numpy.ndarray
        (Y, X) float32 in [0, 1], of being inside a cell.

    Returns
    -------
    numpy.ndarray
        (Y, X) bool, True on lines, one pixel wide, that part the image into cells and what grew from them,
        none of which touches another over an edge.

    Notes
    -----
    Basins begin where the smoothed probability rises at least 0.1 above the saddle to a higher place;
    they grow over edges and corners until they meet (Meyer 1994, doi:10.1016/0165-1684(94)90060-4).
    """
    import cv2
    from scipy import ndimage
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    height = np.asarray(cv2.GaussianBlur(np.ascontiguousarray(probability, np.float32), (0, 0), SMOOTH))
    if float(np.ptp(height)) < DEPTH:
        return np.zeros(height.shape, np.bool_)
    markers, _ = ndimage.label(h_maxima(height, DEPTH), structure=np.ones((3, 3), bool))
    basins = watershed(-height, markers, connectivity=np.ones((3, 3), bool))
    # Of two neighbours in different basins the left or upper one is on the line: scikit-image draws such
    # lines, too, but takes fifty times as long.
    lines = np.zeros(height.shape, np.bool_)
    lines[:, :-1] |= basins[:, :-1] != basins[:, 1:]
    lines[:-1] |= basins[:-1] != basins[1:]
    return lines


def refine(
    probability: NDArray[np.float32], weight: float, contours: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Combine a map of cell interiors with its watershed contours.

    Parameters
    ----------
    probability : numpy.ndarray
        (Y, X) float32 in [0, 1], of being inside a cell.
    weight : float
        Of the contours, 0 (none) to 1 (nothing else).
    contours : numpy.ndarray, optional
        (Y, X) bool, if they are known already.

    Returns
    -------
    numpy.ndarray
        (Y, X) float32 in [0, 1]: (1 - weight) p + weight c, where c is 0 on the contours, else 1.

    References
    ----------
    Chen, Qi, Cheng, Heng 2016, doi:10.1609/aaai.v30i1.10141: its fusion of the network's map with
    watershed contours, whose weight is chosen by the Rand error.
    """
    if weight == 0:
        return probability
    lines = watershed_contours(probability) if contours is None else contours
    return np.asarray((1 - weight) * probability + weight * ~lines, np.float32)


def choose_weight(
    error: Callable[[float, float], float], weights: Sequence[float], thresholds: Sequence[float]
) -> tuple[float, float, float]:
    """The weight of the contours, and the threshold, with the smallest error.

    Parameters
    ----------
    error : callable
        (weight, threshold) -> error.
    weights, thresholds : sequence of float
        To be tried.

    Returns
    -------
    weight, threshold, error : float
        Of equal ones the smallest weight, then the threshold named first.
    """
    found = [(error(w, t), w, place, t) for w in weights for place, t in enumerate(thresholds)]
    least, weight, _, threshold = min(found)
    return weight, threshold, least
