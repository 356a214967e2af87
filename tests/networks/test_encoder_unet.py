"""A U-Net on encoders of keras.applications: their weights, for other channels and our normalization."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.networks.encoder_unet import take_encoder
from napari_unet.networks.encoders.vgg import for_channels
from napari_unet.networks.registry import build_network
from napari_unet.networks.transfer import freeze_encoder
from napari_unet.settings import NetworkSettings
from napari_unet.training.fit import to_numpy
from support.errors import raises_code

pytestmark = pytest.mark.slow

NAME = "MobileNetV3Small"


def settings(**changes: object) -> NetworkSettings:
    base = {"name": "encoder_unet", "encoder": NAME, "filters": 2, "input_channels": 3}
    return NetworkSettings.model_validate({**base, **changes})


def test_an_encoder_with_its_weights_answers_as_the_published_one() -> None:
    import keras

    original = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(224, 224, 3))
    network = build_network(settings())
    take_encoder(network, settings(), original)
    image = np.random.default_rng(0).standard_normal((1, 224, 224, 3)).astype(np.float32)
    grey_levels = (0.5 * image + 1) * 127.5  # which the published one brings to -1 to 1 by itself
    expected = to_numpy(original(grey_levels, training=False))
    number = len(original.operations) - 1
    last = next(layer.output for layer in network.layers if layer.name.startswith(f"encoder_{number}_"))
    found = to_numpy(keras.Model(network.input, last)(image, training=False))
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    assert freeze_encoder(network, 1.0) > 30
    trained = {w.path.split("/")[0] for w in network.trainable_weights}
    assert not any(name.startswith("encoder_") for name in trained)
    assert "logits" in trained


@pytest.mark.parametrize(("name", "side"), [("ConvNeXtTiny", 64), ("NASNetMobile", 65)])
def test_encoders_of_another_make_answer_as_the_published_ones(name: str, side: int) -> None:
    """ConvNeXt has layers in layers; NASNet begins with a convolution that leaves 32 of 65 pixels."""
    import keras

    draw = np.random.default_rng(1)
    original = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(side, side, 3))
    for weights in original.trainable_weights:  # nothing is left as it starts out, scales of 1e-6 neither
        if len(weights.shape) == 1:
            weights.assign(draw.uniform(0.5, 1.5, weights.shape))
    network = build_network(settings(encoder=name))
    take_encoder(network, settings(encoder=name), original)
    image = draw.standard_normal((1, 64, 64, 3)).astype(np.float32)
    theirs = np.pad(image, ((0, 0), (0, side - 64), (0, side - 64), (0, 0)))
    if name == "ConvNeXtTiny":  # takes grey levels and brings them to those of ImageNet
        theirs = (theirs * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]) * 255  # type: ignore[assignment]
    else:
        theirs = theirs / 2  # type: ignore[assignment]  # it was trained on images of that deviation
    expected = to_numpy(original(theirs.astype(np.float32), training=False))
    layers = [layer for layer in network.layers if layer.name.startswith("encoder_")]
    found = to_numpy(keras.Model(network.input, layers[-1].output)(image, training=False))
    assert expected.std() > 0
    assert found.shape[1] == 2  # halved five times
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_statistics_of_an_encoder_follow_short_trainings() -> None:
    network = build_network(settings())
    kept = [layer.momentum for layer in network.layers if type(layer).__name__ == "BatchNormalization"]
    assert len(kept) > 30
    assert set(kept) == {0.95}


def test_first_kernels_for_other_channels() -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(1, 1, 3, 2)
    assert for_channels(kernel, 3, reverse=False).tolist() == kernel.tolist()
    assert for_channels(kernel, 3)[0, 0, :, 0].tolist() == [4, 2, 0]
    assert for_channels(kernel, 1)[0, 0].tolist() == [[6, 9]]  # the sums
    assert for_channels(kernel, 5)[0, 0].sum(axis=0) == pytest.approx([6, 9])


def test_an_encoder_that_is_none_is_refused_in_words() -> None:
    with raises_code("settings.encoder.unknown", "'LeNet'", "ResNet50"):
        build_network(settings(encoder="LeNet"))
