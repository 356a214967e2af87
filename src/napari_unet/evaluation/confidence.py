"""What probabilities are worth: scores at every threshold, and whether 0.8 is right eight times in ten."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.metrics.overlap import EmptyRule

Activation = Literal["sigmoid", "softmax"]
THRESHOLDS = np.round(np.linspace(0.0, 1.0, 101), 2)
# As wide as the probabilities that masks are made of, so that both fall on the same side of a threshold.
_EDGES = THRESHOLDS.astype(np.float32)
BINS = 20  # of the reliability diagram
PIECE = 2**22  # pixels that are counted at once


@dataclass(frozen=True, eq=False)
class ProbabilityCounts:
    """How the probabilities of one image and its reference fall together.

    Attributes
    ----------
    both, predicted : numpy.ndarray
        (K, 101) int64: pixels of each class in both masks, and in the predicted mask, at each threshold.
    reference : numpy.ndarray
        (K,) int64: pixels of each class in the reference.
    binned, positive : numpy.ndarray
        (20,) int64: pixels and classes whose probability lies in each bin, and those among them that are
        of that class.
    summed : numpy.ndarray
        (20,) float64: sum of the probabilities in each bin.
    """

    both: NDArray[np.int64]
    predicted: NDArray[np.int64]
    reference: NDArray[np.int64]
    binned: NDArray[np.int64]
    positive: NDArray[np.int64]
    summed: NDArray[np.float64]

    def __add__(self, other: ProbabilityCounts) -> ProbabilityCounts:
        """Pool two sets of pixels."""
        return ProbabilityCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def iou(self, empty: EmptyRule = "one") -> NDArray[np.float64]:
        """(101,) IoU of the image at each threshold: mean over the classes in either mask."""
        union = self.reference[:, None] + self.predicted - self.both
        present = union > 0
        shares = np.divide(self.both, union, out=np.zeros(union.shape), where=present)
        count = present.sum(axis=0)
        nothing = {"one": 1.0, "zero": 0.0, "skip": np.nan}[empty]
        return np.where(count > 0, shares.sum(axis=0) / np.maximum(count, 1), nothing)


def count_probabilities(
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    weights: NDArray[np.float32] | None = None,
    activation: Activation = "sigmoid",
) -> ProbabilityCounts:
    """Count once what every threshold would give.

    Parameters
    ----------
    labels : numpy.ndarray
        (Y, X) uint8, reference, 0..K.
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 do not count.
    activation : str
        Of the network, as for ``inference.postprocess.mask_from_probabilities``.

    Returns
    -------
    ProbabilityCounts
        Of masks before small pieces are dropped.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if labels.shape != probabilities.shape[:2]:
        raise ValueError(f"probabilities of {probabilities.shape} do not fit a mask of {labels.shape}")
    flat = probabilities.reshape(-1, probabilities.shape[2])
    pieces = []
    for start in range(0, max(labels.size, 1), PIECE):
        truth, likely = labels.reshape(-1)[start : start + PIECE], flat[start : start + PIECE]
        if weights is not None:
            known = weights.reshape(-1)[start : start + PIECE] > 0
            truth, likely = truth[known], likely[known]
        pieces.append(_count_piece(truth, likely.astype(np.float32, copy=False), activation))
    return reduce(add, pieces)


