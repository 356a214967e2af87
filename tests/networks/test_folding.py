"""Batch normalization folded into convolutions: an equal network, whichever of the registry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unet.models.model import Model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.graphs.folding import fold
from napari_unet.networks.registry import build_network, input_sizes, pixel_networks
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.training.fit import to_numpy

pytestmark = pytest.mark.slow


def settled(network: Any, seed: int = 0) -> None:
    """Give every normalization the scale, shift and statistics of a network that has learned."""
    import keras

    draw = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [draw.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in layer.get_weights()]
            )


def small(name: str, **changes: object) -> NetworkSettings:
    return NetworkSettings.model_validate(
        {"name": name, "filters": 4, "depth": 2, "encoder": "VGG16", **changes}
    )


def at_once(network: Any, x: np.ndarray) -> np.ndarray:
    return to_numpy(network(x, training=False))


def image(settings: NetworkSettings, side: int = 40) -> np.ndarray:
    side = input_sizes(settings).at_least(side)
    shape = (2, side, side, settings.input_channels)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", pixel_networks())
def test_every_network_with_batch_normalization_folds_to_an_equal_one(name: str) -> None:
    import keras

    settings = small(name, normalization="batch")
    network = build_network(settings, seed=1)
    settled(network)
    folded = fold(network)
    x = image(settings)
    expected = at_once(network, x)
    np.testing.assert_allclose(
        at_once(folded.network, x), expected, atol=1e-3 * max(1.0, float(np.abs(expected).max()))
    )
    kinds = [type(layer) for layer in folded.network.layers]
    assert folded.pairs
    assert keras.layers.BatchNormalization not in kinds
    assert len(kinds) == len(network.layers) - len(folded.pairs)


def test_by_hand_one_convolution() -> None:
    import keras

    inputs = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 1, name="conv")(inputs)
    network = keras.Model(inputs, keras.layers.BatchNormalization(epsilon=1.0, name="norm")(x))
    network.get_layer("conv").set_weights([np.full((1, 1, 1, 1), 3.0), np.array([5.0])])
    norm = network.get_layer("norm")  # gamma 2, beta 7, mean 11, variance 3: the divisor is sqrt(3 + 1)
    norm.set_weights([np.array([n]) for n in (2.0, 7.0, 11.0, 3.0)])
    kernel, bias = fold(network).network.get_layer("conv").get_weights()
    assert kernel.item() == 3.0  # 3 * 2 / 2
    assert bias.item() == 1.0  # (5 - 11) * 2 / 2 + 7


def test_transposed_separable_and_depthwise_convolutions_fold_too() -> None:
    import keras
    from keras import layers

    inputs = keras.Input((16, 16, 3))
    x = inputs
    for number, layer in enumerate(
        (
            layers.Conv2DTranspose(5, 2, strides=2, use_bias=False),
            layers.SeparableConv2D(4, 3),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
        )
    ):
        x = layers.BatchNormalization(scale=number != 1, center=number != 2)(layer(x))
        x = layers.Activation("relu")(x)
    network = keras.Model(inputs, x)
    settled(network)
    folded = fold(network)
    assert len(folded.pairs) == 3
    x = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(folded.network.predict_on_batch(x), network.predict_on_batch(x), atol=1e-4)


def test_a_normalization_is_kept_where_others_read_the_convolution_or_none_comes_before() -> None:
    import keras
    from keras import layers

    inputs = keras.Input((8, 8, 2))
    x = layers.BatchNormalization(name="first")(inputs)
    x = layers.Conv2D(2, 3, padding="same", activation="relu", name="curved")(x)
    x = layers.BatchNormalization(name="behind_relu")(x)
    y = layers.Conv2D(2, 3, padding="same", name="read_twice")(x)
    x = layers.Add()([layers.BatchNormalization(name="beside")(y), y])
    network = keras.Model(inputs, x)
    folded = fold(network)
    assert folded.pairs == {}
    assert folded.network is network


def test_a_model_infers_with_the_weights_it_has_now() -> None:
    settings = small("unet")
    network = build_network(settings)
    model = Model(Recipe(network=settings), Normalization(), ("cell",), network)
    x = image(settings)
    for seed in (1, 2):  # as when training changes them between two looks
        settled(network, seed)
        model.weights_changed()
        expected = 1 / (1 + np.exp(-network.predict_on_batch(x)))
        np.testing.assert_allclose(model.probabilities(x), expected, atol=1e-3)
    one = network.get_weights()
    one[7].flat[0] += 1.0  # a single number
    before = model.probabilities(x)
    network.set_weights(one)
    model.weights_changed()
    assert not np.array_equal(model.probabilities(x), before)
    assert "BatchNormalization" in {type(layer).__name__ for layer in model.network.layers}
