"""The scores of the Kaggle competitions, to the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_unet.metrics.overlap import OverlapCounts

TGS_THRESHOLDS = np.arange(10, 20) * 0.05  # 0.5 to 0.95


def tgs_salt_score(counts: OverlapCounts) -> float:
    """Score of one image in the TGS Salt Identification Challenge.

    Parameters
    ----------
    counts : OverlapCounts
        Of the image, with one class.

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
    reference, predicted = int(counts.reference.sum()), int(counts.predicted.sum())
    if reference == 0 or predicted == 0:
        return float(reference == predicted)
    iou = float(counts.both.sum() / counts.union.sum())
    # Thresholds such as 0.55 have no exact binary form: an IoU of just that is not above it.
    return float((iou > TGS_THRESHOLDS + 1e-12).mean())


def ultrasound_nerve_score(counts: OverlapCounts) -> float:
    """Score of one image in the Ultrasound Nerve Segmentation competition.

    Parameters
    ----------
    counts : OverlapCounts
        Of the image, with one class.

    Returns
    -------
    float
        Dice coefficient, 1 where both masks are empty.

    Notes
    -----
    https://www.kaggle.com/competitions/ultrasound-nerve-segmentation/overview/evaluation
    """
    return float(counts.dice("one")[0])


COMPETITIONS = {
    "tgs-salt": ("TGS Salt: precision averaged over IoU 0.5 to 0.95", tgs_salt_score),
    "ultrasound-nerve": ("Ultrasound Nerve: mean Dice", ultrasound_nerve_score),
}