def _count_piece(
    truth: NDArray[np.uint8], likely: NDArray[np.float32], activation: Activation
) -> ProbabilityCounts:
    """Count pixels: (N,) labels and (N, K) probabilities."""
    classes = likely.shape[1]
    if classes == 1:
        strength, winner = likely[:, 0], np.zeros(len(truth), np.intp)
    else:
        strength, winner = likely.max(axis=1), likely.argmax(axis=1)
        if activation == "softmax":
            background = np.maximum(1 - likely.sum(axis=1), 0)
            strength = strength / np.maximum(strength + background, 1e-12)
    steps = len(_EDGES)
    # A pixel whose probability exceeds n thresholds is in the masks of the first n.
    exceeded = np.searchsorted(_EDGES, strength, side="left")
    codes = winner * (steps + 1) + exceeded
    size = classes * (steps + 1)

    def masks(chosen: NDArray[np.intp]) -> NDArray[np.int64]:
        counts = np.bincount(chosen, minlength=size).reshape(classes, steps + 1)
        return counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]

    places = np.minimum((likely * BINS).astype(np.intp), BINS - 1)
    positive = np.zeros(BINS, np.int64)
    for number in range(classes):
        positive += np.bincount(places[truth == number + 1, number], minlength=BINS)
    flat = places.ravel()
    return ProbabilityCounts(
        both=masks(codes[truth == winner + 1]),
        predicted=masks(codes),
        reference=np.bincount(truth, minlength=classes + 1)[1 : classes + 1],
        binned=np.bincount(flat, minlength=BINS),
        positive=positive,
        summed=np.bincount(flat, weights=likely.ravel(), minlength=BINS).astype(np.float64, copy=False),
    )


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """Mean IoU over images at every threshold.

    Attributes
    ----------
    thresholds, mean_iou : numpy.ndarray
        (101,) float64, each 0 to 1.
    images : int
        How many it is of.
    """

    thresholds: NDArray[np.float64]
    mean_iou: NDArray[np.float64]
    images: int

    @property
    def best(self) -> float:
        """The threshold with the highest mean IoU; the middle one of several."""
        highest = np.flatnonzero(self.mean_iou >= self.mean_iou.max() - 1e-9)
        return float(self.thresholds[highest[len(highest) // 2]])

    def at(self, threshold: float) -> float:
        """Mean IoU at a threshold, between the two next to it."""
        return float(np.interp(threshold, self.thresholds, self.mean_iou))


def threshold_curve(rows: Sequence[NDArray[np.float64]]) -> ThresholdCurve | None:
    """Average the curves of images; thresholds at which an image has no score pass it over.

    Parameters
    ----------
    rows : sequence of numpy.ndarray
        (101,) float64 IoU each, from ``ProbabilityCounts.iou``.

    Returns
    -------
    ThresholdCurve or None
        None without images, or if there is no score at some threshold.
    """
    if not len(rows):
        return None
    table = np.asarray(rows)
    known = np.isfinite(table)
    count = known.sum(axis=0)
    if not count.all():
        return None
    return ThresholdCurve(THRESHOLDS, np.where(known, table, 0).sum(axis=0) / count, len(table))


@dataclass(frozen=True, eq=False)
class Reliability:
    """Promised and true shares of a class among pixels of about the same probability.

    Attributes
    ----------
    promised, true : numpy.ndarray
        (B,) float64, 0 to 1, of the bins that hold pixels.
    pixels : numpy.ndarray
        (B,) int64 in each of these bins.
    error : float
        Expected calibration error, 0 to 1: mean distance of the two, weighted by pixels.
    """

    promised: NDArray[np.float64]
    true: NDArray[np.float64]
    pixels: NDArray[np.int64]
    error: float


def reliability(
    binned: NDArray[np.int64], positive: NDArray[np.int64], summed: NDArray[np.float64]
) -> Reliability | None:
    """Compare promised and true shares.

    Parameters
    ----------
    binned, positive, summed : numpy.ndarray
        (20,) sums over images of those of ``ProbabilityCounts``.

    Returns
    -------
    Reliability or None
        None without pixels.

    References
    ----------
    Naeini, Cooper, Hauskrecht 2015, doi:10.1609/aaai.v29i1.9602.
    """
    filled = binned > 0
    if not filled.any():
        return None
    pixels = binned[filled]
    promised, true = summed[filled] / pixels, positive[filled] / pixels
    error = float((np.abs(promised - true) * pixels).sum() / pixels.sum())
    return Reliability(promised, true, pixels, error)
