"""Scores of objects and partitions of volumes: of the whole, and of each slice by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.metrics.objects import ObjectTally, tally_objects
from napari_unet.metrics.regions import PartitionCounts, compare_partitions

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PartitionScores:
    """How the objects of a prediction agree with those of a reference, in a volume or in a slice.

    Attributes
    ----------
    partition : PartitionCounts
        Of all voxels that are in an object of the reference.
    objects : ObjectTally
        Of objects that were matched one by one.
    """

    partition: PartitionCounts
    objects: ObjectTally

    @property
    def adapted_rand_error(self) -> float:
        """One minus the F-score of pairs of voxels, 0 best; NaN where the reference has no object.

        A pair is two different voxels in one object. So it is scikit-image's, where the prediction leaves
        no voxel to the background; such voxels are in no pair here, and one object there.

        References
        ----------
        Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142.
        """
        found = self.partition
        if not found.pixels:
            return float("nan")
        of_both = found.reference + found.predicted - 2 * found.pixels
        return float(1 - 2 * (found.pairs - found.pixels) / of_both) if of_both else 0.0

    @property
    def variation_of_information(self) -> float:
        """Bits that one partition lacks of the other, 0 best; NaN where the reference has no object.

        References
        ----------
        Meilă 2007, doi:10.1016/j.jmva.2006.11.013.
        """
        return self.partition.variation_of_information

    def to_json(self) -> dict[str, float]:
        """The scores by name."""
        return {
            "adapted_rand_error": self.adapted_rand_error,
            "variation_of_information": self.variation_of_information,
            "f1_50": self.objects.f1(0.5),
            "ap": self.objects.average_precision(),
            "pq": self.objects.panoptic_quality(),
            "objects_reference": self.objects.reference,
            "objects_predicted": self.objects.predicted,
        }


@dataclass(frozen=True, eq=False)
class VolumeScores:
    """Scores of a volume.

    Attributes
    ----------
    volume : PartitionScores
        Objects are one through all slices.
    slices : tuple of PartitionScores
        Of each slice by itself: what an object is called in other slices does not count.
    """

    volume: PartitionScores
    slices: tuple[PartitionScores, ...]

    @property
    def worst_first(self) -> list[int]:
        """Numbers of the slices, the largest adapted Rand error first; those without objects last."""
        errors = [one.adapted_rand_error for one in self.slices]
        return sorted(range(len(errors)), key=lambda n: (np.isnan(errors[n]), -np.nan_to_num(errors[n]), n))


def score_volume(
    reference: NDArray[np.integer],
    predicted: NDArray[np.integer],
    weights: NDArray[np.float32] | None = None,
) -> VolumeScores:
    """Compare the objects of a volume with those of a reference.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Z, Y, X) of integers, 0 background, one positive number an object.
    weights : numpy.ndarray, optional
        (Z, Y, X); voxels of weight 0 count for nothing.

    Returns
    -------
    VolumeScores
        Of the volume and of its slices.

    Raises
    ------
    ValueError
        If the shapes differ, or numbers are negative or no whole ones.
    """
    if weights is not None:
        reference, predicted = np.where(weights > 0, reference, 0), np.where(weights > 0, predicted, 0)
    slices = tuple(_scores(ours, theirs) for ours, theirs in zip(reference, predicted, strict=True))
    return VolumeScores(_scores(reference, predicted), slices)


def _scores(reference: NDArray[np.integer], predicted: NDArray[np.integer]) -> PartitionScores:
    return PartitionScores(compare_partitions(reference, predicted), tally_objects(reference, predicted))
