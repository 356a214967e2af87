"""Fit a network to batches: one loop for epochs or a time budget, which can stop and continue."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import TrainingError
from napari_unet.networks.heads import set_share
from napari_unet.progress import CancelToken, OnProgress, Progress, ignore_progress
from napari_unet.training.adamw import adamw
from napari_unet.training.checkpoint import TrainingState
from napari_unet.training.schedule import descents, learning_rate, progress_of
from napari_unet.training.snapshots import SETTLING, average_of, remeasure_batch_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.settings import TrainingSettings
    from napari_unet.training.feeding.batches import TrainingBatches

    Stream = Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]

MAX_RECOVERIES = 3
AVERAGE_EVERY = 5  # steps; the decay is raised to this power
VALIDATION_SHARE = 0.1  # of the time, or of the work where minutes do not count
LEARNING = 3  # times as much work as looking at as many pixels
ASK_EVERY = 0.5  # seconds between two questions whether to stop


def tell_nobody() -> None:
    """Stands in where nothing computes with copies of the weights."""


@dataclass
class Training:
    """A run of training under way.

    Parameters
    ----------
    network : keras.Model
        From images to logits; trained in place.
    batches : TrainingBatches
        Where batches come from.
    loss : callable
        (target, logits) -> scalar.
    settings : TrainingSettings
        Schedule, optimizer, averaging, patience.
    learner : keras.Model, optional
        The view of the network that is trained, with its auxiliary heads (``networks.heads``) or its losses
        (``training.regions``).
    prepare_batch : callable, optional
        (images, targets, step) -> what the learner is shown and what it is to answer, if it is not just that.
    validate : callable, optional
        () -> score of the network as it stands, higher is better.
    validation_pixels : int
        That it looks at. With them, and where no minutes count, work decides which epochs are scored, not the
        clock, so that the same seed keeps the same weights.
    save : callable, optional
        (TrainingState) -> None, called after each epoch.
    on_epoch : callable, optional
        (row of the history) -> None.
    stop : callable, optional
        () -> whether to stop now and keep the best; asked twice a second.
    weights_changed : callable
        () -> None, called whenever the weights of the network are others.
    on_progress : callable
        Takes a Progress after each step.
    cancel : CancelToken
        Checked before each step.
    """

    network: Any
    batches: TrainingBatches
    loss: Callable[[Any, Any], Any]
    settings: TrainingSettings
    learner: Any = None
    prepare_batch: Callable[[Any, Any, int], tuple[Any, Any]] | None = None
    validate: Callable[[], float] | None = None
    validation_pixels: int = 0
    save: Callable[[TrainingState], None] | None = None
    on_epoch: Callable[[dict[str, float]], None] | None = None
    stop: Callable[[], bool] | None = None
    weights_changed: Callable[[], None] = tell_nobody
    on_progress: OnProgress = ignore_progress
    cancel: CancelToken | None = None

    def __post_init__(self) -> None:
        self.state = TrainingState()
        self.stopped = False
        self._asked = 0.0
        if self.learner is None:
            self.learner = self.network
        self._validation_seconds = 0.0
        self._good: list[Any] = []

    def run(self, state: TrainingState | None = None) -> TrainingState:
        """Train to the end, and leave the best weights in the network.

        Parameters
        ----------
        state : TrainingState, optional
            Where an earlier run stopped.

        Returns
        -------
        TrainingState
            With the history and the best score.

        Raises
        ------
        Cancelled
            When the token was set; the last state saved is the last whole epoch.
        TrainingError
            If the loss is not a number again and again.
        """
        compile_network(self.learner, self.loss, self.settings)
        self._start(state)
        progress = progress_of(self.settings, self.state.step, self.batches.total_steps, self.state.seconds)
        with closing(self.batches.stream(self.state.step)) as stream:
            while progress < 1.0 and not self.stopped and not self._out_of_patience():
                try:
                    progress = self._epoch(stream)
                except TrainingError:
                    if not self.state.best:
                        raise
                    break  # what was learned before it went wrong stays
        self._blend()
        if not self.state.best:
            self.state.best = [np.asarray(v) for v in self.state.average]
        self._put_weights(self.state.best)
        return self.state

    def _start(self, state: TrainingState | None) -> None:
        self.learner.optimizer.build(self.learner.trainable_variables)
        self._good = self._weights()
        if state is None:
            self.state = TrainingState(average=self._weights())
            return
        self.state = state
        for variable, value in zip(self.network.variables, state.variables, strict=True):
            variable.assign(value)
        self.weights_changed()
        for variable, value in zip(self.learner.optimizer.variables, state.optimizer, strict=True):
            variable.assign(value)

    def _weights(self) -> list[Any]:
        return [np.array(w) for w in self.network.get_weights()]

    def _put_weights(self, weights: list[Any]) -> None:
        self.network.set_weights(weights)
        self.weights_changed()

    def _out_of_patience(self) -> bool:
        patience = self.settings.patience
        return bool(patience) and self.state.epoch - self.state.best_epoch >= patience > 0

    def _epoch(self, stream: Stream) -> float:
        """Train one epoch, validate, report, save; give back the progress."""
        state, settings = self.state, self.settings
        started = time.monotonic()
        before = state.seconds
        first = state.step
        losses = []
        progress = 0.0
        descended = self._descended()
        end = next(end for end in descents(settings) if end > min(self._progress(), 1 - 1e-9))
        for images, targets in stream:
            if self.cancel is not None:
                self.cancel.check()
            rate = state.rate_factor * learning_rate(settings, self._progress())
            self.learner.optimizer.learning_rate = rate
            set_share(self.learner, settings.auxiliary_weight, self._progress())
            shown, wanted = images, targets
            if self.prepare_batch is not None:
                shown, wanted = self.prepare_batch(images, targets, state.step)
            value = float(np.ravel(self.learner.train_on_batch(shown, wanted))[0])
            self.weights_changed()
            if not math.isfinite(value):
                self._recover()
                continue
            losses.append(value)
            state.step += 1
            if state.step % AVERAGE_EVERY == 0:
                self._average()
            state.seconds = before + time.monotonic() - started
            progress = self._progress()
            self._tell(progress, value)
            self.stopped = self._asked_to_stop()
            if progress >= end or self.stopped or state.step - first >= self.batches.steps_per_epoch:
                break
        state.epoch += 1
        row = {
            "epoch": float(state.epoch),
            "step": float(state.step),
            "megapixels": state.step * self.batches.pixels_a_step / 1e6,
            "seconds": state.seconds,
            "loss": float(np.mean(losses)),
            "learning_rate": float(rate),
        }
        row["validation_iou"] = self._score(progress >= end or self.stopped)
        state.seconds = before + time.monotonic() - started
        # Where minutes count, a descent may also end while the network is scored.
        if settings.schedule == "cosine_restarts" and self._descended() > descended:
            state.snapshots += [w.copy() for w in state.average]
        state.history.append(row)
        if all(np.isfinite(w).all() for w in self.state.average):
            self._good = [w.copy() for w in self.state.average]
        state.variables = [to_numpy(v) for v in self.network.variables]
        state.optimizer = [to_numpy(v) for v in self.learner.optimizer.variables]
        if self.save is not None:
            self.save(state)
        if self.on_epoch is not None:
            self.on_epoch({**row, "seconds_left": self._seconds_left(self._progress())})
        return max(progress, self._progress())

    def _asked_to_stop(self) -> bool:
        now = time.monotonic()
        if self.stop is None or now - self._asked < ASK_EVERY:
            return False
        self._asked = now
        return bool(self.stop())

    def _progress(self) -> float:
        return progress_of(self.settings, self.state.step, self.batches.total_steps, self.state.seconds)

    def _descended(self) -> int:
        """How many descents of the learning rate have come to their ends."""
        return sum(end <= self._progress() for end in descents(self.settings))

    def _seconds_left(self, progress: float) -> float:
        return self.state.seconds * (1 - progress) / max(progress, 1e-6)

    def _tell(self, progress: float, loss: float) -> None:
        self.on_progress(
            Progress(
                progress,
                1.0,
                f"Training, epoch {self.state.epoch + 1}",
                self._seconds_left(progress),
                {
                    "loss": loss,
                    "best_iou": max(self.state.best_score, 0.0),
                    "seconds": self.state.seconds,
                    "step": float(self.state.step),
                },
            )
        )

    def _average(self) -> None:
        """Running average of the weights, quicker at first so that it forgets the random start."""
        decay = self.settings.averaging**AVERAGE_EVERY if self.settings.averaging else 0.0
        updates = self.state.step // AVERAGE_EVERY
        decay = min(decay, (1 + updates) / (10 + updates))
        for average, now in zip(self.state.average, self.network.get_weights(), strict=True):
            average *= decay
            average += (1 - decay) * now

    def _score(self, last: bool) -> float:
        """Validation score of the averaged weights; NaN when skipped to keep within its share."""
        if self.validate is None:
            return math.nan
        if not last and self.state.epoch > 1 and self._has_scored_enough():
            return math.nan
        started = time.monotonic()
        current = self._weights()
        self._put_weights(self.state.average)
        score = float(self.validate())
        self._put_weights(current)
        self._validation_seconds += time.monotonic() - started
        if score >= self.state.best_score:
            self.state.best_score = score
            self.state.best_epoch = self.state.epoch
            self.state.best = [w.copy() for w in self.state.average]
        return score

    def _has_scored_enough(self) -> bool:
        state = self.state
        if self.settings.minutes or not self.validation_pixels:
            return self._validation_seconds > VALIDATION_SHARE * state.seconds
        scored = sum(math.isfinite(row["validation_iou"]) for row in state.history)
        learned = LEARNING * state.step * self.batches.pixels_a_step
        return scored * self.validation_pixels > VALIDATION_SHARE * learned

    def _blend(self) -> None:
        """Take the average of the last snapshots, of as many as score best, if that beats a single one.

        Notes
        -----
        Izmailov et al. 2018, arXiv:1803.05407; statistics of batch normalization are measured again.
        """
        state = self.state
        count = len(state.snapshots) // max(len(state.average), 1)
        if self.validate is None or self.stopped:
            return
        for last in range(2, count + 1):
            self._put_weights(average_of(state.snapshots, len(state.average), last))
            remeasure_batch_norm(self.network, self.batches, self.cancel, min(SETTLING, state.step))
            self.weights_changed()
            score = float(self.validate())
            if score > state.best_score:
                state.best_score, state.averaged = score, last
                state.best = self._weights()

    def _recover(self) -> None:
        """Go back to the last good weights, forget the momentum, and learn at half the rate.

        Raises
        ------
        TrainingError
            After three times.
        """
        self.state.rate_factor /= 2
        if self.state.rate_factor < 0.5**MAX_RECOVERIES:
            raise TrainingError(
                "the loss is not a number any more",
                code="training.loss.diverged",
                got=f"NaN at step {self.state.step}, each time at half the learning rate",
                remedy="lower learning_rate, or set precision=float32",
            )
        self._put_weights(self._good)
        self.state.average = [w.copy() for w in self._good]
        forget_momentum(self.learner.optimizer)


def forget_momentum(optimizer: Any, *, restart: bool = False) -> None:
    """Set what an optimizer remembers of gradients to zero; the learning rate stays.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        Built. In mixed_float16 Keras wraps it in one that scales the loss: that scale is no memory of
        gradients, and a scale of zero makes every gradient infinite.
    restart : bool
        Whether it also counts its steps, and looks for the scale of the loss, from the start.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None and restart:
        optimizer.dynamic_scale.assign(optimizer.initial_scale)
        optimizer.step_counter.assign(0)
    for variable in (optimizer if inner is None else inner).variables:
        counts = "iteration" in variable.path
        if "learning_rate" not in variable.path and (restart or not counts):
            variable.assign(np.zeros(variable.shape))


def to_numpy(variable: Any) -> NDArray[Any]:
    """Value of a Keras variable as an array of its own."""
    from keras import ops

    return np.array(ops.convert_to_numpy(variable))


def compile_network(network: Any, loss: Callable[[Any, Any], Any], settings: TrainingSettings) -> None:
    """Give a network its optimizer and loss.

    Notes
    -----
    XLA is left off on TensorFlow, where it makes training on processors slower. Biases and
    normalization are not decayed.
    """
    import keras

    clip = settings.gradient_norm or None
    if settings.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(
            settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay or None,
            global_clipnorm=clip,
        )
    else:
        optimizer = adamw(settings.learning_rate, settings.weight_decay, clip)
    if settings.optimizer == "adamw" or settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    xla: Any = False if keras.backend.backend() == "tensorflow" else "auto"
    network.compile(optimizer=optimizer, loss=loss, jit_compile=xla)
