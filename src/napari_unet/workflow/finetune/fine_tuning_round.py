"""One round of fine-tuning: what teaches and what judges, the training, the weights that are taken."""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import write_text
from napari_unet.data.sample import Sample
from napari_unet.data.split import Split
from napari_unet.errors import WorkbenchError
from napari_unet.evaluation.compare import compare
from napari_unet.metrics.uncertainty import FEWEST_GROUPS
from napari_unet.models.model import save_model
from napari_unet.models.model_folder import METRICS_FILE, SPLIT_FILE
from napari_unet.models.rehearsal import read_rehearsal, write_rehearsal
from napari_unet.networks.heads import learner_of
from napari_unet.progress import Progress
from napari_unet.training.feeding.mixed_batches import MixedBatches, make_batches
from napari_unet.training.feeding.slices_seen import as_seen, batches_kind
from napari_unet.training.fine_tune import FineTuning
from napari_unet.training.fit import forget_momentum
from napari_unet.training.losses import make_loss
from napari_unet.workflow.finetune.cross_validation import FoldScores
from napari_unet.workflow.finetune.fine_tuned import FineTuned
from napari_unet.workflow.finetune.held_out_gate import image_ious, worst_kind
from napari_unet.workflow.finetune.provenance import (
    MOST_FITTING,
    confidence_of_version,
    forecast,
    provenance_of_version,
)
from napari_unet.workflow.finetune.round_material import RoundMaterial
from napari_unet.workflow.finetune.weight_line import (
    POINTS,
    LineChoice,
    between,
    choose_point,
    value_of,
)
from napari_unet.workflow.inputs.image_reference import FileReference
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.preview import Preview

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.evaluation.compare import Comparison
    from napari_unet.settings import FineTuneSettings
    from napari_unet.workflow.finetune.held_out_gate import HeldOutGate
    from napari_unet.workflow.finetune.provenance import VersionConfidence

    Weights = list[NDArray[np.float32]]

LEAST_TRAINING = 0.4  # share of the budget
MOST_JUDGING = 0.25  # share of the budget that is reserved for it
FOLD = 0.25  # share of the training that each network of a cross-validation gets
LINE = 0.1  # share of the budget that choosing a point of the line may take
FEW_POINTS = (0.5, 1.0)
LEARNING = "Learning from corrections"
FOLDS_NOTE = "corrections judge networks that learned from the others alone"
HALVES_NOTE = "the halves of one image judge networks that learned from the other half alone"


