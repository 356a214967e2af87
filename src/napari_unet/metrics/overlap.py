"""Overlap of masks: IoU and Dice per class, per image, and pooled.

Where a class is in neither mask, IoU and Dice are 0 / 0. What they count then is a rule: "one" (the
default: nothing was there and nothing was found, which is right), "zero", or "skip" (NaN, left out
of means).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EmptyRule = Literal["one", "zero", "skip"]
FEW = 3  # classes up to which comparing them one by one is faster than counting pairs of labels


@dataclass(frozen=True, eq=False)
class OverlapCounts:
    """Pixels that agree and pixels that do not, per class 1..K.

    Attributes
    ----------
    both, reference, predicted : numpy.ndarray
        (K,) int64: pixels of the class in both masks, in the reference, in the prediction.
    pixels, wrong : int
        Pixels that count, and those among them whose labels differ.
    """

    both: NDArray[np.int64]
    reference: NDArray[np.int64]
    predicted: NDArray[np.int64]
    pixels: int
    wrong: int

    @property
    def union(self) -> NDArray[np.int64]:
        """(K,) pixels of the class in either mask."""
        return self.reference + self.predicted - self.both

    def __add__(self, other: OverlapCounts) -> OverlapCounts:
        """Pool two images."""
        return OverlapCounts(
            self.both + other.both,
            self.reference + other.reference,
            self.predicted + other.predicted,
            self.pixels + other.pixels,
            self.wrong + other.wrong,
        )

    def iou(self, empty: EmptyRule = "one") -> NDArray[np.float64]:
        """(K,) intersection over union per class; the rule for classes in neither mask.

        References
        ----------
        Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x.
        """
        return _ratio(self.both, self.union, empty)

    def dice(self, empty: EmptyRule = "one") -> NDArray[np.float64]:
        """(K,) twice the intersection over the sum of sizes per class; the same rule.

        References
        ----------
        Dice 1945, doi:10.2307/1932409.
        """
        return _ratio(2 * self.both, self.reference + self.predicted, empty)

    @property
    def empty_reference(self) -> bool:
        """Whether the reference holds no class at all."""
        return not self.reference.any()

    @property
    def empty_prediction(self) -> bool:
        """Whether the prediction holds no class at all."""
        return not self.predicted.any()

    @property
    def pixel_error(self) -> float:
        """Share of wrong pixels; NaN if none count."""
        return self.wrong / self.pixels if self.pixels else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of right pixels, background included; NaN if none count."""
        return 1 - self.wrong / self.pixels if self.pixels else float("nan")

    def with_background(self) -> tuple[list[int], list[int], list[int]]:
        """Pixels in both masks, in the reference, in the prediction, of the classes 0..K."""
        both, reference, predicted = self.both.tolist(), self.reference.tolist(), self.predicted.tolist()
        return (
            [self.pixels - self.wrong - sum(both), *both],
            [self.pixels - sum(reference), *reference],
            [self.pixels - sum(predicted), *predicted],
        )

    def mean_accuracy(self) -> float:
        """Recall of the classes 0..K that are in the reference, averaged; NaN if no pixel counts.

        References
        ----------
        Long, Shelhamer, Darrell 2015 (FCN), doi:10.1109/CVPR.2015.7298965.
        """
        both, reference, _ = self.with_background()
        recalls = [n / t for n, t in zip(both, reference, strict=True) if t]
        return sum(recalls) / len(recalls) if recalls else float("nan")

    def mean_iu(self) -> float:
        """IoU of the classes 0..K that are in either mask, background included, averaged.

        NaN if no pixel counts. The FCN paper calls this mean IU.
        """
        ious = [n / (t + p - n) for n, t, p in zip(*self.with_background(), strict=True) if t + p]
        return sum(ious) / len(ious) if ious else float("nan")

    def frequency_weighted_iu(self) -> float:
        """IoU of the classes 0..K, weighted by their pixels in the reference; NaN if no pixel counts."""
        if not self.pixels:
            return float("nan")
        counted = zip(*self.with_background(), strict=True)
        return sum(t * n / (t + p - n) for n, t, p in counted if t) / self.pixels

    def precision(self, empty: EmptyRule = "one") -> float:
        """Share of the predicted pixels of the classes 1..K that are right; 0 if none but some are there."""
        return self._share(int(self.predicted.sum()), empty)

    def recall(self, empty: EmptyRule = "one") -> float:
        """Share of the reference's pixels of the classes 1..K that were found; 0 if none are there."""
        return self._share(int(self.reference.sum()), empty)

    def _share(self, of: int, empty: EmptyRule) -> float:
        if of:
            return int(self.both.sum()) / of
        if not (self.empty_reference and self.empty_prediction):
            return 0.0
        return {"one": 1.0, "zero": 0.0, "skip": float("nan")}[empty]


