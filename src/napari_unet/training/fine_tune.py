"""Go on training a network, for seconds, on a few corrections and on what it knew before."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.progress import CancelToken, OnProgress, Progress, ignore_progress
from napari_unet.training.batches import TrainingBatches, made_ahead
from napari_unet.training.fit import compile_network
from napari_unet.training.schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import FineTuneSettings, Separation, TrainingSettings
    from napari_unet.training.augmentation import Patch
    from napari_unet.training.batches import Batch

FEWEST, MOST = 2, 16  # patches a step
FIRST_LOOK = 4.0  # seconds after the first step, which itself takes seconds to be built
ROUNDS = 8  # looks in all, about
LOOKING_SHARE = 0.2  # of the time, at most, after the first look
ASK_EVERY = 0.5  # seconds between two questions whether to stop
SPARSE_WEIGHT = 0.25  # of a patch: what a few strokes on it weigh at least
MOST_BOOST = 20.0


@dataclass(frozen=True, eq=False)
class MixedBatches:
    """Batches in which corrections and replay keep a fixed share: step n is the same whenever asked for.

    Parameters
    ----------
    corrections : TrainingBatches
        What was painted.
    replay : TrainingBatches or None
        What the network knew before.
    share : float
        Of replay in a batch, 0 to 1; at least one patch of a batch is a correction.
    pixels : int
        Of a batch.
    """

    corrections: TrainingBatches
    replay: TrainingBatches | None
    share: float
    pixels: int

    def __post_init__(self) -> None:
        if self.replay is not None:
            larger = [max(n) for n in zip(self.corrections.shape, self.replay.shape, strict=True)]
            self.corrections.shape = self.replay.shape = (larger[0], larger[1])

    @property
    def size(self) -> int:
        """Patches a step."""
        y, x = self.corrections.shape
        return int(min(max(self.pixels // (y * x), FEWEST), MOST))

    @property
    def replayed(self) -> int:
        """Patches of a batch that are replay."""
        if self.replay is None or self.share <= 0:
            return 0
        return min(max(round(self.size * self.share), 1), self.size - 1)

    def batch(self, step: int) -> Batch:
        """The batch of a step; arrays as ``TrainingBatches.batch``."""
        fresh = self.size - self.replayed
        makers = [(self.corrections, fresh), (self.replay, self.replayed)]
        patches = []
        for maker, count in makers:
            for row in range(count):
                assert maker is not None
                patch = maker.patch(*maker.drawn(step * count + row))
                patches.append(_heard(patch) if maker is self.corrections else patch)
        return self.corrections.assemble(patches)


def _heard(patch: Patch) -> Patch:
    """The patch with its weights raised where little of it is known, so that strokes are heard."""
    total = float(patch.weights.sum())
    wanted = SPARSE_WEIGHT * patch.weights.size
    if not 0 < total < wanted:
        return patch
    return replace(patch, weights=patch.weights * np.float32(min(wanted / total, MOST_BOOST)))


def make_batches(
    corrections: Dataset,
    replay: Dataset | None,
    normalization: Normalization,
    training: TrainingSettings,
    settings: FineTuneSettings,
    sizes: InputSizes,
    classes: int,
    separation: Separation = "none",
) -> MixedBatches:
    """Batches of corrections and replay, made as the model's training made them.

    Parameters
    ----------
    corrections, replay : Dataset
        With pixel weights.
    normalization : Normalization
        Of the model.
    training : TrainingSettings
        Of the model: patch, augmentation, border weights.
    settings : FineTuneSettings
        Shares, pixels, seed.
    sizes : InputSizes
        Of the network.
    classes : int
        K.
    separation : str
        Of the network; unknown on images whose masks do not tell objects apart.

    Raises
    ------
    TrainingError
        If there is no correction.
    """
    training = training.model_copy(update={"patch": min(training.patch, settings.patch)})
    seeded = training.model_copy(update={"seed": settings.seed})
    apart: dict[str, Any] = {"separation": separation, "connected": False}
    fresh = TrainingBatches(corrections, normalization, seeded, sizes, classes, **apart)
    old = None
    if replay is not None and len(replay) and settings.replay > 0:
        other = training.model_copy(update={"seed": settings.seed + 1})
        old = TrainingBatches(replay, normalization, other, sizes, classes, **apart)
    return MixedBatches(fresh, old, settings.replay, settings.batch_pixels)


@dataclass
class FineTuning:
    """A run of fine-tuning under way.

    Batch normalization keeps the statistics of its training: those of a few images, or of one, would
    be wrong for all others.

    Parameters
    ----------
    network : keras.Model
        From images to logits; trained in place.
    batches : MixedBatches
        What it learns from.
    loss : callable
        (target, logits) -> scalar.
    training : TrainingSettings
        Of the model: optimizer, weight decay, gradient norm.
    settings : FineTuneSettings
        Rates and averaging.
    seconds : float
        Time to train.
    look : callable, optional
        () -> held-out IoU of the network as it stands, or NaN; called now and then with the averaged
        weights in place.
    on_look : callable, optional
        (row of the history) -> None, after each look, with the averaged weights in place.
    stop : callable, optional
        () -> whether to stop now and keep the best.
    on_progress : callable
        Takes a Progress after each step.
    cancel : CancelToken
        Checked before each step.
    """

    network: Any
    batches: MixedBatches
    loss: Callable[[Any, Any], Any]
    training: TrainingSettings
    settings: FineTuneSettings
    seconds: float
    look: Callable[[], float] | None = None
    on_look: Callable[[dict[str, float]], None] | None = None
    stop: Callable[[], bool] | None = None
    on_progress: OnProgress = ignore_progress
    cancel: CancelToken | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    stopped: bool = False

    def run(self) -> list[dict[str, float]]:
        """Train until the time is up or it is told to stop; leave the best weights in the network.

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
                done = self._passed() / self.seconds
                self.stopped = self._asked_to_stop()
                if done >= 1 or self.stopped:
                    break
                if self._passed() >= self._next_look:
                    self._look()
                self._tell(done)
        if self._looked_at != self.step:
            self._look()
        self._put(self._best)
        return self.history

    def _begin(self) -> None:
        schedule = {"learning_rate": self.settings.learning_rate, "warm_up": self.settings.warm_up}
        self._schedule = self.training.model_copy(update={**schedule, "schedule": "cosine"})
        freeze_statistics(self.network)
        compile_network(self.network, self.loss, self._schedule)
        self._average = self._get()
        self._best = self._get()
        self._best_score = -1.0
        self._losses: list[float] = []
        self._started = self._asked = time.monotonic()
        self._built = 0.0
        self._next_look = math.inf
        self._looked_at = 0

    def _passed(self) -> float:
        return time.monotonic() - self._started

    def _get(self) -> list[NDArray[np.float32]]:
        return [np.array(w) for w in self.network.get_weights()]

    def _put(self, weights: list[NDArray[np.float32]]) -> None:
        self.network.set_weights(weights)

    def _learn(self, images: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
        # The time in which the first step is built is no part of the warm-up.
        share = (self._passed() - self._built) / max(self.seconds - self._built, 1e-6) if self._built else 0.0
        rate = learning_rate(self._schedule, min(share, 1.0))
        self.network.optimizer.learning_rate = rate
        value = float(np.ravel(self.network.train_on_batch(images, targets))[0])
        if not self._built:
            self._built = self._passed()
            self._next_look = self._built + min(FIRST_LOOK, self.seconds / 6)
        if not math.isfinite(value):  # as if nothing had been learned since the average was right
            self._put(self._average)
            for variable in self.network.optimizer.variables:
                if "iteration" not in variable.path and "learning_rate" not in variable.path:
                    variable.assign(np.zeros(variable.shape))
            return
        self._losses.append(value)
        self.step += 1
        decay = min(self.settings.averaging, self.step / (10 + self.step))
        for kept, now in zip(self._average, self.network.get_weights(), strict=True):
            kept *= decay
            kept += (1 - decay) * now

    def _asked_to_stop(self) -> bool:
        now = time.monotonic()
        if self.stop is None or now - self._asked < ASK_EVERY:
            return False
        self._asked = now
        return bool(self.stop())

    def _look(self) -> None:
        """Score the averaged weights, keep them if they are the best, and plan the next look."""
        started = time.monotonic()
        row = {
            "seconds": self._passed(),
            "step": float(self.step),
            "loss": float(np.mean(self._losses)) if self._losses else math.nan,
            "learning_rate": float(self.network.optimizer.learning_rate),
        }
        self._losses = []
        self._looked_at = self.step
        current = self._get()
        self._put(self._average)
        score = self.look() if self.look is not None else math.nan
        if not score < self._best_score:  # without a score the last is the best
            self._best_score = score if math.isfinite(score) else self._best_score
            self._best = [w.copy() for w in self._average]
        row["held_out_iou"] = score
        self.history.append(row)
        if self.on_look is not None:
            self.on_look(row)
        self._put(current)
        took = time.monotonic() - started
        pause = self.seconds / ROUNDS
        if len(self.history) > 1:  # the first look has more to build
            pause = max(pause, took / LOOKING_SHARE)
        self._next_look = self._passed() + pause

    def _tell(self, done: float) -> None:
        values = {"loss": self._losses[-1]} if self._losses else {}
        if self.history and math.isfinite(self.history[-1]["held_out_iou"]):
            values["held_out_iou"] = self.history[-1]["held_out_iou"]
            values["best_iou"] = self._best_score
        left = max(self.seconds - self._passed(), 0.0)
        self.on_progress(Progress(min(done, 1.0), 1.0, "Learning from corrections", left, values))


def freeze_statistics(network: Any) -> None:
    """Let batch normalization work, in training too, with the statistics it has.

    Its scale and shift stay as they are as well: the convolutions around it can do what they do.
    """
    import keras

    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
