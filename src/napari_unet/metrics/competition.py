"""The scores of the Kaggle competitions, to the letter.

A competition's score is a function of one image's masks. What it needs is in the pixels the masks
share, so each has a second form that takes what was counted already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.metrics.objects import tally_objects
from napari_unet.metrics.overlap import OverlapCounts, count_overlap

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.metrics.registry import Counted

TWENTIETHS = range(10, 20)  # the thresholds 0.5 to 0.95, in whole numbers


@dataclass(frozen=True)
class Competition:
    """How a competition scores.

    Attributes
    ----------
    name : str
        The score in words.
    column : str
        What the score is called in tables.
    score : callable
        Takes what was counted in one image with one class; NaN where it needs objects and there are none.
    """

    name: str
    column: str
    score: Callable[[Counted], float]


def tgs_salt_score(reference: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Score of one image in the TGS Salt Identification Challenge.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers or bool, 0 background, 1 salt.

    Returns
    -------
    float
        The share of the thresholds 0.5, 0.55, ... 0.95 that the IoU is above, as each image has one
        object at most: a hit is a precision of 1. 1 where both masks are empty, 0 where one is.

    Raises
    ------
    ValueError
        If shapes differ, or a label is above 1.

    Notes
    -----
    The competition's page "Evaluation": a predicted object is a hit if its IoU is greater than the
    threshold, and the precision at each threshold is TP / (TP + FP + FN).
    https://www.kaggle.com/competitions/tgs-salt-identification-challenge/overview/evaluation
    """
    return tgs_salt_score_of_counts(count_overlap(reference, predicted))


def tgs_salt_score_of_counts(counts: OverlapCounts) -> float:
    """Score of one image in the TGS Salt competition; see ``tgs_salt_score``."""
    if counts.empty_reference or counts.empty_prediction:
        return float(counts.empty_reference and counts.empty_prediction)
    both, union = int(counts.both.sum()), int(counts.union.sum())
    # In whole numbers: 0.55 has no exact binary form, and an IoU of just that is not above it.
    return sum(20 * both > step * union for step in TWENTIETHS) / len(TWENTIETHS)


def ultrasound_nerve_score(reference: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Score of one image in the Ultrasound Nerve Segmentation competition.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers or bool, 0 background, 1 nerve.

    Returns
    -------
    float
        Dice coefficient, 1 where both masks are empty. The score of a submission is the mean.

    Raises
    ------
    ValueError
        If shapes differ, or a label is above 1.

    Notes
    -----
    https://www.kaggle.com/competitions/ultrasound-nerve-segmentation/overview/evaluation
    """
    return ultrasound_nerve_score_of_counts(count_overlap(reference, predicted))


def ultrasound_nerve_score_of_counts(counts: OverlapCounts) -> float:
    """Score of one image in the Ultrasound Nerve competition; see ``ultrasound_nerve_score``."""
    return float(counts.dice("one")[0])


def data_science_bowl_score(reference: NDArray[np.integer], predicted: NDArray[np.integer]) -> float:
    """Score of one image in the 2018 Data Science Bowl.

    Parameters
    ----------
    reference, predicted : numpy.ndarray
        (Y, X) of integers, 0 background, one positive number a nucleus.

    Returns
    -------
    float
        TP / (TP + FP + FN), averaged over the thresholds 0.5, 0.55 ... 0.95 that the IoU of two nuclei
        must be above. The competition has no image without nuclei; here it counts 1 if none was
        predicted, else 0.

    Raises
    ------
    ValueError
        If shapes differ.

    Notes
    -----
    https://www.kaggle.com/competitions/data-science-bowl-2018/overview/evaluation
    """
    return tally_objects(reference, predicted).average_precision(None, "one")


def _of_objects(counted: Counted) -> float:
    return float("nan") if counted.objects is None else counted.objects.average_precision(None, "one")


# By the name of the data format.
COMPETITIONS = {
    "tgs-salt": Competition(
        "TGS Salt: precision averaged over IoU 0.5 to 0.95",
        "tgs_score",
        lambda counted: tgs_salt_score_of_counts(counted.overlap),
    ),
    "ultrasound-nerve": Competition(
        "Ultrasound Nerve: mean Dice",
        "nerve_score",
        lambda counted: ultrasound_nerve_score_of_counts(counted.overlap),
    ),
    "dsb2018": Competition(
        "2018 Data Science Bowl: precision of nuclei averaged over IoU 0.5 to 0.95", "dsb_score", _of_objects
    ),
}
