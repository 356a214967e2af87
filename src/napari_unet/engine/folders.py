"""Folders for arrays on their way between two processes: held while their owner lives, cleared afterwards."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

MEMORY_FOLDER = Path("/dev/shm")
PREFIX = "napari-unet-"
LOCK = "lock"  # in each folder; there only once it is held, for as long as the owner lives
LONG = 24 * 3600.0  # seconds after which a folder that was never locked may be nobody's


class OwnFolders:
    """New folders of this process: in memory where the system has such a place, then on disk.

    What programs left that were killed is removed.

    Attributes
    ----------
    paths : list of pathlib.Path
        One or two.
    """

    def __init__(self) -> None:
        owner = f"{PREFIX}{platform.node() or 'here'}-"
        self.paths: list[Path] = []
        self._locks: list[IO[bytes]] = []
        if MEMORY_FOLDER.is_dir() and os.access(MEMORY_FOLDER, os.W_OK):
            clear_abandoned(MEMORY_FOLDER, owner)
            with contextlib.suppress(OSError):
                self._make(owner, MEMORY_FOLDER)
        self._make(owner, Path(tempfile.gettempdir()))
        clear_abandoned(self.paths[-1].parent, owner)

    def _make(self, owner: str, place: Path) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{owner}{os.getpid()}-", dir=place))
        self.paths.append(folder)
        if sys.platform != "win32":
            import fcntl

            with contextlib.suppress(OSError):
                lock = (folder / f"{LOCK}-new").open("wb")
                self._locks.append(lock)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(lock.name).rename(folder / LOCK)

    def remove(self) -> None:
        """Remove them with all that is in them."""
        for folder in self.paths:
            shutil.rmtree(folder, ignore_errors=True)
        for lock in self._locks:
            lock.close()


def clear_abandoned(place: Path, owner: str) -> None:
    """Remove folders of programs that were killed: they take memory until somebody does.

    Parameters
    ----------
    place : pathlib.Path
        In which folders lie.
    owner : str
        How names of folders of this machine begin; process and eight signs of ``mkdtemp`` follow.
    """
    pattern = re.compile(rf"{re.escape(owner)}(\d+)-[a-z0-9_]{{8}}")
    for folder in place.glob(f"{PREFIX}*"):
        named = pattern.fullmatch(folder.name)
        if named and _is_abandoned(folder, int(named[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path, process: int) -> bool:
    """Whether the owner of a folder is gone.

    Its number does not tell: containers may share the folder, and each counts processes by itself.
    """
    import psutil

    if sys.platform == "win32":
        return not psutil.pid_exists(process)
    import fcntl

    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            return time.time() - folder.stat().st_mtime > LONG and not psutil.pid_exists(process)
    except OSError:  # it is held, or somebody else's
        pass
    return False
