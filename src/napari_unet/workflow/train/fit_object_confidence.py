"""How likely objects of a model are right, learned from its validation images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.postprocess import connected_objects
from napari_unet.metrics.object_confidence import KEY, RIGHT, ObjectConfidence, best_iou, object_evidence
from napari_unet.metrics.object_measures import measure_objects
from napari_unet.progress import ignore_progress, tracked
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.segment.segment_samples import Segmentation


def fit_object_confidence(
    model: AnyModel,
    validation: Dataset,
    cancel: CancelToken | None = None,
    on_progress: OnProgress = ignore_progress,
) -> ObjectConfidence | None:
    """Fit the confidence of objects on validation images, segmented as the model's settings say.

    Parameters
    ----------
    model : Model or Ensemble
        Trained, with its final settings of inference.
    validation : Dataset
        Images that the network did not learn from. Where masks do not number their objects, the connected
        pieces of each class are the objects if those of the model are, too; else such images are left out.
    cancel : CancelToken, optional
        Checked before every batch.
    on_progress : callable
        Takes a Progress after every image.

    Returns
    -------
    ObjectConfidence or None
        None where there are too few objects, or too few wrong ones; see ``ObjectConfidence.fitted``.
    """
    pieces = model.recipe.network.separation == "none"
    known = [s for s in validation.samples if _is_known(validation.mask(s), pieces)]
    evidence, right = [], []
    results = segment_samples(known, model, None, cancel)
    for result in tracked(results, len(known), "Confidence of objects", on_progress, cancel):
        one, iou, counts = judged_objects(result, validation.mask(result.sample))
        evidence.append(one[counts])
        right.append(iou[counts] >= RIGHT)
    return ObjectConfidence.fitted(evidence, right)


def _is_known(mask: ReferenceMask, pieces: bool) -> bool:
    """Whether it is known of a mask where each object ends."""
    return pieces if mask.objects is None else int(mask.objects.min(initial=0)) >= 0


def judged_objects(
    result: Segmentation, reference: ReferenceMask
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Evidence of the objects of an image, and how well each fits a true one.

    Parameters
    ----------
    result : Segmentation
        The image, segmented.
    reference : ReferenceMask
        Its objects are those that it numbers, else the connected pieces of each class.

    Returns
    -------
    evidence : numpy.ndarray
        (N, F), see ``object_evidence``.
    iou : numpy.ndarray
        (N,) with the true object of the same class that fits best.
    counts : numpy.ndarray
        (N,) bool: whether the truth is known in more than half of the object.
    """
    truth = reference.objects if reference.objects is not None else connected_objects(reference.labels)
    table = measure_objects(result.objects, result.mask, probabilities=result.probabilities)
    evidence = object_evidence(table, result.objects, result.probabilities, result.separation)
    numbers = np.asarray(table.columns["object"], np.int64)
    labels = np.asarray(table.columns["label"], np.int64)
    iou, counts = np.zeros(len(numbers)), np.ones(len(numbers), bool)
    for label in np.unique(labels):
        here = labels == label
        ours = np.where(result.mask == label, result.objects, 0)
        iou[here] = best_iou(numbers[here], ours, np.where(reference.labels == label, truth, 0))
    if reference.weights is not None:
        known = np.bincount(result.objects.ravel(), (reference.weights > 0).ravel().astype(np.float64))
        counts = 2 * known[numbers] > np.asarray(table.columns["area_px"])
    return evidence, iou, counts


def inherited(provenance: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The confidence of another model as part of a provenance, with the name of that model.

    Parameters
    ----------
    provenance : mapping
        Of the other model.
    name : str
        What to call it; one that it has from yet another model stays under that name.

    Returns
    -------
    dict
        Empty if that model has none.
    """
    found = ObjectConfidence.of(provenance)
    return {} if found is None else {KEY: replace(found, model=found.model or name).to_json()}
