from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.metrics.object_confidence import EVIDENCE, KEY, ObjectConfidence
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.model_folder import SETTINGS_FILE, WEIGHTS_FILE, read_description, read_settings
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings, Recipe
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

X = np.random.default_rng(0).standard_normal((1, 16, 16, 1)).astype(np.float32)


def model(seed: int = 0, **network: object) -> Model:
    settings = NetworkSettings(**{"filters": 2, "depth": 2, **network})
    names = tuple(f"class {n}" for n in range(1, settings.classes + 1))
    provenance = {"data": {"name": "made up"}, "scores": {"validation_iou": 0.5}}
    return Model(Recipe(network=settings), Normalization(), names, build_network(settings, seed), provenance)


@pytest.mark.parametrize("name", ["m", "m.zip"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    one = model(1)
    two = load_model(save_model(one, tmp_path / name))
    assert two.recipe == one.recipe
    assert two.normalization == one.normalization
    assert two.classes == one.classes
    assert two.provenance == one.provenance
    np.testing.assert_array_equal(two.probabilities(X), one.probabilities(X))
    assert read_description(tmp_path / name)["classes"] == ["class 1"]
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["m", "m.zip"])
def test_the_confidence_of_objects_travels_with_the_model(tmp_path: Path, name: str) -> None:
    numbers = np.linspace(-1, 1, len(EVIDENCE))
    stored = ObjectConfidence(numbers, numbers + 2, numbers, 0.5, X[0, 0, :4, 0], X[0, 0, :4, 0], 60, 5, "v")
    stored = replace(stored, sums=np.sort(stored.sums), probabilities=np.linspace(0.1, 0.9, 4))
    one = model()
    one.provenance[KEY] = stored.to_json()
    found = ObjectConfidence.of(load_model(save_model(one, tmp_path / name)).provenance)
    assert found is not None
    evidence = np.random.default_rng(1).standard_normal((9, len(EVIDENCE)))
    np.testing.assert_allclose(found(evidence), stored(evidence), atol=1e-4)
    assert found.words == "60 objects of 5 validation images of the model v"


def test_probabilities_by_hand() -> None:
    sigmoid = model(normalization="none")
    logits = sigmoid.network.predict_on_batch(X)
    np.testing.assert_allclose(sigmoid.probabilities(X), 1 / (1 + np.exp(-logits)), atol=1e-6)
    softmax = model(classes=2, activation="softmax", normalization="none")
    logits = softmax.network.predict_on_batch(X).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(softmax.probabilities(X), expected[..., 1:], atol=1e-6)


def test_an_older_model_is_replaced_and_its_log_stays(tmp_path: Path) -> None:
    path = save_model(model(1), tmp_path / "m")
    (path / "metrics.csv").write_text("epoch\n")
    save_model(model(2), path)
    assert (path / "metrics.csv").read_text() == "epoch\n"
    np.testing.assert_array_equal(load_model(path).probabilities(X), model(2).probabilities(X))


def test_what_a_killed_training_began_to_write_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / ".partial-0123456789abcdef.npz").write_bytes(b"half")
    (folder / "metrics.csv").write_text("epoch\n1\n")
    save_model(model(), folder)
    assert sorted(p.name for p in folder.iterdir()) == ["metrics.csv", "model.weights.h5", "settings.json"]


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("x")
    with raises_code("output.folder.occupied", "me.jpg"):
        save_model(model(), tmp_path / "photos")
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["me.jpg"]


def changed(path: Path, **changes: object) -> None:
    file = path / SETTINGS_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_what_is_not_a_model_is_refused_in_words(tmp_path: Path) -> None:
    path = save_model(model(), tmp_path / "m")
    with raises_code("model.missing"):
        load_model(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with raises_code("model.missing", tmp_path / "empty"):
        load_model(tmp_path / "empty")
    changed(path, version=99)
    with raises_code("model.newer"):
        load_model(path)
    changed(path, version=1, format="something else")
    with raises_code("model.foreign"):
        load_model(path)


def test_damage_is_said_in_words(tmp_path: Path) -> None:
    path = save_model(model(), tmp_path / "m")
    weights = path / WEIGHTS_FILE
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with raises_code("model.weights.unreadable"):
        load_model(path)
    weights.write_bytes(whole)
    recipe = json.loads((path / SETTINGS_FILE).read_text())["recipe"]
    recipe["network"]["filters"] = 4
    changed(path, recipe=recipe)
    with raises_code("model.weights.unreadable"):
        load_model(path)
    recipe["network"]["filters"] = "many"
    changed(path, recipe=recipe)
    with raises_code("model.settings.damaged"):
        load_model(path)
    weights.unlink()
    recipe["network"]["filters"] = 2
    changed(path, recipe=recipe)
    with raises_code("model.weights.missing", "model"):
        load_model(path)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    one = model()
    one.network.set_weights([np.full_like(w, np.nan) for w in one.network.get_weights()])
    with raises_code("model.weights.values"):
        load_model(save_model(one, tmp_path / "m"))


def test_a_zip_cannot_write_outside_or_fill_memory(tmp_path: Path) -> None:
    path = save_model(model(), tmp_path / "m.zip")
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    sly = tmp_path / "sly.zip"
    with zipfile.ZipFile(sly, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("../../escaped.txt", "x")
        archive.writestr("lambda.py", "raise SystemExit")
    assert load_model(sly).classes == ("class 1",)
    assert not (tmp_path.parent.parent / "escaped.txt").exists()
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SETTINGS_FILE, b" " * (65 * 1024**2))
    with raises_code("model.large"):
        load_model(bomb)
    cut = tmp_path / "cut.zip"
    cut.write_bytes(path.read_bytes()[:500])
    with raises_code("model.missing"):
        load_model(cut)


def test_a_separation_is_an_output_of_its_own_and_no_class() -> None:
    for activation in ("sigmoid", "softmax"):
        one = model(separation="distance", activation=activation)
        logits = np.asarray(one.network.predict_on_batch(X))
        outputs = one.outputs(X)
        assert outputs.shape[-1] == 2
        np.testing.assert_allclose(outputs[..., 1], 1 / (1 + np.exp(-logits[..., -1])), atol=1e-6)
        np.testing.assert_array_equal(one.probabilities(X), outputs[..., :1])


def test_half_precision_takes_half_the_room_and_changes_little(tmp_path: Path) -> None:
    one = model(1, filters=32)
    whole, half = save_model(one, tmp_path / "whole"), save_model(one, tmp_path / "half", half=True)
    sizes = [(folder / WEIGHTS_FILE).stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    two = load_model(half)
    assert {w.dtype for w in two.network.get_weights()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(two.probabilities(X), one.probabilities(X), atol=2e-3)


def test_a_picture_is_no_model(tmp_path: Path) -> None:
    picture = tmp_path / "cut.png"
    picture.write_bytes(b"PNG")
    for path in (picture, tmp_path):
        with raises_code("model.missing", path):
            read_settings(path)
