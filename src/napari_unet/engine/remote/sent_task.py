"""A task on its way to another machine, with what it reads, writes and calls here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.engine.remote.outputs import PART, packed_parts
from napari_unet.engine.remote.plain_objects import Inward, Outward, encode
from napari_unet.engine.remote.returned_files import ReturnedFiles
from napari_unet.engine.remote.store import StoredFile, safe_path, tree_id

if TYPE_CHECKING:
    from napari_unet.engine.remote.journey import Journey, Output
    from napari_unet.engine.task import FromCaller

TABLES = frozenset({".csv", ".tsv"})  # a table may name files, which are below its folder

# (place, which paths in it count) -> its files, and where each content is; as ``Manifests.look``.
Look = Callable[[Path, "Callable[[str], bool] | None"], tuple[list[StoredFile], dict[str, Path]]]


@dataclass
class SentTask:
    """A task on the other machine, and what belongs to it here."""

    number: int
    journey: Journey
    reads: list[Path] = field(default_factory=list)
    tables: dict[Path, Path] = field(
        default_factory=dict
    )  # a folder of these, and the table that names files
    calls: list[FromCaller] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)  # hash to a file with this content
    arrays: dict[str, bytes] = field(default_factory=dict)  # hash to an array of the task
    answer: dict[str, bytes] = field(default_factory=dict)  # and of the last answer
    returned: ReturnedFiles = field(default_factory=lambda: ReturnedFiles(()))
    lost: int = 0
    cancelled: bool = False

    def packed(self, look: Look, trees: set[str], *, again: bool) -> dict[str, Any]:
        """Make the message that starts it.

        Parameters
        ----------
        look : callable
            Sees what is in a place.
        trees : set of str
            Places whose contents the worker knows; gets those that it will know.
        again : bool
            Whether an earlier worker was lost with the task.
        """
        journey = self.journey
        task = journey.resumed if again and journey.resumed is not None else journey.task
        self.reads.clear()
        self.tables.clear()
        self.calls.clear()
        self.arrays.clear()

        def keep(function: FromCaller) -> int:
            self.calls.append(function)
            return len(self.calls) - 1

        def blob(raw: memoryview) -> str:
            digest = hashlib.sha256(raw).hexdigest()
            self.arrays[digest] = bytes(raw)
            return digest

        packed = encode(task, Outward(lambda path: self.path_of(path), keep, blob))
        reads = [self._place(path, look, trees) for path in self.reads]
        writes = [self._output(output, look, again=again) for output in journey.outputs]
        blobs = [[digest, len(raw)] for digest, raw in self.arrays.items()]
        return {"object": packed, "reads": reads, "writes": writes, "blobs": blobs}

    def path_of(self, path: Path, *, new: bool = True) -> list[Any]:
        """What a path of this machine is called on the way."""
        for number, output in enumerate(self.journey.outputs):
            if path.is_relative_to(output.path):
                return ["w", number, _inside(path, output.path)]
        for number, place in enumerate(self.reads):
            if path.is_relative_to(place) and place not in self.tables:
                return ["r", number, _inside(path, place)]
        if not new or not path.exists():
            return ["p", str(path)]
        table = path.suffix.lower() in TABLES and path.is_file()
        place = path.absolute().parent if table else path
        if table:
            self.tables[place] = path
        self.reads.append(place)
        return ["r", len(self.reads) - 1, path.name if table else ""]

    def _place(self, path: Path, look: Look, trees: set[str]) -> dict[str, Any]:
        wanted = _named_in(self.tables[path]) if path in self.tables else None
        files, sources = look(path, wanted)
        self.files.update(sources)
        name = path.resolve().name or "data"
        identifier = tree_id(name, files)
        place: dict[str, Any] = {"name": name, "there": str(path), "tree": identifier}
        if identifier not in trees:
            trees.add(identifier)
            place["files"] = _listed(files)
        return place

    def _output(self, output: Output, look: Look, *, again: bool) -> dict[str, Any]:
        files: list[StoredFile] = []
        if output.path.exists():
            files, sources = look(output.path, _among(output.bring))
            self.files.update(sources)
        where = f"{_this_machine()}\0{output.path.expanduser().absolute()}"
        return {
            "name": output.path.absolute().name or "out",
            "there": str(output.path),
            "key": hashlib.sha256(where.encode()).hexdigest(),
            "keep": output.keep if again or (self.journey.resumes and not any(f.hash for f in files)) else "",
            "leaves": bool(output.keep),
            "files": _listed(files),
        }

    def source(self, digest: str) -> tuple[Path | bytes, int]:
        """Where a content is that the worker lacks, and its bytes."""
        for arrays in (self.answer, self.arrays):
            if digest in arrays:
                return arrays[digest], len(arrays[digest])
        path = self.files[digest]
        return path, path.stat().st_size

    def inward(self) -> Inward:
        """What becomes of paths that come back."""
        outputs = [output.path for output in self.journey.outputs]

        def path(parts: list[Any]) -> Path:
            kind, *rest = parts
            if kind == "p":
                return Path(str(rest[0]))
            place = {"r": self.reads, "w": outputs}[kind][int(rest[0])]
            return place / safe_path(str(rest[1])) if rest[1] else place

        return Inward(path)


def packed_parts_of(source: Path | bytes) -> Iterator[tuple[bytes, int]]:
    """A content in packed parts, each with the bytes that are in it."""
    sizes: list[int] = []

    def raw_parts() -> Iterator[bytes]:
        if isinstance(source, bytes):
            for start in range(0, max(len(source), 1), PART):
                sizes.append(len(source[start : start + PART]))
                yield source[start : start + PART]
            return
        with source.open("rb") as file:
            part = file.read(PART)
            while True:
                sizes.append(len(part))
                yield part
                part = file.read(PART)
                if not part:
                    return

    for packed in packed_parts(raw_parts()):
        yield packed, sizes[-1]


def with_last(parts: Iterator[tuple[bytes, int]]) -> Iterator[tuple[bytes, int, bool]]:
    """Say of each part whether it is the last."""
    before: tuple[bytes, int] | None = None
    for part in parts:
        if before is not None:
            yield *before, False
        before = part
    if before is not None:
        yield *before, True


def _inside(path: Path, place: Path) -> str:
    inside = path.relative_to(place).as_posix()
    return "" if inside == "." else inside


def _among(names: tuple[str, ...] | None) -> Callable[[str], bool] | None:
    return None if names is None else lambda path: path in names


def _named_in(table: Path) -> Callable[[str], bool]:
    """Which files of a table's folder it names, by whatever path."""
    text = table.read_text(errors="replace")
    return lambda path: path == table.name or path.rsplit("/", 1)[-1] in text


def _listed(files: list[StoredFile]) -> list[list[Any]]:
    return [[one.path, one.hash, one.size] for one in files]


def _this_machine() -> str:
    """What tells this machine and person from others that use the same box."""
    import getpass
    import platform

    try:
        person = getpass.getuser()
    except (OSError, KeyError):
        person = ""
    return f"{platform.node()}\0{person}"
