"""What benchmarks that judge models share: the images that one holds out, and its scores on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.evaluation.score import Evaluation
from napari_unet.progress import CancelToken
from napari_unet.workflow.evaluate.evaluate_task import groups_of
from napari_unet.workflow.evaluate.predicted_masks import model_predictions, objects_of

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.models.ensemble import AnyModel


def held_out(dataset: Dataset, model: AnyModel) -> Dataset:
    """The images of a data set that a model holds out, told by their pixels."""
    seen = TrainingMembership(model.provenance)
    return dataset.subset(s.id for s in dataset.samples if seen.part(dataset.image(s)) == "held-out")


def scores(dataset: Dataset, model: AnyModel, **changes: object) -> dict[str, Any]:
    """Overall scores of a model on all images of a data set, with other settings of inference."""
    evaluation = Evaluation(dataset.classes, competition=dataset.format)
    settings = model.recipe.inference.model_copy(update=changes)
    groups = groups_of(dataset)
    for found in model_predictions(dataset, model, CancelToken(), settings):
        reference = dataset.mask(found.sample)
        objects = objects_of(reference, found, evaluation.settings)
        evaluation.add(found.sample.id, groups[found.sample.id], "held-out", reference, found.mask, objects)
    return evaluation.overall()
