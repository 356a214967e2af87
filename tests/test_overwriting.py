"""No command replaces what is there unless it is told to, and never what it reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_unet.atomic import check_model, check_outputs
from napari_unet.cli import main
from napari_unet.cli.shared.paths import matching
from support.errors import cli_error, raises_code
from support.folders import contents

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def blobs(path: Path, seed: int = 0) -> Path:
    rows, columns = np.mgrid[:64, :80]
    picture = 30 + 170 * ((rows - 30) ** 2 + (columns - 30 - seed) ** 2 < 120)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:60])
    return path


def test_what_is_there_is_named_and_replaced_only_when_that_is_wanted(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.png" for n in range(7)]
    check_outputs(files)
    for file in files:
        file.touch()
    with raises_code("output.exists", "0.png, 1", "4.png and 2 more", "--overwrite"):
        check_outputs(files)
    check_outputs(files, overwrite=True)


@pytest.mark.parametrize("link", ["hard", "symbolic", "folder", "same"])
def test_an_input_is_never_replaced_under_any_name(tmp_path: Path, link: str) -> None:
    given = tmp_path / "in" / "a.png"
    given.parent.mkdir()
    given.touch()
    target = tmp_path / "b.png"
    if link == "hard":
        os.link(given, target)
    elif link == "symbolic":
        target.symlink_to(given)
    elif link == "folder":
        (tmp_path / "out").symlink_to(tmp_path / "in")
        target = tmp_path / "out" / "a.png"
    else:
        target = tmp_path / "in" / ".." / "in" / "a.png"
    with raises_code("output.input"):
        check_outputs([target], [given], overwrite=True)


def test_a_model_and_a_training_that_was_begun_are_not_replaced(tmp_path: Path) -> None:
    check_model(tmp_path)
    with raises_code("output.exists", "resume with --resume, or replace"):
        check_model(tmp_path, begun=True, or_else="resume with --resume")
    (tmp_path / "settings.json").touch()
    with raises_code("output.exists"):
        check_model(tmp_path)
    check_model(tmp_path, overwrite=True)


def test_segmenting_twice_and_over_an_image_and_past_a_damaged_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        blobs(tmp_path / "in" / f"{name}.png")
    cut(tmp_path / "in" / "b.png")
    before = {path: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    command = ["segment", str(tmp_path / "in"), "--model", "nuclei", "--out"]
    for extra in ([], ["--overwrite"]):
        assert cli_error(*command, tmp_path / "in", *extra).code == "output.input"
    assert {path: path.read_bytes() for path in (tmp_path / "in").iterdir()} == before
    out = tmp_path / "out"
    assert main([*command, str(out)]) == 3
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == "1 image left out: b.png"
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]
    (out / "a.png").write_bytes(b"mine")
    error = cli_error(*command, out)
    assert error.code == "output.exists"
    assert "a.png, c.png" in error.sentence
    assert (out / "a.png").read_bytes() == b"mine"
    assert main([*command, str(out), "--overwrite"]) == 3
    assert np.array_equal(np.asarray(Image.open(out / "a.png")), np.asarray(Image.open(out / "c.png")))


def test_all_damaged_is_an_error(tmp_path: Path) -> None:
    for name in "ab":
        cut(blobs(tmp_path / f"{name}.png"))
    command = ["segment", str(tmp_path / "[ab].png"), "--model", "nuclei", "--out", str(tmp_path / "out")]
    error = cli_error(*command)
    assert error.code == "data.images.unusable"
    assert "2 images" in error.sentence


def test_patterns_and_home_are_expanded_and_real_names_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a2.png", "a10.png", "b[1].png", "sub/a3.png", "@eaDir/a4.png"):
        blobs(tmp_path / name)
    assert [p.name for p in matching(tmp_path / "*.png")] == ["a2.png", "a10.png", "b[1].png"]
    assert [p.name for p in matching(tmp_path / "**" / "a[23].png")] == ["a2.png", "a3.png"]
    assert matching(tmp_path / "b[1].png") == [tmp_path / "b[1].png"]
    monkeypatch.setenv("HOME", str(tmp_path))
    from pathlib import Path

    assert matching(Path("~/a2.png")) == [tmp_path / "a2.png"]
    (tmp_path / "set [1]").mkdir()
    blobs(tmp_path / "set [1]" / "c.png")
    assert matching(tmp_path / "set [1]" / "*.png") == [tmp_path / "set [1]" / "c.png"]
    with raises_code("data.file.missing", "x*.png"):
        matching(tmp_path / "x*.png")


def test_a_state_of_other_images_is_not_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from napari_unet.training.checkpoint import TrainingState, load_state, save_state

    save_state(TrainingState(step=7), tmp_path / "state.npz", "settings", "images")
    assert load_state(tmp_path / "state.npz", "settings", "images").step == 7
    with raises_code("training.state.different"):
        load_state(tmp_path / "state.npz", "settings", "others")
    save_state(TrainingState(step=8), tmp_path / "state.npz", "settings")  # as older programs did
    assert not caplog.messages
    assert load_state(tmp_path / "state.npz", "settings", "images").step == 8
    (said,) = caplog.messages
    assert "did not note the images" in said


@pytest.mark.parametrize(
    ("axes", "shape", "page", "found"),
    [
        ("TZYX", (2, 3, 8, 9), 4, {"T": 2, "Z": 2}),
        ("ZCYX", (3, 2, 8, 9), 3, {"Z": 2, "C": 2}),
        ("ZYX", (3, 8, 9), 1, {}),
    ],
)
def test_a_page_of_a_hyperstack_knows_its_place(
    tmp_path: Path, axes: str, shape: Any, page: int, found: Any
) -> None:
    import tifffile

    from napari_unet.data.files.stack_axes import axes_of_page

    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, np.zeros(shape, np.uint8), imagej=True, metadata={"axes": axes})
    assert axes_of_page(file, page) == found


@pytest.mark.parametrize(("unit", "micrometres"), [("um", 1.0), ("nm", 0.001), ("mm", 1000.0)])
def test_a_saved_layer_keeps_the_size_of_its_pixels(tmp_path: Path, unit: str, micrometres: float) -> None:
    from napari_unet.data.files.pixel_size import read_pixel_size
    from napari_unet.plugin.writer import write_tiff

    about = {"name": "cells", "scale": (0.5, 0.25), "units": (unit, unit)}
    write_tiff(str(tmp_path / "l.tif"), np.eye(9, dtype=np.uint8), about)
    size = read_pixel_size(tmp_path / "l.tif")
    assert size is not None
    assert size.unit == "µm"
    assert (size.y, size.x) == pytest.approx((0.5 * micrometres, 0.25 * micrometres), rel=1e-4)
    write_tiff(str(tmp_path / "p.tif"), np.eye(9, dtype=np.uint8), {**about, "units": ("pixel", "pixel")})
    assert read_pixel_size(tmp_path / "p.tif") is None


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A data set, and something of each kind that a command could replace."""
    folder = tmp_path_factory.mktemp("there")
    for number in range(6):
        blobs(folder / "data" / "images" / f"{number}.png", 4 * number)
        blobs(folder / "data" / "masks" / f"{number}.png", 4 * number)
    files = {
        "model/settings.json", "file.csv", "file.json", "file.zip", "file.onnx", "shown/data/0.png",
        *(f"report/{name}" for name in ("iou.csv", "report.json", "report.html", "compare.html")),
        "contest/networks.html", "masks/0.png", "masks/0_mask.png", "begun/training-state.npz",
    }  # fmt: skip
    for name in sorted(files):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"mine")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "segment data/images --model nuclei --out masks",
        "train data --out model",
        "train data --out begun",
        "train data --out model --folds 2",
        "finetune --model nuclei --corrections data --out model",
        "ensemble nuclei nuclei --out model",
        "refine nuclei --data data --out model",
        "evaluate data --model nuclei --out report",
        "compare data --models nuclei nuclei --out report",
        "compare-networks data --networks unet --out contest",
        "export data --format png --out masks",
        "export --to onnx --model nuclei --out file.onnx",
        "import-model file.h5 --settings file.json --out model",
        "submit data --model nuclei --out file.csv",
        "demo --out shown",
        "evaluate data --model nuclei --out new --save-run file.json",
        "segment data/images --model nuclei --out new --save-run file.json",
        "project project pack --out file.zip",
    ],
)
def test_what_is_there_stays_and_the_sentence_names_the_flag(
    there: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    before = contents(there)
    words = [
        str(there / word) if "/" in word or (there / word).exists() or word in {"new", "file.h5"} else word
        for word in command.split()
    ]
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "would be replaced" in lines[0]
    assert "--overwrite" in lines[0]
    assert contents(there) == before


def test_a_recipe_and_a_submission_never_replace_what_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = blobs(tmp_path / "a.png")
    before = image.read_bytes()
    words = ["segment", str(image), "--model", "nuclei", "--out", str(tmp_path / "out"), "--overwrite"]
    assert main([*words, "--save-run", str(image)]) == 2
    assert "reads, and would be replaced" in capsys.readouterr().err
    assert image.read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_a_comparison_of_networks_is_replaced_only_when_that_is_wanted(tmp_path: Path) -> None:
    from napari_unet.workflow.evaluate.compare_networks import CompareNetworksTask

    def plan(minutes: float, *, overwrite: bool = False) -> None:
        CompareNetworksTask(
            tmp_path / "data", ("unet",), minutes, tmp_path / "report", overwrite=overwrite
        )._check_plan()

    plan(1.0)
    model = tmp_path / "report" / "unet" / "model" / "settings.json"
    notes = tmp_path / "report" / "segnet" / "notes.txt"
    for file in (model, notes):
        file.parent.mkdir(parents=True)
        file.touch()
    plan(1.0)
    with raises_code("output.different"):
        plan(2.0)
    assert model.exists()
    plan(2.0, overwrite=True)
    assert not model.exists()
    assert notes.exists()
