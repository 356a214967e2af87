"""Plain Keras files become models of ours that answer as they did, or one sentence says why not."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.models.keras_import.adoption import test_images as images_to_compare
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.model_folder import read_settings
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

PLAIN = {"filters": 4, "depth": 2, "block": "plain", "normalization": "none"}
SHAPE = (64, 96, 1)


def by_hand(
    last: str = "sigmoid",
    *,
    classes: int = 1,
    up_first: bool = False,
    normalized: bool = False,
    inside: str = "relu",
    start: Callable[[Any], Any] | None = None,
    size: int | None = None,
    seed: int = 3,
) -> Any:
    """A U-Net as people write it: two halvings, 4 filters, layers with the names that Keras gives."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)

    def block(x: Any, filters: int) -> Any:
        for _ in range(2):
            if normalized:
                x = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(x))
                x = layers.Activation(inside)(x)
            else:
                x = layers.Conv2D(filters, 3, padding="same", activation=inside)(x)
        return x

    image = keras.Input((size, size, 1))
    x = start(image) if start else image
    skips = []
    for filters in (4, 8):
        x = block(x, filters)
        skips.append(x)
        x = layers.Dropout(0.1)(layers.MaxPooling2D()(x))
    x = block(x, 16)
    for filters in (8, 4):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        skip = skips.pop()
        x = block(layers.concatenate([x, skip] if up_first else [skip, x]), filters)
    network = keras.Model(image, layers.Conv2D(classes, 1, activation=last, name="answer")(x))
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        # Biases and statistics that a training leaves, so that none of them may be lost.
        layer.set_weights([w if w.ndim > 1 else rng.uniform(0.5, 1.0, w.shape) for w in layer.get_weights()])
    return network


def settings_file(folder: Path, classes: tuple[str, ...] = ("cell",), **network: Any) -> Path:
    file = folder / "settings.json"
    file.write_text(json.dumps({"network": {**PLAIN, **network}, "classes": classes}))
    return file


def import_file(file: Path, settings: Path, out: Path) -> int:
    return main(["import-model", str(file), "--settings", str(settings), "--out", str(out)])