def _ratio(over: NDArray[np.int64], under: NDArray[np.int64], empty: EmptyRule) -> NDArray[np.float64]:
    value = {"one": 1.0, "zero": 0.0, "skip": np.nan}[empty]
    out = np.full(over.shape, value)
    np.divide(over, under, out=out, where=under > 0)
    return out


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Overlap scores of one image.

    Attributes
    ----------
    iou, dice : float
        Mean over the classes that are in the reference or the prediction; by the rule where none is;
        NaN where no pixel counts, whatever the rule.
    per_class_iou, per_class_dice : numpy.ndarray
        (K,) float64; by the rule for classes in neither mask.
    empty_reference, empty_prediction : bool
        Whether the mask holds no class among the pixels that count.
    counts : OverlapCounts
        What the scores come from.
    """

    iou: float
    dice: float
    per_class_iou: NDArray[np.float64]
    per_class_dice: NDArray[np.float64]
    empty_reference: bool
    empty_prediction: bool
    counts: OverlapCounts


def count_overlap(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    classes: int = 1,
    weights: NDArray[np.float32] | None = None,
) -> OverlapCounts:
    """Count what two masks share.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers or bool, 0 background, 1..K.
    classes : int
        K.
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 do not count, all others count alike.

    Returns
    -------
    OverlapCounts
        Of this image.

    Raises
    ------
    ValueError
        If shapes differ, or a label is below 0 or above K.
    """
    reference, predicted = what_counts(reference, predicted, weights)
    for mask in (reference, predicted):
        _check_labels(mask, classes)
    return (_compare_classes if classes <= FEW else _count_pairs)(reference, predicted, classes)


def what_counts(
    reference: NDArray[np.integer], predicted: NDArray[np.integer], weights: NDArray[np.floating] | None
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """The pixels of two masks (Y, X) whose weight is not 0; all if there are no weights.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    if reference.shape != predicted.shape:
        raise ValueError(f"masks of {reference.shape} and {predicted.shape} cannot be compared")
    if weights is None:
        return reference, predicted
    if weights.shape != reference.shape:
        raise ValueError(f"weights of {weights.shape} do not fit masks of {reference.shape}")
    known = weights > 0
    return reference[known], predicted[known]


def _compare_classes(
    reference: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> OverlapCounts:
    """Count class by class: the time grows with the classes, but each is a few plain comparisons."""
    counts = np.empty((3, classes), np.int64)
    for number in range(classes):
        one, other = reference == number + 1, predicted == number + 1
        counts[0, number] = np.count_nonzero(one & other)
        counts[1, number] = np.count_nonzero(one)
        counts[2, number] = np.count_nonzero(other)
    wrong = int(np.count_nonzero(reference != predicted))
    return OverlapCounts(counts[0], counts[1], counts[2], reference.size, wrong)


def _count_pairs(
    reference: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> OverlapCounts:
    """Count every pair of labels in one pass, whatever the number of classes."""
    side = classes + 1
    # The smallest type that holds every pair of labels: what bincount reads is what costs time.
    kind = np.min_scalar_type(side * side - 1)
    codes = reference.ravel().astype(kind)
    codes *= kind.type(side)
    codes += predicted.ravel().astype(kind, copy=False)
    table = np.bincount(codes, minlength=side * side).reshape(side, side)
    diagonal = table.diagonal()
    return OverlapCounts(
        diagonal[1:].copy(),
        table.sum(axis=1)[1:],
        table.sum(axis=0)[1:],
        int(codes.size),
        int(codes.size - diagonal.sum()),
    )


def _check_labels(mask: NDArray[np.integer], classes: int) -> None:
    if mask.dtype.kind not in "bui":
        raise ValueError(f"a mask holds whole numbers, not {mask.dtype}")
    if mask.dtype.kind == "i" and int(mask.min(initial=0)) < 0:
        raise ValueError("a label is below 0")
    if int(mask.max(initial=0)) > classes:
        raise ValueError(f"a label is above the number of classes, {classes}")


def image_scores(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    classes: int = 1,
    weights: NDArray[np.float32] | None = None,
    empty: EmptyRule = "one",
) -> ImageScores:
    """Score one image.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers or bool, 0 background, 1..K.
    classes : int
        K.
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 do not count.
    empty : str
        What classes in neither mask count: "one", "zero", or "skip" (NaN).

    Returns
    -------
    ImageScores
        Of this image.

    Raises
    ------
    ValueError
        As ``count_overlap``.
    """
    return scores_of_counts(count_overlap(reference, predicted, classes, weights), empty)


def scores_of_counts(counts: OverlapCounts, empty: EmptyRule = "one") -> ImageScores:
    """Score one image by what was counted in it; see ``image_scores``."""
    iou, dice = counts.iou(empty), counts.dice(empty)
    unknown = counts.pixels == 0
    return ImageScores(
        float("nan") if unknown else image_score(iou, counts, empty),
        float("nan") if unknown else image_score(dice, counts, empty),
        iou,
        dice,
        counts.empty_reference,
        counts.empty_prediction,
        counts,
    )


def image_score(values: NDArray[np.float64], counts: OverlapCounts, empty: EmptyRule = "one") -> float:
    """One number for an image with several classes: the mean over the classes that occur in it.

    Parameters
    ----------
    values : numpy.ndarray
        (K,) IoU or Dice per class.
    counts : OverlapCounts
        Say which classes occur in the reference or the prediction.
    empty : str
        Rule where none does: 1, 0, or NaN to leave the image out.

    Returns
    -------
    float
        0 to 1, or NaN.
    """
    present = counts.union > 0
    count = np.count_nonzero(present)
    if count:
        return float(np.add.reduce(values[present]) / count)
    return {"one": 1.0, "zero": 0.0, "skip": float("nan")}[empty]
