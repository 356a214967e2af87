"""How well objects are found: matched one to one by IoU, split, merged.

A predicted object is a hit if its IoU with a reference object is above the threshold. From 0.5 on
no object can be above it with two others, so nothing has to be assigned. Comparisons are made in whole
numbers, because 0.55 and others have no exact binary form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.metrics.overlap import what_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.metrics.overlap import EmptyRule

TWENTIETHS = tuple(range(10, 20))
THRESHOLDS = tuple(step / 20 for step in TWENTIETHS)  # 0.5, 0.55 ... 0.95
PART = 0.1  # of an object that a piece must be to count in splits and merges
MISSED, SPARE, SHARED = 10, 1, 5  # weights of DET
ROOMY = 4  # numbers a pixel that a full table of pairs may have
PIECE = 2**22  # pixels that are counted at once


@dataclass(frozen=True, eq=False)
class ObjectPairs:
    """Which objects of two masks share pixels, and how many.

    Attributes
    ----------
    reference_sizes, predicted_sizes : numpy.ndarray
        (N,) and (M,) int64, pixels of each object, in the order of their numbers.
    reference, predicted : numpy.ndarray
        (P,) int64, for every pair that shares pixels the place of its objects in the sizes.
    both : numpy.ndarray
        (P,) int64, pixels shared.
    """

    reference_sizes: NDArray[np.int64]
    predicted_sizes: NDArray[np.int64]
    reference: NDArray[np.int64]
    predicted: NDArray[np.int64]
    both: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """(P,) pixels in either object of a pair."""
        sizes: NDArray[np.int64] = (
            self.reference_sizes[self.reference] + self.predicted_sizes[self.predicted] - self.both
        )
        return sizes

    @property
    def iou(self) -> NDArray[np.float64]:
        """(P,) intersection over union of the pairs."""
        return self.both / self.union


def pair_objects(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    weights: NDArray[np.float32] | None = None,
) -> ObjectPairs:
    """Find the objects that share pixels.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers, 0 background, one positive number an object; numbers may be missing.
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 belong to no object.

    Returns
    -------
    ObjectPairs
        Counted in one pass over the pixels.

    Raises
    ------
    ValueError
        If shapes differ, or numbers are negative or no whole ones.
    """
    reference, predicted = what_counts(reference, predicted, weights)
    for mask in (reference, predicted):
        if mask.dtype.kind not in "bui":
            raise ValueError(f"objects have whole numbers, not {mask.dtype}")
        if int(mask.min(initial=0)) < 0:
            raise ValueError("the number of an object is below 0")
    rows, columns = int(reference.max(initial=0)) + 1, int(predicted.max(initial=0)) + 1
    if rows * columns > max(2**16, ROOMY * reference.size):
        reference, predicted = _close_up(reference), _close_up(predicted)
        rows, columns = int(reference.max(initial=0)) + 1, int(predicted.max(initial=0)) + 1
    codes, numbers = _count_codes(reference.ravel(), predicted.ravel(), rows, columns)
    first, second = np.divmod(codes, columns)
    sizes = [
        np.bincount(index, weights=numbers, minlength=length).astype(np.int64)
        for index, length in ((first, rows), (second, columns))
    ]
    shared = (first > 0) & (second > 0)
    places = [np.cumsum(size[1:] > 0) - 1 for size in sizes]
    return ObjectPairs(
        sizes[0][1:][sizes[0][1:] > 0],
        sizes[1][1:][sizes[1][1:] > 0],
        places[0][first[shared] - 1],
        places[1][second[shared] - 1],
        numbers[shared].astype(np.int64),
    )


def _count_codes(
    first: NDArray[np.integer], second: NDArray[np.integer], rows: int, columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The codes first * columns + second that occur, ascending, and how many pixels have each."""
    table = np.zeros(rows * columns if rows * columns <= max(2**16, ROOMY * PIECE) else 0, np.int64)
    found, counts = [], []
    for start in range(0, first.size, PIECE):
        codes = first[start : start + PIECE].astype(np.int64)
        codes *= columns
        codes += second[start : start + PIECE]
        if len(table):
            table += np.bincount(codes, minlength=len(table))
        else:  # more objects than a table has room for
            some, number = np.unique(codes, return_counts=True)
            found.append(some)
            counts.append(number)
    if len(table):
        codes = np.flatnonzero(table)
        return codes, table[codes]
    codes, places = np.unique(np.concatenate(found), return_inverse=True)
    return codes, np.bincount(places, weights=np.concatenate(counts)).astype(np.int64)


