"""How well membranes part an image into regions: the scores of the ISBI 2012 challenge.

Class 1 is the inside of cells, 0 the membrane between them. Regions are pieces of class 1 that hang
together over edges. All scores look at pixels that are inside a cell of the reference. A pixel there
that the prediction calls membrane is a region of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.metrics.objects import pair_objects
from napari_unet.metrics.topology import thin, warp

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PartitionCounts:
    """How two partitions of the same pixels agree; the counts of images add up.

    Attributes
    ----------
    pixels : int
        Inside cells of the reference.
    pairs, reference, predicted : float
        Sums over the overlaps of two regions, the regions of the reference, and those of the
        prediction, of their pixels squared.
    pairs_log, reference_log, predicted_log : float
        The same of n log2 n.
    """

    pixels: int = 0
    pairs: float = 0.0
    reference: float = 0.0
    predicted: float = 0.0
    pairs_log: float = 0.0
    reference_log: float = 0.0
    predicted_log: float = 0.0

    def __add__(self, other: PartitionCounts) -> PartitionCounts:
        """Pool two images, whose regions are different ones."""
        return PartitionCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def v_rand(self) -> float:
        """Rand F-score: harmonic mean of split and merge score; NaN without pixels."""
        return 2 * self.pairs / (self.reference + self.predicted) if self.pixels else float("nan")

    @property
    def v_rand_split(self) -> float:
        """Share of the pairs of pixels in one cell that are in one predicted region; 1: nothing split."""
        return self.pairs / self.reference if self.pixels else float("nan")

    @property
    def v_rand_merge(self) -> float:
        """Share of the pairs of pixels in one predicted region that are in one cell; 1: nothing merged."""
        return self.pairs / self.predicted if self.pixels else float("nan")

    @property
    def v_info(self) -> float:
        """Information F-score: shared information over the mean entropy; 1 where neither tells anything."""
        if not self.pixels:
            return float("nan")
        whole = self.pixels * np.log2(self.pixels)
        entropies = 2 * whole - self.reference_log - self.predicted_log
        shared = whole - self.reference_log - self.predicted_log + self.pairs_log
        return float(2 * shared / entropies) if entropies > 1e-9 * max(whole, 1) else 1.0

    @property
    def variation_of_information(self) -> float:
        """H(reference | prediction) + H(prediction | reference), in bits; NaN without pixels."""
        if not self.pixels:
            return float("nan")
        return max(0.0, (self.reference_log + self.predicted_log - 2 * self.pairs_log) / self.pixels)


def compare_partitions(reference: NDArray[np.integer], predicted: NDArray[np.integer]) -> PartitionCounts:
    """Compare two partitions on the pixels of the reference's regions.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers, 0 membrane, one positive number a region.

    Returns
    -------
    PartitionCounts
        Predicted membrane inside a reference region counts as regions of one pixel.

    Raises
    ------
    ValueError
        If the shapes differ, or numbers are negative or no whole ones.

    References
    ----------
    Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.
    """
    inside = reference > 0
    found = pair_objects(reference[inside][None], predicted[inside][None])
    pixels = int(np.count_nonzero(inside))
    alone = pixels - int(found.predicted_sizes.sum())

    def squares(sizes: NDArray[np.int64]) -> float:
        return float((sizes.astype(np.float64) ** 2).sum())

    def logs(sizes: NDArray[np.int64]) -> float:
        return float((sizes * np.log2(sizes)).sum())

    both, ours, theirs = found.both, found.reference_sizes, found.predicted_sizes
    return PartitionCounts(
        pixels,
        squares(both) + alone,
        squares(ours),
        squares(theirs) + alone,
        logs(both),
        logs(ours),
        logs(theirs),
    )


@dataclass(frozen=True)
class RegionCounts:
    """What the membrane scores of an image need; the counts of images add up.

    Attributes
    ----------
    plain, thinned : PartitionCounts
        With the predicted membranes as they are, and thinned to lines.
    warped_wrong, pixels : int
        Pixels that differ after the reference was warped to the prediction, of all that count.
    splits, merges, holes : int
        Places that differ then. Splits: a predicted membrane parts a cell. Merges: a membrane is missing
        between cells. Holes: all others (holes in cells, cells that came or went).
    """

    plain: PartitionCounts
    thinned: PartitionCounts
    warped_wrong: int
    pixels: int
    splits: int
    merges: int
    holes: int

    def __add__(self, other: RegionCounts) -> RegionCounts:
        """Pool two images."""
        return RegionCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def warping_error(self) -> float:
        """Share of the pixels that differ after warping; NaN if none count."""
        return self.warped_wrong / self.pixels if self.pixels else float("nan")


def count_regions(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    weights: NDArray[np.float32] | None = None,
) -> RegionCounts:
    """Compare how two masks part an image.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers or bool: inside cells above 0, membranes 0.
    weights : numpy.ndarray, optional
        (Y, X); pixels of weight 0 do not count.

    Returns
    -------
    RegionCounts
        Of this image.

    Raises
    ------
    ValueError
        If shapes differ.

    Notes
    -----
    The warping error: the reference is changed towards the prediction one simple point at a time, so
    that its cells keep their number and holes. What still differs is wrong in topology.

    References
    ----------
    Jain et al. 2010, doi:10.1109/CVPR.2010.5539950; Arganda-Carreras et al. 2015,
    doi:10.3389/fnana.2015.00142.
    """
    if reference.shape != predicted.shape or (weights is not None and weights.shape != reference.shape):
        raise ValueError(f"masks of {reference.shape} and {predicted.shape} cannot be compared")
    ours, theirs = reference > 0, predicted > 0
    unknown = weights <= 0 if weights is not None else None
    cells = regions_of(ours)
    if unknown is not None:
        cells[unknown] = 0
    plain = compare_partitions(cells, regions_of(theirs))
    thinned = compare_partitions(cells, regions_of(~thin(~theirs)))
    warped = warp(ours, theirs, unknown)
    wrong = warped != theirs
    if unknown is not None:
        wrong &= ~unknown
    splits, merges, holes = _kinds(warped, theirs, wrong)
    pixels = int(ours.size if unknown is None else np.count_nonzero(~unknown))
    return RegionCounts(plain, thinned, int(np.count_nonzero(wrong)), pixels, splits, merges, holes)


def regions_of(interior: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pieces that hang together over edges."""
    import cv2

    if not interior.size:
        return np.zeros(interior.shape, np.int32)
    _, pieces = cv2.connectedComponents(interior.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    return np.asarray(pieces, np.int32)


def _kinds(
    warped: NDArray[np.bool_], target: NDArray[np.bool_], wrong: NDArray[np.bool_]
) -> tuple[int, int, int]:
    """Places where two pictures differ: those that part a cell, join cells, and others."""
    parting = _touching(wrong & warped, regions_of(target))
    joining = _touching(wrong & target, regions_of(warped))
    splits, merges = int((parting > 1).sum()), int((joining > 1).sum())
    return splits, merges, len(parting) + len(joining) - splits - merges


def _touching(places: NDArray[np.bool_], regions: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each place, a piece over edges and corners, how many regions share an edge with it."""
    import cv2

    if not places.any():
        return np.zeros(0, np.int64)
    count, numbers = cv2.connectedComponents(places.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    side = int(regions.max()) + 1
    pairs = []
    for axis in (0, 1):
        before = tuple(slice(None, -1) if a == axis else slice(None) for a in (0, 1))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        for one, other in ((before, after), (after, before)):
            met = (numbers[one] > 0) & (regions[other] > 0) & (numbers[other] == 0)
            pairs.append(numbers[one][met].astype(np.int64) * side + regions[other][met])
    found = np.unique(np.concatenate(pairs))
    return np.bincount(found // side, minlength=count)[1:].astype(np.int64)
