"""Overlap of masks: IoU and Dice per class, per image, and pooled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EmptyRule = Literal["one", "zero", "skip"]


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
        """(K,) intersection over union per class; the rule for classes in neither mask."""
        return _ratio(self.both, self.union, empty)

    def dice(self, empty: EmptyRule = "one") -> NDArray[np.float64]:
        """(K,) twice the intersection over the sum of sizes per class; the same rule."""
        return _ratio(2 * self.both, self.reference + self.predicted, empty)

    @property
    def pixel_error(self) -> float:
        """Share of wrong pixels; NaN if none count."""
        return self.wrong / self.pixels if self.pixels else float("nan")


def _ratio(over: NDArray[np.int64], under: NDArray[np.int64], empty: EmptyRule) -> NDArray[np.float64]:
    value = {"one": 1.0, "zero": 0.0, "skip": np.nan}[empty]
    out = np.full(over.shape, value)
    np.divide(over, under, out=out, where=under > 0)
    return out


def count_overlap(
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    classes: int = 1,
    weights: NDArray[np.float32] | None = None,
) -> OverlapCounts:
    """Count what two masks share.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    classes : int
        K.
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 do not count.

    Returns
    -------
    OverlapCounts
        Of this image.

    Raises
    ------
    ValueError
        If shapes differ, or a label is above K.
    """
    if reference.shape != predicted.shape:
        raise ValueError(f"masks of {reference.shape} and {predicted.shape} cannot be compared")
    side = classes + 1
    if weights is not None:
        known = weights > 0
        reference, predicted = reference[known], predicted[known]
    codes = reference.astype(np.uint16).ravel() * np.uint16(side) + predicted.ravel()
    table = np.bincount(codes, minlength=side * side)
    if len(table) > side * side or (codes.size and int(predicted.max(initial=0)) > classes):
        raise ValueError(f"a label is above the number of classes, {classes}")
    table = table.reshape(side, side)
    diagonal = np.diagonal(table)
    return OverlapCounts(
        diagonal[1:].copy(),
        table.sum(axis=1)[1:],
        table.sum(axis=0)[1:],
        int(codes.size),
        int(codes.size - diagonal.sum()),
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
    if present.any():
        return float(values[present].mean())
    return {"one": 1.0, "zero": 0.0, "skip": float("nan")}[empty]
