"""Folders of the computing process: whose they are, and when somebody else may remove them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from napari_unet.engine import folders
from napari_unet.engine.folders import OwnFolders, clear_abandoned

if TYPE_CHECKING:
    from pathlib import Path

OWNER = "napari-unet-here-"
locks = pytest.mark.skipif(sys.platform == "win32", reason="there the number of the process tells")


@pytest.fixture
def gone() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    found = [tmp_path / "memory", tmp_path / "disk"]
    for place in found:
        place.mkdir()
    monkeypatch.setattr(folders, "MEMORY_FOLDER", found[0])
    monkeypatch.setattr(tempfile, "tempdir", str(found[1]))
    return found


def left(place: Path, name: str, *, locked: bool = True, hours: float = 0) -> Path:
    """A folder as a program leaves it."""
    folder = place / name
    folder.mkdir()
    (folder / "arrays-0").write_bytes(b"0")
    if locked:
        (folder / "lock").touch()
    then = time.time() - 3600 * hours
    os.utime(folder, (then, then))
    return folder


def test_what_a_killed_program_left_is_cleared_by_the_next(places: list[Path]) -> None:
    code = f"""
import os, pathlib, time
from napari_unet.engine import folders
folders.MEMORY_FOLDER = pathlib.Path({str(places[0])!r})
folders.tempfile.tempdir = {str(places[1])!r}
own = folders.OwnFolders()
print(flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    theirs = [folder for place in places for folder in place.iterdir()]
    assert len(theirs) == 2
    OwnFolders().remove()
    assert all(folder.exists() for folder in theirs)  # it lives
    process.kill()
    process.wait()
    process.stdout.close()
    own = OwnFolders()
    assert [list(place.iterdir()) for place in places] == [[path] for path in own.paths]
    own.remove()
    assert not any(list(place.iterdir()) for place in places)


@locks
def test_an_owner_counted_elsewhere_lives_as_long_as_it_holds_its_lock(tmp_path: Path, gone: int) -> None:
    import fcntl

    # As a program in a container that shares the folder: here no process has its number.
    folder = left(tmp_path, f"{OWNER}{gone}-abcdefgh", hours=100)
    with (folder / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clear_abandoned(tmp_path, OWNER)
        assert (folder / "arrays-0").exists()
    clear_abandoned(tmp_path, OWNER)
    assert not folder.exists()


@locks
def test_a_number_that_somebody_else_has_now_keeps_nothing(tmp_path: Path) -> None:
    folder = left(tmp_path, f"{OWNER}{os.getpid()}-abcdefgh")
    clear_abandoned(tmp_path, OWNER)
    assert not folder.exists()


@locks
def test_a_folder_that_was_never_locked_is_left_alone_for_a_day(tmp_path: Path, gone: int) -> None:
    young = left(tmp_path, f"{OWNER}{gone}-aaaaaaaa", locked=False, hours=23)
    old = left(tmp_path, f"{OWNER}{gone}-bbbbbbbb", locked=False, hours=25)
    lives = left(tmp_path, f"{OWNER}{os.getpid()}-cccccccc", locked=False, hours=25)
    clear_abandoned(tmp_path, OWNER)
    assert young.exists()
    assert not old.exists()
    assert lives.exists()


def test_folders_of_other_names_are_left_alone(tmp_path: Path, gone: int) -> None:
    names = [
        f"{OWNER}{gone}-x",
        f"{OWNER}{gone}-abcdefgh-mine",
        f"{OWNER}{gone}-ABCDEFGH",
        f"{OWNER}2-{gone}-abcdefgh",  # of a machine called here-2
        f"napari-unet-there-{gone}-abcdefgh",
        f"my-{OWNER}{gone}-abcdefgh",
        f"{OWNER}notes",
    ]
    kept = [left(tmp_path, name, hours=100) for name in names]
    clear_abandoned(tmp_path, OWNER)
    assert all((folder / "arrays-0").exists() for folder in kept)