@dataclass
class FineTuningRound(RoundMaterial):
    """One round of fine-tuning, its parts put together; parameters as ``RoundMaterial``."""

    def fine_tune(self) -> FineTuned:
        """Learn, judge, and write the new model; errors as ``FineTuneTask.run``."""
        self.gather()
        self.say_what_judges()
        learner = learner_of(self.model.network, self.model.recipe.network)
        batches = self._batches(self.learned_from)
        looks, judging = self._looks()
        before = self._get()
        folds = self._cross_validate(learner, batches, before)
        tuning = self._tuning(learner, batches, self._settings_of(1 - FOLD * len(self.folds)), judging)
        tuning.validate, tuning.on_validation = looks, self._on_validation
        tuning.run()
        line = self._choose_point(before, folds)
        confidence = self._fit_confidence()
        comparison, forgetting = self._judge(before, folds, line.point)
        return self._write(tuning, line, comparison, forgetting, confidence)

    # learning

    def _batches(self, samples: Sequence[Sample]) -> MixedBatches:
        model = self.model
        replayed = self.replay.train
        return make_batches(
            self._as_seen(replace(self.painted, samples=tuple(samples))),
            self._as_seen(replayed) if replayed is not None and len(replayed) else None,
            model.normalization,
            model.recipe.training,
            self.settings,
            model.sizes,
            len(model.classes),
            model.recipe.network.separation,
            batches_kind(model.recipe),
        )

    def _as_seen(self, dataset: Dataset) -> Dataset:
        """Images as the network sees them; no slice that judges is shown around a block that teaches."""
        own = {s.id for s in dataset.samples}
        judges = (*self.new_gate.held_out.samples, *self.old_gate.held_out.samples, *self.painted.samples)
        others = (s for s in judges if s.id not in own)
        return as_seen(dataset, self.model.recipe, self.model.sizes, others)

    def _settings_of(self, share: float) -> FineTuneSettings:
        """A share of a budget in pixels; time is shared out as it passes."""
        return self.settings.model_copy(update={"megapixels": self.settings.megapixels * share})

    def _tuning(
        self,
        learner: Any,
        batches: MixedBatches,
        settings: FineTuneSettings,
        reserved: float,
        share: float = 1.0,
    ) -> FineTuning:
        """A training from where the network stands.

        `reserved` are seconds that judging needs afterwards, `share` is that of the time left.
        """
        model = self.model
        if learner.compiled:
            forget_momentum(learner.optimizer, restart=True)
        left = share * (self._left() - reserved)
        return FineTuning(
            model.network,
            batches,
            make_loss(model.recipe.network, model.recipe.training),
            model.recipe.training,
            settings,
            seconds=max(left, share * LEAST_TRAINING * self.settings.seconds),
            learner=learner,
            stop=self._stop,
            weights_changed=model.weights_changed,
            on_progress=self._on_step,
            cancel=self.cancel,
        )

    def _looks(self) -> tuple[Callable[[], float], float]:
        """What scores the network while it learns, and how many seconds judging will take, about."""
        self.look_new, new_seconds = self.new_gate.validation()
        self.look_old, old_seconds = self.old_gate.validation()
        judging = new_seconds + old_seconds
        most = MOST_JUDGING * self.settings.seconds
        self._fitting = forecast(self.model, self._choosing())
        self._may_fit = (
            bool(self.settings.megapixels) or self._fitting <= MOST_FITTING * self.settings.seconds
        )
        if judging > most and not self.settings.megapixels:
            judging /= max(self.new_gate.hurry(), self.old_gate.hurry())
        self._looked = (math.nan, math.nan)

        def look() -> float:
            """The worth of the network, as an IoU; NaN, so that the last is taken, where few images tell."""
            self._looked = self._live()
            gain, change = self._changes()
            worth = self.new_gate.old_live + value_of(gain, change)
            return worth if len(self.new_gate.live) >= FEWEST_GROUPS else math.nan

        return look, min(judging, most) + (self._fitting if self._may_fit else 0.0)

    def _choosing(self) -> tuple[HeldOutGate, ...]:
        """The gates whose live images choose the weights, and which nothing was trained on."""
        return (self.new_gate,) if self.replay.trained_on else (self.new_gate, self.old_gate)

    def _live(self) -> tuple[float, float]:
        """IoU of the network as it stands, on a few images of the new and of the old kind."""
        return tuple(math.nan if look is None else look() for look in (self.look_new, self.look_old))  # type: ignore[return-value]

    def _changes(self) -> tuple[float, float]:
        """Of IoU from the start to the last look; of the old kind that of the look which lost most."""
        return self.new_gate.live_change, self.old_gate.live_change

    def _cross_validate(self, learner: Any, whole: MixedBatches, before: Weights) -> FoldScores | None:
        """Train a network on each fold, and judge it and the old one by the images that it did not see."""
        old: dict[str, float] = {}
        new: dict[float, dict[str, float]] = {point: {} for point in POINTS}
        groups: dict[str, str] = {}
        for fold in self.folds:
            if self._stop():
                break
            batches = self._batches(fold.teach)
            batches.share_shape(whole)
            tuning = self._tuning(learner, batches, self._settings_of(FOLD), 0.0, FOLD)
            tuning.message = "Learning from half of the corrections, for the other half to judge"
            tuning.run()
            after = self._get()
            judges = replace(self.painted, samples=fold.judge)
            self._put(before)
            old |= self._ious(judges)
            for point in POINTS:
                self._put(between(before, after, point))
                new[point] |= self._ious(judges)
            groups |= {s.id: s.group or s.id for s in fold.judge}
            self._put(before)
        if not old:
            return None
        return FoldScores(old, new, groups, FOLDS_NOTE if len(self.learned_from) > 1 else HALVES_NOTE)

    def _ious(self, dataset: Dataset) -> dict[str, float]:
        plain = self.model.recipe.inference.model_copy(update={"flips": "none"})
        return image_ious(self.model, dataset, plain, self.task.evaluation, self.cancel)

    def _choose_point(self, before: Weights, folds: FoldScores | None) -> LineChoice:
        """Put the weights between old and new into the network that are worth most."""
        after = self._get()
        if not self.settings.between:
            return LineChoice(1.0, {}, {})
        points: tuple[float, ...] = POINTS
        if not self.settings.megapixels:
            look = self.new_gate.look_seconds + self.old_gate.look_seconds
            points = POINTS if len(POINTS) * look <= LINE * self.settings.seconds else FEW_POINTS
        gains, losses = {}, {}
        images = len(self.new_gate.live)
        for point in points:
            self._put(between(before, after, point))
            self._live()
            live, losses[point] = self._changes()
            measured = [(live, images)] if images else []
            if folds is not None:
                measured.append((folds.change(point), len(folds.old)))
            known = [(gain, count) for gain, count in measured if math.isfinite(gain)]
            total = sum(count for _, count in known)
            gains[point] = sum(gain * count for gain, count in known) / total if total else math.nan
        line = choose_point(gains, losses)
        self._put(between(before, after, line.point))
        return line

    def _fit_confidence(self) -> VersionConfidence:
        name = self.task.model.stem
        return confidence_of_version(
            self.model, self.model.provenance, name, self._choosing(),
            in_time=self._may_fit, cancel=self.cancel,
        )  # fmt: skip

    # judging

    def _judge(
        self, before: Weights, folds: FoldScores | None, point: float
    ) -> tuple[Comparison, Comparison | None]:
        """The old model and the new on the new kind of images, and on the old kind."""
        timed = not self.settings.megapixels
        forgetting = None
        if self.old_gate.judges:
            share = len(self.old_gate.judges) / (len(self.old_gate.judges) + len(self.new_gate.judges))
            seconds = share * self._left() if timed else math.inf
            forgetting = worst_kind(self.old_gate.compare(before, seconds), self.old_gate.kinds)
        comparison = self.new_gate.compare(before, self._left() if timed else math.inf)
        if folds is not None and point in folds.new:
            ids = list(folds.old)
            comparison = compare(
                [*comparison.images, *ids],
                [*comparison.old, *folds.old.values()],
                [*comparison.new, *(folds.new[point][i] for i in ids)],
                [*comparison.groups, *(folds.groups[i] for i in ids)],
                confidence=self.task.evaluation.confidence,
                note="; ".join(filter(None, (self.new_gate.remarks, folds.note))),
            )
        return comparison, forgetting

    def _write(
        self,
        tuning: FineTuning,
        line: LineChoice,
        comparison: Comparison,
        forgetting: Comparison | None,
        confidence: VersionConfidence,
    ) -> FineTuned:
        task, model = self.task, self.model
        cross_validated = tuple(i for fold in self.folds for i in (s.id for s in fold.judge))
        result = FineTuned(
            task.out,
            comparison,
            tuple(self.history),
            tuple(s.id for s in self.learned_from),
            tuple(s.id for s in self.reserved),
            self.replay.kind,
            tuning.step,
            self._passed(),
            tuning.stopped,
            tuple(self.left_out),
            forgetting,
            self.replay.sentence,
            line.point,
            cross_validated,
            confidence.sentence,
        )
        model.provenance = provenance_of_version(
            model.provenance,
            task.model,
            self.parent_hash,
            self.painted,
            self.learned_from,
            self.reserved,
            {
                "replay": self.replay.kind,
                "fine_tuning": self.settings.model_dump(mode="json"),
                "scores": {"held_out_iou": comparison.new_iou, "parent_held_out_iou": comparison.old_iou},
                "comparison": comparison.to_json(),
                "forgetting": None if forgetting is None else forgetting.to_json(),
                "verdict": result.verdict,
                "line": line.to_json(),
                "steps": tuning.step,
                "seconds": round(self._passed(), 1),
                **confidence.provenance,
            },
        )
        if self.left_out:
            model.provenance["left_out"] = [list(item.entry) for item in self.left_out]
        else:
            model.provenance.pop("left_out", None)  # what the parent left out
        save_model(model, task.out)
        self._carry_rehearsal()
        self._write_log()
        self.on_progress(Progress(1, 1, "Done"))
        return replace(result, seconds=self._passed())

    def _carry_rehearsal(self) -> None:
        """The new model has the rehearsal set of the old one, to be fine-tuned again."""
        try:
            rehearsal = read_rehearsal(self.task.model)
        except WorkbenchError:
            rehearsal = None  # it was said before the training
        write_rehearsal(self.task.out, rehearsal)

    # time, weights, progress

    def _passed(self) -> float:
        return time.monotonic() - self.started

    def _left(self) -> float:
        """Seconds of the budget before the model is written."""
        return self.settings.seconds - self._passed() - self.writing

    def _get(self) -> Weights:
        return [np.array(w) for w in self.model.network.get_weights()]

    def _put(self, weights: Weights) -> None:
        self.model.network.set_weights(weights)
        self.model.weights_changed()

    def _on_validation(self, row: dict[str, float]) -> None:
        gate, score = self.new_gate, self._looked[0]
        if not self.new_gate.live:
            gate, score = self.old_gate, self._looked[1]
        row["seconds"] = self._passed()
        row["held_out_iou"] = score
        self.history.append(row)
        known = math.isfinite(score)
        values = {"loss": row["loss"], "seconds": row["seconds"]}
        if known:
            values |= {"held_out_iou": score, "old_iou": gate.old_live}
        piece = self._preview(score if known else None, known and score > gate.old_live)
        done = min(self._passed() / self.settings.seconds, 1.0)
        self.on_progress(Progress(done, 1.0, LEARNING, values=values, piece=piece))

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
        for row in self.history:
            writer.writerow({k: "" if math.isnan(row[k]) else f"{row[k]:.6g}" for k in columns})
        write_text(self.task.out / METRICS_FILE, text.getvalue())
        Split.from_json(self.model.provenance["split"], "the split").save(self.task.out / SPLIT_FILE)
