"""Auxiliary heads: trained along, looked at, never in the way."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.networks.heads import heads_of, learner_of, set_share
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings, TrainingSettings
from napari_unet.training.fit import to_numpy
from napari_unet.training.losses import make_loss

SETTINGS = NetworkSettings(name="deep_contextual", filters=2, classes=2, activation="softmax")
TRAINING = TrainingSettings(loss="cross_entropy")
X = np.random.default_rng(0).standard_normal((1, 16, 24, 1)).astype(np.float32)


def target() -> np.ndarray:
    classes = np.random.default_rng(1).integers(0, 3, (1, 16, 24))
    return np.stack([classes == 1, classes == 2, np.ones_like(classes)], axis=-1).astype(np.float32)


def test_the_output_is_the_sum_of_the_heads() -> None:
    network = build_network(SETTINGS)
    parts = {name: to_numpy(n(X, training=False)) for name, n in heads_of(network, SETTINGS).items()}
    assert set(parts) == {"output", "c1", "c2", "c3"}
    np.testing.assert_allclose(parts["output"], parts["c1"] + parts["c2"] + parts["c3"], atol=1e-5)


def test_the_loss_is_that_of_the_output_and_the_discounted_one_of_each_head() -> None:
    network = build_network(SETTINGS)
    learner = learner_of(network, SETTINGS)
    loss = make_loss(SETTINGS, TRAINING)
    each = {name: float(loss(target(), n(X))) for name, n in heads_of(network, SETTINGS).items()}
    for auxiliary, progress, share in ((1.0, 0.0, 1.0), (1.0, 0.5, 0.1), (2.0, 1.0, 0.02), (0.0, 0.3, 0.0)):
        set_share(learner, auxiliary, progress)
        expected = each["output"] + share * (each["c1"] + each["c2"] + each["c3"])
        assert float(loss(target(), learner(X))) == pytest.approx(expected, rel=1e-5)


def test_a_network_without_heads_is_trained_as_it_is() -> None:
    plain = NetworkSettings(filters=2, depth=1)
    network = build_network(plain)
    assert learner_of(network, plain) is network
    set_share(network, 1.0, 0.5)
    deep = NetworkSettings(name="unet_plus_plus", filters=2, depth=2, deep_supervision=True)
    network = build_network(deep)
    parts = {name: to_numpy(n(X, training=False)) for name, n in heads_of(network, deep).items()}
    np.testing.assert_allclose(parts["output"], (parts["logits1"] + parts["logits2"]) / 2, atol=1e-5)
    alone = deep.model_copy(update={"deep_supervision": False})
    assert set(heads_of(build_network(alone), alone)) == {"output"}


def test_max_unpooling_puts_values_back_where_they_were() -> None:
    from napari_unet.networks.layers.own_layers import max_pooling_with_indices, max_unpooling

    x = np.array([[1, 2, 9, 0], [4, 3, 0, 0], [0, 0, 5, 6], [7, 0, 8, 0]], np.float32)[None, ..., None]
    values, places = max_pooling_with_indices()()(x)
    assert to_numpy(values)[0, ..., 0].tolist() == [[4, 9], [7, 8]]
    assert to_numpy(places)[0, ..., 0].tolist() == [[2, 0], [2, 2]]
    back = to_numpy(max_unpooling()()(values, places))[0, ..., 0]
    assert back.tolist() == [[0, 0, 9, 0], [4, 0, 0, 0], [0, 0, 0, 0], [7, 0, 8, 0]]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_enlarging_is_that_of_the_library(factor: int) -> None:
    import keras

    from napari_unet.networks.layers.own_layers import bilinear_upsampling

    x = np.random.default_rng(0).standard_normal((2, 5, 7, 3)).astype(np.float32)
    expected = keras.layers.UpSampling2D(factor, interpolation="bilinear")(x)
    np.testing.assert_allclose(to_numpy(bilinear_upsampling()(factor)(x)), to_numpy(expected), atol=1e-5)
