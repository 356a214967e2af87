"""What a task has written: found by looking at its folders, and sent in parts."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from napari_unet.engine.remote.compression import PAYS, pack_bytes
from napari_unet.engine.remote.manifest import Stamp, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PART = 2**20
TEXT = frozenset({".json", ".html", ".csv", ".md", ".txt", ".geojson"})
LONGEST_TEXT = 2**26  # bytes
UNFINISHED = ".partial"


class OutputWatch:
    """A place that a task writes to, and what of it the other machine has.

    Parameters
    ----------
    place : pathlib.Path
        File or folder; as it is now is as the other machine has it.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._sent = self._look()

    def _look(self) -> dict[str, Stamp | None]:
        """Path inside to what shows a change; None of a folder."""
        found: dict[str, Stamp | None] = {}
        todo = [("", self.place)]
        while todo:
            inside, path = todo.pop()
            try:
                status = path.lstat()
            except OSError:  # it went meanwhile
                continue
            if stat.S_ISDIR(status.st_mode):
                found[inside] = None
                names = os.listdir(path)  # noqa: PTH208 - names alone
                todo += [(f"{inside}/{name}" if inside else name, path / name) for name in names]
            elif stat.S_ISREG(status.st_mode):
                found[inside] = stamp_of(status)
        return found

    def changes(self, *, ended: bool) -> Iterator[tuple[str, bool | None]]:
        """What is new since the last call.

        Parameters
        ----------
        ended : bool
            Whether nobody writes any more; else what is being written is left out.

        Yields
        ------
        str, bool or None
            Path inside; True for a file, False for a folder, None for what is gone.
        """
        now = self._look()
        if not ended:
            now = {name: was for name, was in now.items() if UNFINISHED not in name}
        for name in sorted(self._sent.keys() - now.keys(), reverse=True):
            yield name, None
        for name in sorted(now):
            if name not in self._sent or self._sent[name] != now[name]:
                yield name, now[name] is not None
        self._sent = now


def parts_of(path: Path, words: Callable[[bytes], bytes]) -> Iterator[tuple[bytes, str]]:
    """A file in parts.

    Parameters
    ----------
    path : pathlib.Path
        A file.
    words : callable
        Puts the names of the other machine into text.

    Yields
    ------
    bytes, str
        A part as ``pack_bytes`` packs it; and the hash of all with the last, "" with those before it.
    """
    summed = hashlib.sha256()
    for raw, last in _raw_parts(path, words):
        summed.update(raw)
        yield pack_bytes(raw), summed.hexdigest() if last else ""


def packed_parts(raw_parts: Iterator[bytes]) -> Iterator[bytes]:
    """Parts packed; where the first does not become smaller, the others are left as they are."""
    squeeze = True
    for raw in raw_parts:
        packed = pack_bytes(raw, squeeze=squeeze)
        squeeze = squeeze and len(packed) < PAYS * max(len(raw), 1)
        yield packed


def _raw_parts(path: Path, words: Callable[[bytes], bytes]) -> Iterator[tuple[bytes, bool]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if path.suffix.lower() in TEXT and size <= LONGEST_TEXT:
            whole = words(file.read())
            for start in range(0, max(len(whole), 1), PART):
                yield whole[start : start + PART], start + PART >= len(whole)
            return
        part = file.read(PART)
        while True:
            following = file.read(PART)
            yield part, not following
            if not following:
                return
            part = following
