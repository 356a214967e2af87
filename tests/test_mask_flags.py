"""What `--masks-are` and `--leave-out-problems` do, through the commands that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_unet.cli import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

COUNTS = (2, 3, 4, 5)  # objects in an image, by turns


def write_set(root: Path, values: dict[int, int] | None = None, suffix: str = "png", images: int = 8) -> Path:
    """Bright squares of 16 x 16 pixels, numbered from 1 in every mask; image 3 has one value throughout."""
    noise = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        image = noise.integers(0, 60, (96, 96), np.uint8)
        mask = np.zeros((96, 96), np.uint16)
        for place in range(COUNTS[number % 4]):
            top, left = 6 + (place // 3) * 30, 6 + (place % 3) * 30
            shift = number % 3 * 2
            box = np.s_[top + shift : top + shift + 16, left : left + 16]
            mask[box] = place + 1
            image[box] += 120
        if number == 3:
            image[:] = 7
        for old, new in (values or {}).items():
            mask[mask == old] = new
        Image.fromarray(image).save(root / f"images/c{number}.png")
        Image.fromarray(mask).save(root / f"masks/c{number}.{suffix}")
    return root


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return write_set(tmp_path / "cells")


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    assert main(["inspect", *map(str, arguments), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_inspect_follows_both_flags(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspected(capsys, cells)
    assert found["classes"] == ["foreground"]
    assert found["objects"] == {"least": 2, "median": 3.5, "most": 5}
    assert found["labelled"] == 8
    found = inspected(capsys, cells, "--masks-are", "classes", "--leave-out-problems")
    assert found["classes"] == [f"class {n}" for n in range(1, 6)]
    assert found["labelled"] == 7
    assert [p["names"] for p in found["problems"] if p["kind"] == "left out"] == [["c3"]]  # type: ignore[attr-defined]


def test_a_numbered_set_is_scored_as_objects_by_nuclei(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "r"
    arguments = ["--model", "nuclei", "--out", report, "--leave-out-problems"]
    assert main(["evaluate", str(cells), *map(str, arguments)]) == 0
    told = capsys.readouterr().out
    assert "over 7 images" in told
    assert "F1@0.5" in told
    content = json.loads((report / "report.json").read_text())
    assert sorted(row["image"] for row in content["images"]) == [f"c{n}" for n in range(8) if n != 3]
    page = (report / "report.html").read_text()
    assert "numbers of objects of one class" in page
    assert "1 images with problems are left out" in page


def test_a_run_record_repeats_how_masks_were_read(cells: Path, tmp_path: Path) -> None:
    record = tmp_path / "run.json"
    arguments = [cells, "--masks", cells / "masks", "--out", tmp_path / "a", "--save-run", record]
    flags = ["--leave-out-problems", "--masks-are", "objects"]
    assert main(["evaluate", *map(str, arguments), *flags]) == 0
    stored = json.loads(record.read_text())
    assert (stored["masks_are"], stored["leave_out_problems"]) == ("objects", True)
    assert main(["run", str(record), "--out", str(tmp_path / "b")]) == 0
    first, second = (json.loads((tmp_path / name / "report.json").read_text()) for name in "ab")
    assert len(first["images"]) == 7
    assert first["images"] == second["images"]
    assert second["data"]["masks_are"] == "objects"


def test_export_writes_what_the_flag_says(cells: Path, tmp_path: Path) -> None:
    flags = ["--format", "coco", "--masks-are", "classes", "--leave-out-problems"]
    assert main(["export", str(cells), "--out", str(tmp_path / "out"), *flags]) == 0
    (file,) = (tmp_path / "out").glob("*.json")
    content = json.loads(file.read_text())
    assert [c["name"] for c in content["categories"]] == [f"class {n}" for n in range(1, 6)]
    assert len(content["images"]) == 7


def test_masks_with_values_far_apart_are_scored_by_their_own_values(tmp_path: Path) -> None:
    values = {1: 205, 2: 420, 3: 500, 4: 0, 5: 0}
    data = write_set(tmp_path / "set", values, "tif")
    flags = ["--masks-are", "classes"]
    arguments = [data, "--masks", data / "masks", "--out", tmp_path / "r"]
    assert main(["evaluate", *map(str, arguments), *flags]) == 0
    content = json.loads((tmp_path / "r/report.json").read_text())
    assert [row["iou"] for row in content["images"]] == [1] * 8
    assert "205, 420, 500: 3 classes" in (tmp_path / "r/report.html").read_text()


def test_unknown_pixels_of_given_masks_do_not_count(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", {1: 1, 2: 2, 3: 255, 4: 255, 5: 255})
    arguments = [data, "--masks", data / "masks", "--out", tmp_path / "r", "--masks-are", "classes"]
    assert main(["evaluate", *map(str, arguments)]) == 0
    content = json.loads((tmp_path / "r/report.json").read_text())
    assert [row["iou"] for row in content["images"]] == [1] * 8
    assert "255 is unknown" in (tmp_path / "r/report.html").read_text()


@pytest.mark.parametrize("kind", ["jp2", "tif"])
def test_masks_saved_with_loss_are_cut_halfway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    import imagecodecs
    import tifffile

    data = write_set(tmp_path / "set")
    for number in range(8):
        old = data / f"masks/c{number}.png"
        mask = (np.asarray(Image.open(old)) > 0).astype(np.uint8) * 255
        old.unlink()
        new = old.with_suffix(f".{kind}")
        if kind == "jp2":
            new.write_bytes(imagecodecs.jpeg2k_encode(mask, level=30, reversible=False))
        else:
            tifffile.imwrite(new, mask, compression="jpeg", compressionargs={"level": 80})
    found = inspected(capsys, data)
    assert found["classes"] == ["foreground"]
    assert "saved with loss: above 127 is foreground" in str(found["masks"])
    # 2, 3, 4 and 5 squares of 256 pixels, twice each, in 96 x 96; loss moves a few pixels at most.
    share = found["class_pixels"]["foreground"]
    assert share == pytest.approx(28 * 256 / (8 * 96 * 96), rel=0.02)


QUICK = ["epochs=1", "steps_per_epoch=2", "filters=2", "batch_size=2", "depth=2", "patch=32"]


def weights_of(model: Path) -> list[bytes]:
    from napari_unet.models.model import load_model

    return [array.tobytes() for array in load_model(model).network.get_weights()]


def settings_of(model: Path) -> dict[str, Any]:
    content = json.loads((model / "settings.json").read_text())
    assert isinstance(content, dict)
    return content


def train(data: Path, out: Path, *more: object) -> int:
    changes = [word for change in QUICK for word in ("--set", change)]
    return main(["train", str(data), "--out", str(out), *changes, *map(str, more)])


@pytest.mark.parametrize("said", ["objects", "classes"])
def test_a_training_and_its_repetition_read_masks_as_said(cells: Path, tmp_path: Path, said: str) -> None:
    record = tmp_path / "run.json"
    flags = ["--masks-are", said, "--leave-out-problems", "--save-run", record]
    assert train(cells, tmp_path / "a", *flags) == 0
    first = settings_of(tmp_path / "a")
    assert first["classes"] == (["foreground"] if said == "objects" else [f"class {n}" for n in range(1, 6)])
    assert first["provenance"]["data"]["masks_are"] == said
    parts = first["provenance"]["split"]
    known = {i for part in ("train", "validation", "held_out") for i in parts[part]}
    assert known == {f"c{n}" for n in range(8)} - {"c3"}
    stored = json.loads(record.read_text())
    assert (stored["masks_are"], stored["leave_out_problems"]) == (said, True)
    assert main(["run", str(record), "--out", str(tmp_path / "b")]) == 0
    second = settings_of(tmp_path / "b")
    assert second["classes"] == first["classes"]
    assert second["provenance"]["split"] == parts
    assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")


def test_models_of_numbered_masks_are_compared_as_said(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        assert train(cells, tmp_path / name, "--masks-are", "classes", "--seed", seed) == 0
    models = ["--models", str(tmp_path / "a"), str(tmp_path / "b")]
    # The values alone tell of objects, and these models have five classes.
    assert main(["compare", str(cells), *models, "--out", str(tmp_path / "r")]) == 2
    assert "different classes" in capsys.readouterr().err
    flags = ["--masks-are", "classes", "--leave-out-problems"]
    assert main(["compare", str(cells), *models, "--out", str(tmp_path / "r"), *flags]) == 0
    rows = (tmp_path / "r/compare.csv").read_text().splitlines()
    assert sorted(row.split(",")[0] for row in rows[1:]) == [f"c{n}" for n in range(8) if n != 3]


def test_fine_tuning_reads_corrections_and_replay_as_said(cells: Path, tmp_path: Path) -> None:
    assert train(cells, tmp_path / "a", "--masks-are", "classes") == 0
    record = tmp_path / "run.json"
    arguments = ["--model", tmp_path / "a", "--corrections", cells, "--replay", cells, "--minutes", "0.05"]
    flags = ["--masks-are", "classes", "--leave-out-problems", "--save-run", record]
    assert main(["finetune", *map(str, [*arguments, "--out", tmp_path / "b", *flags])]) == 0
    tuned = settings_of(tmp_path / "b")
    assert tuned["classes"] == [f"class {n}" for n in range(1, 6)]
    stored = json.loads(record.read_text())
    assert (stored["masks_are"], stored["leave_out_problems"]) == ("classes", True)
    assert main(["run", str(record), "--out", str(tmp_path / "c")]) == 0
    again = settings_of(tmp_path / "c")
    learned = tuned["provenance"]["corrections"]
    taught = set(settings_of(tmp_path / "a")["provenance"]["split"]["train"]) - {"c3"}
    assert taught <= set(learned) <= {f"c{n}" for n in range(8)} - {"c3"}
    assert again["provenance"]["corrections"] == learned  # hashes of masks among them
