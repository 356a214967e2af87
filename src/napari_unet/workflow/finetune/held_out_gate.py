"""The gate on its way into a version: held-out images, looked at while it learns, judging in the end."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.evaluation.compare import Comparison, compare
from napari_unet.evaluation.report.summary_text import count_of
from napari_unet.inference.predict import FLIPS
from napari_unet.metrics.overlap import image_scores
from napari_unet.metrics.uncertainty import FEWEST_GROUPS
from napari_unet.progress import Progress
from napari_unet.training.feeding.slices_seen import as_seen, whole_patches
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import EvaluationSettings, InferenceSettings

LIVE = 12  # images scored at every look
ENOUGH_TO_PART = 24  # images from which some are for choosing weights and the rest for judging
FEWEST_JUDGED = 24  # images that judge, however late it is
TOGETHER = 12  # images judged by both models before the clock is looked at
MARGIN = 1.5  # of the forecast of how long judging takes
LABELLED = "labelled/"  # before ids, where those of several data sets meet


@dataclass(frozen=True)
class NotJudging:
    """Held-out images that take no part in a round.

    Attributes
    ----------
    learned : int
        That the model has learned from, or from copies of them.
    corrected : int
        That a person corrected and did not keep for judging.
    beyond : int
        More than a round looks at.
    most : int
        So many a round looks at.
    damaged : int
        That cannot be read, or whose mask does not fit.
    """

    learned: int = 0
    corrected: int = 0
    beyond: int = 0
    most: int = 0
    damaged: int = 0


def counts_note(not_judging: NotJudging, choosing: int, judging: int, judged: int) -> str:
    """Say why fewer images judged than are held out; empty if all did.

    Parameters
    ----------
    not_judging : NotJudging
        Those that take no part.
    choosing : int
        That choose the weights and do not judge.
    judging : int
        That could judge.
    judged : int
        That did, in the time there was.
    """
    total = (
        not_judging.learned
        + not_judging.corrected
        + not_judging.beyond
        + not_judging.damaged
        + choosing
        + judging
    )
    if judged == total:
        return ""
    whys = [
        (
            not_judging.learned,
            (
                "the model has learned from, as it is or as a copy",
                "the model has learned from, as they are or as copies",
            ),
        ),
        (not_judging.corrected, ("was corrected", "were corrected")),
        (
            not_judging.beyond,
            tuple(f"{verb} beyond the {not_judging.most:,} that a round looks at" for verb in ("is", "are")),
        ),
        (not_judging.damaged, ("cannot be used", "cannot be used")),
        (choosing, ("chooses the weights", "choose the weights")),
        (judging - judged, ("there was no time for", "there was no time for")),
    ]
    parts = [f"{count:,} {why[count != 1]}" for count, why in whys if count]
    judge = "judges" if judged == 1 else "judge"
    return f"{judged:,} of {count_of(total, 'held-out image')} {judge}: " + ", ".join(parts)


NOBODY = NotJudging()


class HeldOutGate:
    """Held-out images, and the old and the new model on them.

    Parameters
    ----------
    model : Model
        Whose network learns.
    held_out : Dataset
        With reference masks; may be empty.
    rules : EvaluationSettings
        Empty rule and interval.
    on_progress : callable
        Takes a Progress.
    cancel : CancelToken
        Checked before every batch.
    chosen_on : bool
        Whether the old model's weights were chosen on some of the images.
    not_judging : NotJudging
        Held-out images that are not among these.
    note : str
        What a person should know of the images.
    most_live : int
        Images that are scored at every look.
    kinds : mapping, optional
        Id to the kind of an image, where there are several that may change in different ways.
    whole_groups : bool
        Whether images are taken group by group: slices of a volume, one behind another.

    Attributes
    ----------
    old_live : float
        Mean IoU of the old model on the live images, at the network's resolution, without flips; NaN
        before the first look, or without images.
    remarks : str
        What a person should know of the images, and of those that do not judge.
    live_change : float
        Of the mean IoU of the live images since the first look: that of the kind which lost most.
    look_seconds : float
        That a look took, the last time it was measured.
    """

    def __init__(
        self,
        model: Model,
        held_out: Dataset,
        rules: EvaluationSettings,
        on_progress: OnProgress,
        cancel: CancelToken,
        *,
        chosen_on: bool = False,
        not_judging: NotJudging = NOBODY,
        note: str = "",
        most_live: int = LIVE,
        kinds: Mapping[str, str] | None = None,
        whole_groups: bool = False,
    ) -> None:
        self.model = model
        self.held_out = held_out
        self.rules = rules
        self.on_progress = on_progress
        self.cancel = cancel
        self.old_live = math.nan
        self.live_change = math.nan
        self.kinds = dict(kinds or {})
        self.look_seconds = 0.0
        self.not_judging = not_judging
        order = sorted(
            held_out.samples,
            key=lambda s: hashlib.blake2b(((whole_groups and s.group) or s.id).encode()).digest(),
        )
        notes = [note] if note and order else []
        if len(order) >= ENOUGH_TO_PART:
            live = order[: min(most_live, len(order) // 3)]
            judges = order[len(live) :]
        else:
            live, judges = order[:most_live], order
            if order:
                notes.append("the weights were chosen on these images too")
        if chosen_on and order:
            notes.append("the old model was chosen on some of them")
        self.inference = model.recipe.inference
        self.live, self.judges = tuple(live), tuple(judges)
        self.note = self.remarks = "; ".join(notes)

    def validation(self) -> tuple[Callable[[], float] | None, float]:
        """What scores the live images, and how many seconds judging both models will take, about.

        Returns
        -------
        look : callable or None
            () -> mean IoU of the network as it stands; None without images.
        seconds : float
            Forecast.
        """
        if not self.live:
            return None, 0.0
        looks = []
        for some in by_kind([s.id for s in self.live], self.kinds):
            members = self.held_out.subset(s.id for s in self.live if s.id in some)
            seen = as_seen(members, self.model.recipe, self.model.sizes)
            patches = whole_patches(seen, self.model.normalization, self.model.recipe)
            looks.append((Validation(self.model, patches, self.cancel), len(members)))
        shares = [count / len(self.live) for _, count in looks]

        def look() -> float:
            now = [score() for score, _ in looks]
            self.live_change = min(new - old for new, old in zip(now, before, strict=True))
            return float(np.dot(now, shares))

        before = [score() for score, _ in looks]
        look()  # the first of a shape takes long
        begun = time.monotonic()
        self.old_live = look()
        took = time.monotonic() - begun
        self.look_seconds = took = time.monotonic() - begun
        views = len(FLIPS[self.inference.flips])
        return look, MARGIN * 2 * took * views * len(self.judges) / len(self.live)

    def hurry(self) -> float:
        """Judge both models without averaging over flips; how many times shorter that is."""
        views = len(FLIPS[self.inference.flips])
        if views > 1:
            self.inference = self.inference.model_copy(update={"flips": "none"})
            short = "judged without flips, which the time did not allow"
            self.note = f"{self.note}; {short}" if self.note else short
        return float(views)

    def compare(self, before: list[NDArray[np.float32]], seconds: float = math.inf) -> Comparison:
        """Judge the old model and the new; the network is the new one afterwards.

        Parameters
        ----------
        before : list of numpy.ndarray
            Weights of the old one.
        seconds : float
            Time for it. At least 24 images judge; of more, as many as there is time for. Their order is
            by hash, so those are a random choice that does not depend on the models.
        """
        started = time.monotonic()
        after = self.model.network.get_weights()
        old: dict[str, float] = {}
        new: dict[str, float] = {}
        for first in range(0, len(self.judges), TOGETHER):
            passed = time.monotonic() - started
            if first >= FEWEST_JUDGED and passed * (1 + TOGETHER / first) > seconds:
                break
            some = self.held_out.subset(s.id for s in self.judges[first : first + TOGETHER])
            self.on_progress(Progress(first, len(self.judges), "Judging the old model and the new"))
            self._put_weights(before)
            old |= self._scores(some)
            self._put_weights(after)
            new |= self._scores(some)
        judges = [s for s in self.judges if s.id in new]
        choosing = len(self.held_out) - len(self.judges)
        counts = counts_note(self.not_judging, choosing, len(self.judges), len(judges))
        self.remarks = note = "; ".join(filter(None, (self.note, counts)))
        ids = [s.id for s in judges]
        return compare(
            [i.removeprefix(LABELLED) for i in ids],
            np.array([old[i] for i in ids]),
            np.array([new[i] for i in ids]),
            [s.group or s.id for s in judges],
            confidence=self.rules.confidence,
            note=note,
        )

    def _put_weights(self, weights: list[NDArray[np.float32]]) -> None:
        self.model.network.set_weights(weights)
        self.model.weights_changed()

    def _scores(self, dataset: Dataset) -> dict[str, float]:
        return image_ious(self.model, dataset, self.inference, self.rules, self.cancel)


def by_kind(ids: Sequence[str], kinds: Mapping[str, str]) -> list[set[str]]:
    """Part images by their kind, if there are at least five of each; else all are one part.

    Parameters
    ----------
    ids : sequence of str
        Of the images.
    kinds : mapping
        Id to kind.
    """
    parts: dict[str, set[str]] = {}
    for identifier in ids:
        parts.setdefault(kinds.get(identifier, ""), set()).add(identifier)
    return list(parts.values()) if all(len(p) >= FEWEST_GROUPS for p in parts.values()) else [set(ids)]


def worst_kind(comparison: Comparison, kinds: Mapping[str, str]) -> Comparison:
    """The comparison on that kind of images which lost most, as one kind may hide what another lost.

    Parameters
    ----------
    comparison : Comparison
        On all of them.
    kinds : mapping
        Id to kind.

    Returns
    -------
    Comparison
        As it was if there is one kind, or too few images of one.
    """
    parts = by_kind(comparison.images, {i.removeprefix(LABELLED): kind for i, kind in kinds.items()})
    if len(parts) < 2:
        return comparison
    found = []
    for part in parts:
        at = [n for n, name in enumerate(comparison.images) if name in part]
        first = comparison.images[at[0]]
        kind = kinds.get(first) or kinds.get(LABELLED + first, "")
        remark = (
            f"the {kind} ones, which lost most; of all {len(comparison.images)} {comparison.difference:+.3f}"
        )
        found.append(
            compare(
                [comparison.images[n] for n in at],
                [comparison.old[n] for n in at],
                [comparison.new[n] for n in at],
                [comparison.groups[n] for n in at],
                confidence=comparison.confidence,
                note="; ".join(filter(None, (remark, comparison.note))),
            )
        )
    return min(found, key=lambda one: one.difference or 0.0)


def image_ious(
    model: Model,
    dataset: Dataset,
    inference: InferenceSettings,
    rules: EvaluationSettings,
    cancel: CancelToken,
) -> dict[str, float]:
    """IoU of each image by the network as it stands; NaN where the empty rule says so.

    Parameters
    ----------
    model : Model
        Whose network segments.
    dataset : Dataset
        With reference masks.
    inference : InferenceSettings
        How.
    rules : EvaluationSettings
        Empty rule.
    cancel : CancelToken
        Checked before every batch.
    """
    found: dict[str, float] = {}
    cached = [replace(s, load_image=partial(dataset.image, s)) for s in dataset.samples]
    for result in segment_samples(cached, model, inference, cancel):
        reference = dataset.mask(result.sample)
        found[result.sample.id] = image_scores(
            reference.labels, result.mask, len(model.classes), reference.weights, rules.empty
        ).iou
    return found
