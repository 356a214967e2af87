"""A zip with the zips inside it, read in place and within bounds, never unpacked to disk."""

from __future__ import annotations

import io
import lzma
import os
import re
import shutil
import struct
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from napari_unet.data.file_names import is_junk
from napari_unet.errors import DataError

MAX_FILE_BYTES = 2 * 1024**3  # of one file inside
MAX_NESTED_BYTES = 1024**3  # of all compressed zips inside, which must be held in memory
MAX_RATIO = 1000  # of declared to stored size; Deflate cannot do better than 1032
BOMB_BYTES = 64 * 1024**2  # below this no ratio can hurt
MAX_FILES = 500_000
UTF8_NAME = 0x800  # the flag of an entry whose name is UTF-8

# What the standard library raises on zips that are cut off, altered, encrypted or too new.
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError, struct.error,
)  # fmt: skip


def gigabytes(count: int) -> str:
    """A number of bytes for a person."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 // 10 else f"{count / 2**20:.1f} MB"


def entry_name(info: zipfile.ZipInfo) -> str:
    """The name of an entry with forward slashes.

    The .NET Framework writes backslashes; macOS writes UTF-8 without saying so, which reads as code page 437.
    """
    name = info.filename
    if not info.flag_bits & UTF8_NAME:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/").removeprefix("./")


def folder_of_zip(name: str, entries: list[str]) -> str:
    """Prefix under which the files of an inner zip appear.

    Parameters
    ----------
    name : str
        Of the inner zip ("train.zip").
    entries : list of str
        Names of the files in it.

    Returns
    -------
    str
        "train/"; or the folder of the zip alone where its entries start with "train/" already, or
        where it is one zipped table ("train_masks.csv.zip").
    """
    stem = PurePosixPath(name).stem
    parent = str(PurePosixPath(name).parent)
    prefix = "" if parent == "." else f"{parent}/"
    if stem.lower().endswith(".csv") or all(entry.startswith(f"{stem}/") for entry in entries):
        return prefix
    return f"{prefix}{stem}/"


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
        if base + offset < 0:
            raise OSError("a place before the start of the file")
        self._place = base + offset
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
        # The file is missing where opening it failed.
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()


class _Entry(NamedTuple):
    archive: zipfile.ZipFile
    info: zipfile.ZipInfo


class Archive:
    """The files of a zip; the files of zips inside appear in folders named after them.

    Several threads may read at once. After pickling, the file is opened again.

    Parameters
    ----------
    path : pathlib.Path
        The zip.

    Attributes
    ----------
    sizes : dict
        Name to declared size in bytes.

    Raises
    ------
    DataError
        If it is not a zip or is damaged. If it has names that point out of it, or the same name twice. If
        it declares more than the bounds of this module.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, _Entry] = {}
        self._nested_bytes = 0
        outer = self._open_zip(path, str(path))
        for info in self._listed(outer):
            name = entry_name(info)
            if name.lower().endswith(".zip"):
                self._add_nested(outer, info, name)
            else:
                self._add(name, outer, info)
        self.sizes = {name: entry.info.file_size for name, entry in self._entries.items()}

    def read(self, name: str) -> bytes:
        """Read a whole file; raises what is in ``ZIP_ERRORS``."""
        archive, info = self._entries[name]
        return archive.read(info)

    def head(self, name: str, count: int) -> bytes:
        """Read the first bytes of a file; raises what is in ``ZIP_ERRORS``."""
        archive, info = self._entries[name]
        with archive.open(info) as file:
            return file.read(count)

    def _open_zip(self, file: Path | IO[bytes], name: str) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(file)
        except ZIP_ERRORS as error:
            raise DataError(
                f"{name} is not a zip that can be read",
                code="data.archive.unreadable",
                reason=str(error),
                remedy="download it again: it may be cut off",
            ) from error

    def _listed(self, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        names = ((info, entry_name(info)) for info in archive.infolist())
        infos = [info for info, name in names if not name.endswith("/") and not is_junk(name)]
        if len(infos) + len(self._entries) > MAX_FILES:
            raise DataError(
                f"{self.path} holds too many files",
                code="data.files.many",
                expected=f"at most {MAX_FILES}",
                got=str(len(infos) + len(self._entries)),
                remedy="give the archive of one data set",
            )
        for info in infos:
            self._check_size(info)
        return infos

    def _check_size(self, info: zipfile.ZipInfo) -> None:
        # A stored zip inside takes no memory, so it may be of any size.
        stored_zip = info.compress_type == zipfile.ZIP_STORED and info.filename.lower().endswith(".zip")
        ratio = info.file_size / max(info.compress_size, 1)
        if not stored_zip and info.file_size > MAX_FILE_BYTES:
            raise DataError(
                f"{info.filename[:100]} in {self.path} is too large",
                code="data.archive.large",
                expected=f"at most {gigabytes(MAX_FILE_BYTES)}",
                got=gigabytes(info.file_size),
                remedy="unpack the archive if you trust it, and open the folder",
            )
        if info.file_size > BOMB_BYTES and ratio > MAX_RATIO:
            raise DataError(
                f"{info.filename[:100]} in {self.path} looks like a zip bomb",
                code="data.archive.bomb",
                expected=f"at most {MAX_RATIO} times its stored size",
                got=f"{ratio:.0f} times, {gigabytes(info.file_size)}",
                remedy="do not trust this archive",
            )

    def _add(self, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        if {"", ".", ".."} & set(name.split("/")) or re.match("[A-Za-z]:", name):
            raise DataError(
                f"{self.path} has an entry that points out of it",
                code="data.archive.outside",
                expected="names below the archive's root",
                got=repr(name[:100]),
                remedy="do not trust this archive",
            )
        if name in self._entries:
            raise DataError(
                f"{self.path} has two files named {name[:100]}",
                code="data.archive.duplicate",
                expected="every name once",
                remedy="zip the folder again",
            )
        self._entries[name] = _Entry(archive, info)

    def _add_nested(self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> None:
        label = f"{name} in {self.path}"
        try:
            stored = info.compress_type == zipfile.ZIP_STORED
            file = self._in_place(info) if stored else self._in_memory(outer, info, label)
        except ZIP_ERRORS as error:
            raise DataError(
                f"{label} cannot be read",
                code="data.file.unreadable",
                reason=str(error),
                remedy="download it again: it may be cut off",
            ) from error
        inner = self._open_zip(file, label)
        entries = self._listed(inner)
        names = [entry_name(entry) for entry in entries]
        prefix = folder_of_zip(name, names)
        for entry, inside in zip(entries, names, strict=True):
            self._add(prefix + inside, inner, entry)

    def _in_memory(self, outer: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> IO[bytes]:
        """A compressed entry as a file."""
        self._nested_bytes += info.file_size
        if self._nested_bytes > MAX_NESTED_BYTES:
            raise DataError(
                f"{label} is compressed and too large to open in place",
                code="data.archive.large",
                expected=f"at most {gigabytes(MAX_NESTED_BYTES)} of such zips",
                got=gigabytes(self._nested_bytes),
                remedy="unpack the outer archive and open its folder",
            )
        file = io.BytesIO()
        with outer.open(info) as packed:
            shutil.copyfileobj(packed, file, 2**20)  # in pieces, so as not to hold it twice
        return file

    def _in_place(self, info: zipfile.ZipInfo) -> IO[bytes]:
        """A stored entry as a file; its bytes begin behind its local header."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset + 26)
            lengths = file.read(4)
        name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
        window = _Window(self.path, info.header_offset + 30 + name + extra, info.file_size)
        return cast("IO[bytes]", io.BufferedReader(window))

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]
