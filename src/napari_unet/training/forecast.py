"""What a training will cost, measured: seconds a step, and memory."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.training.fit import compile_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.progress import CancelToken
    from napari_unet.settings import TrainingSettings
    from napari_unet.training.feeding.batches import TrainingBatches

WARM = 2  # steps before those that are timed: the first builds, the second still settles
TIMED = 3  # steps at least, and for so long:
TIMED_SECONDS = 1.0
FLOAT = 4  # bytes
COPIES = 5  # of the weights: gradient, two moments of the optimizer, running average, best
LOOK = 0.005  # seconds between two looks at the memory


@dataclass(frozen=True)
class StepCost:
    """What a step of training costs on this machine.

    Attributes
    ----------
    seconds : float
        A step, once it is built.
    building : float
        Seconds that the first takes more.
    memory : int
        Most bytes that the process held while it trained.
    steps : int
        That were timed.
    """

    seconds: float
    building: float
    memory: int
    steps: int


def expected_bytes(network: Any, batches: TrainingBatches) -> int:
    """Memory that a step will need, from the shapes alone: what each layer keeps, and the weights.

    Parameters
    ----------
    network : keras.Model
        From images to logits.
    batches : TrainingBatches
        That it will see.

    Returns
    -------
    int
        Bytes; an upper bound within a factor of two, as buffers are used again.
    """
    import keras

    shape = (*batches.shape, batches.normalization.channels)
    fixed = keras.models.clone_model(network, input_tensors=keras.Input(shape, batch_size=1))
    values = 0
    for layer in fixed.layers:
        outputs = layer.output if isinstance(layer.output, list) else [layer.output]
        values += sum(math.prod(n for n in o.shape if n is not None) for o in outputs)
    return FLOAT * (batches.batch_size * values + (1 + COPIES) * int(network.count_params()))


def measure_steps(
    network: Any,
    batches: TrainingBatches,
    loss: Callable[[Any, Any], Any],
    training: TrainingSettings,
    cancel: CancelToken,
    prepare_batch: Callable[[Any, Any, int], tuple[Any, Any]] | None = None,
) -> StepCost:
    """Time a few steps of training; the network is spoilt afterwards.

    Parameters
    ----------
    network : keras.Model
        Of which another will be trained, or its learner.
    batches : TrainingBatches
        That it will see.
    loss : callable
        (target, logits) -> scalar.
    training : TrainingSettings
        Optimizer.
    cancel : CancelToken
        Checked before each step.
    prepare_batch : callable, optional
        As ``Training`` takes it.
    """
    compile_network(network, loss, training)
    given = [batches.batch(step) for step in range(WARM)]
    if prepare_batch is not None:
        given = [prepare_batch(*batch, step) for step, batch in enumerate(given)]
    times: list[float] = []
    with PeakMemory() as memory:
        while len(times) < WARM + TIMED or sum(times[WARM:]) < TIMED_SECONDS:
            cancel.check()
            begun = time.monotonic()
            network.train_on_batch(*given[len(times) % len(given)])
            times.append(time.monotonic() - begun)
    seconds = float(np.median(times[WARM:]))
    return StepCost(seconds, max(sum(times[:WARM]) - WARM * seconds, 0.0), memory.most, len(times) - WARM)


class PeakMemory:
    """Watches how much memory this process holds; a context manager.

    Attributes
    ----------
    most : int
        Bytes, at most, since it began.
    """

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self.most = int(self._process.memory_info().rss)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        self._see()

    def _see(self) -> None:
        self.most = max(self.most, int(self._process.memory_info().rss))

    def _watch(self) -> None:
        while not self._end.wait(LOOK):
            self._see()
