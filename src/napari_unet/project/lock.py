"""One window a project: a lock that the system takes back when a program ends, however it ends."""

from __future__ import annotations

import getpass
import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from napari_unet.atomic import write_text
from napari_unet.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock.json"


class ProjectLock:
    """Keeps a project to one window.

    Parameters
    ----------
    folder : pathlib.Path
        Of the project.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: BaseFileLock = FileLock(folder / LOCK_FILE, timeout=0, thread_local=False)

    @property
    def held(self) -> bool:
        """Whether the project is ours."""
        return bool(self._lock.is_locked)

    def acquire(self) -> None:
        """Take the project.

        Raises
        ------
        OutputError
            If another window has it; says which.
        OSError
            If no lock can be made here: the folder is read-only, the disk full, the drive gone.
        """
        if self.held:
            return
        try:
            try:
                self._lock.acquire()
            except NotImplementedError:  # a network drive without locks: a file that is there, or not
                self._lock = SoftFileLock(self.folder / LOCK_FILE, timeout=0, thread_local=False)
                self._lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"the project {self.folder} is open elsewhere",
                code="output.project.open",
                got=self._holder(),
                remedy="close it there, or read it without changing it",
            ) from error
        holder = {
            "process": os.getpid(),
            "computer": socket.gethostname(),
            "user": _user(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with suppress(OutputError):  # no more than a courtesy
            write_text(self.folder / HOLDER_FILE, json.dumps(holder))

    def release(self) -> None:
        """Give the project back."""
        if self.held:
            with suppress(OSError):
                (self.folder / HOLDER_FILE).unlink(missing_ok=True)
            with suppress(OSError):
                self._lock.release()

    def _holder(self) -> str:
        try:
            holder = json.loads((self.folder / HOLDER_FILE).read_text(encoding="utf-8"))
            return (
                f"process {holder['process']} of {holder['user']} on {holder['computer']}, "
                f"since {holder['since']}"
            )
        except (OSError, ValueError, KeyError, TypeError):
            return "a program that did not say its name"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
