"""Averages of the weights of a network at several moments of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.progress import CancelToken
    from napari_unet.training.feeding.batches import TrainingBatches

SETTLING = 60  # batches; what was before weighs 0.95 ** 60 then


def average_of(snapshots: Sequence[NDArray[np.float32]], size: int, last: int) -> list[NDArray[np.float32]]:
    """The mean of the last snapshots.

    Parameters
    ----------
    snapshots : sequence of numpy.ndarray
        float32 weights, of any shapes, of all snapshots, one snapshot after another.
    size : int
        Arrays a snapshot.
    last : int
        How many of them, at least 1.

    Returns
    -------
    list of numpy.ndarray
        float32, as many arrays as one snapshot has, of their shapes.
    """
    first = len(snapshots) - last * size
    return [np.mean(snapshots[first + n :: size], axis=0, dtype=np.float32) for n in range(size)]


def remeasure_batch_norm(
    network: Any, batches: TrainingBatches, cancel: CancelToken | None = None, count: int = SETTLING
) -> None:
    """Measure the statistics of batch normalization again, which no average of others is.

    Parameters
    ----------
    network : keras.Model
        Changed in place; nothing where there is no batch normalization.
    batches : TrainingBatches
        Whose first batches are shown.
    cancel : CancelToken, optional
        Checked before each batch.
    count : int
        Of batches.
    """
    if not any(type(layer).__name__ == "BatchNormalization" for layer in network.layers):
        return
    for step in range(count):
        if cancel is not None:
            cancel.check()
        network(batches.batch(step)[0], training=True)
