"""Fine-tuning: a model and corrections become a new model, and a verdict on it."""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import check_model, write_text
from napari_unet.data.image_hash import image_hash
from napari_unet.data.sample import Sample
from napari_unet.data.split import Split
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import ModelError, OutputError, TrainingError, WorkbenchError
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.metrics.uncertainty import FEWEST_GROUPS
from napari_unet.models.model import load_model, save_model
from napari_unet.models.model_folder import METRICS_FILE, SPLIT_FILE, check_place
from napari_unet.networks.heads import learner_of
from napari_unet.progress import Progress
from napari_unet.settings import EvaluationSettings, FineTuneSettings
from napari_unet.training.feeding.mixed_batches import make_batches
from napari_unet.training.fine_tune import FineTuning
from napari_unet.training.losses import make_loss
from napari_unet.training.warm import warm_model
from napari_unet.workflow.finetune.held_out_counts import NotJudging
from napari_unet.workflow.finetune.held_out_gate import LABELLED, HeldOutGate
from napari_unet.workflow.finetune.provenance import provenance_of_version, weights_hash
from napari_unet.workflow.finetune.training_examples import (
    MOST_JUDGED,
    open_replay,
    own_predictions,
    set_aside,
)
from napari_unet.workflow.inputs.image_reference import FileReference, References
from napari_unet.workflow.inputs.labelled_images import LabelledImage, as_dataset
from napari_unet.workflow.inputs.left_out import LeftOut, check_size, sound_part
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.preview import Preview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.engine.task import FromCaller
    from napari_unet.evaluation.compare import Comparison
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.finetune.training_examples import Replay
    from napari_unet.workflow.inputs.image_reference import ImageReference

