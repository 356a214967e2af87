"""What is in a file or folder, by hash; what did not change is not read again."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from napari_unet.atomic import PARTIAL
from napari_unet.engine.remote.store import StoredFile, hash_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Stamp = tuple[int, int, int]


def stamp_of(status: os.stat_result) -> Stamp:
    """By which a file is known to be as it was."""
    return status.st_size, status.st_mtime_ns, status.st_ino


class Manifests:
    """Looks at files and folders, and remembers the hashes of their files."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Stamp, str]] = {}

    def look(
        self,
        place: Path,
        check: Callable[[], None] = lambda: None,
        wanted: Callable[[str], bool] | None = None,
    ) -> tuple[list[StoredFile], dict[str, Path]]:
        """See what is in a place.

        Parameters
        ----------
        place : pathlib.Path
            A file or folder; links are followed.
        check : callable
            Called between files; may raise.
        wanted : callable, optional
            (path inside) -> whether a file counts; all if not given. Folders without one are left out then.

        Returns
        -------
        list of StoredFile
            In the order of their paths.
        dict
            Hash to a file that has this content.

        Raises
        ------
        OSError
            If something cannot be read.
        """
        found: list[StoredFile] = []
        sources: dict[str, Path] = {}
        todo = [("", place, frozenset[tuple[int, int]]())]
        while todo:
            inside, path, above = todo.pop()
            check()
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                identity = status.st_dev, status.st_ino
                if identity in above:  # a link to a folder around it
                    continue
                if wanted is None or not inside:
                    found.append(StoredFile(inside, "", 0))
                for entry in sorted(os.listdir(path), reverse=True):  # noqa: PTH208 - names alone
                    if not entry.startswith(PARTIAL):
                        name = f"{inside}/{entry}" if inside else entry
                        todo.append((name, path / entry, above | {identity}))
            elif stat.S_ISREG(status.st_mode) and (wanted is None or wanted(inside)):
                digest = self._hash(path, stamp_of(status))
                found.append(StoredFile(inside, digest, status.st_size))
                sources[digest] = path
        return found, sources

    def _hash(self, path: Path, stamp: Stamp) -> str:
        known = self._known.get(str(path))
        if known is None or known[0] != stamp:
            known = self._known[str(path)] = stamp, hash_of(path)
        return known[1]
