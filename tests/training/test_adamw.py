"""The optimizer updates weights as that of Keras does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.training.adamw import adamw


def trained(optimizer: Any, *, eager: bool, precision: str = "float32") -> list[np.ndarray]:
    """Weights, and the state of the optimizer, after some steps of a small network."""
    import keras

    image = keras.Input((8, 8, 1))
    start = keras.initializers.RandomNormal(0.0, 0.3, seed=1)
    x = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer=start, dtype=precision)(image)
    x = keras.layers.Conv2D(1, 1, kernel_initializer=start, dtype="float32")(x)
    network = keras.Model(image, x)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    network.compile(optimizer=optimizer, loss="mse", run_eagerly=eager, jit_compile=False)
    draw = np.random.default_rng(0)
    for _ in range(5):
        images = draw.standard_normal((4, 8, 8, 1)).astype(np.float32)
        network.train_on_batch(images, 3 * images)
    state = [*network.weights, *optimizer.variables]
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in state]


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("norm", [None, 0.1])
def test_weights_and_state_are_those_of_keras(eager: bool, precision: str, norm: float | None) -> None:
    import keras

    theirs = keras.optimizers.AdamW(0.01, weight_decay=0.1, global_clipnorm=norm)
    ours = adamw(0.01, 0.1, norm)
    for one, other in zip(
        trained(ours, eager=eager, precision=precision),
        trained(theirs, eager=eager, precision=precision),
        strict=True,
    ):
        # In bfloat16 a difference in the last bit of a weight grows.
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 if precision == "float32" else 1e-3)


def test_a_state_of_keras_is_taken_up() -> None:
    """The state of an older training has the same arrays in the same order."""
    import keras

    theirs, ours = keras.optimizers.AdamW(0.01), adamw(0.01, 0.004, None)
    weights = [keras.Variable(np.ones((2, 3), np.float32), name=name) for name in ("a", "b")]
    for one in (theirs, ours):
        one.build(weights)
    assert [(v.name, v.shape) for v in ours.variables] == [(v.name, v.shape) for v in theirs.variables]
    assert type(ours).__name__ == "AdamW"


def test_a_weight_is_updated_by_one_operation() -> None:
    import keras
    import tensorflow as tf

    weight = keras.Variable(np.ones(3, np.float32))
    optimizer = adamw(0.01, 0.0, None)
    optimizer.build([weight])

    def step() -> None:
        optimizer.apply([tf.ones(3)], [weight])

    kinds = [one.type for one in tf.function(step).get_concrete_function().graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == 1
    assert "Sqrt" not in kinds
