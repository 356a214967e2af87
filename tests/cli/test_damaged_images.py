"""A damaged image costs itself only: the others are done, the exit code is 3, the last line names it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.cli import main
from support.tiny_models import write_tiny_model

pytestmark = pytest.mark.slow

SMALL = [
    "--minutes", "0.02", "--set", "network.depth=2", "--set", "network.filters=4", "--set",
    "training.epochs=1", "--set", "training.patch=32", "--set", "training.megapixels=0.02",
]  # fmt: skip


CODES = {"image": "data.image.unreadable", "mask": "data.mask.size"}


def data_set(folder: Path, count: int = 6, damaged: int | None = 3, small_mask: int | None = None) -> Path:
    """Images n.png with one disc each, their masks, one image cut off and one mask of a wrong size."""
    rows, columns = np.mgrid[:48, :64]
    for number in range(count):
        disc = (rows - 20) ** 2 + (columns - 16 - 4 * number) ** 2 < 90
        for kind, values in (("images", 40 + 3 * number + 150 * disc), ("masks", 255 * disc)):
            file = folder / kind / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cropped = values[:32] if kind == "masks" and number == small_mask else values
            Image.fromarray(cropped.astype(np.uint8)).save(file)
    if damaged is not None:
        file = folder / "images" / f"{damaged}.png"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return folder


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def left_out_in(report: Path) -> list[dict[str, str]]:
    return json.loads(report.read_text())["left_out"]


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A data set with a damaged image and a mask of a wrong size, and a model that was trained on it."""
    folder = tmp_path_factory.mktemp("made")
    data = data_set(folder / "data", 12, damaged=3, small_mask=7)
    code = main(["train", str(data), "--out", str(folder / "model"), *SMALL])
    return folder, data, folder / "model", code


def test_training(made: Any) -> None:
    _, _, model, code = made
    assert code == 3
    provenance = json.loads((model / "settings.json").read_text())["provenance"]
    parts = provenance["split"]
    used = sorted([*parts["train"], *parts["validation"], *parts["held_out"]], key=int)
    assert used == ["0", "1", "2", "4", "5", "6", "8", "9", "10", "11"]
    (damaged, _, broken), (small, why, other) = provenance["left_out"]
    assert (broken, other) == ("data.image.unreadable", "data.mask.size")
    assert damaged.endswith("3.png")
    assert small.endswith("7.png")
    assert "64 x 48" in why
    assert "64 x 32" in why
    # What its training images look like, and on how many others that was tried.
    untrained = len(parts["validation"]) + len(parts["held_out"])
    assert provenance["likeness"]["measured_on"]["images"] == untrained > 0
    assert len(provenance["likeness"]["rows"]) == len(parts["train"])


