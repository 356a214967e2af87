"""Where files come from: a folder, a zip, or zips inside a zip; read only, within bounds."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, cast

from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FILE_BYTES = 4 * 1024**3
MAX_NESTED_BYTES = 2 * 1024**3
MAX_RATIO = 1000  # of declared to stored size; Deflate cannot do better than 1032
BOMB_BYTES = 64 * 1024**2  # below this no ratio can hurt
MAX_FILES = 2_000_000
JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}


class Source(ABC):
    """Files by name; names are relative, with forward slashes.

    Attributes
    ----------
    path : pathlib.Path
        The folder or archive.
    sizes : mapping
        Name to declared size in bytes, in natural order of the names.
    """

    path: Path
    sizes: Mapping[str, int]

    @property
    def name(self) -> str:
        """What to call it."""
        return self.path.stem if self.path.is_file() else self.path.resolve().name

    def names(self) -> list[str]:
        """All names."""
        return list(self.sizes)

    def read(self, name: str) -> bytes:
        """Read a whole file.

        Raises
        ------
        DataError
            If there is no such file, it is too large, or it cannot be read.
        """
        if name not in self.sizes:
            raise DataError(f"{self.path} has no file {name}", remedy="check the name")
        if self.sizes[name] > MAX_FILE_BYTES:
            raise DataError(
                f"{name} in {self.path} is too large",
                expected=f"at most {MAX_FILE_BYTES >> 30} GB",
                got=f"{self.sizes[name] / 2**30:.1f} GB",
            )
        try:
            return self._read(name)
        except (
            OSError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise DataError(
                f"{name} in {self.path} cannot be read",
                got=str(error) or type(error).__name__,
                remedy="copy or download it again",
            ) from error

    @abstractmethod
    def _read(self, name: str) -> bytes: ...


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Key that sorts 2 before 10."""
    parts: list[tuple[int, int | str]] = []
    digits = ""
    for character in name + "\0":
        if character.isascii() and character.isdigit():
            digits += character
            continue
        if digits:
            parts.append((0, int(digits)))
            digits = ""
        parts.append((1, character))
    return tuple(parts)


def _is_junk(name: str) -> bool:
    return any(part in JUNK or part.startswith(".") for part in name.split("/"))


def _without_common_root(names: list[str]) -> str:
    """The folders that all names share at their front, to be left out."""
    prefix = ""
    while names:
        heads = {name[len(prefix) :].split("/", 1)[0] for name in names}
        if len(heads) != 1 or any("/" not in name[len(prefix) :] for name in names):
            break
        head = heads.pop()
        if head in {"train", "images", "masks"} or head.isdigit():
            break
        prefix += f"{head}/"
    return prefix


class FolderSource(Source):
    """The files below a folder.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    common_root : bool
        Whether a folder that holds everything is left out of the names.
    only : str, optional
        Look at this one file alone.
    """

    def __init__(self, path: Path, *, common_root: bool = True, only: str | None = None) -> None:
        self.path = path
        found = {only: (path / only).stat().st_size} if only else dict(self._walk(path))
        prefix = _without_common_root(list(found)) if common_root else ""
        self._root = path / prefix if prefix else path
        self.sizes = {name[len(prefix) :]: found[name] for name in sorted(found, key=natural_key)}

    @staticmethod
    def _walk(path: Path) -> Iterator[tuple[str, int]]:
        count = 0
        folders = [(str(path), "")]
        while folders:
            folder, prefix = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                raise DataError(
                    f"the folder {folder} cannot be read", got=error.strerror or str(error)
                ) from error
            for entry in entries:
                if _is_junk(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, f"{prefix}{entry.name}/"))
                elif entry.is_file():
                    count += 1
                    if count > MAX_FILES:
                        raise DataError(
                            f"{path} holds too many files",
                            expected=f"at most {MAX_FILES}",
                            remedy="give the folder of one data set",
                        )
                    yield prefix + entry.name, entry.stat().st_size

    def _read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()