def foreground(source: Any, images: NDArray[np.float32], softmax: bool = False) -> NDArray[np.float32]:
    found = np.asarray(source.predict_on_batch(images))
    return found[..., 1:] if softmax else found


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_network_by_hand_answers_as_before(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = by_hand(size=64)
    source.compile("adam", "binary_crossentropy")
    file = tmp_path / f"mine{ending}"
    source.save(file)
    out = tmp_path / "models" / "mine"
    assert import_file(file, settings_file(tmp_path), out) == 0
    said = capsys.readouterr().err
    assert "ends in a sigmoid; outputs equal" in said
    assert "image is taken" in said
    model = load_model(out)
    images = images_to_compare((64, 64, 1))
    wanted = foreground(source, images)
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(model.probabilities(images), wanted, atol=1e-4)
    assert model.classes == ("cell",)
    kept = model.provenance["imported"]
    assert kept["file"] == file.name
    assert kept["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert kept["matched"] == "by order and shape"
    assert kept["largest_difference"] <= 1e-4
    assert [p.name for p in out.parent.iterdir()] == ["mine"]


def test_a_file_of_keras_2(tmp_path: Path) -> None:
    """Its description has lists where that of Keras 3 has tensors, and no modules."""
    import h5py

    source = by_hand(size=64)
    source.save(tmp_path / "mine.h5")

    def names(item: Any) -> list[str]:
        if isinstance(item, dict):
            history = item.get("keras_history")
            return [history[0]] if history else [n for v in item.values() for n in names(v)]
        return [n for v in item for n in names(v)] if isinstance(item, list) else []

    with h5py.File(tmp_path / "mine.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for entry in config["config"]["layers"]:
            read = names(entry["inbound_nodes"])
            entry["inbound_nodes"] = [[[name, 0, 0, {}] for name in read]] if read else []
            entry.pop("build_config", None)
            entry.pop("module", None)
            entry["config"]["dtype"] = "float32"
        config["config"]["output_layers"] = [["answer", 0, 0]]
        file.attrs["model_config"] = json.dumps(config)
    assert import_file(tmp_path / "mine.h5", settings_file(tmp_path), tmp_path / "model") == 0
    images = images_to_compare((64, 64, 1))
    np.testing.assert_allclose(
        load_model(tmp_path / "model").probabilities(images), foreground(source, images), atol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "network", "found"),
    [
        ({"up_first": True}, {}, "up-convolution and skip exchanged"),
        ({"normalized": True}, {"normalization": "batch"}, "by order and shape\n"),
        ({"last": "softmax", "classes": 3}, {"activation": "softmax"}, "ends in a softmax"),
        ({"last": "linear"}, {}, "ends in logits"),
    ],
    ids=["up-first", "biases-before-normalization", "softmax", "logits"],
)
def test_ways_of_writing_it(
    tmp_path: Path,
    options: dict[str, Any],
    network: dict[str, Any],
    found: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = by_hand(**options)
    source.save(tmp_path / "mine.keras")
    classes = ("one", "two") if "classes" in options else ("cell",)
    settings = settings_file(tmp_path, classes, **network)
    assert import_file(tmp_path / "mine.keras", settings, tmp_path / "model") == 0
    assert found in capsys.readouterr().err
    images = images_to_compare(SHAPE)
    wanted = foreground(source, images, "classes" in options)
    if options.get("last") == "linear":
        wanted = 1 / (1 + np.exp(-wanted))  # type: ignore[assignment]
    np.testing.assert_allclose(load_model(tmp_path / "model").probabilities(images), wanted, atol=1e-4)


def test_a_factor_at_the_beginning_is_left_to_the_normalization(tmp_path: Path) -> None:
    """Rescaling(1/255) inside, 0 to 255 outside: the model takes 8-bit pixels and gives the same."""
    import keras

    source = by_hand(start=keras.layers.Rescaling(1 / 255))
    source.save(tmp_path / "mine.keras")
    assert import_file(tmp_path / "mine.keras", settings_file(tmp_path), tmp_path / "model") == 0
    model = load_model(tmp_path / "model")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 1), dtype=np.uint8)
    found = model.probabilities(model.normalization.prepare(pixels)[None])
    np.testing.assert_allclose(found, foreground(source, pixels[None].astype(np.float32)), atol=1e-4)


@pytest.mark.parametrize("name", ["attention_unet", "deeplab", "scse_unet", "segnet", "unet"])
def test_weights_of_our_own_networks(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = NetworkSettings(name=name, filters=4, depth=2)
    network = build_network(chosen, seed=5)
    network.save_weights(tmp_path / "ours.weights.h5")
    settings = settings_file(tmp_path, **chosen.model_dump(exclude={"classes"}))
    assert import_file(tmp_path / "ours.weights.h5", settings, tmp_path / "model") == 0
    said = capsys.readouterr().err
    assert "matched by name" in said
    assert "weights alone" in said
    assert "taken for granted" not in said
    for one, two in zip(
        network.get_weights(), load_model(tmp_path / "model").network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_weights_of_another_network_by_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = by_hand()
    source.save_weights(tmp_path / "mine.weights.h5")
    assert import_file(tmp_path / "mine.weights.h5", settings_file(tmp_path), tmp_path / "model") == 0
    assert "skip before the up-convolution is taken for granted" in capsys.readouterr().err
    images = images_to_compare(SHAPE)
    np.testing.assert_allclose(
        load_model(tmp_path / "model").probabilities(images), foreground(source, images), atol=1e-4
    )


def test_settings_of_a_model_folder_serve_and_the_model_segments(tmp_path: Path) -> None:
    from PIL import Image

    network = NetworkSettings(**PLAIN)
    prepared = Normalization(intensities="dataset", mean=(0.3,), deviation=(0.2,))
    save_model(
        Model(
            Recipe(network=network), prepared, ("cell",), build_network(network), {"split": {"train": ["a"]}}
        ),
        tmp_path / "old",
    )
    by_hand().save(tmp_path / "mine.keras")
    out = tmp_path / "new.zip"
    assert import_file(tmp_path / "mine.keras", tmp_path / "old" / "settings.json", out) == 0
    _, normalization, _, provenance = read_settings(out)
    assert normalization == prepared
    assert "split" not in provenance  # the old model's story is not this one's
    pixels = np.random.default_rng(1).integers(0, 256, (70, 90), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    masks = tmp_path / "masks"
    assert main(["segment", str(tmp_path / "a.png"), "--model", str(out), "--out", str(masks)]) == 0
    (mask,) = [p for p in masks.rglob("*.png") if p.is_file()]
    with Image.open(mask) as found:
        assert found.size == (90, 70)


def _wrong_shape(folder: Path) -> tuple[Path, Path]:
    by_hand().save(folder / "mine.keras")
    return folder / "mine.keras", settings_file(folder, filters=5)


def _wrong_depth(folder: Path) -> tuple[Path, Path]:
    by_hand().save(folder / "mine.keras")
    return folder / "mine.keras", settings_file(folder, depth=1)


def _other_activation(folder: Path) -> tuple[Path, Path]:
    by_hand(inside="elu").save(folder / "mine.keras")
    return folder / "mine.keras", settings_file(folder)


def _softmax(folder: Path) -> tuple[Path, Path]:
    by_hand("softmax", classes=2).save(folder / "mine.keras")
    return folder / "mine.keras", settings_file(folder, ("one", "two"))


def _lambda(folder: Path) -> tuple[Path, Path]:
    import keras

    by_hand(start=keras.layers.Lambda(lambda x: x / 255)).save(folder / "mine.keras")
    return folder / "mine.keras", settings_file(folder)


def _truncated(folder: Path) -> tuple[Path, Path]:
    by_hand().save(folder / "mine.keras")
    content = (folder / "mine.keras").read_bytes()
    (folder / "mine.keras").write_bytes(content[: len(content) // 2])
    return folder / "mine.keras", settings_file(folder)


def _truncated_hdf5(folder: Path) -> tuple[Path, Path]:
    by_hand().save(folder / "mine.h5")
    content = (folder / "mine.h5").read_bytes()
    (folder / "mine.h5").write_bytes(content[: len(content) // 2])
    return folder / "mine.h5", settings_file(folder)


def _nothing(folder: Path) -> tuple[Path, Path]:
    return folder / "mine.keras", settings_file(folder)


def _text(folder: Path) -> tuple[Path, Path]:
    (folder / "mine.h5").write_text("not HDF5")
    return folder / "mine.h5", settings_file(folder)


def _elsewhere(folder: Path) -> tuple[Path, Path]:
    import h5py

    with h5py.File(folder / "mine.weights.h5", "w") as file:
        file["layers"] = h5py.ExternalLink(str(folder / "secret.h5"), "/")
    return folder / "mine.weights.h5", settings_file(folder)


def _too_large(folder: Path) -> tuple[Path, Path]:
    """A few bytes that stand for 4 terabytes."""
    import h5py

    with h5py.File(folder / "mine.weights.h5", "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (1_000_000, 1_000_000), "f4", chunks=(1000, 1000))
    return folder / "mine.weights.h5", settings_file(folder)


def _changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> tuple[Path, Path]:
    """A .keras file whose description somebody wrote again."""
    by_hand().save(folder / "sound.keras")
    with (
        zipfile.ZipFile(folder / "sound.keras") as sound,
        zipfile.ZipFile(folder / "mine.keras", "w") as mine,
    ):
        for name in sound.namelist():
            content = sound.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"])
                content = json.dumps(config).encode()
            mine.writestr(name, content)
    return folder / "mine.keras", settings_file(folder)


def _greedy(folder: Path) -> tuple[Path, Path]:
    def change(config: dict[str, Any]) -> None:
        config["layers"][1]["config"]["filters"] = 10**9

    return _changed(folder, change)


def _vast(folder: Path) -> tuple[Path, Path]:
    def change(config: dict[str, Any]) -> None:
        pool = next(e for e in config["layers"] if e["class_name"] == "MaxPooling2D")
        pool["class_name"], pool["config"] = "UpSampling2D", {"name": pool["name"], "size": [128, 128]}

    return _changed(folder, change)


def _foreign_module(folder: Path) -> tuple[Path, Path]:
    def change(config: dict[str, Any]) -> None:
        config["layers"][1]["module"] = "os"

    return _changed(folder, change)


def _misspelt(folder: Path) -> tuple[Path, Path]:
    by_hand().save(folder / "mine.keras")
    return folder / "mine.keras", settings_file(folder, filter=4)


def _two_names(folder: Path) -> tuple[Path, Path]:
    by_hand().save(folder / "mine.keras")
    settings = {"network": {**PLAIN, "classes": 1}, "classes": ["one", "two"]}
    (folder / "settings.json").write_text(json.dumps(settings))
    return folder / "mine.keras", folder / "settings.json"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            _wrong_shape,
            r"expected the layer down0_conv1 with 3x3x1x5 and 5, got conv2d\S* with 3x3x1x4 and 4;",
        ),
        (_wrong_depth, r"does not fit the network of the settings: expected about [\d,]+ weights"),
        (
            _other_activation,
            r"does not answer as .* equal within 0.0001, got a difference of .* must be ReLU",
        ),
        (_softmax, r"expected logits or sigmoid, got softmax; set activation to softmax"),
        (_lambda, r"got the layer lambda\S*, a Lambda; build the network without it"),
        (_truncated, r"mine.keras cannot be read: expected an intact file"),
        (_truncated_hdf5, r"mine.h5 cannot be read: expected an intact file"),
        (_nothing, r"mine.keras cannot be imported: .* got nothing there"),
        (_text, r"mine.h5 cannot be read: expected an intact file"),
        (_elsewhere, r"got layers, which points elsewhere"),
        (_too_large, r"expected about [\d,]+ weights, got 1,000,000,000,000"),
        (_greedy, r"got more than [\d,]+ weights"),
        (_vast, r"values between its layers"),
        (_foreign_module, r"the layer conv2d\S*, a Conv2D"),
        (_misspelt, r"in settings.json there is no setting .network.filter.: did you mean .filters."),
        (_two_names, r"expected 1 names, as network.classes says, got 2"),
    ],
)
def test_what_cannot_be_imported_is_told_in_one_sentence(
    tmp_path: Path,
    make: Callable[[Path], tuple[Path, Path]],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, settings = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert import_file(file, settings, tmp_path / "new" / "model") == 2
    said = capsys.readouterr()
    assert re.search(sentence, said.err), said.err
    assert said.err.strip().startswith("napari-unet: ")
    assert said.err.strip().count("\n") == 0
    assert said.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_an_older_model_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_hand().save(tmp_path / "mine.keras")
    command = (tmp_path / "mine.keras", settings_file(tmp_path), tmp_path / "model")
    assert import_file(*command) == 0
    kept = (tmp_path / "model" / "settings.json").read_bytes()
    capsys.readouterr()
    assert import_file(*command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "model" / "settings.json").read_bytes() == kept
