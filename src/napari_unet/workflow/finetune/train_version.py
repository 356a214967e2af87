"""Training a new model in a session: curves, a preview, the best weights, and a verdict on them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.sample import Sample
from napari_unet.data.split import Split
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import ModelError
from napari_unet.models.ensemble import load_any
from napari_unet.progress import Progress
from napari_unet.settings import EvaluationSettings
from napari_unet.training.forecast import PeakMemory
from napari_unet.workflow.evaluate.compare_models import compare_models, score_model
from napari_unet.workflow.inputs.image_reference import FileReference, References
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.preview import Preview
from napari_unet.workflow.train.train_task import TrainTask
from napari_unet.workflow.train.training_data import open_training_data

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.engine.task import FromCaller
    from napari_unet.evaluation.compare import Comparison
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe
    from napari_unet.workflow.inputs.labelled_images import GivenData

WORTH_SEEING = 0.2  # of IoU
PREVIEW_EVERY = 5.0  # seconds at least between two previews


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of training a new model.

    Attributes
    ----------
    model : pathlib.Path
        Its folder.
    comparison : Comparison or None
        With the version in use, on images held out from both; None if there was none to compare with.
    note : str
        Why not; empty where there is a comparison.
    held_out_iou : float or None
        Mean over the images held out; None without any.
    validation_iou : float or None
        Of the weights that were chosen.
    steps : int
        Of the optimizer.
    seconds : float
        The whole task took.
    memory : int
        Most bytes that the computing process held meanwhile.
    stopped : bool
        Whether a person stopped it early, with the best weights.
    judged : int
        Images that `held_out_iou` is over, where there is no comparison.
    """

    model: Path
    comparison: Comparison | None
    note: str
    held_out_iou: float | None
    validation_iou: float | None
    steps: int
    seconds: float
    memory: int
    stopped: bool = False
    judged: int = 0

    @property
    def verdict(self) -> str:
        """Of the comparison; "new" without one."""
        return self.comparison.verdict if self.comparison is not None else "new"

    @property
    def how(self) -> str:
        """How the version came to be, for the list of versions."""
        return "trained again"

    @property
    def sentence(self) -> str:
        """All of it for a person, on one line."""
        if self.comparison is not None:
            return self.comparison.sentence
        if self.held_out_iou is not None:
            over = f"{self.judged:,} " if self.judged else "the "
            words = f"mean IoU {self.held_out_iou:.3f} on {over}held-out image{'s' * (self.judged != 1)}"
        elif self.validation_iou is not None:
            words = f"validation IoU {self.validation_iou:.3f}; no image was held out to judge by"
        else:
            words = "trained; no image was held out to judge by"
        return f"{words}; {self.note}" if self.note else words


@dataclass(frozen=True, eq=False)
class TrainVersionTask:
    """Train a new model, and compare it with the version in use on images held out from both.

    Attributes
    ----------
    data : pathlib.Path or GivenData
        To train on.
    out : pathlib.Path
        Folder of the model; holds the state of a training that was cut short.
    recipe : Recipe
        With the time budget.
    format : str, optional
        Layout of the data.
    split : Split, optional
        To train with.
    current : pathlib.Path, optional
        The version in use.
    resume : bool
        Resume a training that was cut short.
    preview : FromCaller, optional
        See ``FineTuneTask``.
    stop : FromCaller, optional
        () -> bool, whether to stop now and keep the best.
    evaluation : EvaluationSettings
        Empty rule and interval of the gate.
    """

    data: Path | GivenData
    out: Path
    recipe: Recipe
    format: str | None = None
    split: Split | None = None
    current: Path | None = None
    resume: bool = False
    preview: FromCaller | None = None
    stop: FromCaller | None = None
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Trained:
        """Train and judge; errors as ``TrainTask.run``."""
        return _VersionTraining(self, on_progress, cancel).run()


@dataclass
class _VersionTraining:
    task: TrainVersionTask
    on_progress: OnProgress
    cancel: CancelToken

    def __post_init__(self) -> None:
        self.references = References()
        self._previewed = self._started = time.monotonic()
        self._stopped = False
        self._judged = 0
        self._last = Progress(0, 1, "Opening the data")

    def run(self) -> Trained:
        task = self.task
        self.on_progress(self._last)
        with PeakMemory() as memory:
            model = TrainTask(
                task.data,
                task.out,
                task.recipe,
                task.format,
                task.split,
                resume=task.resume,
                on_epoch=self._on_epoch,
                on_validation=self._on_validation,
                stop=self._stop,
            ).run(self._on_progress, self.cancel)
            comparison, note, iou = self._judge(model)
        provenance = model.provenance
        self.on_progress(Progress(1, 1, "Done"))
        return Trained(
            task.out,
            comparison,
            note,
            iou,
            provenance["scores"].get("validation_iou"),
            int(provenance["steps"]),
            time.monotonic() - self._started,
            memory.most,
            self._stopped,
            self._judged,
        )

    def _on_progress(self, progress: Progress) -> None:
        self._last = progress
        self.on_progress(progress)

    def _on_epoch(self, row: dict[str, float]) -> None:
        values = {
            "seconds": row["seconds"],
            "held_out_iou": row["validation_iou"],
            "old_iou": math.nan,
        }
        last = self._last
        self.on_progress(Progress(last.done, last.total, last.message, row["seconds_left"], values))

    def _on_validation(self, model: Model, score: float) -> None:
        """Show what the averaged weights make of the image that is looked at, once that is no mere noise."""
        asked: Any = None
        now = time.monotonic()
        due = score >= WORTH_SEEING and now - self._previewed >= PREVIEW_EVERY
        if due and self.task.preview is not None:
            asked = self.task.preview()
        if asked is None:
            return
        self._previewed = now
        if isinstance(asked, FileReference):
            sample = self.references.sample(asked)
        else:
            identifier, image = asked
            sample = Sample(identifier, lambda: image)
        plain = model.recipe.inference.model_copy(update={"flips": "none"})
        failed: list[Any] = []
        for result in segment_samples(
            [sample], model, plain, self.cancel, lambda sample, error: failed.append(error)
        ):
            piece = Preview(sample.id, result.probabilities, now - self._started)
            last = self._last
            self.on_progress(Progress(last.done, last.total, last.message, last.seconds_left, piece=piece))

    def _stop(self) -> bool:
        self._stopped = self._stopped or bool(self.task.stop is not None and self.task.stop())
        return self._stopped

    def _judge(self, model: Model) -> tuple[Comparison | None, str, float | None]:
        """The verdict, why there is none, and the IoU on what was held out."""
        task = self.task
        split = Split.from_json(model.provenance["split"], "the split")
        dataset = open_training_data(task.data, task.format)
        held = dataset.subset(split.held_out)
        rules = task.evaluation
        if len(held) and task.current is not None:
            try:
                old = load_any(task.current, default_precision())
                comparison = compare_models(old, model, held, rules, self.on_progress, self.cancel)
            except ModelError as error:
                note = error.sentence
            else:
                return comparison, "", comparison.new_iou
        else:
            note = "" if task.current is None else "there is nothing to compare with"
        if not len(held):
            return None, note, None
        scores = score_model(model, held, rules, self.on_progress, self.cancel)
        known = [v for v in scores.values() if math.isfinite(v)]
        self._judged = len(known)
        if empty := len(scores) - len(known):
            why = f"{empty:,} of {len(scores):,} held-out images have no IoU, as nothing is in either mask"
            note = f"{note}; {why}" if note else why
        return None, note, float(np.mean(known)) if known else None
