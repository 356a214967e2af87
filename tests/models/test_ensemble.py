"""Ensembles on disk: round trips, what is refused, and members that come and go."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from typing import TYPE_CHECKING

import pytest

from napari_unet.models.card import ModelCard
from napari_unet.models.ensemble import Ensemble, Member, is_ensemble, load_any, save_ensemble
from napari_unet.models.model import Model, load_model
from napari_unet.models.model_folder import SETTINGS_FILE, WEIGHTS_FILE, read_settings
from support.errors import raises_code
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("members")
    return [write_tiny_model(folder / name, seed=seed) for seed, name in enumerate(("a", "b", "c"))]


def ensemble(models: list[Path], weights: tuple[float, ...] = (0.5, 0.25, 0.25)) -> Ensemble:
    members = tuple(Member(path, weight) for path, weight in zip(models, weights, strict=True))
    recipe, normalization, classes, _ = read_settings(models[0])
    return Ensemble(recipe, normalization, classes, {"ensemble": {"members": ["a"]}}, members)


@pytest.mark.parametrize("zipped", [False, True])
def test_round_trip(models: list[Path], tmp_path: Path, zipped: bool) -> None:
    path = save_ensemble(ensemble(models), tmp_path / "many")
    if zipped:
        shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "many")
        shutil.rmtree(path)
        path = tmp_path / "packed.zip"
    found = load_any(path)
    assert isinstance(found, Ensemble)
    assert [m.weight for m in found.members] == [0.5, 0.25, 0.25]
    assert [m.name for m in found.members] == ["a", "b", "c"]
    assert is_ensemble(path)
    assert not is_ensemble(models[0])
    for (_, one), source in zip(found.models(), models, strict=True):
        for ours, theirs in zip(
            one.network.get_weights(), load_model(source).network.get_weights(), strict=True
        ):
            assert (ours == theirs).all()
    assert ModelCard.read(path).classes == ("foreground",)
    folder = found.members[0].path.parents[1]
    del found
    gc.collect()
    assert folder.exists() != zipped  # what was unpacked goes with the ensemble


def test_members_may_stay_where_they_are(models: list[Path], tmp_path: Path) -> None:
    copies = [shutil.copytree(m, tmp_path / "models" / m.name) for m in models[:2]]
    path = save_ensemble(ensemble(copies, (0.5, 0.5)), tmp_path / "many", link=True)
    assert [p.name for p in path.iterdir()] == [SETTINGS_FILE]
    moved = shutil.move(tmp_path, tmp_path.with_name("moved along"))
    again = load_any(f"{moved}/many")
    assert isinstance(again, Ensemble)
    assert len(list(again.models())) == 2
    shutil.copy(models[2] / WEIGHTS_FILE, again.members[0].path / WEIGHTS_FILE)
    with raises_code("model.member.changed"):
        list(load_any(f"{moved}/many").models())  # type: ignore[union-attr]
    shutil.rmtree(again.members[0].path)
    with raises_code("model.unreadable"):
        list(load_any(f"{moved}/many").models())  # type: ignore[union-attr]
    inside = ensemble([again.members[1].path], (1.0,))
    with raises_code("output.folder.occupied"):
        save_ensemble(inside, again.members[1].path.parent, link=True)


def test_an_ensemble_may_be_written_over_itself(models: list[Path], tmp_path: Path) -> None:
    path = save_ensemble(ensemble(models), tmp_path / "many")
    first = load_any(path)
    assert isinstance(first, Ensemble)
    first.members = (Member(first.members[2].path, 1.0),)
    save_ensemble(first, path)
    assert [p.name for p in (path / "members").iterdir()] == ["01-c"]


def test_one_network_is_asked_for_where_one_is_needed(models: list[Path], tmp_path: Path) -> None:
    path = save_ensemble(ensemble(models), tmp_path / "many")
    with raises_code("model.ensemble", "3 of them"):
        load_model(path)
    assert isinstance(load_any(models[0]), Model)
    with raises_code("model.missing"):
        load_any(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"members": []}, ("model.settings.damaged", "0 members")),
        ({"members": [{"path": "x", "weight": 0.4}]}, ("model.settings.damaged", "do not make 1")),
        ({"members": [{"path": "x", "weight": "many"}]}, ("model.settings.damaged",)),
        ({"members": 3}, ("model.settings.damaged",)),
        ({"version": 3}, ("model.newer",)),
    ],
)
def test_damaged_settings_are_told(
    models: list[Path], tmp_path: Path, change: dict[str, object], words: str
) -> None:
    path = save_ensemble(ensemble(models), tmp_path / "many")
    content = json.loads((path / SETTINGS_FILE).read_text())
    (path / SETTINGS_FILE).write_text(json.dumps(content | change))
    with raises_code(*words):
        load_any(path)


def test_members_are_let_go_where_there_is_no_room(models: list[Path]) -> None:
    many = ensemble(models)
    size = (models[0] / WEIGHTS_FILE).stat().st_size
    many.room = 2 * size
    assert not many.keeps_all
    seen = []
    for _, model in many.models():
        seen.append(weakref.ref(model))
        del model
    gc.collect()
    assert [ref() is not None for ref in seen] == [True, True, False]
    assert [ref() for ref in seen[:2]] == [model for _, model in many.models()][:2]
    many.room = 10 * size
    assert many.keeps_all
