"""Train a network on a few painted pixels, in rounds: each continues from the weights of the one before."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.training.feeding.batches import made_ahead
from napari_unet.training.fine_tune import freeze_statistics
from napari_unet.training.fit import compile_network, tell_nobody

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.settings import TrainingSettings
    from napari_unet.training.feeding.stroke_patches import StrokePatches

WARM_UP = 10  # steps in which the rate climbs
HALVED_AT = 100  # steps after which the rate is half of its highest; few pixels are soon learned by heart
AVERAGE_EVERY = 2  # steps; reading all weights takes a tenth of one


@dataclass
class StrokeTraining:
    """A network that learns from strokes; see ``StrokePatches`` for what it is shown.

    Batch normalization keeps the statistics of its training: those of a few patches would be wrong for the
    image as a whole.

    Parameters
    ----------
    network : keras.Model
        From images to logits; trained in place. One that is compiled already keeps its optimizer and the step
        that was built for it.
    patches : StrokePatches
        With at least one image.
    loss : callable
        (target, logits) -> scalar.
    settings : TrainingSettings
        Rate, optimizer, averaging.
    weights_changed : callable
        () -> None, called whenever the weights of the network are others.

    Attributes
    ----------
    step : int
        Of the optimizer, so far.
    loss_value : float
        Of the last step; NaN before the first.
    guessed_at : int
        Step after which the network was asked last about what nobody painted.
    """

    network: Any
    patches: StrokePatches
    loss: Callable[[Any, Any], Any]
    settings: TrainingSettings
    weights_changed: Callable[[], None] = tell_nobody
    step: int = 0
    loss_value: float = math.nan
    guessed_at: int = 0
    _average: list[NDArray[np.float32]] = field(default_factory=list)
    _latest: list[NDArray[np.float32]] = field(default_factory=list)

    def __post_init__(self) -> None:
        freeze_statistics(self.network)
        if not self.network.compiled:
            compile_network(self.network, self.loss, self.settings)
        self._average = self._weights()
        self._latest = self._weights()

    def learn(self, enough: Callable[[], bool]) -> int:
        """Learn until it is enough, at least one step; leaves the averaged weights in the network.

        Parameters
        ----------
        enough : callable
            () -> whether to stop now, asked after each step.

        Returns
        -------
        int
            Steps of this round.
        """
        first = self.step
        self._put(self._latest)
        with closing(made_ahead(self.patches.batch, self.step)) as stream:
            for images, targets in stream:
                self._learn(images, targets)
                if enough():
                    break
        self._latest = self._weights()
        self._put(self._average)
        return self.step - first

    def _learn(self, images: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
        climbed = min((self.step + 1) / WARM_UP, 1.0)
        rate = self.settings.learning_rate * climbed / (1 + self.step / HALVED_AT)
        self.network.optimizer.learning_rate = rate
        value = float(np.ravel(self.network.train_on_batch(images, targets))[0])
        self.weights_changed()
        self.step += 1
        if not math.isfinite(value):  # nothing is learned since the average was right
            self._put(self._average)
            return
        self.loss_value = value
        if self.step % AVERAGE_EVERY == 0:
            decay = min(self.settings.averaging, self.step / (10 + self.step)) ** AVERAGE_EVERY
            for average, now in zip(self._average, self.network.get_weights(), strict=True):
                average *= decay
                average += (1 - decay) * now

    def _weights(self) -> list[NDArray[np.float32]]:
        return [np.array(w) for w in self.network.get_weights()]

    def _put(self, weights: list[NDArray[np.float32]]) -> None:
        self.network.set_weights(weights)
        self.weights_changed()
