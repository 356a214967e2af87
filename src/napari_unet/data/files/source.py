"""Where files come from: a folder, a zip, or zips inside either; read only, within bounds."""

from __future__ import annotations

import io
import os
import re
import zipfile
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari_unet.data.file_names import find_name, is_junk, name_on_disk, stem_of
from napari_unet.data.files.archive import (
    MAX_FILE_BYTES,
    MAX_FILES,
    ZIP_ERRORS,
    Archive,
    folder_of_zip,
    gigabytes,
)
from napari_unet.data.files.decoders.image_kinds import split_array_name
from napari_unet.data.files.stored.array_files import arrays_of, reference_to
from napari_unet.data.files.unreadable import ARRAYS, unreadable_file
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PIECES = re.compile(r"(\d+)", re.ASCII)
# Zips that a competition's download holds; others in a folder may be other data sets.
PARTS_OF_A_SET = re.compile(
    r"(?:[^/]*_)?(?:train|test|images?|masks?|labels?)(?:_[^/]*)?\.zip$|[^/]*\.csv\.zip$", re.IGNORECASE
)
KEPT_AT_ROOT = {"train", "images", "masks"}  # folders that say what is in them


class Source(ABC):
    """Files by name; names are relative, with forward slashes.

    Attributes
    ----------
    path : pathlib.Path
        The folder or archive.
    sizes : mapping
        Name to declared size in bytes, in natural order of the names.
    root : str
        Folders that hold everything and are left out of the names, like "set/version2/"; "" without.
    broken_links : tuple of str
        Links that lead to nothing.
    """

    path: Path
    sizes: Mapping[str, int]
    root: str = ""
    broken_links: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What to call it."""
        if split_array_name(self.path.name) is not None:
            return stem_of(self.path)
        return self.path.stem if self.path.is_file() else self.path.resolve().name

    def names(self) -> list[str]:
        """All names."""
        return list(self.sizes)

    def find(self, name: str) -> str | None:
        """The file that a table or a person means by a name, see ``find_name``; None if there is none."""
        return name if name in self.sizes else find_name(name, self.sizes)

    def file(self, name: str) -> Path | None:
        """Where a file is on disk; None if it is in an archive."""
        return None

    @property
    def folder(self) -> Path | None:
        """The folder that the names start in; None in an archive."""
        return None

    def read(self, name: str) -> bytes:
        """Read a whole file.

        Raises
        ------
        DataError
            If there is no such file, it is too large, or it cannot be read.
        """
        size = self._size(name)
        if split_array_name(name) is not None and (root := self.folder) is not None:
            return reference_to(root, name)
        if size > MAX_FILE_BYTES:
            raise DataError(
                f"{name} in {self.path} is too large",
                code="data.archive.large",
                expected=f"at most {gigabytes(MAX_FILE_BYTES)}",
                got=gigabytes(size),
                remedy="cut it into smaller files",
            )
        try:
            return self._read(name)
        except ZIP_ERRORS as error:
            raise self._unreadable(name, error) from error

    def head(self, name: str, count: int) -> bytes:
        """Read the first bytes of a file, at most `count`; errors as ``read``."""
        self._size(name)
        if split_array_name(name) is not None and (root := self.folder) is not None:
            return reference_to(root, name)[:count]
        try:
            return self._head(name, count)
        except ZIP_ERRORS as error:
            raise self._unreadable(name, error) from error

    def open(self, name: str) -> IO[bytes]:
        """Open a file to seek in it; from an archive it is read into memory; errors as ``read``."""
        return io.BytesIO(self.read(name))

    def _size(self, name: str) -> int:
        if name not in self.sizes:
            raise DataError(
                f"{self.path} has no file {name}", code="data.file.missing", remedy="check the name"
            )
        return self.sizes[name]

    def _unreadable(self, name: str, error: Exception) -> DataError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return DataError(
            f"{name} in {self.path} cannot be read",
            code="data.file.unreadable",
            reason=reason,
            remedy="copy or download it again",
        )

    @abstractmethod
    def _read(self, name: str) -> bytes: ...

    @abstractmethod
    def _head(self, name: str, count: int) -> bytes: ...


def natural_key(name: str) -> tuple[tuple[tuple[int, str] | str, ...], str]:
    """Key that sorts 2 before 10."""
    # Text and digits take turns, text first, so that like is compared with like.
    pieces: list[tuple[int, str] | str] = list(PIECES.split(name))
    # The number of digits first, so that numbers of any length compare without being converted.
    for index in range(1, len(pieces), 2):
        digits = str(pieces[index]).lstrip("0")
        pieces[index] = (len(digits), digits)
    return tuple(pieces), name


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
        kept.append(f"{folder}/")
    return "".join(kept)


class FolderSource(Source):
    """The files below a folder, and those in the zips of a competition's download in it.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    common_root : bool
        Whether a folder that holds everything is left out of the names.
    only : iterable of str, optional
        Look at these files alone, under their names on disk; those that are not there are left out.

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
            broken: list[str] = []
            found = dict(_walk(path, broken))
            self.broken_links = tuple(broken)
            self.root = shared_folders(found) if common_root else ""
        else:
            found = {}
            for name in dict.fromkeys(only):
                array = split_array_name(name)
                if array is not None:
                    inside = dict(arrays_of(path / array[0], array[0]))
                    found |= {n: size for n, size in inside.items() if n == name or not array[1]}
                elif (there := name_on_disk(path, name)) is not None:
                    found[there] = (path / there).stat().st_size
        self._root = path / self.root
        sizes = {name[len(self.root) :]: size for name, size in found.items()}
        if only is None:
            self._open_zips(sizes)
        self.sizes = {name: sizes[name] for name in sorted(sizes, key=natural_key)}

    def _open_zips(self, sizes: dict[str, int]) -> None:
        for name in [n for n in sizes if PARTS_OF_A_SET.match(n)]:
            archive = Archive(self._root / name)
            prefix = folder_of_zip(name, list(archive.sizes))
            inside = {prefix + entry: size for entry, size in archive.sizes.items()}
            folder = name.removesuffix(".zip") + "/"
            if inside.keys() & sizes.keys() or any(n.startswith(folder) for n in sizes):
                continue  # it has been unpacked: the files are quicker to read
            self._zipped |= {prefix + entry: (len(self._archives), entry) for entry in archive.sizes}
            self._archives.append(archive)
            sizes |= inside

    def file(self, name: str) -> Path | None:
        """Where a file is on disk; None if it is in an archive."""
        return None if name in self._zipped else self._root / name

    @property
    def folder(self) -> Path:
        """The folder that the names start in."""
        return self._root

    def open(self, name: str) -> IO[bytes]:
        """Open a file to seek in it; errors as ``read``."""
        self._size(name)
        if name in self._zipped or split_array_name(name) is not None:
            return super().open(name)
        try:
            return (self._root / name).open("rb")
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _read(self, name: str) -> bytes:
        if name in self._zipped:
            index, entry = self._zipped[name]
            return self._archives[index].read(entry)
        return (self._root / name).read_bytes()

    def _head(self, name: str, count: int) -> bytes:
        if name in self._zipped:
            index, entry = self._zipped[name]
            return self._archives[index].head(entry, count)
        with (self._root / name).open("rb") as file:
            return file.read(count)