@pytest.mark.parametrize("kind", ["folds", "seeds", "snapshots"])
def test_training_several(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    data = data_set(tmp_path / "data", 12)
    out = tmp_path / "out"
    assert main(["train", str(data), "--out", str(out), f"--{kind}", "2", *SMALL]) == 3
    assert last_line(capsys.readouterr().err) == "1 image left out: images/3.png"
    assert (out / "settings.json").exists()


@pytest.mark.parametrize("fault", ["image", "mask"])
def test_scoring(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    data = data_set(tmp_path / "data", damaged=3 if fault == "image" else None, small_mask=3)
    report = tmp_path / "report"
    assert main(["evaluate", str(data), "--model", "nuclei", "--out", str(report)]) == 3
    assert last_line(capsys.readouterr().err) == "1 image left out: images/3.png"
    (left,) = left_out_in(report / "report.json")
    assert (left["image"], left["code"]) == ("images/3.png", CODES[fault])
    assert "3" in left["message"]
    rows = rows_of(report / "iou.csv")
    assert sorted(row["image"] for row in rows) == ["0", "1", "2", "4", "5"]


def test_scoring_masks_of_which_one_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data_set(tmp_path / "data", damaged=None)
    masks = tmp_path / "masks"
    masks.mkdir()
    for file in (data / "masks").iterdir():
        content = file.read_bytes()
        (masks / file.name).write_bytes(content[:60] if file.name == "2.png" else content)
    report = tmp_path / "report"
    assert main(["evaluate", str(data), "--masks", str(masks), "--out", str(report)]) == 3
    assert last_line(capsys.readouterr().err) == "1 image left out: images/2.png"
    rows = rows_of(report / "iou.csv")
    assert {row["image"]: float(row["iou"]) for row in rows} == dict.fromkeys("01345", 1.0)


@pytest.mark.parametrize("fault", ["image", "mask"])
def test_comparing(tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, made: Any) -> None:
    data = data_set(tmp_path / "data", damaged=3 if fault == "image" else None, small_mask=3)
    model = str(made[2])
    command = ["compare", str(data), "--models", "nuclei", model, "--out", str(tmp_path / "report")]
    assert main(command) == 3
    assert last_line(capsys.readouterr().err) == "1 image left out: images/3.png"
    (left,) = left_out_in(tmp_path / "report" / "compare.json")
    assert (left["image"], left["code"]) == ("images/3.png", CODES[fault])
    rows = rows_of(tmp_path / "report" / "compare.csv")
    assert sorted(row["image"] for row in rows) == ["0", "1", "2", "4", "5"]


@pytest.mark.parametrize("command", ["ensemble", "refine"])
def test_choosing(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    data = data_set(tmp_path / "data")
    out = str(tmp_path / "out")
    if command == "ensemble":
        words = ["ensemble", "nuclei", "nuclei", "--choose", "weighted", "--data", str(data), "--out", out]
    else:
        words = ["refine", "nuclei", "--data", str(data), "--out", out]
    assert main(words) == 3
    said = capsys.readouterr()
    assert last_line(said.err) == "1 image left out: images/3.png"
    assert "on 5 images" in said.out


@pytest.mark.parametrize("source", ["model", "references", "masks"])
def test_exporting(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str) -> None:
    data = data_set(tmp_path / "data", damaged=3 if source == "model" else None, small_mask=3)
    words = ["export", str(data), "--format", "png", "--out", str(tmp_path / "out")]
    if source == "model":
        words += ["--model", "nuclei"]
    elif source == "masks":
        file = data / "masks" / "3.png"
        file.write_bytes(file.read_bytes()[:60])
        words = ["export", str(data / "images"), "--masks", str(data / "masks"), *words[2:]]
    assert main(words) == 3
    assert last_line(capsys.readouterr().err).startswith("1 image left out: ")
    assert sorted(path.stem[:1] for path in (tmp_path / "out").glob("*.png")) == ["0", "1", "2", "4", "5"]


def test_fine_tuning(tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Any) -> None:
    data = data_set(tmp_path / "data", small_mask=4)
    words = ["finetune", "--model", str(made[2]), "--corrections", str(data), "--out", str(tmp_path / "out")]
    assert main([*words, "--minutes", "0.05", "--replay", str(made[1])]) == 3
    said = capsys.readouterr()
    assert last_line(said.err) == "2 images left out: 3, 4"
    # Six corrections less the damaged one and the one of another size: too few for one to be held out.
    assert "learned from 4 corrected images, 0 held out" in said.out
    assert "replayed training data" in said.out


def test_comparing_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data_set(tmp_path / "data", 12)
    words = ["compare-networks", str(data), "--networks", "unet", "--out", str(tmp_path / "report")]
    assert main([*words, *SMALL]) == 3
    assert last_line(capsys.readouterr().err) == "1 image left out: images/3.png"
    (left,) = left_out_in(tmp_path / "report" / "networks.json")
    assert (left["image"], left["code"]) == ("images/3.png", "data.image.unreadable")
    rows = rows_of(tmp_path / "report" / "networks.csv")
    assert len(rows) == 1
    assert float(rows[0]["pooled_iou"]) >= 0


def test_submitting(tmp_path: Path, capsys: pytest.CaptureFixture[str], salt_folder: Path) -> None:
    data = Path(shutil.copytree(salt_folder, tmp_path / "data"))
    tests = sorted((data / "test" / "images").iterdir())
    (data / "sample_submission.csv").write_text("id,rle_mask\n" + "".join(f"{p.stem},1 1\n" for p in tests))
    tests[1].write_bytes(tests[1].read_bytes()[:200])
    model = write_tiny_model(tmp_path / "model", 3)
    out = tmp_path / "submission.csv"
    assert main(["submit", str(data), "--model", str(model), "--out", str(out)]) == 3
    said = capsys.readouterr()
    assert last_line(said.err) == f"1 image left out: test/images/{tests[1].name}"
    assert f"{tests[1].name} cannot be read as an image" in said.err
    assert "wants a row for every image" in said.err
    assert f"{len(tests) - 1} images, {len(tests)} rows" in said.out
    # A table that lacks a row is refused: the damaged image has one, and it is empty.
    rows = rows_of(out)
    assert [row["id"] for row in rows] == [path.stem for path in tests]
    assert rows[1]["rle_mask"] == ""
    assert any(row["rle_mask"] for row in rows)
    # Images with a mask need no row, as they are scored here.
    first = sorted((data / "train" / "images").iterdir())[0]
    first.write_bytes(b"no image")
    words = [
        "submit",
        str(data),
        "--model",
        str(model),
        "--part",
        "labelled",
        "--out",
        str(tmp_path / "b.csv"),
    ]
    assert main(words) == 3
    assert last_line(capsys.readouterr().err) == f"1 image left out: train/images/{first.name}"
    assert first.stem not in {row["id"] for row in rows_of(tmp_path / "b.csv")}


def test_submitting_masks_of_which_one_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], salt_folder: Path
) -> None:
    tests = sorted((salt_folder / "test" / "images").iterdir())
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in tests:
        Image.fromarray(np.full((101, 101), 255, np.uint8)).save(masks / path.name)
    (masks / tests[2].name).write_bytes(b"no image")
    out = tmp_path / "submission.csv"
    assert main(["submit", str(salt_folder), "--masks", str(masks), "--out", str(out)]) == 3
    assert last_line(capsys.readouterr().err) == f"1 image left out: test/images/{tests[2].name}"
    rows = {row["id"]: row["rle_mask"] for row in rows_of(out)}
    assert rows == {path.stem: "" if path == tests[2] else "1 10201" for path in tests}


def test_of_a_stack_that_is_cut_off_only_the_program_speaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The library that reads TIFF logs lines of its own, which name no file."""
    file = tmp_path / "em.tif"
    tifffile.imwrite(file, np.random.default_rng(0).integers(0, 255, (40, 64, 64), dtype=np.uint8))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    command = ["segment", str(file), "--model", "nuclei", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert not [record for record in caplog.records if record.name == "tifffile"]
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("napari-unet: em.tif cannot be read as an image: cut off")
    main([*command, "--verbose"])
    assert [record for record in caplog.records if record.name == "tifffile"]
