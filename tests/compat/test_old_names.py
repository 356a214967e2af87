"""Names of earlier versions, in flags and in files, still work; what is written has one name each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.data.sample import Sample
from napari_unet.data.synthetic import write_synthetic
from napari_unet.project.project import Project
from napari_unet.workflow.replay.run_record import FineTuneRun, RunRecord
from support.errors import cli_error

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = {"id": "a", "place": {"path": "/data/a.tif"}, "mask": {"path": "/data/b.tif"}}
RUN: dict[str, Any] = {
    "command": "finetune",
    "data": {"path": "/data"},
    "model": {"path": "nuclei"},
    "settings": {},
}


@pytest.fixture(scope="module")
def salt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic("salt", tmp_path_factory.mktemp("salt"), 6)


def masks_of(salt: Path) -> list[Any]:
    return ["evaluate", salt, "--masks", salt / "train" / "masks", "--scores", "overlap"]


@pytest.mark.parametrize("flag", ["--save-run", "--save-recipe"])
def test_a_run_is_saved_by_either_flag(
    flag: str, salt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*masks_of(salt), "--report", tmp_path / "report", flag, tmp_path / "run.json"]
    assert main([str(word) for word in words]) == 0
    assert f"run record in {tmp_path / 'run.json'}" in capsys.readouterr().out
    record = RunRecord.load(tmp_path / "run.json")
    assert (record.version, record.run.command) == (2, "evaluate")


def test_without_a_flag_nothing_is_saved(salt: Path, tmp_path: Path) -> None:
    assert main([str(word) for word in [*masks_of(salt), "--report", tmp_path / "report"]]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report"]


@pytest.mark.parametrize("flag", ["--unverified", "--unvouched"])
def test_pixels_that_nobody_verified_are_named_by_either_flag(flag: str, tmp_path: Path) -> None:
    """With a project they are of no use, which is said of either under the new name."""
    pixels = np.zeros((8, 8, 1), np.uint8)
    with Project.create(tmp_path / "p", [Sample("a", lambda: pixels)]):
        pass
    error = cli_error("finetune", "--corrections", tmp_path / "p", flag, "255")
    assert error.code == "settings.arguments.unused"
    assert "--unverified" in error.sentence


@pytest.mark.parametrize("command", ["finetune", "segment", "train"])
def test_old_flags_are_not_in_the_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert "--save-run" in text
    assert "--save-recipe" not in text
    assert "vouched" not in text


def test_a_record_of_the_first_version_is_read(tmp_path: Path) -> None:
    images = [{**IMAGE, "holds": ["labels", "vouched"]}]
    old = {
        "format": "napari-unet run",
        "version": 1,
        "program": {},
        "out": "/out",
        "run": {**RUN, "unvouched": 7, "images": images},
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    record = RunRecord.load(tmp_path / "old.json")
    assert isinstance(record.run, FineTuneRun)
    assert record.run.unverified == 7
    assert record.run.images[0].holds == ("labels", "verified")
    assert record.version == 2
    record.save(tmp_path / "new.json")
    assert RunRecord.load(tmp_path / "new.json") == record
    new = json.loads((tmp_path / "new.json").read_text())
    assert (new["version"], new["run"]["unverified"]) == (2, 7)
    assert "vouched" not in (tmp_path / "new.json").read_text()


@pytest.mark.parametrize(
    "run",
    [
        5,
        {**RUN, "images": 7},
        {**RUN, "images": [3]},
        {**RUN, "images": [{**IMAGE, "holds": 4}]},
        {**RUN, "unvouched": "x"},
    ],
)
def test_a_damaged_record_of_the_first_version_is_refused(run: Any, tmp_path: Path) -> None:
    old = {"format": "napari-unet run", "version": 1, "program": {}, "out": "/out", "run": run}
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert cli_error("run", tmp_path / "old.json").code == "data.record.damaged"


def test_keys_of_a_project_are_those_of_the_first_version(tmp_path: Path) -> None:
    """So that an earlier program opens what this one wrote; nobody else reads them."""
    pixels = np.zeros((8, 10, 1), np.uint8)
    before = np.zeros((8, 10), np.uint8)
    after = before.copy()
    after[2:4, 3:6] = 1
    with Project.create(tmp_path / "p", [Sample("a", lambda: pixels)]) as project:
        project.corrections.record("a", before, after)
    wanted = ("number", "done", "strokes", "changed", "seconds", "vouched")
    (row,) = json.loads((tmp_path / "p/masks/index.json").read_text()).values()
    assert set(row) == {"file", *wanted}
    assert (row["number"], row["strokes"], row["changed"], row["vouched"]) == (1, 1, 6, 6)
    with tifffile.TiffFile(tmp_path / "p/masks/a.tif") as file:
        described = file.shaped_metadata
        assert described is not None
        note = json.loads(described[0]["note"])
        assert [one["name"] for one in described] == ["mask", "vouched", "prediction"]
    assert set(note) == {"format", "version", *wanted}
    assert (note["version"], note["vouched"]) == (1, 6)
