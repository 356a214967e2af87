"""Batch normalization that TensorFlow computes in one operation while it trains."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Of the moving mean and variance: they are those of the last hundred steps or so, as trainings are short.
MOMENTUM = 0.95


def batch_normalization(
    name: str, momentum: float = MOMENTUM, options: Mapping[str, Any] | None = None
) -> Callable[[Any], Any]:
    """Keras' own layer, and on TensorFlow a quicker one of the same name, weights and results.

    Keras computes mean, variance and result by operations of their own, in float32. On a processor that
    multiplies bfloat16 this takes two fifths of a training step (``benchmarks/ways.py``, train and
    train-apart).

    Parameters
    ----------
    name : str
        Of the layer.
    momentum : float
        Of the moving mean and variance.
    options : mapping, optional
        Configuration of a layer of Keras, for all else.
    """
    import keras

    kind = _fused() if keras.backend.backend() == "tensorflow" else keras.layers.BatchNormalization
    return kind.from_config({**(options or {}), "momentum": momentum, "name": name})  # type: ignore[no-any-return]


@cache
def _fused() -> Any:
    import keras
    import tensorflow as tf

    # Files of weights are laid out by the names of classes.
    class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            fits = self.scale and self.center and self.compute_dtype != "float16"
            if not (training and self.trainable and fits):
                return super().call(inputs, training=training, mask=mask)
            nothing = tf.zeros((0,))
            shown = tf.cast(inputs, self.compute_dtype)
            volumes = inputs.shape.rank == 5
            if volumes:  # the operation takes images: slices below one another
                sides = tf.shape(inputs)
                shown = tf.reshape(shown, (sides[0], sides[1] * sides[2], sides[3], inputs.shape[-1]))
            found = tf.raw_ops.FusedBatchNormV3(
                x=shown,
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
            for moving, now in ((self.moving_mean, found.batch_mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + now * (1.0 - self.momentum))
            return tf.reshape(found.y, sides) if volumes else found.y

    return BatchNormalization
