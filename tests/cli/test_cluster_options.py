"""Where work is to be done reaches the task as it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_unet.cli import main
from napari_unet.errors import Cancelled
from napari_unet.workflow.inputs.left_out import Written
from napari_unet.workflow.large_images.segment_large import SegmentLargeTask
from support.errors import cli_error

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ADDRESS = "tcp://host:8786"


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was to be run; nothing is."""
    asked: list[Any] = []

    def take(task: Any, *_: Any) -> None:
        asked.append(task)
        raise Cancelled

    for command in ("train", "evaluate", "segment"):
        monkeypatch.setattr(f"napari_unet.cli.{command}.start_backend", lambda *_: None)
        monkeypatch.setattr(f"napari_unet.cli.{command}.run_task", take)
    return asked


@pytest.mark.parametrize("kind", ["folds", "seeds"])
def test_members_are_trained_where_it_was_said(
    kind: str, tasks: list[Any], salt_folder: Path, tmp_path: Path
) -> None:
    command = ["train", str(salt_folder), "--out", str(tmp_path / "m"), f"--{kind}", "3"]
    assert main([*command, "--cluster", ADDRESS, "--devices", "gpu:0, gpu:2"]) == 130
    assert main(command) == 130
    told = [(task.kind, task.count, task.cluster, task.train.devices) for task in tasks]
    assert told == [(kind, 3, ADDRESS, ("gpu:0", "gpu:2")), (kind, 3, "", ())]


def test_one_model_is_trained_where_it_was_said(tasks: list[Any], salt_folder: Path, tmp_path: Path) -> None:
    command = ["train", str(salt_folder), "--out", str(tmp_path / "m")]
    assert main([*command, "--devices", "gpu:1"]) == 130
    assert main(command) == 130
    assert [task.devices for task in tasks] == [("gpu:1",), ()]
    assert cli_error(*command, "--cluster", ADDRESS).code == "settings.cluster.unsupported"
    assert len(tasks) == 2


def test_images_are_scored_where_it_was_said(tasks: list[Any], tmp_path: Path) -> None:
    command = ["evaluate", str(tmp_path), "--model", "nuclei", "--out", str(tmp_path / "r")]
    assert main([*command, "--cluster", ADDRESS]) == 130
    assert main(command) == 130
    assert [task.cluster for task in tasks] == [ADDRESS, ""]


def test_large_images_are_segmented_where_it_was_said(
    tasks: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["segment", str(tmp_path / "a.zarr"), "--model", "nuclei", "--out", str(tmp_path / "o")]
    assert main([*command, "--cluster", ADDRESS]) == 130
    assert main(command) == 130
    large: list[SegmentLargeTask] = []
    monkeypatch.setattr("napari_unet.workflow.large_images.segment_files.is_large", lambda path, stream: True)

    def run(task: SegmentLargeTask, on_progress: Any, cancel: Any) -> Written:
        large.append(task)
        return Written()

    monkeypatch.setattr(SegmentLargeTask, "run", run)
    for task in tasks:
        assert task.run(lambda progress: None, None) == []
    assert [task.cluster for task in large] == [ADDRESS, ""]
