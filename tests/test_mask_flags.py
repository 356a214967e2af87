"""What `--masks-are` and `--leave-out-problems` do, through the commands that people type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

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
    arguments = ["--model", "nuclei", "--report", report, "--leave-out-problems"]
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
    arguments = [cells, "--masks", cells / "masks", "--report", tmp_path / "a", "--save-recipe", record]
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
    arguments = [data, "--masks", data / "masks", "--report", tmp_path / "r"]
    assert main(["evaluate", *map(str, arguments), *flags]) == 0
    content = json.loads((tmp_path / "r/report.json").read_text())
    assert [row["iou"] for row in content["images"]] == [1] * 8
    assert "205, 420, 500: 3 classes" in (tmp_path / "r/report.html").read_text()


def test_unknown_pixels_of_given_masks_do_not_count(tmp_path: Path) -> None:
    data = write_set(tmp_path / "set", {1: 1, 2: 2, 3: 255, 4: 255, 5: 255})
    arguments = [data, "--masks", data / "masks", "--report", tmp_path / "r", "--masks-are", "classes"]
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