def _close_up(mask: NDArray[np.integer]) -> NDArray[np.integer]:
    """The same objects, numbered without gaps."""
    highest = int(mask.max(initial=0))
    if highest <= 1:
        return mask
    if highest >= max(2**16, ROOMY * mask.size):  # numbers that no table has room for
        numbers, index = np.unique(mask, return_inverse=True)
        return np.asarray(index.reshape(mask.shape) + int(numbers[0] > 0))
    there = np.zeros(highest + 1, bool)
    there[mask] = True
    there[0] = False
    return np.asarray(np.cumsum(there, dtype=np.int32)[mask])


@dataclass(frozen=True, eq=False)
class ObjectTally:
    """What the object scores of an image need; the tallies of images add up.

    Attributes
    ----------
    reference, predicted : int
        Objects in the reference and in the prediction.
    hits : numpy.ndarray
        (10,) int64, pairs whose IoU is above 0.5, 0.55 ... 0.95.
    hit_iou : float
        Sum of the IoU of the pairs above 0.5.
    seg : float
        Sum over the reference objects of the IoU with the predicted one that holds more than half of
        it, 0 where none does.
    held, holders : int
        Reference objects of which a predicted one holds more than half, and predicted objects that hold
        more than half of at least one.
    splits, merges : int
        Reference objects that fell apart, and predicted objects that several were put into.
    """

    reference: int
    predicted: int
    hits: NDArray[np.int64]
    hit_iou: float
    seg: float
    held: int
    holders: int
    splits: int
    merges: int

    def __add__(self, other: ObjectTally) -> ObjectTally:
        """Pool two images."""
        return ObjectTally(
            self.reference + other.reference,
            self.predicted + other.predicted,
            self.hits + other.hits,
            self.hit_iou + other.hit_iou,
            self.seg + other.seg,
            self.held + other.held,
            self.holders + other.holders,
            self.splits + other.splits,
            self.merges + other.merges,
        )

    def found(self, threshold: float = 0.5) -> int:
        """Hits at one of the ten thresholds.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        step = round(threshold * 20)
        if step not in TWENTIETHS or abs(step / 20 - threshold) > 1e-9:
            raise ValueError(f"objects are matched at IoU 0.5, 0.55 ... 0.95, not {threshold}")
        return int(self.hits[step - TWENTIETHS[0]])

    def precision(self, threshold: float = 0.5, empty: EmptyRule = "one") -> float:
        """Share of the predicted objects that are hits; 0 if there are none but some were to be found."""
        return self._ratio(self.found(threshold), self.predicted, empty)

    def recall(self, threshold: float = 0.5, empty: EmptyRule = "one") -> float:
        """Share of the reference objects that were found; 0 if there are none but some were predicted."""
        return self._ratio(self.found(threshold), self.reference, empty)

    def f1(self, threshold: float = 0.5, empty: EmptyRule = "one") -> float:
        """Twice the hits over all objects of both: the harmonic mean of precision and recall."""
        return self._ratio(2 * self.found(threshold), self.reference + self.predicted, empty)

    def average_precision(self, threshold: float | None = None, empty: EmptyRule = "one") -> float:
        """TP / (TP + FP + FN), at one threshold, or the mean over all ten.

        References
        ----------
        2018 Data Science Bowl,
        https://www.kaggle.com/competitions/data-science-bowl-2018/overview/evaluation; Caicedo et al. 2019,
        doi:10.1038/s41592-019-0612-7. Not the area under a curve that COCO calls AP: objects of a mask have
        no confidence to be ranked by.
        """
        both = self.reference + self.predicted
        hits = self.hits.tolist() if threshold is None else [self.found(threshold)]
        return sum(self._ratio(n, both - n, empty) for n in hits) / len(hits)

    def segmentation_quality(self, empty: EmptyRule = "one") -> float:
        """Mean IoU of the hits above 0.5, SQ; 0 if there are none but something was there."""
        return self._ratio(self.hit_iou, self.found(), empty)

    def panoptic_quality(self, empty: EmptyRule = "one") -> float:
        """Sum of the IoU of the hits over TP + FP / 2 + FN / 2: SQ times RQ, where RQ is F1 at 0.5.

        References
        ----------
        Kirillov et al. 2019, doi:10.1109/CVPR.2019.00963.
        """
        return self._ratio(2 * self.hit_iou, self.reference + self.predicted, empty)

    def seg_measure(self) -> float:
        """SEG of the Cell Tracking Challenge; NaN without reference objects, on which alone it is defined.

        References
        ----------
        Maška et al. 2014, doi:10.1093/bioinformatics/btu080.
        """
        return self.seg / self.reference if self.reference else float("nan")

    def det_measure(self) -> float:
        """DET of the Cell Tracking Challenge; NaN without reference objects, on which alone it is defined.

        What it takes to mend the prediction: 10 for an object that is missed, 1 for one too many, and 5 for
        each further object that shares its predicted one. It is 1 less the share of what it would take to
        draw all objects from nothing, and not below 0.

        References
        ----------
        Matula et al. 2015, doi:10.1371/journal.pone.0144959.
        """
        if not self.reference:
            return float("nan")
        missed, spare = self.reference - self.held, self.predicted - self.holders
        work = MISSED * missed + SPARE * spare + SHARED * (self.held - self.holders)
        return 1 - min(1.0, work / (MISSED * self.reference))

    def _ratio(self, over: float, under: float, empty: EmptyRule) -> float:
        if under:
            return over / under
        if self.reference or self.predicted:
            return 0.0
        return {"one": 1.0, "zero": 0.0, "skip": float("nan")}[empty]


def tally_objects(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    weights: NDArray[np.float32] | None = None,
) -> ObjectTally:
    """Match the objects of two masks and count.

    Parameters
    ----------
    reference, predicted, weights
        As ``pair_objects`` takes them.

    Returns
    -------
    ObjectTally
        Of this image.

    Raises
    ------
    ValueError
        As ``pair_objects``.
    """
    return tally_pairs(pair_objects(reference, predicted, weights))


def tally_pairs(pairs: ObjectPairs) -> ObjectTally:
    """Count hits, splits and merges from what is shared; see ``tally_objects``.

    Notes
    -----
    A split is a reference object with at least two predicted pieces. A piece is a predicted object
    that has more than half of its pixels in it and makes up at least a tenth of it. A merge is the same
    with reference and prediction exchanged.
    """
    both, union, iou = pairs.both, pairs.union, pairs.iou
    sizes = pairs.reference_sizes[pairs.reference]
    held = 2 * both > sizes
    hits = [np.count_nonzero(20 * both > step * union) for step in TWENTIETHS]
    splits = _fallen_apart(pairs.reference, sizes, pairs.predicted_sizes[pairs.predicted], both)
    merges = _fallen_apart(pairs.predicted, pairs.predicted_sizes[pairs.predicted], sizes, both)
    return ObjectTally(
        len(pairs.reference_sizes),
        len(pairs.predicted_sizes),
        np.array(hits, np.int64),
        float(iou[2 * both > union].sum()),
        float(iou[held].sum()),
        int(np.count_nonzero(held)),
        len(np.unique(pairs.predicted[held])),
        splits,
        merges,
    )


def _fallen_apart(
    whole: NDArray[np.int64],
    whole_sizes: NDArray[np.int64],
    piece_sizes: NDArray[np.int64],
    both: NDArray[np.int64],
) -> int:
    """How many objects have two pieces or more."""
    piece = (2 * both > piece_sizes) & (both >= PART * whole_sizes)
    return int(np.count_nonzero(np.bincount(whole[piece]) > 1)) if piece.any() else 0
