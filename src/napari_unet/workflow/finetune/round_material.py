"""What a round of fine-tuning learns from, replays, and is judged by."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.data.volumes.nearness import block_of, far_from, gap_between, in_order
from napari_unet.data.volumes.slices import check_slices
from napari_unet.errors import ModelError, TrainingError
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.evaluation.report.summary_text import count_of
from napari_unet.metrics.uncertainty import FEWEST_GROUPS
from napari_unet.models.image_statistics import describe_image, kind_of
from napari_unet.progress import Progress
from napari_unet.workflow.finetune.cross_validation import Fold, make_folds
from napari_unet.workflow.finetune.held_out_gate import LIVE, HeldOutGate
from napari_unet.workflow.finetune.judges import find_judges
from napari_unet.workflow.finetune.provenance import weights_hash
from napari_unet.workflow.finetune.replay_source import ReplaySource, find_replay, replay_own_predictions
from napari_unet.workflow.finetune.training_examples import set_aside
from napari_unet.workflow.inputs.image_reference import References
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.inputs.left_out import LeftOut, sound_part

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.finetune.fine_tuned import FineTuneRequest

FEWEST_TO_RESERVE = 5  # corrections below which none is spared: they judge by cross-validation
MOST_CROPS = 24  # of a rehearsal set, which are small, that are looked at for choosing weights
logger = logging.getLogger(__name__)


@dataclass
class RoundMaterial:
    """Gathers what a round needs, before anything is learned.

    Parameters
    ----------
    task : FineTuneRequest
        What is wanted.
    model : Model
        To start from; its network is the new one afterwards.
    started, writing : float
        When the round began, and how many seconds writing the model will take.
    on_progress : callable
        Takes a Progress.
    cancel : CancelToken
        Checked before every batch.
    """

    task: FineTuneRequest
    model: Model
    started: float
    writing: float
    on_progress: OnProgress
    cancel: CancelToken

    def __post_init__(self) -> None:
        self.references = References()
        self.seen = TrainingMembership(self.model.provenance)
        self.settings = self.task.settings
        self.left_out: list[LeftOut] = []
        self.history: list[dict[str, float]] = []
        self.parent_hash = weights_hash(self.model.network)

    def gather(self) -> None:
        """Find what teaches, what is replayed, and what judges; errors as ``FineTuneTask.run``."""
        task, model = self.task, self.model
        samples = [c.sample(self.references) for c in task.corrections]
        painted = as_dataset("corrections", samples, model.classes)
        if painted.samples:
            painted, unreadable = sound_part(painted, cancel=self.cancel)
            self.left_out.extend(unreadable)
        self._check(painted)
        self.painted = painted = self._in_blocks(painted)
        self.replay = self._find_replay()
        given = [self.references.sample(r) for r in task.judges]
        self.new, self.old = find_judges(
            given, self.replay, painted, self.seen, self.left_out.append, self.cancel
        )
        few = len(painted) < FEWEST_TO_RESERVE
        reserve = task.reserve
        if reserve is None:
            reserve = len(self.new.samples) < FEWEST_GROUPS and not few
        self.learned_from, self.reserved = set_aside(
            painted.samples, painted, self.seen, reserve=reserve, by_group=self.of_volumes
        )
        if not self.learned_from:
            raise TrainingError(
                "there is no correction to learn from",
                code="training.corrections.missing",
                expected="at least one image with pixels that are verified"
                + (", besides the one in five that is held out" if self.reserved else ""),
                remedy="correct more images",
            )
        aside = {s.id for s in self.reserved}
        judges, note = self._far_from_what_teaches([*self.reserved, *self.new.samples])
        fresh = self._in_blocks(as_dataset("held out", judges, model.classes))
        known = self._in_blocks(as_dataset("known before", self.old.samples, model.classes))
        self.new_gate = HeldOutGate(
            model, fresh, task.evaluation, self.on_progress, self.cancel,
            not_judging=self.new.not_judging(aside), note=note, whole_groups=self.of_volumes,
        )  # fmt: skip
        self.old_gate = HeldOutGate(
            model, known, task.evaluation, self.on_progress, self.cancel,
            chosen_on=self.replay.chosen_on,
            not_judging=self.old.not_judging(aside, self.replay.beyond),
            note="the old model was trained on these images" if self.replay.trained_on else "",
            most_live=MOST_CROPS if self.replay.kind == "rehearsal set" else LIVE,
            whole_groups=self.of_volumes,
            kinds={s.id: kind_of(describe_image(known.image(s))) for s in known.samples},
        )  # fmt: skip
        self.folds: list[Fold] = []
        if self.settings.between and (few or not self.reserved) and len(self.new_gate.judges) < FEWEST_GROUPS:
            self.folds = self._folds()

    @property
    def of_volumes(self) -> bool:
        """Whether the network sees several slices of a volume."""
        return self.model.recipe.network.dimensions != "2d"

    def _in_blocks(self, dataset: Dataset) -> Dataset:
        """The same images; of volumes in the order of their slices, each with its block for a group."""
        if not self.of_volumes:
            return dataset
        gap = gap_between(dataset.samples)
        slices = tuple(replace(s, group=block_of(s, gap)) for s in in_order(dataset.samples))
        return replace(dataset, samples=slices)

    def _far_from_what_teaches(self, judges: list[Sample]) -> tuple[list[Sample], str]:
        """Of volumes the judges that are not next to a slice that teaches, and what a person should know."""
        if not self.of_volumes or not judges:
            return judges, ""
        gap = gap_between(judges)
        far = far_from(judges, self.learned_from, gap)
        near = len(judges) - len(far)
        if far:
            do = "does" if near == 1 else "do"
            return far, f"{count_of(near, 'slice')} next to those that teach {do} not judge" if near else ""
        return judges, "the slices that judge lie next to those that teach, so the scores flatter"

    def _folds(self) -> list[Fold]:
        """As ``make_folds``; of a volume the first slices and the last judge each other."""
        if not self.of_volumes or len(self.learned_from) < 2:
            return make_folds(self.learned_from, self.painted, self._may_judge)
        middle = len(self.learned_from) // 2
        halves = [
            replace(sample, group="first slices" if number < middle else "last slices")
            for number, sample in enumerate(self.learned_from)
        ]
        gap = gap_between(halves)
        folds = make_folds(halves, self.painted, self._may_judge)
        return [Fold(f.teach, tuple(far_from(f.judge, f.teach, gap)) or f.judge) for f in folds]

    def _may_judge(self, sample: Sample) -> bool:
        return self.seen.part(self.painted.image(sample)) != "train"

    def _find_replay(self) -> ReplaySource:
        task = self.task
        found = find_replay(
            task.replay, task.replay_format, self.model, task.model, self.seen, self.settings.seed,
            self.left_out.append, logger.warning, task.remembered,
        )  # fmt: skip
        if self.settings.replay <= 0:
            return replace(found, kind="nothing", train=None)
        if found.kind == "nothing" and task.others:
            self.on_progress(Progress(0, 1, "Looking at what the model knows"))
            corrected = {c.id for c in task.corrections}
            others = [self.references.sample(r) for r in task.others if r.id not in corrected]
            return replay_own_predictions(
                others, self.model, self.settings.seed, self.cancel, self.left_out.append
            )
        return found

    def _check(self, painted: Dataset) -> None:
        if len(painted) == 0:
            raise TrainingError(
                "there is no correction to learn from",
                code="training.corrections.missing",
                remedy="correct an image first",
            )
        if self.of_volumes:
            check_slices(painted.samples)
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

    def say_what_judges(self) -> None:
        """Say before the training what will be replayed, and what cannot be judged."""
        words = [self.replay.sentence]
        if not self.new_gate.judges and not self.folds:
            words.append("nothing judges the new kind of images: all corrections were learned from before")
        if not self.old_gate.judges:
            words.append("nothing judges what the model forgets")
        text = "; ".join(words)
        self.on_progress(Progress(0, 1, f"{text[:1].upper()}{text[1:]}"))
        if len(words) > 1:
            logger.warning("%s", text)
