"""The scores of the Kaggle competitions, to the letter.

Each takes what was counted in one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.metrics.objects import ObjectTally
    from napari_unet.metrics.overlap import OverlapCounts
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


def tgs_salt_score(counts: OverlapCounts) -> float:
    """Score of one image in the TGS Salt Identification Challenge, which has one class.

    Parameters
    ----------
    counts : OverlapCounts
        Of the image.

    Returns
    -------
    float
        The share of the thresholds 0.5, 0.55, ... 0.95 that the IoU is above, as each image has one
        object at most: a hit is a precision of 1. 1 where both masks are empty, 0 where one is.

    Notes
    -----
    The competition's page "Evaluation": a predicted object is a hit if its IoU is greater than the
    threshold, and the precision at each threshold is TP / (TP + FP + FN).
    https://www.kaggle.com/competitions/tgs-salt-identification-challenge/overview/evaluation
    """
    if counts.empty_reference or counts.empty_prediction:
        return float(counts.empty_reference and counts.empty_prediction)
    both, union = int(counts.both.sum()), int(counts.union.sum())
    # In whole numbers: 0.55 has no exact binary form, and an IoU of just that is not above it.
    return sum(20 * both > step * union for step in TWENTIETHS) / len(TWENTIETHS)


def ultrasound_nerve_score(counts: OverlapCounts) -> float:
    """Score of one image in the Ultrasound Nerve Segmentation competition, which has one class.

    Parameters
    ----------
    counts : OverlapCounts
        Of the image.

    Returns
    -------
    float
        Dice coefficient, 1 where both masks are empty. The score of a submission is the mean.

    Notes
    -----
    https://www.kaggle.com/competitions/ultrasound-nerve-segmentation/overview/evaluation
    """
    return float(counts.dice("one")[0])


def data_science_bowl_score(objects: ObjectTally | None) -> float:
    """Score of one image in the 2018 Data Science Bowl.

    Parameters
    ----------
    objects : ObjectTally or None
        Nuclei of the image; None where they are not numbered.

    Returns
    -------
    float
        TP / (TP + FP + FN), averaged over the thresholds 0.5, 0.55 ... 0.95 that the IoU of two nuclei
        must be above; NaN where they are not numbered. The competition has no image without nuclei; here
        it counts 1 if none was predicted, else 0.

    Notes
    -----
    https://www.kaggle.com/competitions/data-science-bowl-2018/overview/evaluation
    """
    return float("nan") if objects is None else objects.average_precision(None, "one")


# By the name of the data format.
COMPETITIONS = {
    "tgs-salt": Competition(
        "TGS Salt: precision averaged over IoU 0.5 to 0.95",
        "tgs_score",
        lambda counted: tgs_salt_score(counted.overlap),
    ),
    "ultrasound-nerve": Competition(
        "Ultrasound Nerve: mean Dice",
        "nerve_score",
        lambda counted: ultrasound_nerve_score(counted.overlap),
    ),
    "dsb2018": Competition(
        "2018 Data Science Bowl: precision of nuclei averaged over IoU 0.5 to 0.95",
        "dsb_score",
        lambda counted: data_science_bowl_score(counted.objects),
    ),
}
