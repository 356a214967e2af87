"""Batch normalization that TensorFlow computes in one operation while it trains."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def batch_normalization(momentum: float, name: str) -> Callable[[Any], Any]:
    """Keras' own layer, and on TensorFlow a quicker one of the same name, weights and results.

    Keras computes mean, variance and result by operations of their own, in float32, which takes two fifths of
    a training step on a processor that multiplies bfloat16 (``benchmarks/ways.py``, train and train-apart).

    Parameters
    ----------
    momentum : float
        Of the moving mean and variance.
    name : str
        Of the layer.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return keras.layers.BatchNormalization(momentum=momentum, name=name)  # type: ignore[no-any-return]
    return _fused()(momentum=momentum, name=name)  # type: ignore[no-any-return]


@cache
def _fused() -> Any:
    import keras
    import tensorflow as tf

    # Files of weights are laid out by the names of classes.
    class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            if not (training and self.trainable) or self.compute_dtype == "float16":
                return super().call(inputs, training=training, mask=mask)
            nothing = tf.zeros((0,))
            found = tf.raw_ops.FusedBatchNormV3(
                x=tf.cast(inputs, self.compute_dtype),
                scale=self.gamma,
                offset=self.beta,
                mean=nothing,
                variance=nothing,
                epsilon=self.epsilon,
                is_training=True,
            )
            # What comes out is the variance of a sample; Keras keeps that of the batch.
            count = tf.cast(tf.size(inputs, tf.int64) // inputs.shape[-1], "float32")
            variance = found.batch_variance * (count - 1) / count
            for kept, now in ((self.moving_mean, found.batch_mean), (self.moving_variance, variance)):
                kept.assign(kept * self.momentum + now * (1.0 - self.momentum))
            return found.y

    return BatchNormalization
