"""Where files come from: a folder, a zip, or zips inside a zip; read only, within bounds."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, TYPE_CHECKING

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


def shared_folders(names: Iterable[str]) -> str:
    """The folders that all names share at their front, to be left out of them.

    Returns
    -------
    str
        "set/version2/", or "". Folders that tell a layout ("train", "01") stay in the names.
    """
    names = list(names)
    if not names:
        return ""
    # Whatever the first and the last in order share, all between share too.
    first, last = (name.split("/")[:-1] for name in (min(names), max(names)))
    kept: list[str] = []
    for folder, other in zip(first, last, strict=False):
        if folder != other or folder.lower() in KEPT_AT_ROOT or folder.isdigit():
            break
        head = heads.pop()
        if head in {"train", "images", "masks"} or head.isdigit():
            break
        prefix += f"{head}/"
    return prefix


class FolderSource(Source):
    """The files below a folder, and those in the zips of a competition's download in it.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    common_root : bool
        Whether a folder that holds everything is left out of the names.
    only : iterable of str, optional
        Look at these files alone, and keep their names; those that are not there are left out.

    Raises
    ------
    DataError
        If a folder cannot be listed, holds too many files, or a zip in it is damaged.
    """

    def __init__(self, path: Path, *, common_root: bool = True, only: Iterable[str] | None = None) -> None:
        self.path = path
        self._archives: list[Archive] = []
        self._zipped: dict[str, tuple[int, str]] = {}
        if only is None:
            found = dict(_walk(path))
            prefix = shared_folders(found) if common_root else ""
        else:
            found = {n: (path / n).stat().st_size for n in dict.fromkeys(only) if (path / n).is_file()}
            prefix = ""
        self._root = path / prefix
        sizes = {name[len(prefix) :]: size for name, size in found.items()}
        if only is None:
            self._open_zips(sizes)
        self.sizes = {name: sizes[name] for name in sorted(sizes, key=natural_key)}

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
        self._archive = Archive(path)
        sizes = self._archive.sizes
        self._prefix = shared_folders(sizes)
        start = len(self._prefix)
        self.sizes = {name[start:]: sizes[name] for name in sorted(sizes, key=natural_key)}

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
