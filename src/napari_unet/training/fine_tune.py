"""Continue training a network, for seconds, on a few corrections and on what it knew before."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.networks.heads import set_share
from napari_unet.progress import CancelToken, OnProgress, Progress, ignore_progress
from napari_unet.training.feeding.batches import made_ahead
from napari_unet.training.fit import compile_network, tell_nobody, to_numpy
from napari_unet.training.schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.settings import FineTuneSettings, TrainingSettings
    from napari_unet.training.feeding.mixed_batches import MixedBatches

FIRST_VALIDATION = 4.0  # seconds after the first step, which itself takes seconds to be built
ROUNDS = 8  # looks in all, about
VALIDATION_SHARE = 0.2  # of the time, at most, after the first look
ASK_EVERY = 0.5  # seconds between two questions whether to stop


@dataclass
class FineTuning:
    """A run of fine-tuning under way.

    Batch normalization keeps the statistics of its training: those of a few images, or of one, would
    be wrong for all others.

    Parameters
    ----------
    network : keras.Model
        From images to logits; trained in place. One that is compiled already keeps its optimizer and loss,
        and the step that was built for them.
    batches : MixedBatches
        What it learns from.
    loss : callable
        (target, logits) -> scalar.
    training : TrainingSettings
        Of the model: optimizer, weight decay, gradient norm.
    settings : FineTuneSettings
        Rates and averaging; a budget in pixels, if the time shall not decide.
    seconds : float
        Time to train; is ignored if there is a budget in pixels.
    learner : keras.Model, optional
        The view of the network that is trained, with its auxiliary heads (``networks.heads``).
    validate : callable, optional
        () -> held-out IoU of the network as it stands, or NaN; called now and then with the averaged
        weights in place.
    on_validation : callable, optional
        (row of the history) -> None, after each look, with the averaged weights in place.
    stop : callable, optional
        () -> whether to stop now and keep the best.
    weights_changed : callable
        () -> None, called whenever the weights of the network are others.
    on_progress : callable
        Takes a Progress after each step.
    cancel : CancelToken
        Checked before each step.
    message : str
        What the progress says.
    """

    network: Any
    batches: MixedBatches
    loss: Callable[[Any, Any], Any]
    training: TrainingSettings
    settings: FineTuneSettings
    seconds: float
    learner: Any = None
    validate: Callable[[], float] | None = None
    on_validation: Callable[[dict[str, float]], None] | None = None
    stop: Callable[[], bool] | None = None
    weights_changed: Callable[[], None] = tell_nobody
    on_progress: OnProgress = ignore_progress
    cancel: CancelToken | None = None
    message: str = "Learning from corrections"
    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    stopped: bool = False

    def run(self) -> list[dict[str, float]]:
        """Train until the time is up or `stop` says so; leave the best weights in the network.

        Returns
        -------
        list of dict
            A row a look: seconds, step, loss, learning_rate, held_out_iou (NaN without one).

        Raises
        ------
        Cancelled
            When the token was set.
        """
        self._begin()
        with closing(made_ahead(self.batches.batch)) as stream:
            for images, targets in stream:
                if self.cancel is not None:
                    self.cancel.check()
                self._learn(images, targets)
                done = self._done()
                self.stopped = self._asked_to_stop()
                if done >= 1 or self.stopped:
                    break
                if done >= self._next_validation:
                    self._validate()
                self._tell(done)
        if self._validated_at != self.step:
            self._validate()
        self._put(self._best)
        return self.history

    def _begin(self) -> None:
        schedule = {"learning_rate": self.settings.learning_rate, "warm_up": self.settings.warm_up}
        self._schedule = self.training.model_copy(update={**schedule, "schedule": "cosine"})
        freeze_statistics(self.network)
        self.learner = self.network if self.learner is None else self.learner
        # As little as at the end of the training that it continues from.
        set_share(self.learner, self.training.auxiliary_weight, 1.0)
        if not self.learner.compiled:
            compile_network(self.learner, self.loss, self._schedule)
        self._average = self._get()
        self._best = self._get()
        variables = self.network.trainable_variables if self.settings.anchor else []
        self._anchors = [(variable, to_numpy(variable)) for variable in variables]
        self._best_score = -1.0
        self._losses: list[float] = []
        self._started = self._asked = time.monotonic()
        self._tried = 0  # steps, those without a finite loss too
        self._built = 0.0
        self._next_validation = math.inf
        self._validated_at = 0

    def _passed(self) -> float:
        return time.monotonic() - self._started

    def _done(self) -> float:
        """Share of the budget that is spent: of the pixels if it is one of pixels, else of the time."""
        if self.settings.megapixels:
            return self._tried * self.batches.pixels_a_step / (1e6 * self.settings.megapixels)
        return self._passed() / self.seconds

    def _get(self) -> list[NDArray[np.float32]]:
        return [np.array(w) for w in self.network.get_weights()]

    def _put(self, weights: list[NDArray[np.float32]]) -> None:
        self.network.set_weights(weights)
        self.weights_changed()

    def _learn(self, images: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
        # The time in which the first step is built is no part of the warm-up.
        share = max(self._done() - self._built, 0.0) / max(1 - self._built, 1e-6) if self._tried else 0.0
        rate = learning_rate(self._schedule, min(share, 1.0))
        self.learner.optimizer.learning_rate = rate
        value = float(np.ravel(self.learner.train_on_batch(images, targets))[0])
        self._draw_back(min(rate * self.settings.anchor, 1.0))
        self.weights_changed()
        self._tried += 1
        if self._tried == 1 and self.settings.megapixels:
            self._next_validation = 1 / ROUNDS
        elif self._tried == 1:
            self._built = self._done()
            self._next_validation = self._built + min(FIRST_VALIDATION / self.seconds, 1 / 6)
        if not math.isfinite(value):  # nothing is learned since the average was right
            self._put(self._average)
            for variable in self.learner.optimizer.variables:
                if "iteration" not in variable.path and "learning_rate" not in variable.path:
                    variable.assign(np.zeros(variable.shape))
            return
        self._losses.append(value)
        self.step += 1
        decay = min(self.settings.averaging, self.step / (10 + self.step))
        for average, now in zip(self._average, self.network.get_weights(), strict=True):
            average *= decay
            average += (1 - decay) * now

    def _draw_back(self, share: float) -> None:
        """Take back a share of the way from the first weights.

        That is the penalty L2-SP, decoupled from the optimizer as weight decay is in AdamW (Li et al. 2018,
        Explicit inductive bias for transfer learning, arXiv:1802.01483).
        """
        for variable, first in self._anchors:
            variable.assign(variable + share * (first - variable))

    def _asked_to_stop(self) -> bool:
        now = time.monotonic()
        if self.stop is None or now - self._asked < ASK_EVERY:
            return False
        self._asked = now
        return bool(self.stop())

    def _validate(self) -> None:
        """Score the averaged weights, keep them if they are the best, and plan the next look."""
        started = time.monotonic()
        row = {
            "seconds": self._passed(),
            "step": float(self.step),
            "loss": float(np.mean(self._losses)) if self._losses else math.nan,
            "learning_rate": float(self.learner.optimizer.learning_rate),
        }
        self._losses = []
        self._validated_at = self.step
        current = self._get()
        self._put(self._average)
        score = self.validate() if self.validate is not None else math.nan
        if not score < self._best_score:  # without a score the last is the best
            self._best_score = score if math.isfinite(score) else self._best_score
            self._best = [w.copy() for w in self._average]
        row["held_out_iou"] = score
        self.history.append(row)
        if self.on_validation is not None:
            self.on_validation(row)
        self._put(current)
        took = time.monotonic() - started
        pause = 1 / ROUNDS
        # The first look has more to build. Where pixels count, the same seed shall look at the same steps.
        if len(self.history) > 1 and not self.settings.megapixels:
            pause = max(pause, took / VALIDATION_SHARE / self.seconds)
        self._next_validation = self._done() + pause

    def _tell(self, done: float) -> None:
        values = {"loss": self._losses[-1]} if self._losses else {}
        if self.history and math.isfinite(self.history[-1]["held_out_iou"]):
            values["held_out_iou"] = self.history[-1]["held_out_iou"]
            values["best_iou"] = self._best_score
        left = max(self.seconds - self._passed(), 0.0)
        if self.settings.megapixels:
            left = self._passed() * max(1 / done - 1, 0.0)
        self.on_progress(Progress(min(done, 1.0), 1.0, self.message, left, values))


def freeze_statistics(network: Any) -> None:
    """Let batch normalization work, in training too, with the statistics it has.

    Its scale and shift stay as they are as well: the convolutions around it can do what they do.
    """
    import keras

    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
