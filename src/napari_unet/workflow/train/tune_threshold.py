"""What becomes a mask, chosen on validation images: threshold, depths, presence, smallest piece."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.score import Evaluation
from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import find_specks, mask_from_probabilities, remove_small
from napari_unet.progress import Progress, ignore_progress
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.metrics.objects import ObjectTally
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.segment.segment_samples import Segmentation

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))
CORES = (0.3, 0.4, 0.5, 0.6, 0.7)
DEPTHS = tuple(round(0.05 * n, 2) for n in range(1, 13))
PRESENCES = tuple(round(0.05 * n, 2) for n in range(1, 20))
LARGEST_PIECE = 0.08  # of an image's pixels: what is larger is no speck
ROUNDING = 1e-9
MOST_PIXELS = 60e6  # of all images together whose probabilities stay in memory


@dataclass(frozen=True)
class TunedThreshold:
    """What was chosen.

    Attributes
    ----------
    settings : InferenceSettings
        With the best threshold, core, least presence, least depth and minimum size.
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
    """Choose threshold, depths, least presence and smallest piece by the score that the data is judged by.

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
        The settings nearest to the model's own whose mean score is within one standard error of the best.
        That error is of the paired differences over images. What few images prefer may be luck (Breiman
        et al. 1984, Classification and regression trees, section 3.4.3).
    """
    segmented: list[tuple[Segmentation, ReferenceMask]] = []
    pixels = 0
    drawn = np.random.default_rng(0).permutation(
        len(validation)
    )  # whatever memory has room for, of all groups
    untouched = model.recipe.inference.model_copy(update={"least_presence": 0.0, "least_depth": 0.0})
    for result in segment_samples([validation.samples[n] for n in drawn], model, untouched, cancel):
        segmented.append((result, validation.mask(result.sample)))
        on_progress(Progress(len(segmented), len(validation), "Choosing the threshold", None))
        pixels += result.probabilities.size
        if pixels > MOST_PIXELS:
            break
    judge = _Judge(model, validation.format, segmented)
    chosen = untouched.model_copy(update={"minimum_size": 0})
    if model.recipe.network.separation == "border" and judge.objects:
        chosen = judge.best(chosen, "core", CORES)
    chosen = judge.best(chosen, "threshold", THRESHOLDS)
    if model.recipe.network.presence:
        chosen = judge.best(chosen, "least_presence", PRESENCES)
    if model.recipe.network.separation == "distance" and judge.objects:
        chosen = judge.best(chosen, "least_depth", DEPTHS)
    side = int(np.median([result.mask.size for result, _ in segmented]) * LARGEST_PIECE)
    sizes = [2**n for n in range(3, max(side, 8).bit_length())]
    chosen = judge.best(chosen, "minimum_size", sizes)
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

    def best(self, plain: InferenceSettings, name: str, values: Sequence[float]) -> InferenceSettings:
        """The settings with the value nearest to the present one that is no worse than the best."""
        present = getattr(plain, name)
        tried = sorted({present, *values}, key=lambda value: (abs(value - present), value))
        settings = [plain.model_copy(update={name: value}) for value in tried]
        scores = [self.scores(one) for one in settings]
        highest = max(scores, key=np.mean)
        return next(
            one
            for one, score in zip(settings, scores, strict=True)
            if np.mean(highest - score) <= _standard_error(highest - score) + ROUNDING
        )

    def score(self, settings: InferenceSettings) -> float:
        """Mean over the images."""
        return float(np.mean(self.scores(settings)))

    def scores(self, settings: InferenceSettings) -> NDArray[np.float64]:
        """(N,) of each image; (1,) where the score is one of all images together."""
        evaluation = Evaluation(
            self.model.classes, EvaluationSettings(scores="overlap"), competition=self.format
        )
        activation = self.model.recipe.network.activation
        for result, reference in self.segmented:
            mask = mask_from_probabilities(result.probabilities, settings.threshold, activation=activation)
            if settings.asks_depth(self.model.recipe.network) and result.separation is not None:
                mask[find_specks(mask, result.separation, settings.least_depth)] = 0
            mask = remove_small(mask, settings.minimum_size) if settings.minimum_size > 1 else mask
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
            return np.array([np.nan if s.competition is None else s.competition for s in scores])
        if self.name == "ap" and len(self.model.classes) > 1:
            return np.array([mean_over_classes([s.counted.by_class for s in scores])])
        return np.array([s.values[self.name] for s in scores])


def _standard_error(differences: NDArray[np.float64]) -> float:
    """Of their mean; 0 of a single one, which tells nothing about others."""
    if len(differences) < 2:
        return 0.0
    return float(np.std(differences, ddof=1)) / math.sqrt(len(differences))


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
