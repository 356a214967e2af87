"""Projects: made, opened, locked, moved, migrated, packed; and what a disk that refuses does to them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import Sample
from napari_unet.data.split import Split
from napari_unet.errors import DataError
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.project.corrections.background_writer import BackgroundWriter
from napari_unet.project.corrections.journal import StrokeFile
from napari_unet.project.pack import PackTask
from napari_unet.project.project import Project
from support.errors import cli_error, raises_code

if TYPE_CHECKING:
    from pathlib import Path

IDS = ("a", "b/ä", "c\udcff")
SHAPE = (12, 16)


def samples(*ids: str, channels: int = 1) -> list[Sample]:
    def load(n: int) -> Any:
        return lambda: np.random.default_rng(n).integers(0, 255, (*SHAPE, channels)).astype(np.uint8)

    return [Sample(i, load(n)) for n, i in enumerate(ids or IDS)]


def masks() -> tuple[np.ndarray, np.ndarray]:
    before = np.zeros(SHAPE, np.uint8)
    after = before.copy()
    after[2:5, 3:9] = 1
    return before, after


@pytest.fixture
def project(tmp_path: Path) -> Any:
    with Project.create(tmp_path / "project", samples()) as project:
        yield project


def test_a_project_of_a_data_set(salt_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(salt_folder)
    with Project.create(tmp_path / "salt", dataset, settings={"threshold": 0.4}) as project:
        split = project.split
        assert len(project.ids) == 30
        assert project.notes == ()
    assert sorted(p.name for p in (tmp_path / "salt").iterdir() if not p.name.startswith(".")) == [
        "history", "journal", "masks", "models", "project.json", "reports", "runs", "split.json",
    ]  # fmt: skip
    assert Split.load(tmp_path / "salt" / "split.json") == split
    with Project.open(tmp_path / "salt") as again:
        assert again.split == split
        assert again.file.settings == {"threshold": 0.4}
        assert again.images.check(5).good
        first = again.ids[0]
        assert np.array_equal(again.images.sample(first).read_image(), dataset.samples[0].read_image())
        assert again.images.sample(first).has_mask


def test_images_in_memory_are_known_by_name_and_that_is_said(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p", samples()) as project:
        project.corrections.record("a", *masks())
    with Project.open(tmp_path / "p") as project:
        assert "by name only" in project.notes[0]
        with raises_code("data.file.missing"):
            project.images.sample("a").read_image()
        others = [Sample("a", lambda: np.zeros((*SHAPE, 1), np.uint8)), *samples()[1:]]
        assert project.images.attach(others).different == ("a",)
        assert project.images.attach(samples()).good
        assert project.notes == ()
        assert project.images.sample("a").read_image().shape == (*SHAPE, 1)


def test_nothing_is_overwritten(tmp_path: Path, project: Project) -> None:
    with raises_code("output.project.exists"):
        Project.create(project.folder, samples())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.docx").touch()
    with raises_code("output.folder.occupied", "thesis.docx"):
        Project.create(tmp_path / "full", samples())


def test_a_second_window_is_told_who_has_the_project(project: Project) -> None:
    with raises_code("output.project.open", f"process {os.getpid()}"):
        Project.open(project.folder)
    looking = Project.open(project.folder, read_only=True)
    with raises_code("output.project.readonly"):
        looking.corrections.record("a", *masks())


def test_a_dead_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    Project.create(tmp_path / "p", samples()).close()
    code = (
        "import os, sys\nfrom napari_unet.project.project import Project\n"
        "project = Project.open(sys.argv[1])\nprint('open', flush=True)\nos.kill(os.getpid(), 9)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "p"], capture_output=True, text=True, check=False
    )
    assert answer.stdout == "open\n"
    with Project.open(tmp_path / "p") as project:
        assert not project.read_only


def test_a_moved_data_folder_is_linked_again(tmp_path: Path) -> None:
    from napari_unet.data.synthetic import write_synthetic

    data = write_synthetic("salt", tmp_path / "here", 6)
    other = write_synthetic("salt", tmp_path / "other", 6, seed=5)
    Project.create(tmp_path / "p", open_dataset(data)).close()
    moved = data.rename(tmp_path / "there")
    with Project.open(tmp_path / "p") as project:
        assert "not at" in project.notes[0]
        with raises_code("data.file.missing", "link"):
            project.images.sample(project.ids[0]).read_image()
        with raises_code("data.project.images"):
            project.relink(other)
        assert project.relink(moved).good
        assert project.images.sample(project.ids[0]).read_image().size
    with Project.open(tmp_path / "p") as project:
        assert project.notes == ()


def test_data_that_moves_with_the_project_is_found(tmp_path: Path) -> None:
    from napari_unet.data.synthetic import write_synthetic

    (tmp_path / "drive").mkdir()
    data = write_synthetic("salt", tmp_path / "drive" / "data", 6)
    Project.create(tmp_path / "drive" / "p", open_dataset(data)).close()
    (tmp_path / "drive").rename(tmp_path / "stick")
    with Project.open(tmp_path / "stick" / "p") as project:
        assert project.notes == ()
        assert project.images.check(3).good


def test_older_versions_are_migrated_and_newer_refused(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    old = {
        "format": "napari-unet project", "version": 0, "name": "old", "data": "",
        "images": [{"id": "a", "shape": [12, 16, 1]}],
    }  # fmt: skip
    (folder / "project.json").write_text(json.dumps(old))
    assert Project.open(folder, read_only=True).ids == ("a",)
    assert json.loads((folder / "project.json").read_text())["version"] == 0
    with Project.open(folder) as project:
        assert project.file.classes == ("foreground",)
        project.corrections.record("a", *masks())
    assert json.loads((folder / "project.version-0.json").read_text()) == old
    assert json.loads((folder / "project.json").read_text())["version"] == 1
    with Project.open(folder) as project:
        assert project.corrections.touched() == ("a",)

    (folder / "project.json").write_text(json.dumps({**old, "version": 99}))
    with raises_code("data.project.newer"):
        Project.open(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"images": [{"id": "a", "hash": "", "shape": [10**6, 10**6, 1], "group": ""}]},
        {"images": [{"id": "a", "hash": "", "shape": [1, 1], "group": ""}]},
        {"version": "1"}, {"classes": []}, {"data": None}, {"data": {"kind": "else"}}, {"format": "x"},
    ],
)  # fmt: skip
def test_a_damaged_project_is_refused_in_words(project: Project, change: dict[str, Any]) -> None:
    project.close()
    file = project.folder / "project.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(DataError):
        Project.open(project.folder)


def test_images_are_added_behind_the_others(project: Project) -> None:
    project.corrections.record("a", *masks())
    assert project.add_images([*samples(), *samples("d")]) == ("d",)
    project.corrections.record("d", *masks())
    project.close()
    with Project.open(project.folder) as again:
        assert again.ids == (*IDS, "d")
        assert set(again.corrections.touched()) == {"a", "d"}


def test_runs_and_reports_are_numbered(project: Project) -> None:
    assert project.new_folder("runs", "fine-tune", {"minutes": 1}).name == "0001-fine-tune"
    second = project.new_folder("runs", "../../etc")
    assert second.parent == project.folder / "runs"
    assert second.name.startswith("0002-")


def wait_for(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def fail_writes(monkeypatch: pytest.MonkeyPatch, number: int) -> dict[str, bool]:
    """Let the disk refuse journals and masks while `full` is true; half of each stroke is written."""
    state = {"full": True}
    write, stamp = StrokeFile._write, tifffile.TiffWriter.write

    def refuse(self: StrokeFile, data: bytes) -> None:
        if state["full"]:
            write(self, data[: len(data) // 2])
            raise OSError(number, os.strerror(number))
        write(self, data)

    def refuse_tiff(self: tifffile.TiffWriter, *args: Any, **options: Any) -> Any:
        if state["full"]:
            raise OSError(number, os.strerror(number))
        return stamp(self, *args, **options)

    monkeypatch.setattr(StrokeFile, "_write", refuse)
    monkeypatch.setattr(tifffile.TiffWriter, "write", refuse_tiff)
    return state


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_does_not_stop_painting(
    project: Project, monkeypatch: pytest.MonkeyPatch, number: int, tmp_path: Path
) -> None:
    told: list[str] = []
    project.saving_changed.connect(told.append)
    writer = project.corrections.writer
    assert isinstance(writer, BackgroundWriter)
    writer.retry_seconds = 0.05
    before, after = masks()
    project.corrections.record(IDS[2], after, before)
    assert project.save()
    disk = fail_writes(monkeypatch, number)
    project.corrections.record(IDS[2], before, after)  # its mask is there: only the journal refuses
    project.corrections.record("a", before, after)
    project.corrections.record("a", after, after * 2)
    wait_for(lambda: told)
    assert "Painting continues" in told[0]
    assert os.strerror(number) in told[0]
    assert project.trouble
    assert writer.waiting == 3
    assert (project.corrections["a"].mask == after * 2).all()
    with raises_code("output.project.unsaved"):
        project.close()
    disk["full"] = False
    assert [p.name for p in project.rescue(tmp_path / "elsewhere")] == ["a.tif", "c_.tif"]
    wait_for(lambda: len(told) == 2)
    assert told[1] == ""
    assert not project.trouble
    # What stands on the disk now is what a kill would leave.
    copy = Project.open(project.folder, read_only=True)
    assert not copy.restored.problems
    assert (copy.corrections["a"].mask == after * 2).all()
    assert (copy.corrections[IDS[2]].mask == after).all()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind root, nor Windows")
def test_a_read_only_folder(tmp_path: Path) -> None:
    Project.create(tmp_path / "p", samples()).close()
    folders = [tmp_path / "p", *(p for p in (tmp_path / "p").iterdir() if p.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        project = Project.open(tmp_path / "p")
        project.corrections.record("a", *masks())
        wait_for(lambda: project.trouble)
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert project.save()
    project.close()


def test_a_folder_that_cannot_be_locked_is_opened_and_painting_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.project.lock import ProjectLock

    project.close()
    acquire = ProjectLock.acquire

    def refuse(self: ProjectLock) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(ProjectLock, "acquire", refuse)
    with Project.open(project.folder) as again:
        again.corrections.writer.retry_seconds = 0.05  # type: ignore[union-attr]
        again.corrections.record("a", *masks())
        wait_for(lambda: again.trouble)
        monkeypatch.setattr(ProjectLock, "acquire", acquire)
        wait_for(lambda: not again.trouble)
        assert again.save()


def test_a_drive_that_vanishes_and_comes_back(project: Project) -> None:
    writer = project.corrections.writer
    assert writer is not None
    writer.retry_seconds = 0.05
    away = project.folder.rename(project.folder.with_name("away"))
    project.folder.mkdir()  # the mount point that stays behind
    project.corrections.record("a", *masks())
    wait_for(lambda: project.trouble)
    assert "not there" in project.trouble
    assert list(project.folder.iterdir()) == []
    project.folder.rmdir()
    away.rename(project.folder)
    wait_for(lambda: not project.trouble)
    project.close()
    with Project.open(project.folder) as again:
        assert again.corrections["a"].stats.verified == 18


def test_pack_without_and_with_images(project: Project, tmp_path: Path) -> None:
    project.add_images([Sample("two", lambda: np.full((*SHAPE, 2), 255, np.uint16))])
    project.add_images([Sample("yes", lambda: np.eye(12, 16)[..., None] > 0)])
    project.corrections.record("b/ä", *masks())
    (project.folder / "reports" / "link").symlink_to("/etc/hostname")
    out = project.folder.parent / "packed.zip"
    from napari_unet.project.pack import pack_project

    assert project.save()
    pack_project(project, out, True, ignore_progress)
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        archive.extractall(tmp_path / "unpacked")
    assert "masks/b_ä.tif" in names
    assert not [n for n in names if n.startswith(("/", ".")) or ".." in n or "link" in n]
    project.close()
    with Project.open(tmp_path / "unpacked") as again:
        assert again.images.check().good
        assert again.images.check().checked == 5
        assert again.corrections["b/ä"].stats.verified == 18
    PackTask(project.folder, tmp_path / "small.zip").run(ignore_progress, CancelToken())
    with zipfile.ZipFile(tmp_path / "small.zip") as archive:
        assert not [n for n in archive.namelist() if n.startswith("images/")]


def test_the_command_line(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(project.folder)
    project.corrections.record("a", *masks())
    for iou in (0.5, 0.75):
        weights = lambda folder: (folder / "model.weights.h5").touch()  # noqa: E731
        project.models.add(weights, scores={"iou": iou}, corrections=project.corrections.seen(), keep=True)
    assert project.save()
    assert main(["project", folder]) == 0  # a look is allowed while a window has it
    shown = capsys.readouterr().out
    assert "1 image, 0 done" in shown
    assert "v002" in shown
    assert "in use" in shown
    assert main(["project", folder, "compare", "1", "v002"]) == 0
    assert "+0.250" in capsys.readouterr().out
    assert cli_error("project", folder, "rollback").code == "output.project.open"
    project.close()
    assert main(["project", folder, "rollback"]) == 0
    assert "v001 is in use" in capsys.readouterr().out
    assert main(["project", folder, "keep", "2"]) == 0
    assert "v002 is in use" in capsys.readouterr().out
    assert main(["project", folder, "pack", "--out", str(tmp_path / "p.zip")]) == 0
    assert main(["project", folder, "pack", "--out", str(tmp_path / "p.zip")]) == 2
    wrongs = (
        ["compare", "1"],
        ["compare", "1", "9"],
        ["rollback", "x"],
        ["status", "1"],
        ["keep"],
        ["relink"],
    )
    for wrong in wrongs:
        assert main(["project", folder, *wrong]) == 2
    assert main(["project", str(tmp_path / "nowhere")]) == 2


def test_moved_images_are_linked_again_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_unet.data.synthetic import write_synthetic

    data = write_synthetic("salt", tmp_path / "here", 6)
    other = write_synthetic("salt", tmp_path / "other", 6, seed=5)
    folder = str(tmp_path / "p")
    Project.create(tmp_path / "p", open_dataset(data)).close()
    moved = data.rename(tmp_path / "there")
    assert main(["project", folder]) == 0
    assert "Say where they are now" in capsys.readouterr().out
    assert cli_error("project", folder, "relink", other).code == "data.project.images"
    assert main(["project", folder, "relink", str(tmp_path / "nowhere")]) == 2
    capsys.readouterr()
    assert main(["project", folder, "relink", str(moved)]) == 0
    assert "were compared and are the same" in capsys.readouterr().out
    assert main(["project", folder]) == 0
    assert "Say where they are now" not in capsys.readouterr().out
    assert main(["project", folder, "relink", str(other), "--force"]) == 0
