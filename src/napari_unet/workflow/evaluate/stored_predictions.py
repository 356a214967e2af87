"""What the window asks about stored probabilities: every score there is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import DataError, WorkbenchError
from napari_unet.evaluation.confidence import count_probabilities
from napari_unet.evaluation.report.report_files import image_rows
from napari_unet.evaluation.score import Evaluation
from napari_unet.inference.objects import find_objects, split_outputs
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.progress import Progress
from napari_unet.settings import EvaluationSettings, InferenceSettings
from napari_unet.workflow.evaluate.predicted_masks import Predicted, objects_of
from napari_unet.workflow.segment.predict_task import find_sample

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask
    from napari_unet.inference.postprocess import Activation
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Separation
    from napari_unet.workflow.inputs.image_reference import ImageReference


@dataclass(frozen=True, eq=False)
class StoredPrediction:
    """An image with a reference mask, and where the model's probabilities of it are stored.

    Attributes
    ----------
    image : ImageReference
        With a reference mask.
    file : pathlib.Path
        .npy, as in ``workflow.segment.predict_task.Prediction``.
    group, part : str
        See ``evaluation.score.ImageScore``.
    separation_kind : str
        What the last channel of the file tells objects apart by, or "none".
    digest : str
        Of the pixels that the model was put on; empty where that is not known.
    """

    image: ImageReference
    file: Path
    group: str = ""
    part: str = "unseen"
    separation_kind: Separation = "none"
    digest: str = ""


@dataclass(frozen=True)
class ScoreRules:
    """How probabilities become masks, and masks scores.

    Attributes
    ----------
    classes : tuple of str
        Of the model.
    activation : str
        Of its network.
    inference : InferenceSettings
        Threshold, minimum size, how objects are separated.
    evaluation : EvaluationSettings
        Empty rule, intervals.
    competition : str
        Layout of the data.
    """

    classes: tuple[str, ...]
    activation: Activation = "sigmoid"
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    competition: str = ""


@dataclass(frozen=True, eq=False)
class OpenedPrediction:
    """A stored prediction, read: reference, probabilities, and the mask made of them."""

    stored: StoredPrediction
    reference: ReferenceMask
    probabilities: NDArray[np.float32]
    mask: NDArray[np.uint8]
    objects: tuple[NDArray[np.int32], NDArray[np.int32]] | None
    predicted: Predicted


def open_stored(stored: StoredPrediction, rules: ScoreRules) -> OpenedPrediction:
    """Read a stored prediction and make its mask.

    Raises
    ------
    DataError
        If the file is gone, or the reference cannot be read or does not fit.
    """
    name = stored.image.id
    try:
        outputs = np.load(stored.file).astype(np.float32)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the probabilities of {name} are gone", code="data.file.missing", remedy="segment it again"
        ) from error
    probabilities, separation = split_outputs(outputs, len(rules.classes))
    sample = find_sample(stored.image)
    reference = sample.read_mask()
    if reference.labels.shape != probabilities.shape[:2]:
        raise DataError(
            f"the reference mask of {name} has another size than the image", code="data.mask.size"
        )
    if int(reference.labels.max(initial=0)) > len(rules.classes):
        raise DataError(
            f"the reference mask of {name} has more classes than the model", code="data.mask.classes"
        )
    settings = rules.inference
    mask = mask_from_probabilities(
        probabilities, settings.threshold, settings.minimum_size, activation=rules.activation
    )
    number = partial(find_objects, mask, settings, probabilities, separation, stored.separation_kind)
    predicted = Predicted(sample, mask, number, probabilities, separation)
    objects = objects_of(reference, predicted, rules.evaluation)
    return OpenedPrediction(stored, reference, probabilities, mask, objects, predicted)


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """All scores of one image.

    Attributes
    ----------
    id : str
        Of the image.
    row : dict
        As in iou.csv: "group", "part", and every score by its name; None where there is none.
    curve : numpy.ndarray or None
        (101,) float64 IoU at each threshold; None with a problem.
    problem : str
        Why there are no scores; empty if there are.
    """

    id: str
    row: dict[str, Any]
    curve: NDArray[np.float64] | None = None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class ScoreTask:
    """Score stored probabilities by everything there is; each image comes as a piece, a ScoredImage."""

    images: tuple[StoredPrediction, ...]
    rules: ScoreRules

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        """Score."""
        for number, stored in enumerate(self.images):
            cancel.check()
            piece = score_stored(stored, self.rules)
            on_progress(Progress(number + 1, len(self.images), "Scoring", piece=piece))


def score_stored(stored: StoredPrediction, rules: ScoreRules) -> ScoredImage:
    """Score one stored prediction."""
    evaluation = Evaluation(rules.classes, rules.evaluation, rules.competition)
    try:
        opened = open_stored(stored, rules)
    except WorkbenchError as error:
        return ScoredImage(stored.image.id, {}, problem=error.sentence)
    reference = opened.reference
    evaluation.add(stored.image.id, stored.group, stored.part, reference, opened.mask, opened.objects)
    counts = count_probabilities(reference.labels, opened.probabilities, reference.weights, rules.activation)
    return ScoredImage(stored.image.id, image_rows(evaluation)[0], counts.iou(rules.evaluation.empty))
