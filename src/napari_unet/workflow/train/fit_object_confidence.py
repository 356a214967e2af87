"""How likely objects of a model are right, learned from its validation images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.metrics.object_confidence import RIGHT, ObjectConfidence, best_iou, object_evidence
from napari_unet.metrics.object_measures import measure_objects
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.workflow.segment.segment_samples import Segmentation


def fit_object_confidence(
    model: Model, validation: Dataset, cancel: CancelToken | None = None
) -> ObjectConfidence | None:
    """Fit the confidence of objects on validation images, segmented as the model's settings say.

    Parameters
    ----------
    model : Model
        Trained, with its final settings of inference.
    validation : Dataset
        Images that the network did not learn from; those whose masks tell no objects apart are left out.
    cancel : CancelToken, optional
        Checked before every batch.

    Returns
    -------
    ObjectConfidence or None
        None where there are too few objects, or too few wrong ones; see ``ObjectConfidence.fitted``.
    """
    known = [s for s in validation.samples if validation.mask(s).objects is not None]
    evidence, right = [], []
    for result in segment_samples(replace(validation, samples=tuple(known)).samples, model, None, cancel):
        one, iou, counts = judged_objects(result, validation.mask(result.sample))
        evidence.append(one[counts])
        right.append(iou[counts] >= RIGHT)
    return ObjectConfidence.fitted(evidence, right)


def judged_objects(
    result: Segmentation, reference: ReferenceMask
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Evidence of the objects of an image, and how well each fits a true one.

    Parameters
    ----------
    result : Segmentation
        The image, segmented.
    reference : ReferenceMask
        With objects.

    Returns
    -------
    evidence : numpy.ndarray
        (N, F), see ``object_evidence``.
    iou : numpy.ndarray
        (N,) with the true object that fits best.
    counts : numpy.ndarray
        (N,) bool: whether the truth is known in more than half of the object.
    """
    assert reference.objects is not None
    table = measure_objects(result.objects, result.mask, probabilities=result.probabilities)
    evidence = object_evidence(table, result.objects, result.probabilities, result.separation)
    numbers = np.asarray(table.columns["object"], np.int64)
    counts = np.ones(len(numbers), bool)
    if reference.weights is not None:
        known = np.bincount(result.objects.ravel(), (reference.weights > 0).ravel().astype(np.float64))
        counts = 2 * known[numbers] > np.asarray(table.columns["area_px"])
    return evidence, best_iou(numbers, result.objects, reference.objects), counts
