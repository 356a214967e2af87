"""What becomes a mask, chosen on validation images: threshold, depth of cores, presence, smallest piece."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.score import Evaluation
from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.progress import Progress, ignore_progress
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.metrics.objects import ObjectTally
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.segment.segment_samples import Segmentation

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))
CORES = (0.3, 0.4, 0.5, 0.6, 0.7)
PRESENCES = tuple(round(0.05 * n, 2) for n in range(1, 20))
LARGEST_PIECE = 0.08  # of an image's pixels: what is larger is no speck
GAIN = 1e-3  # that dropping small pieces must bring: less is luck
MOST_PIXELS = 60e6  # of all images together whose probabilities stay in memory


@dataclass(frozen=True)
class TunedThreshold:
    """What was chosen.

    Attributes
    ----------
    settings : InferenceSettings
        With the best threshold, core, least presence and minimum size.
    score : str
        Name of the score that chose: "competition", "ap" or "iou", a mean over images.
    value : float
        Of it, on the validation images; optimistic, as it was chosen on them.
    images : int
        That it was chosen on.
    """

    settings: InferenceSettings
    score: str
    value: float
    images: int

    def to_json(self) -> dict[str, Any]:
        """For a model's provenance."""
        return {"score": self.score, "value": round(self.value, 4), "images": self.images}


def tune_threshold(
    model: Model,
    validation: Dataset,
    cancel: CancelToken | None = None,
    on_progress: OnProgress = ignore_progress,
) -> TunedThreshold:
    """Choose threshold, cores, least presence and smallest piece by the score that the data is judged by.

    That is the competition's where the data is one's, the average precision of objects where the
    reference tells them apart, else IoU. Of several classes each counts alike. Images are segmented
    once, as the model's settings say, flips included; held-out images have no part in it.

    Parameters
    ----------
    model : Model
        Trained.
    validation : Dataset
        At least one image; of large ones only as many as memory is meant for.
    cancel : CancelToken, optional
        Checked before every batch.
    on_progress : callable
        Takes a Progress after each image.

    Returns
    -------
    TunedThreshold
        The settings with the best mean score: of equal thresholds the middle one, and a least presence or a
        smallest piece only where it brings 0.001 or more.
    """
    segmented: list[tuple[Segmentation, ReferenceMask]] = []
    pixels = 0
    drawn = np.random.default_rng(0).permutation(
        len(validation)
    )  # whatever memory has room for, of all groups
    untouched = model.recipe.inference.model_copy(update={"least_presence": 0.0})
    for result in segment_samples([validation.samples[n] for n in drawn], model, untouched, cancel):
        segmented.append((result, validation.mask(result.sample)))
        on_progress(Progress(len(segmented), len(validation), "Choosing the threshold", None))
        pixels += result.probabilities.size
        if pixels > MOST_PIXELS:
            break
    judge = _Judge(model, validation.format, segmented)
    chosen = untouched
    cores = CORES if model.recipe.network.separation != "none" and judge.objects else (chosen.core,)
    chosen = judge.best([chosen.model_copy(update={"core": core}) for core in cores])[0]
    chosen = judge.best([chosen.model_copy(update={"threshold": t}) for t in THRESHOLDS])[0]
    chosen = chosen.model_copy(update={"minimum_size": 0})
    if model.recipe.network.presence:
        chosen = judge.worth(chosen, "least_presence", PRESENCES)
    side = int(np.median([result.mask.size for result, _ in segmented]) * LARGEST_PIECE)
    sizes = [2**n for n in range(3, max(side, 8).bit_length())]
    chosen = judge.worth(chosen, "minimum_size", sizes)
    return TunedThreshold(chosen, judge.name, judge.score(chosen), len(segmented))


@dataclass
class _Judge:
    """Scores of settings on images that were segmented already."""

    model: Model
    format: str
    segmented: Sequence[tuple[Segmentation, ReferenceMask]]

    def __post_init__(self) -> None:
        self.objects = all(reference.objects is not None for _, reference in self.segmented)
        self.name = "competition"
        if np.isnan(self.score(self.model.recipe.inference)):  # no competition, or one of objects without any
            self.name = "ap" if self.objects else "iou"

    def best(self, tried: Sequence[InferenceSettings]) -> tuple[InferenceSettings, float]:
        """The best settings, the middle ones of equal, and their score."""
        scores = np.array([self.score(settings) for settings in tried])
        equal = np.flatnonzero(scores >= scores.max() - 1e-9)
        return tried[int(equal[len(equal) // 2])], float(scores.max())

    def worth(self, plain: InferenceSettings, name: str, values: Sequence[float]) -> InferenceSettings:
        """The settings with the best of some values, if it brings enough."""
        found, after = self.best([plain.model_copy(update={name: value}) for value in values])
        return found if after >= self.score(plain) + GAIN else plain

    def score(self, settings: InferenceSettings) -> float:
        """Mean over the images."""
        evaluation = Evaluation(
            self.model.classes, EvaluationSettings(scores="overlap"), competition=self.format
        )
        activation = self.model.recipe.network.activation
        for result, reference in self.segmented:
            mask = mask_from_probabilities(
                result.probabilities, settings.threshold, settings.minimum_size, activation=activation
            )
            if result.presence < settings.least_presence:
                mask[:] = 0
            objects = None
            if self.objects and reference.objects is not None:
                found = find_objects(
                    mask, settings, result.probabilities, result.separation, result.separation_kind
                )
                objects = reference.objects, found
            evaluation.add(result.sample.id, result.sample.id, "validation", reference, mask, objects)
        scores = evaluation.scores
        if self.name == "competition":
            return float(np.mean([np.nan if s.competition is None else s.competition for s in scores]))
        if self.name == "ap" and len(self.model.classes) > 1:
            return mean_over_classes([s.counted.by_class for s in scores])
        return float(np.mean([s.values[self.name] for s in scores]))


def mean_over_classes(tallies: Sequence[tuple[ObjectTally, ...] | None]) -> float:
    """Average precision of each class over all images, and the mean of these.

    A class of few and small objects counts as much as one of many large ones. Else what is too small for one
    class would be dropped of all.

    Parameters
    ----------
    tallies : sequence of tuple of ObjectTally
        Of each image, one a class.
    """
    known = [one for one in tallies if one is not None]
    by_class = [reduce(add, of_class) for of_class in zip(*known, strict=True)]
    found = [tally.average_precision(empty="skip") for tally in by_class]
    return float(np.nanmean(found)) if not np.isnan(found).all() else 1.0
