"""Results for a person, for a program, and for nobody; thresholds from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_unet.cli import main
from napari_unet.models.shipped import shipped_models

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    return path


def mask_of(
    model: Path, image: Path, out: Path, *more: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert main(["segment", str(image), "--model", str(model), "--out", str(out), *more]) == 0
    return np.asarray(Image.open(out / "a.png"))


def test_threshold_and_minimum_size_change_the_mask(grey_model: Path, image: Path, tmp_path: Path) -> None:
    half = mask_of(grey_model, image, tmp_path / "half", "--probabilities")
    import tifffile

    probabilities = tifffile.imread(tmp_path / "half" / "a_probabilities.tif").squeeze()
    scale = 255 if probabilities.dtype == np.uint8 else 1
    for threshold in (0.3, 0.8):
        mask = mask_of(grey_model, image, tmp_path / f"{threshold}", "--threshold", str(threshold))
        sure = np.abs(probabilities / scale - threshold) > 0.01
        assert np.array_equal((mask > 0)[sure], (probabilities / scale > threshold)[sure])
    assert (half > 0).any()
    assert not mask_of(grey_model, image, tmp_path / "none", "--minimum-size", "4097").any()


def test_the_run_record_repeats_the_threshold(grey_model: Path, image: Path, tmp_path: Path) -> None:
    record = tmp_path / "run.json"
    mask = mask_of(grey_model, image, tmp_path / "a", "--threshold", "0.8", "--save-run", str(record))
    assert main(["run", str(record), "--out", str(tmp_path / "b")]) == 0
    assert np.array_equal(mask, np.asarray(Image.open(tmp_path / "b" / "a.png")))


def test_a_threshold_that_is_none_is_refused_in_words(
    grey_model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(image), "--model", str(grey_model), "--out", str(tmp_path / "o")]
    assert main([*words, "--threshold", "7"]) == 2
    assert capsys.readouterr().err == "napari-unet: threshold needs a number from 0 to 1, got 7.0\n"
    with pytest.raises(SystemExit):
        main([*words, "--classes", "--objects"])


def test_json_alone_is_on_stdout_and_no_blank_line_on_stderr(
    grey_model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(image.parent), "--model", str(grey_model), "--out", str(tmp_path / "o")]
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "masks": [str(tmp_path / "o" / "a.png")],
        "out": str(tmp_path / "o"),
        "left_out": [],
    }
    assert err == ""


def test_json_names_what_is_left_out(
    grey_model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image.parent / "b.png").write_bytes(image.read_bytes()[:90])
    words = ["segment", str(image.parent), "--model", str(grey_model), "--out", str(tmp_path / "o")]
    assert main(["--json", *words]) == 3
    out, err = capsys.readouterr()
    (left,) = json.loads(out)["left_out"]
    assert left["name"].endswith("b.png")
    assert left["code"] == "data.image.unreadable"
    assert "note: " in err
    assert main([*words, "-q", "--overwrite"]) == 3
    out, err = capsys.readouterr()
    assert "note: " not in err
    assert out == f"1 mask in {tmp_path / 'o'}\n"


def test_verbose_tells_code_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v", "inspect", str(tmp_path / "nothing")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == ["code: data.file.missing", "time: 0:00"]


def test_models_lists_built_in_ones_and_those_in_a_folder(
    grey_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    shutil.copytree(grey_model, tmp_path / "mine" / "tiny")
    shutil.make_archive(str(tmp_path / "mine" / "packed"), "zip", grey_model)
    (tmp_path / "mine" / "notes.zip").write_bytes(b"no zip")
    assert main(["models", str(tmp_path / "mine"), "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert [name for name, one in found.items() if one["built_in"]] == list(shipped_models())
    assert set(found) == {*shipped_models(), "tiny", "packed"}
    assert found["nuclei"]["classes"] == ["nucleus"]
    assert found["membranes-3d"]["channels"] == 1  # of a slice, of which the network sees seven
    assert found["nuclei"]["for"].startswith("Cell nuclei")
    assert (found["tiny"]["channels"], found["tiny"]["classes"]) == (1, ["foreground"])
    assert found["tiny"]["bytes"] == (grey_model / "model.weights.h5").stat().st_size
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "nerve, vessel" in shown
    assert f"{len(shipped_models())} built-in models" in shown
    assert main(["models", str(tmp_path / "none")]) == 2


def test_a_pattern_that_the_shell_left_is_expanded(
    grey_model: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.open(image).save(image.with_name("b.png"))
    pattern = str(image.parent / "*.png")
    words = ["segment", pattern, "--model", str(grey_model), "--out", str(tmp_path / "o"), "--json"]
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["masks"]) == 2


def test_what_is_no_image_is_told_what_is_read(
    grey_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("readme.md", "scan.xyz"):
        (tmp_path / name).write_text("no image")
        words = ["segment", str(tmp_path / name), "--model", str(grey_model), "--out", str(tmp_path / "o")]
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "is not an image" in said
        assert "png, pnm, ppm, tif" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--minutes 9999", "seconds needs a number above 0 and at most 86,400, got 599940.0"),
        ("--minutes nan", "seconds needs a number above 0 and at most 86,400, got nan"),
        ("--seed -1", "seed needs a whole number of at least 0 and below 2,147,483,648, got -1"),
    ],
)
def test_a_wrong_time_or_seed_of_finetune_is_refused_in_words(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["finetune", "--model", "nuclei", "--corrections", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main([*given, *words.split()]) == 2
    assert capsys.readouterr().err == f"napari-unet: {says}\n"
