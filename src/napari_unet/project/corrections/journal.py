"""The journal of a project: every stroke, appended and on the disk before the next."""

from __future__ import annotations

import os
import re
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from napari_unet.atomic import sync_folder
from napari_unet.errors import DataError
from napari_unet.project.corrections.stroke import Stroke

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

MAGIC = b"napari-unet strokes 1\n"
FRAME = struct.Struct("<II")  # bytes of the stroke, checksum
MAX_RECORD = 2**30
SEGMENT_BYTES = 4 * 2**20
NAME = re.compile(r"(\d{6,12})\.strokes$")


@dataclass(frozen=True)
class Reading:
    """What a file of strokes held.

    Attributes
    ----------
    strokes : tuple of Stroke
        In order.
    good : int
        Bytes up to the end of the last whole stroke.
    torn : int
        Bytes behind it, of a stroke that was being written when the program was killed.
    damaged : int
        Strokes in between that are spoilt.
    """

    strokes: tuple[Stroke, ...]
    good: int
    torn: int = 0
    damaged: int = 0


def framed(strokes: Iterable[Stroke]) -> bytes:
    """Strokes as they stand in a file: length, checksum, content."""
    out = []
    for stroke in strokes:
        data = stroke.to_bytes()
        out.append(FRAME.pack(len(data), zlib.crc32(data)) + data)
    return b"".join(out)


def read_strokes(path: Path) -> Reading:
    """Read a file of strokes up to where it was torn.

    Raises
    ------
    DataError
        If it cannot be read, or is not such a file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read", code="data.file.unreadable", reason=error.strerror or str(error)
        ) from error
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data) or not any(data):  # killed when it was made
            return Reading((), 0, len(data))
        raise DataError(
            f"{path} is not a journal that this program can read",
            code="data.journal.foreign",
            got=repr(data[:24]),
            remedy="upgrade napari-unet-workbench, or move the file away",
        )
    strokes: list[Stroke] = []
    place = good = len(MAGIC)
    damaged = suspect = 0
    while place + FRAME.size <= len(data):
        length, checksum = FRAME.unpack_from(data, place)
        end = place + FRAME.size + length
        if not 0 < length <= MAX_RECORD or end > len(data):
            break
        content = data[place + FRAME.size : end]
        try:
            if zlib.crc32(content) != checksum:
                raise DataError("a stroke is damaged", code="data.stroke.damaged")
            strokes.append(Stroke.from_bytes(content))
            good = end
            damaged += suspect
            suspect = 0
        except DataError:
            suspect += 1  # torn, unless a whole one follows
        place = end
    return Reading(tuple(strokes), good, len(data) - good, damaged)


class StrokeFile:
    """A file that strokes are appended to; what a kill tore off is cut away first.

    Parameters
    ----------
    path : pathlib.Path
        Its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        reading = read_strokes(path) if path.exists() else Reading((), 0)
        self.last = max((s.number for s in reading.strokes), default=0)
        self._file: IO[bytes] = path.open("r+b" if path.exists() else "x+b", buffering=0)
        try:
            self._file.truncate(reading.good)
            self.size = self._file.seek(reading.good)
            if not self.size:
                self._write(MAGIC)
        except OSError:
            self.close()
            raise

    def append(self, strokes: Iterable[Stroke]) -> None:
        """Write strokes and see them onto the disk.

        Raises
        ------
        OSError
            If that fails; the file must be opened again then.
        """
        strokes = tuple(strokes)
        self._write(framed(strokes))
        os.fsync(self._file.fileno())
        self.last = max([self.last, *(s.number for s in strokes)])

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(data)

    def close(self) -> None:
        """Let go of the file."""
        with suppress(OSError):  # the drive may be gone; all that counts was synced
            self._file.close()


class Journal:
    """Strokes of a whole project, in files of a few megabytes.

    Parameters
    ----------
    folder : pathlib.Path
        Made when the first stroke comes.
    segment_bytes : int
        A file that has grown beyond this is followed by another.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self._last: dict[Path, dict[str, int]] = {}  # of each file: number of the last stroke an image
        self._current: StrokeFile | None = None
        self.written = 0  # bytes since ``compact`` last removed something

    def segments(self) -> list[Path]:
        """Its files, oldest first."""
        if not self.folder.is_dir():
            return []
        found = [(int(m[1]), p) for p in self.folder.iterdir() if (m := NAME.match(p.name))]
        return [path for _, path in sorted(found)]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(p.stat().st_size for p in self.segments())

    def read(self) -> tuple[list[Stroke], list[str]]:
        """Read everything, in order of the strokes' numbers, each once.

        Returns
        -------
        strokes : list of Stroke
            All that are whole.
        problems : list of str
            Sentences on files that cannot be read or are damaged; a torn end is no problem.
        """
        strokes: dict[int, Stroke] = {}
        problems = []
        for path in self.segments():
            try:
                reading = read_strokes(path)
            except DataError as error:
                problems.append(error.sentence)
                continue
            self._note(path, reading.strokes)
            strokes |= {s.number: s for s in reading.strokes}
            if reading.damaged:
                problems.append(f"damaged strokes in {path.name}, left out: {reading.damaged}")
        return [strokes[n] for n in sorted(strokes)], problems

    def append(self, strokes: Iterable[Stroke]) -> None:
        """Write strokes and see them onto the disk.

        Raises
        ------
        OSError
            If that fails; the same strokes may be given again.
        """
        strokes = tuple(strokes)
        try:
            if self._current is None:
                self.folder.mkdir(exist_ok=True)
                existing = self.segments()
                number = int(existing[-1].name.split(".")[0]) + 1 if existing else 1
                # Never behind what another run wrote: its end may be torn.
                self._current = StrokeFile(self.folder / f"{number:06d}.strokes")
                sync_folder(self.folder)
            size = self._current.size
            self._current.append(strokes)
            self.written += self._current.size - size
        except OSError:
            self.close()
            raise
        self._note(self._current.path, strokes)
        if self._current.size > self.segment_bytes:
            self.close()

    def _note(self, path: Path, strokes: Iterable[Stroke]) -> None:
        last = self._last.setdefault(path, {})
        for stroke in strokes:
            last[stroke.image] = max(last.get(stroke.image, 0), stroke.number)

    def compact(self, saved: Callable[[str], int], kept_in: Iterable[Path] = ()) -> int:
        """Remove files whose every stroke is stored elsewhere.

        Parameters
        ----------
        saved : callable
            (id of an image) -> number of the last stroke that its saved mask has.
        kept_in : iterable of pathlib.Path
            Folders of those masks, which are seen onto the disk first.

        Returns
        -------
        int
            Files removed.
        """
        covered = [path for path, last in self._last.items() if all(saved(i) >= n for i, n in last.items())]
        for folder in kept_in if covered else ():
            sync_folder(folder)
        for path in covered:
            if self._current is not None and self._current.path == path:
                self.close()
            path.unlink(missing_ok=True)
            del self._last[path]
            self.written = 0
        return len(covered)

    def close(self) -> None:
        """Let go of the current file; the next stroke begins another."""
        if self._current is not None:
            current, self._current = self._current, None
            current.close()
