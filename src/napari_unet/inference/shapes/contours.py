"""Boundaries refined by watershed contours: where cells nearly touch, a line is drawn between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.objects import grown_from_cores, peaks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.settings import InferenceSettings

WEIGHTS = tuple(round(0.1 * n, 1) for n in range(10))


def refines(settings: InferenceSettings, classes: int) -> bool:
    """Whether contours are drawn: settings give them a weight, and there is one class that they part."""
    return settings.refinement > 0 and classes == 1


def watershed_contours(
    probability: NDArray[np.float32], known: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Lines between the basins of a map of cell interiors.

    Parameters
    ----------
    probability : numpy.ndarray
        (Y, X) float32 in [0, 1], of being inside a cell.
    known : numpy.ndarray, optional
        (Y, X) bool: pixels that hold data; the others are in no basin.

    Returns
    -------
    numpy.ndarray
        (Y, X) bool, True on lines, one pixel wide, that part the image into cells and what grew from them,
        none of which touches another over an edge.

    Notes
    -----
    Basins begin where the smoothed probability rises at least 0.1 above the saddle to a higher place;
    they grow over edges and corners until they meet (Meyer 1994, doi:10.1016/0165-1684(94)90060-4). They are
    the objects of ``objects.peaks`` in a mask of all pixels, so a large image has them part by part.
    """
    mask = np.ones(probability.shape, np.uint8) if known is None else known.astype(np.uint8)
    return lines_between(grown_from_cores(mask, probability[..., None], peaks))


def lines_between(basins: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(Y, X) bool: of two neighbours in different basins the left or upper one; 0 is no basin."""
    # scikit-image draws such lines, too, but takes fifty times as long.
    lines = np.zeros(basins.shape, np.bool_)
    for here, next_to in (
        ((slice(None), slice(-1)), (slice(None), slice(1, None))),
        ((slice(-1),), (slice(1, None),)),
    ):
        first, second = basins[here], basins[next_to]
        lines[here] |= (first != second) & (first > 0) & (second > 0)
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
