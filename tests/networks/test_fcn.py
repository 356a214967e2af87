"""FCN: a classifier made convolutional, stages that start from each other, weights from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.networks.encoders.vgg import CONVOLUTIONS, DEVIATION, WIDTHS, take_weights
from napari_unet.networks.fcn import bilinear_kernel
from napari_unet.networks.registry import build_network
from napari_unet.networks.transfer import copy_weights, freeze_encoder, related, use_pretrained
from napari_unet.settings import NetworkSettings
from napari_unet.training.fit import to_numpy
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

FILTERS = 2
PLAIN = {"filters": FILTERS, "normalization": "none"}


def fcn(stride: int, seed: int = 0, **changes: object) -> tuple[Any, NetworkSettings]:
    settings = NetworkSettings.model_validate({"name": f"fcn{stride}s", **PLAIN, **changes})
    return build_network(settings, seed), settings


def classifier(filters: int = FILTERS) -> Any:
    """VGG-16 as keras.applications lays it, with fewer filters and two dense layers of 64 times as many."""
    import keras
    from keras import layers

    inputs = keras.Input((224, 224, 3))
    x = inputs
    for level, (count, width) in enumerate(zip(CONVOLUTIONS, WIDTHS, strict=True)):
        for number in range(count):
            name = f"block{level + 1}_conv{number + 1}"
            x = layers.Conv2D(filters * width, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(64 * filters, activation="relu", name=name)(x)
    network = keras.Model(inputs, x)
    draw = np.random.default_rng(0)
    for layer in network.layers:
        layer.set_weights([draw.normal(0.02, 0.2, w.shape).astype(np.float32) for w in layer.get_weights()])
    return network


def test_a_classifier_and_its_convolutional_form_agree() -> None:
    import keras

    dense = classifier()
    network, _ = fcn(32, input_channels=3)
    taken = take_weights(network, dense)
    assert len(taken) == sum(CONVOLUTIONS) + 2
    image = np.random.default_rng(1).standard_normal((1, 224, 224, 3)).astype(np.float32)
    expected = to_numpy(dense(image[..., ::-1] * DEVIATION))  # blue first, in grey levels
    inner = keras.Model(network.input, network.get_layer("encoder_fc7_relu").output)
    found = to_numpy(inner(image, training=False))
    assert found.shape == (1, 7, 7, 64 * FILTERS)
    # The classifier's 7x7 fits once: in the middle.
    np.testing.assert_allclose(found[:, 3, 3], expected, rtol=1e-4, atol=1e-4 * expected.max())
    assert expected.max() > 0


def test_a_grey_image_in_one_channel_answers_as_in_three() -> None:
    dense = classifier()
    one, _ = fcn(32, input_channels=1)
    three, _ = fcn(32, input_channels=3)
    for network in (one, three):
        take_weights(network, dense)
        network.get_layer("score").set_weights([np.ones((1, 1, 64 * FILTERS, 1)), np.zeros(1)])
    grey = np.random.default_rng(0).standard_normal((1, 64, 64, 1)).astype(np.float32)
    found = to_numpy(one(grey, training=False))
    expected = to_numpy(three(np.repeat(grey, 3, axis=-1), training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_bilinear_kernels_interpolate() -> None:
    import keras

    line = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(bilinear_kernel(2, 1)[..., 0, 0], np.outer(line, line))
    ramp = np.arange(6.0, dtype=np.float32)[None, None, :, None].repeat(6, axis=1)
    enlarge = keras.layers.Conv2DTranspose(1, 8, strides=4, padding="same", use_bias=False)
    enlarge.build(ramp.shape)
    enlarge.set_weights([bilinear_kernel(4, 1)])
    found = to_numpy(enlarge(ramp))[0, 12, 4:-4, 0]
    np.testing.assert_allclose(found, (np.arange(4, 20) + 0.5) / 4 - 0.5, atol=1e-5)


def test_stages_start_from_each_other_with_the_answer_of_the_coarser_one() -> None:
    coarse, first = fcn(32, seed=1)
    middle, second = fcn(16, seed=2)
    fine, third = fcn(8, seed=3)
    assert related(second, first)
    assert related(third, second)
    assert not related(second, first.model_copy(update={"filters": 4}))
    assert not related(NetworkSettings(), first)
    taken = copy_weights(middle, coarse)
    assert "score" in taken
    assert "encoder_fc6" in taken
    assert not any(name.startswith(("upscore", "score_pool")) for name in taken)
    assert "score_pool4" in copy_weights(fine, middle)
    image = np.random.default_rng(0).standard_normal((1, 100, 75, 1)).astype(np.float32)
    one, two, three = (to_numpy(n(image, training=False)) for n in (coarse, middle, fine))
    assert one.shape == two.shape == three.shape == (1, 100, 75, 1)
    # Enlarging by 2 and 16 is not quite enlarging by 32, but new skips say nothing yet.
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.99
    assert np.corrcoef(two.ravel(), three.ravel())[0, 1] > 0.99


def test_what_does_not_fit_is_said_in_words(tmp_path: Path) -> None:
    network, settings = fcn(32)
    with raises_code("settings.pretrained.unsupported", "filters=64"):
        use_pretrained(network, settings, "imagenet")
    wide = settings.model_copy(update={"filters": 64})
    with raises_code("model.pretrained.missing"):
        use_pretrained(network, wide, str(tmp_path / "none.h5"))
    with raises_code("settings.pretrained.unsupported", "unet", "encoder_unet"):
        use_pretrained(network, NetworkSettings(), "imagenet")
    with raises_code("model.pretrained.misfit"):
        take_weights(network, classifier(filters=1))


def test_an_encoder_is_frozen_from_the_input_on() -> None:
    network, _ = fcn(32, normalization="batch")
    encoder = [x for x in network.layers if x.name.startswith("encoder_") and x.weights]
    assert freeze_encoder(network, 0.5) == round(0.5 * len(encoder))
    assert [x.trainable for x in encoder] == [n >= len(encoder) // 2 for n in range(len(encoder))]
    assert network.get_layer("score").trainable
    with raises_code("settings.encoder.missing"):
        freeze_encoder(build_network(NetworkSettings(filters=1, depth=1)), 1.0)
