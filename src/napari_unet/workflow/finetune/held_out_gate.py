"""The gate on its way into a version: held-out images, looked at while it learns, judging in the end."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.evaluation.compare import Comparison, compare
from napari_unet.inference.predict import FLIPS
from napari_unet.metrics.overlap import image_scores
from napari_unet.progress import Progress
from napari_unet.training.feeding.prepared_sample import prepare_sample
from napari_unet.workflow.finetune.held_out_counts import NotJudging, counts_note
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.validation import Validation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import EvaluationSettings

LIVE = 12  # images scored at every look
ENOUGH_TO_PART = 24  # images from which some are for choosing weights and the rest for judging
FEWEST_JUDGED = 24  # images that judge, however late it is
TOGETHER = 12  # images judged by both models before the clock is looked at
MARGIN = 1.5  # of the forecast of how long judging takes
NOBODY = NotJudging()
LABELLED = "labelled/"  # before ids, where those of several data sets meet


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

    Attributes
    ----------
    old_live : float
        Mean IoU of the old model on the live images, at the network's resolution, without flips; NaN
        before the first look, or without images.
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
    ) -> None:
        self.model = model
        self.held_out = held_out
        self.rules = rules
        self.on_progress = on_progress
        self.cancel = cancel
        self.old_live = math.nan
        self.not_judging = not_judging
        order = sorted(held_out.samples, key=lambda s: hashlib.blake2b(s.id.encode()).digest())
        notes = []
        if len(order) >= ENOUGH_TO_PART:
            live = order[: min(LIVE, len(order) // 3)]
            judges = order[len(live) :]
        else:
            live, judges = order[:LIVE], order
            if order:
                notes.append("the weights were chosen on these images too")
        if chosen_on and order:
            notes.append("the old model was chosen on some of them")
        self.inference = model.recipe.inference
        self.live, self.judges = tuple(live), tuple(judges)
        self.note = "; ".join(notes)

    def validation(self) -> tuple[Validation | None, float]:
        """What scores the live images, and how many seconds judging both models will take, about.

        Returns
        -------
        look : Validation or None
            () -> mean IoU of the network as it stands; None without images.
        seconds : float
            Forecast.
        """
        if not self.live:
            return None, 0.0
        plain = self.model.recipe.training.model_copy(update={"border_weight": 0.0})
        patches = [prepare_sample(self.held_out, s, self.model.normalization, plain).whole for s in self.live]
        look = Validation(self.model, patches, self.cancel)
        look()  # the first of a shape takes long
        begun = time.monotonic()
        self.old_live = look()
        took = time.monotonic() - begun
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
        note = "; ".join(filter(None, (self.note, counts)))
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
        """IoU of the network as it stands, by id."""
        found: dict[str, float] = {}
        cached = [replace(s, load_image=partial(dataset.image, s)) for s in dataset.samples]
        for result in segment_samples(cached, self.model, self.inference, self.cancel):
            reference = dataset.mask(result.sample)
            found[result.sample.id] = image_scores(
                reference.labels, result.mask, len(self.model.classes), reference.weights, self.rules.empty
            ).iou
        return found