class _Window(io.RawIOBase):
    """A stretch of a file as a file: a stored zip within a zip is read in place."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb")
        self._start, self._size, self._place = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._place))
        self._file.seek(self._start + self._place)
        got = self._file.readinto(view[:wanted])
        self._place += got
        return got

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class ZipSource(Source):
    """The files of a zip; zips inside appear as folders, without being unpacked to disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archives: list[zipfile.ZipFile] = []
        self._places: dict[str, tuple[int, str]] = {}
        self._open()

    def _open(self) -> None:
        try:
            outer = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise DataError(
                f"{self.path} is not a zip that can be read",
                got=str(error),
                remedy="download it again: it may be cut off",
            ) from error
        self._archives.append(outer)
        found: dict[str, int] = {}
        for info in outer.infolist():
            if info.is_dir() or _is_junk(info.filename):
                continue
            if info.filename.lower().endswith(".zip"):
                self._open_nested(outer, info, found)
            else:
                self._add(found, "", info, 0)
        prefix = _without_common_root(list(found))
        self._places = {name[len(prefix) :]: place for name, place in self._places.items()}
        self.sizes = {name[len(prefix) :]: found[name] for name in sorted(found, key=natural_key)}

    def _add(self, found: dict[str, int], prefix: str, info: zipfile.ZipInfo, archive: int) -> None:
        name = info.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
            raise DataError(
                f"{self.path} has an entry that points out of it",
                got=name,
                remedy="do not trust this archive",
            )
        ratio = info.file_size / max(info.compress_size, 1)
        if (info.file_size > BOMB_BYTES and ratio > MAX_RATIO) or info.file_size > MAX_FILE_BYTES:
            raise DataError(
                f"{name} in {self.path} would unpack to {info.file_size / 2**30:.1f} GB",
                expected=f"at most {MAX_FILE_BYTES >> 30} GB and {MAX_RATIO} times its stored size",
                got=f"{ratio:.0f} times",
                remedy="do not trust this archive",
            )
        found[prefix + name] = info.file_size
        self._places[prefix + name] = (archive, name)

    def _open_nested(self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, found: dict[str, int]) -> None:
        try:
            if info.compress_type == zipfile.ZIP_STORED:
                start = self._data_start(info)
                window = _Window(self.path, start, info.file_size)
                file: IO[bytes] = cast("IO[bytes]", io.BufferedReader(window))
            else:
                if info.file_size > MAX_NESTED_BYTES:
                    raise DataError(
                        f"{info.filename} in {self.path} is compressed and too large to open in place",
                        expected=f"at most {MAX_NESTED_BYTES >> 30} GB",
                        got=f"{info.file_size / 2**30:.1f} GB",
                        remedy="unpack the outer archive and open the inner one",
                    )
                ratio = info.file_size / max(info.compress_size, 1)
                if info.file_size > BOMB_BYTES and ratio > MAX_RATIO:
                    raise DataError(
                        f"{info.filename} in {self.path} is a zip bomb",
                        got=f"{ratio:.0f} times its stored size",
                        remedy="do not trust this archive",
                    )
                file = io.BytesIO(outer.read(info))
            inner = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{info.filename} in {self.path} is not a zip that can be read",
                got=str(error),
                remedy="download it again: it may be cut off",
            ) from error
        self._archives.append(inner)
        stem = PurePosixPath(info.filename).stem
        folder = str(PurePosixPath(info.filename).parent)
        prefix = "" if folder == "." else f"{folder}/"
        entries = [e for e in inner.infolist() if not e.is_dir() and not _is_junk(e.filename)]
        if not all(e.filename.startswith(f"{stem}/") for e in entries):
            prefix += f"{stem}/"
        for entry in entries:
            self._add(found, prefix, entry, len(self._archives) - 1)

    def _data_start(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of a stored entry begin: behind its local header."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset + 26)
            lengths = file.read(4)
        name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
        return info.header_offset + 30 + name + extra

    def _read(self, name: str) -> bytes:
        archive, inner = self._places[name]
        return self._archives[archive].read(inner)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]


def open_source(path: Path | str) -> Source:
    """Open a folder or a zip.

    Raises
    ------
    DataError
        If there is nothing, or it is neither.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return FolderSource(path)
    if not path.exists():
        raise DataError(f"{path} does not exist", remedy="check the path")
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return ZipSource(path)
    raise DataError(f"{path} is neither a folder nor a zip", remedy="give the folder of the data set")
