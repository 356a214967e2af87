"""Two models on the same images, image by image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.hardware import default_precision
from napari_unet.errors import ModelError
from napari_unet.evaluation.compare import Comparison, compare
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.metrics.overlap import image_scores
from napari_unet.models.ensemble import load_any
from napari_unet.progress import Progress
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.inputs.image_reference import References
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.large_images.any_size import segment_any_size

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.inputs.image_reference import ImageReference


@dataclass(frozen=True, eq=False)
class CompareTask:
    """Put two models on the same labelled images and compare them.

    Attributes
    ----------
    old, new : pathlib.Path
        Models.
    judges : tuple of ImageReference
        Images with masks; those that either model was trained on are left out, recognized by their pixels.
    evaluation : EvaluationSettings
        Empty rule and interval.
    """

    old: Path
    new: Path
    judges: tuple[ImageReference, ...]
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Comparison:
        """Compare.

        Raises
        ------
        ModelError
            If a model cannot be loaded, or the two know different classes.
        DataError
            If an image is not there any more.
        """
        on_progress(Progress(0, 1, "Loading the models"))
        first, second = (load_any(path, default_precision()) for path in (self.old, self.new))
        references = References()
        samples = [references.sample(r) for r in self.judges]
        dataset = as_dataset("judges", [s for s in samples if s.has_mask], first.classes)
        return compare_models(first, second, dataset, self.evaluation, on_progress, cancel)


def compare_models(
    old: AnyModel,
    new: AnyModel,
    judges: Dataset,
    rules: EvaluationSettings,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Comparison:
    """Compare two models on labelled images; errors as ``CompareTask.run``.

    Parameters
    ----------
    old, new : Model or Ensemble
        With as many classes.
    judges : Dataset
        What either was trained on is left out; what its weights were chosen on stays, and is reported.
    rules : EvaluationSettings
        Empty rule and interval.
    on_progress, cancel
        While predicting.
    """
    if len(old.classes) != len(new.classes):
        raise ModelError(
            "the two models cannot be compared",
            code="model.classes.different",
            expected="as many classes in both",
            got=f"{', '.join(old.classes)} and {', '.join(new.classes)}",
        )
    unseen_images, notes = unseen(judges, (old, new), cancel)
    scores = [
        score_model(model, unseen_images, rules, on_progress, cancel, place / 2, 0.5)
        for place, model in enumerate((old, new))
    ]
    names = dict(zip((s.id for s in judges.samples), judges.groups(), strict=True))
    ids = [s.id for s in unseen_images.samples]
    return compare(
        ids,
        np.array([scores[0][i] for i in ids]),
        np.array([scores[1][i] for i in ids]),
        [names[i] or i for i in ids],
        confidence=rules.confidence,
        note="; ".join(notes),
    )


def unseen(judges: Dataset, models: tuple[AnyModel, ...], cancel: CancelToken) -> tuple[Dataset, list[str]]:
    """The images that no model was trained on, and what a person should know of those that are left."""
    seen = [TrainingMembership(model.provenance) for model in models]
    unseen_images: list[Sample] = []
    trained = chosen = 0
    for sample in judges.samples:
        cancel.check()
        parts = {s.part(judges.image(sample)) for s in seen}
        if "train" in parts:
            trained += 1
            continue
        chosen += "validation" in parts
        unseen_images.append(sample)
    notes = []
    if trained:
        notes.append(f"{trained} left out, as one of the two was trained on them")
    if chosen:
        notes.append(f"the weights of one of the two were chosen on {chosen} of them")
    return judges.subset(s.id for s in unseen_images), notes


def score_model(
    model: AnyModel,
    judges: Dataset,
    rules: EvaluationSettings,
    on_progress: OnProgress,
    cancel: CancelToken,
    begin: float = 0.0,
    share: float = 1.0,
) -> dict[str, float]:
    """IoU of a model on each image, by id; NaN where the empty rule leaves one out.

    Parameters
    ----------
    model : Model or Ensemble
        To be judged.
    judges : Dataset
        With reference masks.
    rules : EvaluationSettings
        Empty rule.
    on_progress, cancel
        While predicting.
    begin, share : float
        Where on the bar it begins, and how much of it it takes.
    """
    found: dict[str, float] = {}
    cached = [replace(s, load_image=partial(judges.image, s)) for s in judges.samples]
    for result in segment_any_size(cached, model, cancel=cancel):
        reference = judges.mask(result.sample)
        found[result.sample.id] = image_scores(
            reference.labels, result.mask, len(model.classes), reference.weights, rules.empty
        ).iou
        on_progress(Progress(begin + share * len(found) / len(cached), 1.0, "Judging"))
    return found
