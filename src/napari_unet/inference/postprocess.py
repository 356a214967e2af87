"""From probabilities to masks, and from masks to objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Activation = Literal["sigmoid", "softmax"]
# Of the image's pixels: what a mask must have before doubt elsewhere counts for little.
SOFT = 0.002
BELOW = 0.99  # of the threshold: a little, so that it stays there when it is rounded to half precision


def mask_from_probabilities(
    probabilities: NDArray[np.float32],
    threshold: float = 0.5,
    minimum_size: int = 0,
    *,
    activation: Activation = "sigmoid",
) -> NDArray[np.uint8]:
    """Mask of the most probable class where it is probable enough.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1], classes 1..K, without the background.
    threshold : float
        In [0, 1]; see Notes.
    minimum_size : int
        Connected pieces of a class with fewer pixels become background.
    activation : str
        What the probabilities came from, "sigmoid" or "softmax".

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.

    Raises
    ------
    ValueError
        If there are no classes, or more than 255.

    Notes
    -----
    Of several classes that are equally probable the first is taken. With p its probability, t the
    threshold and b = 1 - (sum over the classes) the probability of the background, a pixel is
    foreground where

    - sigmoid: p > t, as each class was judged by itself;
    - softmax: p (1 - t) > b t, so that 0.5 takes the most probable of classes and background. With
      one class that is p > t again.
    """
    classes = probabilities.shape[-1]
    if not 1 <= classes <= 255:
        raise ValueError(f"a mask has 1 to 255 classes, not {classes}")
    if classes == 1:
        mask = (probabilities[..., 0] > threshold).astype(np.uint8)
    else:
        highest = probabilities.max(axis=-1)
        if activation == "softmax":
            background = np.maximum(1 - probabilities.sum(axis=-1), 0)
            found = highest * (1 - threshold) > background * threshold
        else:
            found = highest > threshold
        mask = np.where(found, probabilities.argmax(axis=-1) + 1, 0).astype(np.uint8)
    return remove_small(mask, minimum_size) if minimum_size > 1 else mask


def without_presence(outputs: NDArray[np.float32], classes: int) -> tuple[NDArray[np.float32], float]:
    """Part what a network says of pixels from what it says of the image.

    Parameters
    ----------
    outputs : numpy.ndarray
        (Y, X, K + 1 + ...) float32, presence after the classes.
    classes : int
        K.

    Returns
    -------
    outputs : numpy.ndarray
        (Y, X, K + ...) float32.
    presence : float
        Probability that there is anything in the image; of an image of several tiles the highest.
    """
    return np.delete(outputs, classes, axis=-1), float(outputs[..., classes].max())


def fade(
    probabilities: NDArray[np.float32], presence: float, least: float, threshold: float
) -> NDArray[np.float32]:
    """Press the probabilities of an image that is said to be empty below the threshold.

    So its mask is empty, and still has what it would have been where somebody lowers the threshold.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    presence : float
        Probability that there is anything in the image.
    least : float
        Presence from which nothing is changed.
    threshold : float
        Of the mask.

    Returns
    -------
    numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    """
    if presence >= least:
        return probabilities
    return probabilities * np.float32(BELOW * threshold * presence / least)


def fade_specks(
    probabilities: NDArray[np.float32], specks: NDArray[np.bool_], threshold: float
) -> NDArray[np.float32]:
    """Press the probabilities of specks below the threshold, as ``fade`` does those of an image.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    specks : numpy.ndarray
        (Y, X) bool.
    threshold : float
        Of the mask.

    Returns
    -------
    numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    """
    return np.where(specks[..., None], probabilities * np.float32(BELOW * threshold), probabilities)


def find_specks(mask: NDArray[np.uint8], depth: NDArray[np.float32], least: float) -> NDArray[np.bool_]:
    """Find connected pieces (over edges and corners) of a class that are nowhere deep.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    depth : numpy.ndarray
        (Y, X) float32 in [0, 1], the output of a network that learned how deep a pixel lies in its object.
    least : float
        A piece with a deeper pixel is no speck.

    Returns
    -------
    numpy.ndarray
        (Y, X) bool.
    """
    import cv2

    specks, deep = np.zeros(mask.shape, bool), depth > least
    for label in np.unique(mask[mask > 0]):
        count, pieces = cv2.connectedComponents((mask == label).astype(np.uint8), connectivity=8)
        shallow = np.ones(count, bool)
        shallow[0] = False
        shallow[pieces[deep]] = False
        specks |= shallow[pieces]
    return specks


def fill_enclosed(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give background that one class encloses to that class; other classes inside stay.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8. Background that touches the image's border, or reaches it over edges, stays.
    """
    from scipy import ndimage

    filled = mask.copy()
    for label in np.unique(mask[mask > 0]):
        inside = ndimage.binary_fill_holes(mask == label)
        filled[inside & (filled == 0)] = label
    return filled


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

    cleaned = mask.copy()
    for label in np.unique(mask[mask > 0]):
        _, pieces, statistics, _ = cv2.connectedComponentsWithStats(
            (mask == label).astype(np.uint8), connectivity=8
        )
        small = statistics[:, cv2.CC_STAT_AREA] < minimum_size
        small[0] = False
        cleaned[small[pieces]] = 0
    return cleaned


def connected_objects(mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number the connected pieces (over edges and corners) of each class.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8.

    Returns
    -------
    numpy.ndarray
        (Y, X) int32, 0 background, 1..N: those of class 1 first, each class from top to bottom.
        Pieces of different classes are different objects even where they touch.
    """
    from scipy import ndimage

    objects = np.zeros(mask.shape, np.int32)
    count = 0
    for label in np.unique(mask[mask > 0]):
        pieces, found = ndimage.label(mask == label, structure=np.ones((3, 3), bool))
        objects += np.where(pieces > 0, pieces + count, 0).astype(np.int32)
        count += found
    return objects


def expected_iou(probabilities: NDArray[np.float32], mask: NDArray[np.integer]) -> float:
    """The IoU that probabilities promise for a mask, were they right pixel by pixel.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    mask : numpy.ndarray
        (Y, X) of 0 to K, made from them.

    Returns
    -------
    float
        0 to 1.

    Notes
    -----
    With mask M and probabilities p the expected IoU of a class is
    (sum of p in M + s) / (|M| + sum of p outside M + s). It is averaged over the classes in M. The small s
    lets an empty mask be right. Where M is empty it is s / (sum of p + s).
    """
    classes = probabilities.shape[2]
    small = SOFT * mask.size
    expected = []
    for number in range(classes):
        inside = mask == number + 1
        p = probabilities[..., number]
        if inside.any() or (classes == 1 and not mask.any()):
            inside_sum = float(p[inside].sum(dtype=np.float64))
            outside = float(p.sum(dtype=np.float64)) - inside_sum
            expected.append((inside_sum + small) / (int(inside.sum()) + outside + small))
    if not expected:
        rest = float(probabilities.max(axis=2).sum(dtype=np.float64))
        expected.append(small / (rest + small))
    return float(np.mean(expected))
