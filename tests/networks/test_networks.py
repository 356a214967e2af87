"""The contract that every network of the registry keeps, and what is particular to U-Net."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError

from napari_unet.errors import SettingsError
from napari_unet.networks.registry import architectures, build_network, input_sizes
from napari_unet.settings import NetworkSettings
from napari_unet.training.fit import to_numpy

if TYPE_CHECKING:
    from pathlib import Path

VARIANTS = [
    {},
    {"padding": "valid", "block": "plain", "normalization": "none", "dropout": 0.5, "activation": "softmax"},
    {"padding": "valid"},
    {"normalization": "group", "block": "plain"},
    {"input_channels": 3, "classes": 4, "activation": "softmax", "depth": 2},
    {"input_channels": 2, "classes": 3, "depth": 1},
]


def small(name: str, changes: dict[str, object]) -> NetworkSettings:
    return NetworkSettings.model_validate({"name": name, "filters": 2, "depth": 3, **changes})


CASES = [
    pytest.param(small(name, v), id=f"{name}-{i}") for name in architectures() for i, v in enumerate(VARIANTS)
]


def image(settings: NetworkSettings, least: int, seed: int = 0) -> np.ndarray:
    sizes = input_sizes(settings)
    shape = (2, sizes.at_least(least), sizes.at_least(least + 1), settings.input_channels)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("settings", CASES)
def test_output_shape_at_odd_sizes(settings: NetworkSettings) -> None:
    network = build_network(settings)
    sizes = input_sizes(settings)
    for least in (1, 37, 101):
        x = image(settings, least)
        logits = network.predict_on_batch(x)
        assert logits.shape == (2, sizes.output(x.shape[1]), sizes.output(x.shape[2]), settings.outputs)
        assert logits.dtype == np.float32


@pytest.mark.parametrize("settings", CASES)
def test_settings_round_trip(settings: NetworkSettings) -> None:
    assert NetworkSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("settings", CASES)
def test_saved_and_reloaded_gives_equal_output(settings: NetworkSettings, tmp_path: Path) -> None:
    network = build_network(settings, seed=1)
    x = image(settings, 40)
    network.save_weights(tmp_path / "a.weights.h5")
    again = build_network(settings, seed=2)
    before = again.predict_on_batch(x)
    again.load_weights(tmp_path / "a.weights.h5")
    expected = network.predict_on_batch(x)
    np.testing.assert_array_equal(again.predict_on_batch(x), expected)
    assert not np.array_equal(before, expected)


@pytest.mark.parametrize("settings", CASES)
def test_gradients_reach_every_weight(settings: NetworkSettings) -> None:
    import keras

    network = build_network(settings)
    network.compile(
        keras.optimizers.SGD(0.1), loss=lambda target, logits: keras.ops.mean((logits - target) ** 2)
    )
    x = image(settings, 40)
    before = [to_numpy(w) for w in network.trainable_variables]
    sizes = input_sizes(settings)
    shape = (2, sizes.output(x.shape[1]), sizes.output(x.shape[2]), settings.outputs)
    target = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    network.train_on_batch(x, target)
    for variable, old in zip(network.trainable_variables, before, strict=True):
        assert not np.array_equal(to_numpy(variable), old), variable.path


@pytest.mark.parametrize("settings", CASES)
def test_same_seed_same_weights(settings: NetworkSettings) -> None:
    one, two, other = (build_network(settings, seed).get_weights() for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_network_of_the_paper_layer_by_layer() -> None:
    settings = NetworkSettings(
        filters=64, padding="valid", normalization="none", block="plain", dropout=0.5, activation="softmax"
    )
    network = build_network(settings)
    assert network.compute_output_shape((1, 572, 572, 1)) == (1, 388, 388, 2)
    # Weights and biases of the figure's convolutions, counted by hand: 3x3 pairs down, bottom, up,
    # the four 2x2 up-convolutions, and the last 1x1.
    pairs = [
        (1, 64),
        (64, 128),
        (128, 256),
        (256, 512),
        (512, 1024),
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 64),
    ]
    count = sum(9 * a * b + b + 9 * b * b + b for a, b in pairs)
    count += sum(4 * a * b + b for a, b in [(1024, 512), (512, 256), (256, 128), (128, 64)]) + 64 * 2 + 2
    assert network.count_params() == count == 31_030_658
    convolutions = [layer for layer in network.layers if layer.__class__.__name__ == "Conv2D"]
    assert len(convolutions) + 4 == 23  # "in total the network has 23 convolutional layers"
    kernel = to_numpy(network.get_layer("down2_conv2").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 256)), rel=0.01)  # the paper's sqrt(2 / N)
    assert input_sizes(settings).margin == 92


def test_the_unpadded_network_does_not_see_beyond_its_margin() -> None:
    settings = NetworkSettings(
        filters=2, depth=2, padding="valid", normalization="none", block="plain", input_channels=1
    )
    network, sizes = build_network(settings), input_sizes(settings)
    size = sizes.for_output(32)
    x = np.random.default_rng(0).standard_normal((1, size, size, 1)).astype(np.float32)
    shifted = x[:, 4:, 4:]  # by the network's multiple: the same pixels must give the same answer
    one = network.predict_on_batch(x)
    two = network.predict_on_batch(shifted)
    np.testing.assert_allclose(one[:, 4:, 4:], two, atol=1e-5)


def test_an_unknown_network_is_refused_in_words() -> None:
    with pytest.raises(SettingsError, match=r"no network called 'vnet'.*unet"):
        build_network(NetworkSettings(name="vnet"))


def test_networks_too_large_for_any_machine_are_refused() -> None:
    with pytest.raises(ValidationError, match="4096"):
        NetworkSettings(filters=512, depth=7)


def test_mixed_precision_keeps_weights_and_logits_in_float32() -> None:
    import keras

    network = build_network(small("unet", {}), precision="mixed_bfloat16")
    assert {w.dtype for w in network.get_weights()} == {np.dtype("float32")}
    assert network.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


BACKEND_CODE = """
import numpy as np, keras
from napari_unet.networks.folding import fold
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings, TrainingSettings
from napari_unet.training.fit import compile_network
from napari_unet.training.losses import make_loss
assert keras.backend.backend() == {backend!r}
rng = np.random.default_rng(0)
x = rng.standard_normal((2, 32, 48, 1)).astype("float32")
target = np.concatenate([x > 0, np.ones_like(x)], axis=-1).astype("float32")
for loss in ("cross_entropy_dice", "lovasz", "focal"):
    settings, training = NetworkSettings(filters=4, depth=2), TrainingSettings(loss=loss, learning_rate=0.01)
    network = build_network(settings)
    compile_network(network, make_loss(settings, training), training)
    losses = [float(np.ravel(network.train_on_batch(x, target))[0]) for _ in range(12)]
    assert losses[-1] < losses[0], (loss, losses)
network.save_weights({path!r})
again = build_network(settings, seed=5)
again.load_weights({path!r})
expected = network.predict_on_batch(x)
np.testing.assert_allclose(again.predict_on_batch(x), expected, atol=1e-5)
folded = fold(network)
assert len(folded.pairs) == 10
np.testing.assert_allclose(folded.network.predict_on_batch(x), expected, atol=1e-3 * np.abs(expected).max())
print("fine")
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_trains_and_reloads_on_every_backend(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    code = BACKEND_CODE.format(backend=backend, path=str(tmp_path / "w.weights.h5"))
    environment = {**os.environ, "KERAS_BACKEND": backend}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.strip().endswith("fine")
