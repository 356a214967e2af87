"""The contract that every network of the registry keeps, and what is particular to U-Net."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError

from napari_unet.inference.predict import predict_probabilities
from napari_unet.models.model import probabilities_of
from napari_unet.networks.heads import learner_of
from napari_unet.networks.registry import build_network, input_sizes, pixel_networks
from napari_unet.settings import InferenceSettings, NetworkSettings, TrainingSettings
from napari_unet.training.fit import compile_network, to_numpy
from napari_unet.training.losses import make_loss
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

pytestmark = [pytest.mark.slow, pytest.mark.graphs]

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


# One case for each of the others, with all that is unlike the defaults; VGG16 has the fewest layers.
UNUSUAL: dict[str, object] = {
    "input_channels": 2,
    "classes": 2,
    "activation": "softmax",
    "depth": 2,
    "filters": 4,
}
UNUSUAL |= {"dropout": 0.2, "deep_supervision": True, "encoder": "VGG16"}
MORE: dict[str, dict[str, object]] = {
    "scse_unet": {"filters": 16, "depth": 1}
}  # of few units all may be dead
OTHERS = sorted(set(pixel_networks()) - {"unet"})
CASES = [pytest.param(small("unet", v), id=f"unet-{i}") for i, v in enumerate(VARIANTS)]
CASES += [pytest.param(small(name, UNUSUAL | MORE.get(name, {})), id=name) for name in OTHERS]


@functools.lru_cache(maxsize=2)
def built(settings: NetworkSettings) -> Any:
    """A network that several tests look at, and none changes."""
    return build_network(settings, seed=1)


def at_once(network: Any, x: np.ndarray) -> np.ndarray:
    """Logits, layer by layer, without the seconds that Keras needs to compile a network."""
    return to_numpy(network(x, training=False))


def image(settings: NetworkSettings, least: int, seed: int = 0) -> np.ndarray:
    sizes = input_sizes(settings)
    shape = (2, sizes.at_least(least), sizes.at_least(least + 1), settings.input_channels)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("settings", CASES)
def test_output_shape_at_odd_sizes(settings: NetworkSettings) -> None:
    network = built(settings)
    sizes = input_sizes(settings)
    for least in (1, 37):  # at the second, Keras makes it for sizes that are only known when it runs
        x = image(settings, least)
        logits = network.predict_on_batch(x)
        assert logits.shape == (2, sizes.output(x.shape[1]), sizes.output(x.shape[2]), settings.outputs)
        assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, at_once(network, x), atol=1e-4 * np.abs(logits).max())


@pytest.mark.parametrize("settings", CASES)
def test_saved_and_reloaded_gives_equal_output(settings: NetworkSettings, tmp_path: Path) -> None:
    assert NetworkSettings.model_validate_json(settings.model_dump_json()) == settings
    network = built(settings)
    x = image(settings, 37)
    network.save_weights(tmp_path / "a.weights.h5")
    again = build_network(settings, seed=2)
    before = at_once(again, x)
    again.load_weights(tmp_path / "a.weights.h5")
    expected = at_once(network, x)
    np.testing.assert_array_equal(at_once(again, x), expected)
    assert not np.array_equal(before, expected)


@pytest.mark.parametrize("settings", CASES)
def test_training_reaches_every_weight_and_lowers_the_loss(settings: NetworkSettings) -> None:
    network = build_network(settings, seed=3)
    assert all(np.array_equal(*w) for w in zip(*weights_of(3, settings, network), strict=True))
    assert not all(np.array_equal(*w) for w in zip(*weights_of(1, settings, network), strict=True))
    training = TrainingSettings(learning_rate=2e-3, loss="cross_entropy")
    learner = learner_of(network, settings)
    compile_network(learner, make_loss(settings, training), training)
    learner.run_eagerly = True  # to compile takes longer than these few steps
    x = image(settings, 40)
    before = [to_numpy(w) for w in network.trainable_variables]
    sizes = input_sizes(settings)
    margin = sizes.margin
    bright = x[:, margin : x.shape[1] - margin, margin : x.shape[2] - margin, :1] > 0
    others = [np.zeros_like(bright)] * (settings.classes - 1)
    target = np.concatenate([bright, *others, np.ones_like(bright)], axis=-1).astype(np.float32)
    losses = [float(np.ravel(learner.train_on_batch(x, target))[0]) for _ in range(4)]
    assert min(losses[1:]) < losses[0]
    for variable, old in zip(network.trainable_variables, before, strict=True):
        assert not np.array_equal(to_numpy(variable), old), variable.path


def weights_of(seed: int, settings: NetworkSettings, network: Any) -> tuple[list[np.ndarray], ...]:
    """Those of a network, and those of one built from a seed."""
    same = built(settings) if seed == 1 else build_network(settings, seed)
    return network.get_weights(), same.get_weights()


@pytest.mark.parametrize("name", pixel_networks())
def test_tiles_answer_as_the_whole_image_does_away_from_their_borders(name: str) -> None:
    settings = small(name, UNUSUAL)
    network = built(settings)
    sizes = input_sizes(settings)
    shape = (sizes.at_least(150), sizes.at_least(90), settings.input_channels)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    plans = []

    def run(batch: np.ndarray) -> np.ndarray:
        plans.append(batch.shape)
        assert all(sizes.fits(n) for n in batch.shape[1:3])
        return probabilities_of(at_once(network, batch), softmax=True)

    tiled = InferenceSettings(tile=128, overlap=64, flips="none", batch_pixels=1)
    (found,) = predict_probabilities([x], run, sizes, tiled)
    assert found.shape == (*shape[:2], settings.classes)
    assert len(plans) > 1
    whole = run(x[None])[0]
    assert np.abs(found - whole)[:32, :32].max() < np.abs(whole - whole.mean()).max()


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
    with raises_code("settings.network.unknown", "'vnet'", "unet"):
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
from napari_unet.networks.graphs.folding import fold
from napari_unet.networks.heads import learner_of, set_share
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings, TrainingSettings
from napari_unet.training.fit import compile_network
from napari_unet.training.learner import learner_for
from napari_unet.training.losses import make_loss
assert keras.backend.backend() == {backend!r}
rng = np.random.default_rng(0)
x = rng.standard_normal((2, 32, 48, 1)).astype("float32")
target = np.concatenate([x > 0, np.ones_like(x)], axis=-1).astype("float32")
jax = keras.backend.backend() == "jax"  # compiles every operation by itself where it runs them one by one
for loss, steps in (("lovasz", 3), ("focal", 3), ("cross_entropy_dice", 12)):
    settings = NetworkSettings(filters=4, depth=2 - jax)
    training = TrainingSettings(loss=loss, learning_rate=0.01)
    network = build_network(settings)
    compile_network(network, make_loss(settings, training), training)
    network.run_eagerly = loss != "cross_entropy_dice" and not jax  # to compile takes longer than three steps
    losses = [float(np.ravel(network.train_on_batch(x, target))[0]) for _ in range(steps)]
    assert losses[-1] < losses[0], (loss, losses)
network.save_weights({path!r})
again = build_network(settings, seed=5)
again.load_weights({path!r})
expected = network.predict_on_batch(x)
np.testing.assert_allclose(again.predict_on_batch(x), expected, atol=1e-5)
folded = fold(network)
assert len(folded.pairs) == 10 - 4 * jax
np.testing.assert_allclose(folded.network.predict_on_batch(x), expected, atol=1e-3 * np.abs(expected).max())
# Layers of our own, and auxiliary heads; without compiling, which takes longer. JAX compiles all it does.
for name in ("segnet",) if jax else ("segnet", "deep_contextual", "fcn8s", "attention_unet"):
    small = {{"filters": 4, "depth": 2 - jax, "normalization": "none", "block": "plain"}}
    settings = NetworkSettings(name=name, **small)
    training = TrainingSettings(loss="cross_entropy")
    network = build_network(settings)
    learner = learner_of(network, settings)
    compile_network(learner, make_loss(settings, training), training)
    learner.run_eagerly = not jax
    losses = []
    for step in range(4):
        set_share(learner, 1.0, step / 4)
        losses.append(float(np.ravel(learner.train_on_batch(x, target))[0]))
    assert losses[-1] < losses[0], (name, losses)
    assert network(x).shape == (2, 32, 48, 1)
settings = NetworkSettings(name="mask_rcnn", filters=4, separation="objects", normalization="none")
network = build_network(settings)
learner, told = learner_for(network, settings)
compile_network(learner, make_loss(settings, training), training)
learner.run_eagerly = not jax
x, numbers = np.zeros((1, 64, 64, 1), "float32"), np.zeros((1, 64, 64, 1), "float32")
x[:, 8:24, 8:24] = numbers[:, 8:24, 8:24] = 1
target = np.concatenate([numbers, numbers, np.ones_like(numbers)], axis=-1)
losses = [float(np.ravel(learner.train_on_batch(*told(x, target, step)))[0]) for step in range(6)]
assert losses[-1] < 0.75 * losses[0], losses
assert network(x).shape == (1, 16, 790)
print("fine")
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_trains_and_reloads_on_every_backend(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    code = BACKEND_CODE.format(backend=backend, path=str(tmp_path / "w.weights.h5"))
    # JAX compiles for longer than it computes here.
    environment = {**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.strip().endswith("fine")
