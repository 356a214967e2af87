"""ONNX files, run by ONNX Runtime beside the Keras networks they were made from."""

from __future__ import annotations

import builtins
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.export.models.onnx_model import onnx_model, write_onnx
from napari_unet.models.model import Model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network, pixel_networks
from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe
from support.errors import cli_error, raises_code

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SMALL = {"filters": 8, "depth": 2}
UNETS: dict[str, dict[str, Any]] = {
    "practical": {},
    "group": {"normalization": "group"},
    "plain": {"normalization": "none", "block": "plain", "dropout": 0.5},
    "classes": {"classes": 2, "activation": "softmax", "input_channels": 3},
    "softmax-separation": {"classes": 2, "activation": "softmax", "separation": "border"},
    "separation": {"separation": "distance"},
    "star": {"separation": "star"},
    "valid-residual": {"padding": "valid"},
    "lite0": {"name": "encoder_unet", "encoder": "EfficientNetLite0", "filters": 2, "depth": 4},
}


def model_of(seed: int = 0, **options: Any) -> Model:
    """A model with random weights, also in its normalizations, so that none of them does nothing."""
    import keras

    settings = NetworkSettings(**options)
    network = build_network(settings, seed)
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization | keras.layers.GroupNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    names = tuple(f"class {n}" for n in range(1, settings.classes + 1))
    normalization = Normalization(channels=settings.input_channels)
    return Model(Recipe(network=settings), normalization, names, network)


def run(content: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, ..., C) through ONNX Runtime, back with channels last."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (out,) = session.run(["probabilities"], {"image": np.moveaxis(images, -1, 1)})
    return np.moveaxis(np.asarray(out), 1, -1)


def check_equal(model: Model, shapes: tuple[tuple[int, ...], ...]) -> None:
    """One file gives what the model gives, for every batch and size, and it is not the same everywhere."""
    content = onnx_model(model).SerializeToString()
    rng = np.random.default_rng(1)
    for shape in shapes:
        images = rng.standard_normal((*shape, model.normalization.channels)).astype(np.float32)
        wanted = model.outputs(images)
        found = run(content, images)
        assert found.shape == wanted.shape
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("options", UNETS.values(), ids=UNETS)
def test_unet(options: dict[str, Any]) -> None:
    model = model_of(**{**SMALL, **options})
    shapes = ((1, 64, 64), (2, 96, 128))
    if options.get("padding") == "valid":
        shapes = tuple((n, model.sizes.at_least(y), model.sizes.at_least(x)) for n, y, x in shapes)  # type: ignore[assignment]
    check_equal(model, shapes)


@pytest.mark.parametrize("flat", [0, 1])
@pytest.mark.parametrize("kind", ["practical", "group", "plain", "softmax-separation"])
def test_networks_of_volumes(kind: str, flat: int) -> None:
    model = model_of(**{**SMALL, "filters": 4, **UNETS[kind], "dimensions": "3d", "flat_levels": flat})
    check_equal(model, ((1, 8, 32, 16), (2, 4, 16, 24)))


def test_a_network_that_sees_neighbours_takes_them_as_channels() -> None:
    model = model_of(**SMALL, dimensions="2.5d", slices=5, input_channels=5)
    check_equal(model, ((1, 64, 32),))


def test_the_file_of_a_network_of_volumes_tells_what_it_needs(tmp_path: Path) -> None:
    import onnx

    file = write_onnx(model_of(**SMALL, dimensions="3d", flat_levels=1), tmp_path / "model.onnx")
    kept = {p.key: json.loads(p.value) for p in onnx.load(file).metadata_props}
    assert kept["axes"] == "NCZYX"
    assert kept["input_sizes"] == {"minimum": 4, "step": 4, "margin": 0}
    assert kept["input_sizes_z"] == {"minimum": 2, "step": 2}


def test_the_network_of_the_paper() -> None:
    """Depth 4, unpadded, with crops: 188 x 204 pixels in, 4 x 20 out."""
    model = model_of(
        filters=4, activation="softmax", padding="valid", normalization="none", block="plain", dropout=0.5
    )
    check_equal(model, ((1, 188, 204),))


@pytest.mark.parametrize("name", sorted(set(pixel_networks()) - {"unet"}))
def test_every_other_network(name: str) -> None:
    model = model_of(name=name, filters=8, depth=2, input_channels=3)
    check_equal(model, ((2, model.sizes.at_least(64), model.sizes.at_least(96)),))


def test_the_file_tells_what_it_needs(tmp_path: Path) -> None:
    import onnx

    model = model_of(**SMALL, classes=2, separation="border")
    inference = InferenceSettings(threshold=0.4, least_presence=0.2, least_depth=0.3)
    model.recipe = model.recipe.model_copy(update={"inference": inference})
    file = write_onnx(model, tmp_path / "new" / "model.onnx")
    kept = {p.key: json.loads(p.value) for p in onnx.load(file).metadata_props}
    assert kept["outputs"] == ["class 1", "class 2", "border"]
    assert (kept["threshold"], kept["least_presence"], kept["least_depth"]) == (0.4, 0.2, 0.3)
    assert Normalization.model_validate(kept["normalization"]) == Normalization()
    assert kept["input_sizes"] == {"minimum": 4, "step": 4, "margin": 0}
    assert [p.name for p in file.parent.iterdir()] == ["model.onnx"]


def test_unknown_layers_are_refused_in_words() -> None:
    import keras

    inputs = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 1)(keras.layers.PReLU(shared_axes=[1, 2], name="odd")(inputs))
    model = Model(Recipe(), Normalization(), ("a",), keras.Model(inputs, x))
    with raises_code("model.layer.unsupported", "odd", "PReLU"):
        onnx_model(model)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.split(".")[0] == "onnx":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    model = model_of(**SMALL)
    monkeypatch.setattr(builtins, "__import__", missing)
    with raises_code("output.package.missing"):
        write_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_command(tmp_path: Path) -> None:
    """`export --to onnx` writes what Keras gives, replaces nothing unasked, and takes no images."""
    from napari_unet.cli import main
    from napari_unet.models.model import load_model, save_model

    save_model(model_of(**SMALL), tmp_path / "model")
    out = tmp_path / "model.onnx"
    command = ["export", "--model", str(tmp_path / "model"), "--to", "onnx", "--out"]
    assert main([*command, str(out)]) == 0
    images = np.random.default_rng(0).standard_normal((1, 64, 64, 1)).astype(np.float32)
    wanted = load_model(tmp_path / "model").outputs(images)
    np.testing.assert_allclose(run(out.read_bytes(), images), wanted, atol=1e-4)

    out.write_text("mine")
    assert cli_error(*command, out).code == "output.exists"
    assert out.read_text() == "mine"
    assert main([*command, str(out), "--overwrite"]) == 0
    assert out.stat().st_size > 1000
    error = cli_error(*command, tmp_path / "model.zip")
    assert error.code == "output.name.ending"
    assert "model.onnx" in error.sentence
    assert (
        cli_error("export", tmp_path, *command[1:], tmp_path / "b.onnx").code == "settings.arguments.unused"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "model.onnx"]
