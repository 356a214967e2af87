"""What a model was started from still counts as seen, through the commands that a person gives."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from napari_unet.cli import main
from napari_unet.data.synthetic import write_synthetic

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TINY = [
    "filters=2", "depth=2", "epochs=1", "steps_per_epoch=2", "batch_size=2", "averaging=0", "held_out=0.25",
]  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(
        "salt", tmp_path_factory.mktemp("first") / "data", 24, seed=1
    )  # five mosaics, so that some are held out


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic("salt", tmp_path_factory.mktemp("second") / "data", 24, seed=2)


@pytest.fixture(scope="module")
def parent(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(first, tmp_path_factory.mktemp("models") / "parent")


def train(data: Path, out: Path, *more: str) -> Path:
    changes = [word for change in TINY for word in ("--set", change)]
    assert main(["train", str(data), "--out", str(out), "--recipe", "fast", *changes, *more]) == 0
    return out


def parts(data: Path, model: Path, report: Path) -> dict[str, str]:
    """Id to the part that the report of ``evaluate`` says an image was in."""
    assert main(["evaluate", str(data), "--model", str(model), "--out", str(report)]) == 0
    with (report / "iou.csv").open(newline="") as file:
        return {row["image"]: row["part"] for row in csv.DictReader(file)}


def trained_on(model: Path) -> set[str]:
    split = json.loads((model / "split.json").read_text())
    return {i for i, part in _assigned(split).items() if part == "train"}


def _assigned(split: dict[str, object]) -> dict[str, str]:
    return {i: part for part in ("train", "validation", "held_out") for i in split[part]}  # type: ignore[attr-defined]


def test_what_the_model_of_init_was_trained_on_is_seen_by_the_child(
    first: Path, second: Path, parent: Path, tmp_path: Path
) -> None:
    taught = trained_on(parent)
    assert 0 < len(taught) < 24
    before = parts(second, parent, tmp_path / "before")
    # Tiles without salt may look like a tile that the parent held out; none is one that it learned from.
    assert "train" not in before.values()
    assert "unseen" in before.values()
    child = train(second, tmp_path / "child", "--init", str(parent))
    found = parts(first, child, tmp_path / "first")
    assert {i for i, part in found.items() if part == "train"} == taught
    assert "unseen" in found.values()  # the parent's judges are new to the child
    overall = json.loads((tmp_path / "first" / "report.json").read_text())["overall"]
    judged = [i for i, part in found.items() if part not in ("train", "validation")]
    assert overall["images"] == len(judged) > 0
    own = parts(second, child, tmp_path / "second")
    assert {i for i, part in own.items() if part == "train"} == trained_on(child)
    # A third generation still knows what the first was trained on.
    grandchild = train(second, tmp_path / "grandchild", "--init", str(child))
    assert {i for i, p in parts(first, grandchild, tmp_path / "third").items() if p == "train"} == taught


def test_what_a_fine_tuned_model_came_from_was_trained_on_is_seen(
    first: Path, second: Path, parent: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    command = ["finetune", "--model", str(parent), "--corrections", str(second), "--out", str(out)]
    assert main([*command, "--minutes", "0.02"]) == 0
    found = parts(first, out, tmp_path / "first")
    assert {i for i, part in found.items() if part == "train"} == trained_on(parent)
    own = parts(second, out, tmp_path / "second")
    assert set(own.values()) <= {"train", "held-out"}
    assert "train" in own.values()
