"""What a network found, object by object, put on the pixels of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.networks.layers.object_depth import distance_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURE = 0.5  # score from which a find counts
INSIDE = 0.5  # of a mask
SCORE, CLASS, BEFORE_MASK = 4, 5, 6  # where in a find score, class and mask are; its box comes first


def decode_detections(
    found: NDArray[np.float32], shape: tuple[int, int], classes: int
) -> NDArray[np.float32]:
    """Probabilities, and how deep in its object each pixel lies, of all images of a batch.

    So objects are blended over tiles, stored, corrected and exported as those of a network that learned the
    depth itself.

    Parameters
    ----------
    found : numpy.ndarray
        (N, R, 6 + S * S) float32, the surest first: box (top, left, bottom, right), score, class 1..K,
        mask in [0, 1].
    shape : (int, int)
        (Y, X) of the images.
    classes : int
        K.

    Returns
    -------
    numpy.ndarray
        (N, Y, X, K + 1) float32 in [0, 1].
    """
    out = np.zeros((len(found), *shape, classes + 1), np.float32)
    for image, finds in zip(out, found, strict=True):
        numbers, probabilities = paint(finds[finds[:, SCORE] >= SURE], shape, classes)
        image[..., :classes], image[..., classes] = probabilities, distance_map(numbers)
    return out


def paint(
    finds: NDArray[np.float32], shape: tuple[int, int], classes: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Objects of one image; a pixel that several claim belongs to the surest.

    Parameters
    ----------
    finds : numpy.ndarray
        (R, 6 + S * S) float32, the surest first.
    shape, classes
        As ``decode_detections``.

    Returns
    -------
    numbers : numpy.ndarray
        (Y, X) int32, 0 background, 1..R.
    probabilities : numpy.ndarray
        (Y, X, K) float32, that of the mask, the largest where several overlap.
    """
    numbers = np.zeros(shape, np.int32)
    probabilities = np.zeros((*shape, classes), np.float32)
    side = int(np.sqrt(finds.shape[1] - BEFORE_MASK))
    for number, find in enumerate(finds, start=1):
        rows, columns = (_read_along(find[axis], find[axis + 2], shape[axis], side) for axis in (0, 1))
        (first_y, down), (first_x, across) = rows, columns
        mask = np.asarray(down @ find[BEFORE_MASK:].reshape(side, side) @ across.T, np.float32)
        place = np.s_[first_y : first_y + len(down), first_x : first_x + len(across)]
        there = probabilities[..., int(find[CLASS]) - 1][place]
        np.maximum(there, mask, out=there)
        ours = numbers[place]
        ours[(mask > INSIDE) & (ours == 0)] = number
    return numbers, probabilities


def _read_along(low: float, high: float, size: int, side: int) -> tuple[int, NDArray[np.float32]]:
    """First pixel of a box along one axis, and what each pixel reads of the mask's rows, (n, S)."""
    first, last = max(int(np.floor(low)), 0), min(int(np.ceil(high)), size)
    middles = np.arange(first, max(last, first)) + 0.5
    inside = middles[(middles > low) & (middles < high)]
    at = np.clip((inside - low) / max(high - low, 1e-6) * side - 0.5, 0, side - 1)
    shares = np.maximum(1 - np.abs(at[:, None] - np.arange(side)), 0)
    return int(inside[0] - 0.5) if len(inside) else first, shares.astype(np.float32)
