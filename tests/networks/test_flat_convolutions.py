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
