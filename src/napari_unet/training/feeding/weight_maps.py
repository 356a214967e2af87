"""Pixel weights: the paper's border weight map and the balance of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def border_weights(objects: NDArray[np.int32], w0: float = 10.0, sigma: float = 5.0) -> NDArray[np.float32]:
    """What equation 2 of the U-Net paper adds to the weights between touching objects.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) int32, 0 background, one number an object.
    w0 : float
        Weight in the narrowest gap.
    sigma : float
        Width of the border, in pixels.

    Returns
    -------
    numpy.ndarray
        (Y, X) float32: w0 * exp(-(d1 + d2) ** 2 / (2 sigma ** 2)) on background pixels, where d1
        and d2 are the distances to the nearest and second nearest object. 0 on objects and where
        there are fewer than two.

    References
    ----------
    Ronneberger, Fischer, Brox 2015, doi:10.1007/978-3-319-24574-4_28.
    """
    from scipy import ndimage

    weights = np.zeros(objects.shape, np.float32)
    if w0 == 0:
        return weights
    reach = int(np.ceil(5 * sigma))
    nearest = np.full(objects.shape, np.inf, np.float32)
    second = np.full(objects.shape, np.inf, np.float32)
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if box is None:
            continue
        # Beyond five sigma the weight is below w0 * 4e-6: each object needs only its surroundings.
        around = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in box)
        distance = ndimage.distance_transform_edt(objects[around] != number).astype(np.float32)
        first, other = nearest[around], second[around]
        np.minimum(other, np.maximum(first, distance), out=other)
        np.minimum(first, distance, out=first)
    gaps = (objects == 0) & np.isfinite(second)
    weights[gaps] = w0 * np.exp(-((nearest[gaps] + second[gaps]) ** 2) / (2 * sigma**2))
    return weights


def separate_objects(objects: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Foreground with a background pixel between objects that touch.

    The paper's segmentation borders: where two objects meet, the pixels of the one with the higher
    number become background, so that a network can learn to keep them apart.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) int32.

    Returns
    -------
    numpy.ndarray
        (Y, X) bool.
    """
    from scipy import ndimage

    highest = ndimage.maximum_filter(objects, size=3, mode="nearest")
    ground = np.where(objects == 0, np.iinfo(np.int32).max, objects)
    lowest = ndimage.minimum_filter(ground, size=3, mode="nearest")
    touching = (objects > 0) & (lowest != highest) & (objects == highest)
    return np.asarray((objects > 0) & ~touching)


def border_map(objects: NDArray[np.int32], width: int = 2) -> NDArray[np.float32]:
    """Where objects touch or nearly touch.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) int32.
    width : int
        Pixels within this distance (along both axes) of two objects are border.

    Returns
    -------
    numpy.ndarray
        (Y, X) float32, 1 on borders between objects, else 0.
    """
    from scipy import ndimage

    size = 2 * width + 1
    highest = ndimage.maximum_filter(objects, size=size, mode="nearest")
    ground = np.where(objects == 0, np.iinfo(np.int32).max, objects)
    lowest = ndimage.minimum_filter(ground, size=size, mode="nearest")
    return np.asarray((highest > 0) & (lowest < highest), np.float32)


def class_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights that balance the classes, w_c of equation 2.

    Parameters
    ----------
    counts : numpy.ndarray
        (K + 1,) pixels of each class, background first.

    Returns
    -------
    numpy.ndarray
        (K + 1,) float32 with mean 1 over the pixels: total / (occurring classes * count), 0 for a
        class that does not occur.
    """
    occurring = counts > 0
    weights = np.zeros(len(counts), np.float32)
    weights[occurring] = counts.sum() / (occurring.sum() * counts[occurring])
    return weights
