"""A run saved as a recipe is repeated to the same bytes, or refused in a sentence."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.inline import run_inline
from napari_unet.models.shipped import shipped_models
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.inputs.content_path import ContentPath, content_hash
from napari_unet.workflow.replay.replay_task import ReplayTask
from napari_unet.workflow.replay.run_record import FineTuneRun, RunRecord, SegmentRun, TrainRun
from napari_unet.workflow.train.recipes import recipe
from support.errors import raises_code
from support.folders import contents, weights_in
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

QUICK = ["epochs=1", "steps_per_epoch=2", "filters=2", "batch_size=2", "depth=2"]


@pytest.fixture(scope="module")
def salt(salt_tiles: Callable[[int], Path]) -> Path:
    return salt_tiles(8)


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_a_segmentation_is_repeated_to_the_same_bytes(tmp_path: Path, salt: Path, grey_model: Path) -> None:
    first, second, file = tmp_path / "a", tmp_path / "b", tmp_path / "run.json"
    assert (
        run("segment", salt, "--model", grey_model, "--out", first, "--probabilities", "--save-run", file)
        == 0
    )
    assert run("run", file, "--out", second) == 0
    assert len(contents(first)) == 20
    assert contents(first) == contents(second)


def test_the_same_place_is_not_written_over_unasked(
    tmp_path: Path, salt: Path, grey_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "a", tmp_path / "run.json"
    assert run("segment", salt, "--model", grey_model, "--out", out, "--save-run", file) == 0
    before = contents(out)
    (out / next(iter(before))).write_bytes(b"mine")
    assert run("run", file) == 2
    assert "is there already" in capsys.readouterr().err
    assert (out / next(iter(before))).read_bytes() == b"mine"
    assert run("run", file, "--overwrite") == 0
    assert contents(out) == before
    assert run("segment", salt, "--model", grey_model, "--out", out, "--save-run", file) == 2


def test_a_training_of_fixed_steps_gives_the_same_weights(tmp_path: Path, salt: Path) -> None:
    first, second, file = tmp_path / "a", tmp_path / "b", tmp_path / "run.json"
    flags = [word for change in QUICK for word in ("--set", change)]
    assert run("train", salt, "--out", first, "--seed", 3, *flags, "--save-run", file) == 0
    assert run("run", file, "--out", second) == 0
    assert json.loads(file.read_text())["run"]["recipe"]["training"]["seed"] == 3
    assert weights_in(first) == weights_in(second)
    assert (first / "split.json").read_bytes() == (second / "split.json").read_bytes()


def test_scores_and_exports_are_repeated(tmp_path: Path, salt: Path, grey_model: Path) -> None:
    scores, masks = tmp_path / "scores.json", tmp_path / "export.json"
    assert run("evaluate", salt, "--model", grey_model, "--out", tmp_path / "r", "--save-run", scores) == 0
    assert run("run", scores, "--out", tmp_path / "r2") == 0
    assert (tmp_path / "r/iou.csv").read_bytes() == (tmp_path / "r2/iou.csv").read_bytes()
    out = ["--out", tmp_path / "e", "--format", "npy", "--format", "run-lengths", "--save-run", masks]
    assert run("export", salt, "--model", grey_model, *out) == 0
    assert run("run", masks, "--out", tmp_path / "e2") == 0
    assert len(contents(tmp_path / "e")) == 11
    assert contents(tmp_path / "e") == contents(tmp_path / "e2")


def test_the_export_of_a_model_is_repeated(tmp_path: Path, grey_model: Path) -> None:
    pytest.importorskip("onnx")
    first, second, file = tmp_path / "a.onnx", tmp_path / "b.onnx", tmp_path / "onnx.json"
    assert run("export", "--model", grey_model, "--to", "onnx", "--out", first, "--save-run", file) == 0
    assert run("run", file) == 2  # it is there
    assert run("run", file, "--out", second) == 0
    assert first.read_bytes() == second.read_bytes()
    said = ["--author", "Ada; Tests", "--licence", "CC-BY-4.0", "--title", "Cells"]
    zips, file = (tmp_path / "a.zip", tmp_path / "b.zip"), tmp_path / "zoo.json"
    command = ["export", "--model", grey_model, "--to", "bioimageio", "--out", zips[0], *said]
    assert run(*command, "--save-run", file) == 0
    assert run("run", file, "--out", zips[1]) == 0
    files = [{name: a.read(name) for name in a.namelist()} for a in map(zipfile.ZipFile, zips)]
    texts = [re.sub(rb"timestamp: .*", b"", found.pop("rdf.yaml")) for found in files]
    assert texts[0] == texts[1]
    assert b"Ada" in texts[0]
    assert files[0] == files[1]


def test_fine_tuning_of_a_fixed_amount_gives_the_same_weights(
    tmp_path: Path, salt: Path, grey_model: Path
) -> None:
    settings = FineTuneSettings(megapixels=0.05, patch=32, batch_pixels=4096)
    done = RunRecord.of(
        FineTuneRun(data=ContentPath.of(salt), model=ContentPath.of(grey_model), settings=settings),
        tmp_path / "none",
    )
    for name in ("a", "b"):
        run_inline(ReplayTask(done, tmp_path / name))
    assert weights_in(tmp_path / "a") == weights_in(tmp_path / "b")
    assert weights_in(tmp_path / "a") != weights_in(grey_model)


def test_changed_data_and_weights_are_refused_in_a_sentence(
    tmp_path: Path, salt: Path, grey_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    salt = Path(shutil.copytree(salt, tmp_path / "salt"))
    shutil.copytree(grey_model, own)
    file = tmp_path / "run.json"
    assert run("segment", salt, "--model", own, "--out", tmp_path / "a", "--save-run", file) == 0
    image = next((salt / "train/images").iterdir())
    image.write_bytes(image.read_bytes() + b"x")
    shutil.copy(write_tiny_model(tmp_path / "other", seed=5) / "model.weights.h5", own)
    capsys.readouterr()
    assert run("run", file, "--out", tmp_path / "b") == 2
    told = capsys.readouterr().err
    assert f"the data {salt} changed; the model {own} changed" in told
    assert "--anyway" in told
    assert not (tmp_path / "b").exists()
    assert run("run", file, "--out", tmp_path / "b", "--anyway") == 0
    assert "the result may be another" in capsys.readouterr().err
    shutil.rmtree(own)
    assert run("run", file, "--out", tmp_path / "c", "--anyway") == 2
    assert f"the model {own} is gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 3}, "data.record.newer"),
        ({"format": "something"}, "data.record.foreign"),
        ({"out": 3}, "data.record.damaged"),
        ({"run": {"command": "delete"}}, "data.record.damaged"),
    ],
)
def test_what_is_no_recipe_is_refused(
    tmp_path: Path, salt: Path, grey_model: Path, change: dict[str, Any], told: str
) -> None:
    made = RunRecord.of(
        SegmentRun(data=(ContentPath.of(salt),), model=ContentPath.of(grey_model)), tmp_path / "out"
    )
    made.save(tmp_path / "r.json")
    assert RunRecord.load(tmp_path / "r.json") == made
    content = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps(content | change))
    with raises_code(told):
        RunRecord.load(tmp_path / "r.json")


def test_bytes_that_are_no_text_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(b"\x00\xff\x80")
    for name in ("r.json", "missing.json"):
        with raises_code("data.record.unreadable"):
            RunRecord.load(tmp_path / name)


def test_the_hash_knows_names_and_contents_of_files(tmp_path: Path) -> None:
    for name, files in (
        ("a", {"x": b"12", "y": b"3"}),
        ("b", {"x": b"1", "y": b"23"}),
        ("c", {"x": b"12", "z": b"3"}),
    ):
        (tmp_path / name).mkdir()
        for file, data in files.items():
            (tmp_path / name / file).write_bytes(data)
    before = content_hash(tmp_path / "a")
    assert len({before, content_hash(tmp_path / "b"), content_hash(tmp_path / "c")}) == 3
    (tmp_path / "a/.hidden").write_bytes(b"x")
    assert content_hash(tmp_path / "a") == before


def test_a_shipped_model_is_kept_by_name() -> None:
    place = ContentPath.of("nuclei")
    assert place == ContentPath.of(shipped_models()["nuclei"])
    assert place.path == "nuclei"
    assert len(place.current_hash()) == 32


def test_training_on_a_split_keeps_the_split(tmp_path: Path, salt: Path) -> None:
    from napari_unet.data.split import make_split

    split = make_split(open_dataset(salt), seed=9)
    done = TrainRun(data=ContentPath.of(salt), recipe=recipe("fast", QUICK), split=split.to_json())
    run_inline(ReplayTask(RunRecord.of(done, tmp_path / "m"), tmp_path / "m"))
    assert json.loads((tmp_path / "m/split.json").read_text())["train"] == list(split.train)
