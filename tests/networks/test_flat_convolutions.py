"""Convolutions within slices: the layers of Keras, computed as those of images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.networks.layers.flat import volume_convolutions


@pytest.mark.parametrize("kernel", [(1, 1, 1), (1, 3, 3), (3, 3, 3)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_convolution_and_its_gradients_are_those_of_keras(
    kernel: tuple[int, int, int], padding: str
) -> None:
    check(0, {"kernel_size": kernel, "padding": padding})


@pytest.mark.parametrize("kernel", [(1, 2, 2), (2, 2, 2)])
def test_a_transposed_convolution_and_its_gradients_are_those_of_keras(kernel: tuple[int, int, int]) -> None:
    check(1, {"kernel_size": kernel, "strides": kernel, "padding": "same"})


def check(which: int, options: dict[str, object]) -> None:
    """Results, and gradients of inputs and weights, of one layer, and its name in files."""
    import keras
    import tensorflow as tf

    theirs_kind = (keras.layers.Conv3D, keras.layers.Conv3DTranspose)[which]
    found = []
    for kind in (volume_convolutions()[which], theirs_kind):
        layer = kind(4, kernel_initializer=keras.initializers.HeNormal(1), bias_initializer="ones", **options)
        x = tf.constant(np.random.default_rng(0).standard_normal((2, 4, 6, 8, 3)).astype(np.float32))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            total = tf.reduce_sum(y**2)
        weights = [one.value for one in layer.trainable_weights]
        found.append([y, *tape.gradient(total, [x, *weights])])
        assert type(layer).__name__ == theirs_kind.__name__
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("which", "kernel", "within"), [
    (0, (1, 1, 1), True), (0, (1, 3, 3), True), (0, (3, 3, 3), False),
    (1, (1, 2, 2), True), (1, (2, 2, 2), False),
])  # fmt: skip
def test_what_stays_within_a_slice_asks_for_no_convolution_of_volumes(
    which: int, kernel: tuple[int, int, int], within: bool
) -> None:
    """Going back through those ends TensorFlow on some processors."""
    import tensorflow as tf

    options = {"strides": kernel} if which else {}
    layer = volume_convolutions()[which](4, kernel, padding="same", **options)
    layer.build((2, 4, 6, 8, 3))

    def step(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x) ** 2)
        return list(tape.gradient(total, [x, layer.kernel.value]))

    graph = tf.function(step).get_concrete_function(tf.TensorSpec((2, 4, 6, 8, 3), tf.float32)).graph
    assert any(one.type.startswith("Conv3D") for one in graph.get_operations()) != within