def is_array(name: str) -> bool:
    """Whether a file or folder of this name may hold arrays that are images."""
    return split_array_name(name) is not None


def _walk(path: Path, broken: list[str]) -> Iterator[tuple[str, int]]:
    """Name and size of every file below a folder, linked ones too; broken links go into a list.

    No folder is listed twice, however many links lead to it: under the shortest path, and of paths as
    long as one another not under that of a link.
    """
    count = 0
    level = deque([(False, str(path), "")])
    below: list[tuple[bool, str, str]] = []
    listed_already: set[str] = set()
    while level:
        linked, folder, prefix = level.popleft()
        real = os.path.realpath(folder)
        again = real in listed_already
        listed_already.add(real)
        try:
            with os.scandir(folder) as listed:
                kept = () if again else (e for e in listed if not is_junk(e.name))
                entries = sorted(kept, key=lambda e: e.name)
            for entry in entries:
                name = prefix + entry.name
                arrays = list(arrays_of(Path(entry.path), name)) if is_array(entry.name) else []
                if arrays:
                    count += len(arrays)
                    yield from arrays
                elif entry.is_dir():
                    count += entry.is_symlink()
                    below.append((linked or entry.is_symlink(), entry.path, f"{name}/"))
                elif entry.is_file():
                    count += 1
                    yield name, entry.stat().st_size
                elif entry.is_symlink():
                    broken.append(name)
        except OSError as error:
            raise DataError(
                f"the folder {folder} cannot be read",
                code="data.folder.unreadable",
                reason=error.strerror or str(error),
                remedy="check its permissions",
            ) from error
        if count > MAX_FILES:
            raise DataError(
                f"{path} holds too many files",
                code="data.files.many",
                expected=f"at most {MAX_FILES}",
                got=f"{count} or more",
                remedy="give the folder of one data set",
            )
        if not level:
            level.extend(sorted(below, key=lambda item: item[0]))
            below.clear()


class ZipSource(Source):
    """The files of a zip; zips inside appear as folders, without being unpacked to disk.

    Parameters
    ----------
    path : pathlib.Path
        The zip.

    Raises
    ------
    DataError
        As ``Archive``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = Archive(path)
        sizes = self._archive.sizes
        self.root = shared_folders(sizes)
        start = len(self.root)
        self.sizes = {name[start:]: sizes[name] for name in sorted(sizes, key=natural_key)}

    def _read(self, name: str) -> bytes:
        return self._archive.read(self.root + name)

    def _head(self, name: str, count: int) -> bytes:
        return self._archive.head(self.root + name, count)


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
        if path.is_symlink():
            raise DataError(
                f"{path} is a link to {path.readlink()}, which does not exist",
                code="data.link.broken",
                remedy="mend the link, or give the folder itself",
            )
        raise DataError(f"{path} does not exist", code="data.file.missing", remedy="check the path")
    if not path.is_file():
        raise DataError(  # to open a pipe would be to wait for whoever writes to it
            f"{path} is neither a file nor a folder",
            code="data.file.special",
            expected="an image, a folder, a zip or a CSV table",
            got="a pipe or a device",
            remedy="save what comes out of it as a file",
        )
    if path.suffix.lower() in ARRAYS:  # one of them is a zip
        raise unreadable_file(path)
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return ZipSource(path)
    raise unreadable_file(path)