LEAST_TRAINING = 0.4  # share of the budget
MOST_JUDGING = 0.25  # share of the budget that is kept for it
WRITING = 2.5  # seconds kept for the last look and for writing the model, on a quiet machine
LOADING = 1.5  # seconds that loading the model takes there


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What came of fine-tuning.

    Attributes
    ----------
    model : pathlib.Path
        Folder of the new model.
    comparison : Comparison
        The gate: old against new on held-out images.
    history : tuple of dict
        A row a look: seconds since the task began, step, loss, learning_rate, held_out_iou.
    learned_from, held_out : tuple of str
        Ids of the corrections that were learned from, and of those kept for judging.
    replayed : str
        "training data", "own predictions" or "nothing".
    steps : int
        Of the optimizer.
    seconds : float
        The whole task took.
    stopped : bool
        Whether it was told to stop and keep the best.
    left_out : tuple of LeftOut
        Corrections, and images to replay or to judge by, that could not be read.
    """

    model: Path
    comparison: Comparison
    history: tuple[dict[str, float], ...]
    learned_from: tuple[str, ...]
    held_out: tuple[str, ...]
    replayed: str
    steps: int
    seconds: float
    stopped: bool = False
    left_out: tuple[LeftOut, ...] = ()

    @property
    def verdict(self) -> str:
        """Of the comparison."""
        return self.comparison.verdict

    @property
    def sentence(self) -> str:
        """The verdict for a person, on one line."""
        return self.comparison.sentence


@dataclass(frozen=True, eq=False)
class FineTuneTask:
    """Fine-tune a model on corrections, and compare old and new on held-out images.

    Attributes
    ----------
    model : pathlib.Path
        To start from; never touched.
    corrections : tuple of LabelledImage
        What was painted.
    out : pathlib.Path
        Folder of the new model.
    settings : FineTuneSettings
        Time budget, replay, rates.
    replay : pathlib.Path, optional
        The data set the model was trained on. What was held out of it, or else its validation part, is
        used to judge.
    replay_format : str, optional
        Its layout.
    others : tuple of ImageReference
        Images without corrections; the model's own predictions on them are replayed if there is no
        `replay`.
    judges : tuple of ImageReference
        Images with reference masks to judge by, besides.
    reserve : bool, optional
        Whether every fifth done image is kept for judging; None: where too little else is there for it.
    preview : FromCaller, optional
        () -> FileReference, (id, image as (Y, X, C)) or None: the image that shall be shown as it is
        learned. Asked after each look; the answer comes as a Preview, the piece of a Progress.
    stop : FromCaller, optional
        () -> bool, whether to stop now and keep the best; asked twice a second.
    evaluation : EvaluationSettings
        Empty rule and interval of the gate.
    overwrite : bool
        Whether another model that is there may be replaced.
    """

    model: Path
    corrections: tuple[LabelledImage, ...]
    out: Path
    settings: FineTuneSettings = field(default_factory=FineTuneSettings)
    replay: Path | None = None
    replay_format: str | None = None
    others: tuple[ImageReference, ...] = ()
    judges: tuple[ImageReference, ...] = ()
    reserve: bool | None = None
    preview: FromCaller | None = None
    stop: FromCaller | None = None
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> FineTuned:
        """Learn, compare, and write the new model.

        Raises
        ------
        OutputError
            If it cannot be written there.
        ModelError
            If the model cannot be read, finds whole objects, or does not fit the images.
        TrainingError
            If there is nothing to learn from, or the loss is not a number any more.
        Cancelled
            When the person stopped it.
        """
        started = time.monotonic()
        self._check_places()
        on_progress(Progress(0, 1, "Loading the model"))
        model = load_model(self.model, default_precision())
        if model.recipe.network.separation == "objects":
            raise ModelError(
                f"{self.model} finds whole objects, which painted pixels cannot teach it",
                code="model.network.objects",
                expected="a network that answers for each pixel",
                got=model.recipe.network.name,
                remedy="train it again with the corrected masks, or fine-tune another network",
            )
        # A machine that is slow to load will be slow to write.
        writing = WRITING * max((time.monotonic() - started) / LOADING, 1.0)
        model = warm_model().take(model)
        try:
            return _FineTuning(self, model, started, writing, on_progress, cancel).fine_tune()
        finally:
            warm_model().keep(model)

    def _check_places(self) -> None:
        check_place(self.out)
        if self.out.suffix.lower() == ".zip":
            raise OutputError(
                f"fine-tuning writes a folder, and {self.out} looks like an archive",
                code="output.name.archive",
                remedy="give a name without .zip; zip the folder when it is done, it is read as well",
            )
        if self.out.resolve() == Path(self.model).resolve():
            raise OutputError(
                f"{self.out} is the model to start from",
                code="output.input",
                expected="a place of its own for the new model",
                remedy="give another name; the old model stays as it is",
            )
        check_model(self.out, [Path(self.model)], overwrite=self.overwrite)


@dataclass
class _FineTuning:
    """One fine-tuning, its parts put together."""

    task: FineTuneTask
    model: Model
    started: float
    writing: float
    on_progress: OnProgress
    cancel: CancelToken

    def __post_init__(self) -> None:
        self.references = References()
        self.seen = TrainingMembership(self.model.provenance)
        self.settings = self.task.settings
        self.replayed = "nothing"
        self.left_out: list[LeftOut] = []
        self._parent_hash = weights_hash(self.model.network)

    def fine_tune(self) -> FineTuned:
        task, model = self.task, self.model
        samples = [c.sample(self.references) for c in task.corrections]
        painted = as_dataset("corrections", samples, model.classes)
        if painted.samples:
            painted, unreadable = sound_part(painted, cancel=self.cancel)
            self.left_out.extend(unreadable)
        self._check(painted)
        samples = list(painted.samples)
        masks_are = (model.provenance.get("data") or {}).get("masks_are", "")
        replay = (
            open_replay(
                task.replay,
                task.replay_format,
                self.seen,
                self.settings.seed,
                masks_are,
                self.left_out.append,
            )
            if task.replay is not None
            else None
        )
        labelled = self._labelled(painted, replay)
        reserve = len(labelled) < FEWEST_GROUPS if task.reserve is None else task.reserve
        learned_from, reserved = set_aside(samples, painted, self.seen, reserve=reserve)
        if not learned_from:
            raise TrainingError(
                "there is no correction to learn from",
                code="training.corrections.missing",
                expected="at least one image with pixels that are verified"
                + (", besides the one in five kept for judging" if reserved else ""),
                remedy="correct more images",
            )
        self.gate = HeldOutGate(
            model,
            as_dataset("held out", [*reserved, *labelled], model.classes),
            task.evaluation,
            self.on_progress,
            self.cancel,
            chosen_on=replay is not None and replay.chosen_on,
            not_judging=self._apart(reserved, replay),
        )
        batches = make_batches(
            painted.subset(s.id for s in learned_from),
            self._replay(replay.train if replay else None),
            model.normalization,
            model.recipe.training,
            self.settings,
            model.sizes,
            len(model.classes),
            model.recipe.network.separation,
        )
        look, judging = self.gate.validation()
        most = MOST_JUDGING * self.settings.seconds
        if judging > most and not self.settings.megapixels:
            judging /= self.gate.hurry()
        left = self._left() - min(judging, most)
        tuning = FineTuning(
            model.network,
            batches,
            make_loss(model.recipe.network, model.recipe.training),
            model.recipe.training,
            self.settings,
            seconds=max(left, LEAST_TRAINING * self.settings.seconds),
            learner=learner_of(model.network, model.recipe.network),
            validate=look,
            on_validation=self._on_validation,
            stop=self._stop,
            weights_changed=model.weights_changed,
            on_progress=self._on_step,
            cancel=self.cancel,
        )
        self._history: list[dict[str, float]] = []
        before = model.network.get_weights()
        tuning.run()
        comparison = self.gate.compare(before, math.inf if self.settings.megapixels else self._left())
        model.provenance = provenance_of_version(
            model.provenance,
            task.model,
            self._parent_hash,
            painted,
            learned_from,
            reserved,
            {
                "replay": self.replayed,
                "fine_tuning": self.settings.model_dump(mode="json"),
                "scores": {"held_out_iou": comparison.new_iou, "parent_held_out_iou": comparison.old_iou},
                "comparison": comparison.to_json(),
                "steps": tuning.step,
                "seconds": round(self._passed(), 1),
            },
        )
        if self.left_out:
            model.provenance["left_out"] = [list(item.entry) for item in self.left_out]
        else:
            model.provenance.pop("left_out", None)  # what the parent left out
        save_model(model, task.out)
        self._write_log()
        self.on_progress(Progress(1, 1, "Done"))
        return FineTuned(
            task.out,
            comparison,
            tuple(self._history),
            tuple(s.id for s in learned_from),
            tuple(s.id for s in reserved),
            self.replayed,
            tuning.step,
            self._passed(),
            tuning.stopped,
            tuple(self.left_out),
        )

    def _passed(self) -> float:
        return time.monotonic() - self.started

    def _left(self) -> float:
        """Seconds of the budget before the model is written."""
        return self.settings.seconds - self._passed() - self.writing

    def _check(self, painted: Dataset) -> None:
        if len(painted) == 0:
            raise TrainingError(
                "there is no correction to learn from",
                code="training.corrections.missing",
                remedy="correct an image first",
            )
        for sample in painted.samples:
            self.cancel.check()
            highest = int(painted.mask(sample).labels.max(initial=0))
            if highest > len(self.model.classes):
                raise ModelError(
                    f"the mask of {sample.id} has a class that the model does not know",
                    code="model.classes.unknown",
                    expected=f"values 0 to {len(self.model.classes)}",
                    got=str(highest),
                    remedy="mend the mask, or say which value is not verified",
                )

    def _labelled(self, painted: Dataset, replay: Replay | None) -> list[Sample]:
        """Labelled images to judge by that are neither corrected nor known to the model."""
        given = [self.references.sample(r) for r in self.task.judges]
        held = list(replay.held_out.samples) if replay is not None else []
        candidates = [replace(s, id=LABELLED + s.id) for s in [*given, *held] if s.has_mask]
        taken = {image_hash(painted.image(s)): s.id for s in painted.samples} if candidates else {}
        labelled = []
        self._candidates = {s.id: s for s in candidates}
        self._corrected: list[str] = []
        self._learnt = self._damaged = 0
        for sample in self._candidates.values():
            self.cancel.check()
            try:
                image = sample.read_image()
                check_size(sample, image.shape[:2], sample.read_mask().labels.shape)
            except WorkbenchError as error:
                self.left_out.append(LeftOut.of(replace(sample, id=sample.id.removeprefix(LABELLED)), error))
                self._damaged += 1
                continue
            digest = image_hash(image)
            if digest in taken:
                self._corrected.append(taken[digest])
            elif self.seen.part(image) == "train":
                self._learnt += 1
            else:
                labelled.append(sample)
        return labelled

    def _apart(self, reserved: Sequence[Sample], replay: Replay | None) -> NotJudging:
        """Held-out images that neither choose the weights nor judge, for the counts to fit together."""
        judge = {s.id for s in reserved}
        beyond = replay.beyond if replay is not None else frozenset()
        return NotJudging(
            self._learnt,
            sum(i not in judge for i in self._corrected),
            sum(LABELLED + i not in self._candidates for i in beyond),
            MOST_JUDGED,
            self._damaged,
        )

    def _replay(self, train: Dataset | None) -> Dataset | None:
        if train is not None:
            self.replayed = "training data"
            return train
        if self.task.others and self.settings.replay > 0:
            self.on_progress(Progress(0, 1, "Looking at what the model knows"))
            corrected = {c.id for c in self.task.corrections}
            others = [self.references.sample(r) for r in self.task.others if r.id not in corrected]
            taught = own_predictions(
                others, self.model, self.settings.seed, self.cancel, self.left_out.append
            )
            if taught:
                self.replayed = "own predictions"
                return as_dataset("replay", taught, self.model.classes)
        return None

    def _on_validation(self, row: dict[str, float]) -> None:
        row["seconds"] = self._passed()
        self._history.append(row)
        score = row["held_out_iou"]
        known = math.isfinite(score)
        values = {"loss": row["loss"], "seconds": row["seconds"]}
        if known:
            values |= {"held_out_iou": score, "old_iou": self.gate.old_live}
        piece = self._preview(score if known else None, known and score > self.gate.old_live)
        done = min(self._passed() / self.settings.seconds, 1.0)
        self.on_progress(Progress(done, 1.0, "Learning from corrections", values=values, piece=piece))

    def _on_step(self, progress: Progress) -> None:
        values = {**progress.values, "seconds": self._passed()}
        self.on_progress(replace(progress, values=values))

    def _preview(self, score: float | None, better: bool) -> Preview | None:
        asked = self.task.preview() if self.task.preview is not None else None
        if asked is None:
            return None
        if isinstance(asked, FileReference):
            sample = self.references.sample(asked)
        else:
            identifier, image = asked
            sample = Sample(identifier, lambda: image)
        plain = self.model.recipe.inference.model_copy(update={"flips": "none"})
        for result in segment_samples([sample], self.model, plain, self.cancel):
            return Preview(sample.id, result.probabilities, self._passed(), score, better)
        return None

    def _stop(self) -> bool:
        return bool(self.task.stop()) if self.task.stop is not None else False

    def _write_log(self) -> None:
        text = io.StringIO()
        columns = ["seconds", "step", "loss", "held_out_iou", "learning_rate"]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        for row in self._history:
            writer.writerow({k: "" if math.isnan(row[k]) else f"{row[k]:.6g}" for k in columns})
        write_text(self.task.out / METRICS_FILE, text.getvalue())
        Split.from_json(self.model.provenance["split"], "the split").save(self.task.out / SPLIT_FILE)
