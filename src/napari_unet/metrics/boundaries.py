"""How well membranes and outlines are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.metrics.overlap import count_overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.metrics.overlap import EmptyRule

BAND = 0.02  # of the image's diagonal, the width of the bands of boundary IoU


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


@dataclass(frozen=True, eq=False)
class OutlineCounts:
    """What the outline scores of an image need.

    Attributes
    ----------
    both, union : numpy.ndarray
        (K,) int64, pixels of the bands along the outlines that both masks share, and of either.
    hausdorff_95 : float
        In pixels; NaN in a pool of images, as distances do not add up.
    """

    both: NDArray[np.int64]
    union: NDArray[np.int64]
    hausdorff_95: float

    def __add__(self, other: OutlineCounts) -> OutlineCounts:
        """Pool two images."""
        return OutlineCounts(self.both + other.both, self.union + other.union, float("nan"))

    def boundary_iou(self, empty: EmptyRule = "one") -> float:
        """IoU of the bands, mean over the classes that have one in either mask; by the rule if none has."""
        present = self.union > 0
        if present.any():
            return float((self.both[present] / self.union[present]).mean())
        return {"one": 1.0, "zero": 0.0, "skip": float("nan")}[empty]


def count_outlines(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    classes: int = 1,
    weights: NDArray[np.float32] | None = None,
    empty: EmptyRule = "one",
) -> OutlineCounts:
    """Compare the outlines of two masks.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers or bool, 0 background, 1..K.
    classes : int
        K.
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 do not count: they are background in both masks.
    empty : str
        Distance where no class is in either mask: 0 with "one", the image's diagonal with "zero", NaN
        with "skip".

    Returns
    -------
    OutlineCounts
        Of this image. The distance is the mean over the classes that occur.

    Raises
    ------
    ValueError
        If shapes differ.

    Notes
    -----
    The band lies inside the class, within 2 % of the image's diagonal of the outline, as the authors of
    the boundary IoU draw it. It is what an erosion by 3 x 3 pixels takes away in as many rounds. The
    image's border is an outline, too.

    References
    ----------
    Cheng et al. 2021, doi:10.1109/CVPR46437.2021.01508.
    """
    if reference.shape != predicted.shape or (weights is not None and weights.shape != reference.shape):
        raise ValueError(f"masks of {reference.shape} and {predicted.shape} cannot be compared")
    diagonal = float(np.hypot(*reference.shape))
    rounds = max(1, round(BAND * diagonal))
    both, union = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    distances = []
    for number in range(1, classes + 1):
        one, other = reference == number, predicted == number
        if weights is not None:
            one, other = one & (weights > 0), other & (weights > 0)
        if not (one.any() or other.any()):
            continue
        bands = [mask & ~_eroded(mask, rounds) for mask in (one, other)]
        both[number - 1] = np.count_nonzero(bands[0] & bands[1])
        union[number - 1] = np.count_nonzero(bands[0] | bands[1])
        distances.append(hausdorff(one, other))
    nothing = {"one": 0.0, "zero": diagonal, "skip": float("nan")}[empty]
    return OutlineCounts(both, union, sum(distances) / len(distances) if distances else nothing)


def hausdorff(one: NDArray[np.bool_], other: NDArray[np.bool_], percentile: float = 95.0) -> float:
    """How far apart two outlines are, but for the farthest few percent.

    Parameters
    ----------
    one, other : numpy.ndarray
        (Y, X) bool.
    percentile : float
        0 to 100; 100 is the Hausdorff distance itself.

    Returns
    -------
    float
        Pixels: of the distances from each outline to the nearest point of the other, this percentile,
        the larger of both directions. The image's diagonal, the largest there is, where one is empty;
        0 where both are.

    Notes
    -----
    An outline is the pixels of a mask of which a neighbour over an edge is outside; the image's border
    is outside.

    References
    ----------
    Huttenlocher et al. 1993, doi:10.1109/34.232073.
    """
    from scipy.spatial import cKDTree

    points = [np.argwhere(mask & ~_eroded(mask, 1, square=False)) for mask in (one, other)]
    if not (len(points[0]) and len(points[1])):
        return float(np.hypot(*one.shape)) if len(points[0]) or len(points[1]) else 0.0
    trees = [cKDTree(p) for p in points]
    there, back = trees[1].query(points[0])[0], trees[0].query(points[1])[0]
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


def _eroded(mask: NDArray[np.bool_], rounds: int, *, square: bool = True) -> NDArray[np.bool_]:
    """Without what is so many steps from outside; beyond the image's border is outside."""
    import cv2

    shape = cv2.MORPH_RECT if square else cv2.MORPH_CROSS
    kernel = cv2.getStructuringElement(shape, (3, 3))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.erode(padded, kernel, iterations=rounds)[1:-1, 1:-1] > 0)
