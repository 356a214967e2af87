"""What this machine has of another's files: by content, within bounds, and nowhere else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.atomic import PARTIAL, atomic_folder
from napari_unet.errors import ComputeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HASH = re.compile(r"[0-9a-f]{64}")
BLOCK = 2**20
RECENT = 3600.0  # seconds since its last use, before which nothing is removed
FORGOTTEN = 14 * 24 * 3600.0  # seconds after which what was left of a task that was cut off is removed
GIGABYTE = 1e9
DEFAULT_SIZE = 20.0  # gigabytes
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)


@dataclass(frozen=True)
class StoredFile:
    """A file of a place: where in it, and what is in it.

    Attributes
    ----------
    path : str
        From the place, with slashes; empty if the place is a file itself.
    hash : str
        SHA-256 of the content; empty of a folder.
    size : int
        Bytes.
    """

    path: str
    hash: str
    size: int


def safe_path(name: str, *, windows: bool = os.name == "nt") -> PurePosixPath:
    """A path that leads nowhere but further down.

    Parameters
    ----------
    name : str
        With slashes, as the other machine says it.
    windows : bool
        Whether it must be one on Windows, too.

    Raises
    ------
    ComputeError
        If it would not, on any system.
    """
    path = PurePosixPath(name)
    bad = (
        path.is_absolute()
        or any(part == ".." or "\0" in part for part in path.parts)
        or (windows and any(set(part) & set("\\:") or RESERVED.fullmatch(part) for part in path.parts))
    )
    if bad or len(name) > 4096:
        raise ComputeError(
            f"{name[:80]!r} leads out of the folder that it belongs in",
            code="compute.remote.path",
            expected="a path inside it",
            remedy="rename the file",
        )
    return path


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Incoming:
    """A file that comes in parts, and is there whole or not at all.

    Parameters
    ----------
    goal : pathlib.Path
        Where it shall be; its folder is there.
    """

    def __init__(self, goal: Path) -> None:
        self.goal = goal
        self.size = 0
        self._partial = goal.with_name(f"{PARTIAL}{secrets.token_hex(8)}{goal.suffix}")
        self._file = self._partial.open("xb")
        self._hash = hashlib.sha256()

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *error: object) -> None:
        self.drop()

    def write(self, part: bytes | bytearray) -> None:
        """Take a part, after those before it."""
        self._file.write(part)
        self._hash.update(part)
        self.size += len(part)

    def end(self, digest: str, mode: int | None = None) -> None:
        """Put the file in its place.

        Raises
        ------
        ComputeError
            If it is not what its hash says.
        """
        self._file.close()
        if self._hash.hexdigest() != digest:
            self.drop()
            raise damaged(digest)
        if mode is not None:
            self._partial.chmod(mode)
        self._partial.replace(self.goal)

    def drop(self) -> None:
        """Forget what came; nothing once it is in place."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


