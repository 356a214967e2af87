"""With --json, stdout has the result as JSON and nothing else, whatever the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.project.project import Project
from napari_unet.workflow import demo
from napari_unet.workflow.train.recipes import recipe
from support.tiny_models import provenance_of, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

CHANGES = ("filters=2", "depth=1", "patch=32", "batch_size=2", "steps_per_epoch=1", "megapixels=0.002")
TINY = [word for change in CHANGES for word in ("--set", change)]


@pytest.fixture
def result(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command with --json, and gives what it printed."""

    def of(*words: object) -> Any:
        capsys.readouterr()
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return of


@pytest.fixture
def start(salt_folder: Path, tmp_path: Path) -> Path:
    """A model of the salt set with eight images that only chose, and eight held out."""
    dataset = open_dataset(salt_folder)
    ids = [s.id for s in dataset.samples]
    return write_tiny_model(tmp_path / "start", provenance=provenance_of(dataset, ids[:8], ids[16:]))


def test_training(salt_folder: Path, tmp_path: Path, result: Callable[..., Any]) -> None:
    record, again = tmp_path / "run.json", tmp_path / "again"
    made = result("train", salt_folder, "--out", tmp_path / "m", *TINY, "--save-run", record)
    assert made["model"] == str(tmp_path / "m")
    assert sum(made["images"].values()) == 24
    assert result("run", record, "--out", again)["out"] == str(again)
    several = result("train", salt_folder, "--out", tmp_path / "e", *TINY, "--seeds", 2)
    assert (several["ensemble"], several["seeds"]) == (str(tmp_path / "e"), 2)
    compared = result(
        "compare-networks", salt_folder, "--out", tmp_path / "c", *TINY, "--networks", "unet", "--minutes", 0
    )
    assert [one["name"] for one in compared["networks"]] == ["unet"]
    assert compared["report"] == str(tmp_path / "c" / "networks.html")


def test_models(salt_folder: Path, start: Path, tmp_path: Path, result: Callable[..., Any]) -> None:
    made = result("ensemble", start, start, "--out", tmp_path / "e")
    assert [member["weight"] for member in made["members"]] == [0.5, 0.5]
    refined = result("refine", start, "--data", salt_folder, "--out", tmp_path / "r")
    assert refined["images"] == 8
    assert refined["after"] <= refined["before"]
    settings = json.loads((start / "settings.json").read_text(encoding="utf-8"))
    file = start / "model.weights.h5"
    imported = result("import-model", file, "--settings", start / "settings.json", "--out", tmp_path / "i")
    assert imported["model"] == str(tmp_path / "i")
    assert settings["classes"] == json.loads((tmp_path / "i" / "settings.json").read_text())["classes"]
    (network,) = result("networks", "unet", "--set", "filters=2")
    assert network["name"] == "unet"


def test_submissions(salt_folder: Path, start: Path, tmp_path: Path, result: Callable[..., Any]) -> None:
    table = tmp_path / "s.csv"
    made = result("submit", salt_folder, "--model", start, "--part", "labelled", "--out", table)
    assert (made["images"], made["table"]) == (24, str(table))
    scored = result("score", table, "--truth", salt_folder / "train.csv", "--size", "101x101")
    assert scored["overall"]["images"] == 24
    assert 0 <= scored["overall"]["competition"]["score"] <= 1


def test_projects(salt_folder: Path, start: Path, tmp_path: Path, result: Callable[..., Any]) -> None:
    folder = tmp_path / "p"
    with Project.create(folder, open_dataset(salt_folder)) as project:
        for identifier in project.split.train[:2]:
            truth = project.images.sample(identifier).read_mask().labels
            project.corrections.record(identifier, 1 - truth, truth)
    assert len(result("project", folder)["corrected"]) == 2
    learned = result("finetune", "--corrections", folder, "--model", start, "--minutes", 0.01)
    assert len(learned["learned_from"]) == 2
    assert learned["verdict"] in ("better", "worse", "no clear difference")
    assert result("project", folder, "keep", 2)["in_use"] == "v002"
    assert isinstance(result("project", folder, "compare", 1, 2), list)
    assert result("project", folder, "rollback")["in_use"] == "v001"
    packed = result("project", folder, "pack", "--out", tmp_path / "p.zip")
    assert packed["bytes"] == (tmp_path / "p.zip").stat().st_size


def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: Callable[..., Any]) -> None:
    write_tiny_model(tmp_path / "built-in" / "nuclei", classes=("nucleus",), filters=2, depth=1)
    monkeypatch.setattr("napari_unet.models.shipped.FOLDER", tmp_path / "built-in")
    whole = demo.DemoTask
    monkeypatch.setattr(demo, "DemoTask", lambda *a, **k: whole(*a, images=20, **k))
    monkeypatch.setattr(demo, "FIRST_IMAGES", 1)
    monkeypatch.setattr(demo, "recipe", lambda name, changes: recipe(name, [*changes, *CHANGES]))
    found = result("demo", "--out", tmp_path / "d", "--no-window", "--minutes", 0.01)
    assert found["report"] == str(tmp_path / "d" / "report" / "report.html")
    assert found["nuclei"]["iou"]["images"] == 1
