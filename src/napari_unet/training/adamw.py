"""AdamW as Keras has it, with fewer operations where TensorFlow computes."""

from __future__ import annotations

from functools import cache
from typing import Any


def adamw(learning_rate: float, weight_decay: float, gradient_norm: float | None) -> Any:
    """The optimizer for a network; Loshchilov, Hutter 2019, arXiv:1711.05101.

    Keras updates each weight by a dozen operations, each of which goes through all of memory. TensorFlow has
    one that does the same. A training step takes 0.95 of the time then (``benchmarks/ways.py``, train-onednn
    and train-slow-adamw-onednn).

    Parameters
    ----------
    learning_rate, weight_decay : float
        Of a step.
    gradient_norm : float or None
        Longer gradients are cut to it.
    """
    import keras

    kind = _in_one() if keras.backend.backend() == "tensorflow" else keras.optimizers.AdamW
    return kind(learning_rate, weight_decay=weight_decay, global_clipnorm=gradient_norm)


@cache
def _in_one() -> Any:
    import keras
    import tensorflow as tf

    def handle(variable: Any) -> Any:
        return variable.handle if isinstance(variable, tf.Variable) else variable.value.handle

    # States of trainings are laid out by the names of classes.
    class AdamW(keras.optimizers.AdamW):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            place = self._get_variable_index(variable)
            step = tf.cast(self.iterations + 1, "float32")
            tf.raw_ops.ResourceApplyAdam(
                var=handle(variable),
                m=handle(self._momentums[place]),
                v=handle(self._velocities[place]),
                beta1_power=self.beta_1**step,
                beta2_power=self.beta_2**step,
                lr=tf.cast(learning_rate, "float32"),
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=tf.cast(gradient, "float32"),
            )

    return AdamW
