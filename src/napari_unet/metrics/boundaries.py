"""How well membranes and outlines are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.metrics.overlap import count_overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pixel_error(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer] | NDArray[np.floating],
    *,
    threshold: float = 0.5,
    weights: NDArray[np.float32] | None = None,
) -> float:
    """Share of wrong pixels.

    Parameters
    ----------
    reference : numpy.ndarray
        (Y, X) of integers or bool, 0 background, 1..K.
    predicted : numpy.ndarray
        (Y, X): labels as in the reference, or probabilities of class 1 in [0, 1] of a float type.
    threshold : float
        Probabilities above it are class 1; labels are taken as they are.
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 do not count.

    Returns
    -------
    float
        0 to 1; NaN if no pixel counts.

    Raises
    ------
    ValueError
        If shapes differ.

    Notes
    -----
    The ISBI 2012 challenge gave the lowest value over all thresholds; at one threshold it is the mean
    squared difference of the two binary images.

    References
    ----------
    Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.
    """
    probable = predicted.dtype.kind == "f"
    labels = np.asarray(predicted > threshold if probable else predicted).astype(np.intp)
    classes = max(int(reference.max(initial=0)), int(labels.max(initial=0)), 1)
    return count_overlap(reference, labels, classes, weights).pixel_error
