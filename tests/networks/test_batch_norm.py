"""Batch normalization in one operation: the results, gradients and kept statistics of Keras' own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.networks.layers.batch_norm import batch_normalization


def beside_keras(momentum: float = 0.9) -> tuple[Any, Any]:
    import keras

    own: Any = batch_normalization("norm", momentum)
    theirs = keras.layers.BatchNormalization(momentum=momentum)
    rng = np.random.default_rng(0)
    for layer in (own, theirs):
        layer.build((None, 6, 5, 3))
    weights = [rng.uniform(0.5, 2.0, w.shape).astype(np.float32) for w in own.get_weights()]
    own.set_weights(weights)
    theirs.set_weights(weights)
    return own, theirs


def test_it_has_the_class_name_that_files_of_weights_know() -> None:
    own, theirs = beside_keras()
    assert type(own).__name__ == type(theirs).__name__ == "BatchNormalization"
    assert [w.path.split("/")[-1] for w in own.weights] == [w.path.split("/")[-1] for w in theirs.weights]


def test_statistics_by_hand() -> None:
    """Of 1, 3, 5, 7: mean 4, variance 5; a quarter of them is kept of 0 and 1."""
    own: Any = batch_normalization("norm", 0.75)
    x = np.array([1, 3, 5, 7], np.float32).reshape(1, 2, 2, 1)
    y = np.asarray(own(x, training=True))
    np.testing.assert_allclose(y.ravel(), (x.ravel() - 4) / np.sqrt(5 + 1e-3), rtol=1e-6)
    gamma, beta, mean, variance = (float(w[0]) for w in own.get_weights())
    assert (gamma, beta) == (1, 0)
    assert (mean, variance) == pytest.approx((1.0, 0.75 + 1.25))


@pytest.mark.parametrize("training", [True, False])
def test_results_and_gradients_are_those_of_keras(training: bool) -> None:
    tf = pytest.importorskip("tensorflow")
    own, theirs = beside_keras()
    x = tf.constant(np.random.default_rng(1).normal(3, 2, (4, 6, 5, 3)).astype(np.float32))
    steps = []
    for layer in (own, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y * tf.sin(tf.range(360.0).numpy().reshape(4, 6, 5, 3)))
        steps.append((y, *tape.gradient(loss, [x, layer.gamma, layer.beta]), *layer.get_weights()))
    for ours, wanted in zip(*steps, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=2e-5, atol=2e-5)


def test_in_bfloat16_statistics_stay_in_float32() -> None:
    import keras

    with_half = keras.DTypePolicy("mixed_bfloat16")
    own: Any = batch_normalization("norm", 0.9)
    theirs = keras.layers.BatchNormalization(momentum=0.9, dtype=with_half)
    own.dtype_policy = with_half
    x = np.random.default_rng(2).normal(1, 2, (4, 8, 8, 3)).astype(np.float32)
    ours, wanted = (np.asarray(keras.ops.cast(layer(x, training=True), "float32")) for layer in (own, theirs))
    np.testing.assert_allclose(ours, wanted, atol=0.03)
    for kept, reference in zip(own.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(kept, reference, rtol=0.01, atol=0.01)


def test_frozen_it_keeps_its_statistics() -> None:
    own, _ = beside_keras()
    own.trainable = False
    before = own.get_weights()
    own(np.ones((2, 6, 5, 3), np.float32), training=True)
    for kept, was in zip(own.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, was)


@pytest.mark.parametrize("without", ["scale", "center"])
def test_a_layer_of_an_encoder_without_scale_or_centre_answers_as_it_did(without: str) -> None:
    import keras

    theirs = keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.99, **{without: False})
    own: Any = batch_normalization("norm", options=theirs.get_config())
    assert own.momentum == 0.95
    assert own.epsilon == 1e-5
    x = np.random.default_rng(2).normal(3, 2, (4, 6, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(own(x, training=True), theirs(x, training=True), rtol=1e-5, atol=1e-5)
    assert len(own.get_weights()) == 3