class Store:
    """A cache of files by content.

    Parameters
    ----------
    root : pathlib.Path
        Its folder.
    limit : float
        Bytes that it may take.
    """

    def __init__(self, root: Path, limit: float) -> None:
        self.root, self.limit = root, limit
        self.blobs, self.trees, self.work = root / "blobs", root / "trees", root / "work"
        for folder in (self.blobs, self.trees, self.work):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def blob(self, digest: str) -> Path:
        """Where a content is or would be.

        Raises
        ------
        ComputeError
            If that is no hash.
        """
        if not HASH.fullmatch(digest):
            raise ComputeError(
                f"{digest[:80]!r} is no hash", code="compute.remote.path", expected="64 hexadecimal digits"
            )
        return self.blobs / digest[:2] / digest

    def has(self, digest: str, size: int) -> bool:
        """Whether a content is here, whole; it counts as used then."""
        path = self.blob(digest)
        try:
            if path.stat().st_size != size:
                return False
            self._touch(path)
        except OSError:
            return False
        return True

    def incoming(self, digest: str) -> Incoming:
        """Begin to take a content; ``Incoming.end`` puts it in.

        Raises
        ------
        ComputeError
            If that is no hash.
        """
        goal = self.blob(digest)
        goal.parent.mkdir(exist_ok=True, mode=0o700)
        return Incoming(goal)

    def add(self, digest: str, parts: Iterable[bytes]) -> None:
        """Put a content in, whole or not at all; errors as ``Incoming``."""
        with self.incoming(digest) as taken:
            for part in parts:
                taken.write(part)
            taken.end(digest, 0o400)

    def read(self, digest: str) -> bytearray:
        """A content, in memory of its own."""
        return bytearray(self.blob(digest).read_bytes())

    def keep_copy(self, path: Path) -> tuple[str, int]:
        """Put a copy of a file of this machine in; gives hash and size."""
        digest, size = hash_of(path), path.stat().st_size
        if not self.has(digest, size):
            with path.open("rb") as file:
                self.add(digest, iter(lambda: file.read(BLOCK), b""))
        return digest, size

    def tree(self, name: str, files: Sequence[StoredFile]) -> Path:
        """A file or folder with these contents, under its name; made once, and never written to.

        Raises
        ------
        ComputeError
            If a path would lead out of it.
        """
        place = self.trees / tree_id(name, files)
        if not place.exists():
            with atomic_folder(place) as folder:
                self._fill(folder / one_name(name), files, link=True)
        else:
            os.utime(place)
        return place / one_name(name)

    def has_tree(self, identifier: str) -> bool:
        """Whether it is made; it counts as used then."""
        if not HASH.fullmatch(identifier) or not (self.trees / identifier).is_dir():
            return False
        os.utime(self.trees / identifier)
        return True

    def work_folder(self, key: str, name: str, files: Sequence[StoredFile], keep: str = "") -> Path:
        """A place that a task writes to: what is there at the beginning, and what an earlier run left.

        Parameters
        ----------
        key : str
            Of the place; the same after a cut.
        name : str
            What it is called.
        files : sequence of StoredFile
            What it has at the beginning.
        keep : str
            Pattern of names of what an earlier run left and this one resumes; "*": all, also what lies next
            to the place; empty: nothing.
        """
        if not HASH.fullmatch(key):
            raise ComputeError(f"{key[:80]!r} is no key", code="compute.remote.path")
        folder = self.work / key
        place = folder / one_name(name)
        if keep == "*" and folder.is_dir() and any(folder.iterdir()):
            return place
        left = [path.name for path in place.glob(keep)] if keep and place.is_dir() else []
        if left:
            for path in place.iterdir():
                if path.name not in left:
                    _remove(path)
            files = [one for one in files if PurePosixPath(one.path).parts[:1] not in [(n,) for n in left]]
        else:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if files or left:
            self._fill(place, files, link=False)
        return place

    def end_work(self, key: str) -> None:
        """Remove such a place, once the other machine has what was made there."""
        shutil.rmtree(self.work / key, ignore_errors=True)

    def _fill(self, place: Path, files: Sequence[StoredFile], *, link: bool) -> None:
        for one in files:
            goal = place / safe_path(one.path) if one.path else place
            if not one.hash:
                goal.mkdir(parents=True, exist_ok=True)
                continue
            goal.parent.mkdir(parents=True, exist_ok=True)
            blob = self.blob(one.hash)
            if link:
                with contextlib.suppress(OSError):
                    goal.hardlink_to(blob)
                    continue
            shutil.copyfile(blob, goal)

    def _touch(self, path: Path) -> None:
        """Note the time of use, and leave that of the content, by which others know whether it changed."""
        with contextlib.suppress(OSError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def used(self) -> int:
        """Bytes that it takes."""
        seen: set[int] = set()
        total = 0
        for status in _files(self.root):
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_size
        return total

    def make_room(self, wanted: int) -> None:
        """Remove what was not used for the longest time, until so many bytes more fit in.

        Raises
        ------
        ComputeError
            If they cannot fit.
        """
        if wanted > self.limit:
            raise ComputeError(
                "the images of this task do not fit into the cache of the other machine",
                code="compute.remote.cache",
                expected=f"at most {self.limit / GIGABYTE:.3g} GB",
                got=f"{wanted / GIGABYTE:.3g} GB",
                remedy="give it more with `napari-unet worker --cache-size GB`, or take fewer images",
            )
        now = time.time()
        for folder in self.work.iterdir():  # of tasks that were cut off, or stopped
            if now - folder.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in self.blobs.iterdir():
            for path in folder.glob(f"{PARTIAL}*"):
                if now - path.stat().st_mtime > RECENT:
                    path.unlink(missing_ok=True)
        used = self.used()
        if used + wanted <= self.limit:
            return
        for tree in self.trees.iterdir():
            if now - tree.stat().st_mtime > RECENT:
                shutil.rmtree(tree, ignore_errors=True)
        blobs = [(path.stat().st_atime, path) for path in self.blobs.glob("*/*")]
        for when, path in sorted(blobs):
            if self.used_after(used, wanted) or now - when <= RECENT:
                break
            used -= path.stat().st_size
            path.unlink(missing_ok=True)

    def used_after(self, used: int, wanted: int) -> bool:
        """Whether so much more fits."""
        return used + wanted <= self.limit


def one_name(name: str) -> str:
    """The name of a file or folder, and no path.

    Raises
    ------
    ComputeError
        If it is a path.
    """
    path = safe_path(name)
    if len(path.parts) != 1 or name in {".", ".."}:
        raise ComputeError(f"{name[:80]!r} is no name", code="compute.remote.path", expected="a name alone")
    return name


def tree_id(name: str, files: Sequence[StoredFile]) -> str:
    """What a place of this name with these contents is called."""
    content = json.dumps([name, [[one.path, one.hash, one.size] for one in files]])
    return hashlib.sha256(content.encode()).hexdigest()


def damaged(digest: str) -> ComputeError:
    """The error of a content that is not what its hash says."""
    return ComputeError(
        "a file was damaged on its way",
        code="compute.remote.damaged",
        got=digest[:12],
        remedy="try again",
    )


def _files(folder: Path) -> Iterator[os.stat_result]:
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(place, name))  # noqa: PTH118 - of thousands of files


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
