"""The versions of a project's model: what each came from, what it saw, which is in use."""

from __future__ import annotations

import filecmp
import json
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import PARTIAL, sync_folder, write_text
from napari_unet.errors import ModelError, OutputError, unwritable
from napari_unet.models.model_folder import WEIGHTS_FILE
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.project.model_version import (
    VERSION_FILE,
    Difference,
    Version,
    flat_settings,
    last_stroke,
    read_version,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STATE_FILE = "versions.json"
NAME = re.compile(r"v(\d{3,9})$")
MOST_KEPT = 1000  # steps that can be rolled back


@dataclass(frozen=True)
class _State:
    kept: tuple[int, ...] = ()
    discarded: tuple[int, ...] = ()
    last: int = 0


class ModelStore:
    """The versions in a project's folder models/.

    A version is there once its folder has its name, which is the last thing that happens to it; which
    one is in use is in one file, written atomically. So a kill between any two steps leaves either the
    state before or the state after.

    Parameters
    ----------
    folder : pathlib.Path
        Made when the first version comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def that_holds(cls, model: Path) -> ModelStore | None:
        """The store that a model is a version of; None if it is none."""
        own = NAME.match(model.name) and (model / VERSION_FILE).is_file()
        return cls(model.parent) if own and (model.parent / STATE_FILE).is_file() else None

    def versions(self) -> tuple[Version, ...]:
        """All versions, discarded ones too, the oldest first.

        Raises
        ------
        ModelError
            If the state, or what a version says of itself, is damaged.
        """
        discarded = self._state().discarded
        return tuple(
            replace(read_version(path, number), discarded=number in discarded)
            for number, path in self._folders()
        )

    def version(self, number: int) -> Version:
        """One version.

        Raises
        ------
        ModelError
            If there is none of that number.
        """
        path = dict(self._folders()).get(number)
        if path is None:
            known = ", ".join(f"v{n:03d}" for n, _ in self._folders())
            raise ModelError(
                f"the project has no version {number}",
                code="model.version.unknown",
                expected=f"one of {known}" if known else "a version; none was made yet",
                remedy="see them with `napari-unet project PATH status`",
            )
        return replace(read_version(path, number), discarded=number in self._state().discarded)

    @property
    def current(self) -> Version | None:
        """The version in use; None before a person keeps one."""
        kept = self._kept()
        return self.version(kept[-1]) if kept else None

    @property
    def earlier(self) -> Version | None:
        """The version that rolling back uses; None if there is none. Errors as ``version``."""
        kept = self._kept()
        return self.version(kept[-2]) if len(kept) > 1 else None

    def add(
        self,
        model: Path | Callable[[Path], object],
        *,
        scores: Mapping[str, float] | None = None,
        corrections: Mapping[str, int] | None = None,
        parent: int | None = None,
        note: str = "",
        seconds: float = 0.0,
        keep: bool = False,
    ) -> Version:
        """Add a version; it is not in use before a person keeps it.

        Parameters
        ----------
        model : path or callable
            Folder of the model, which is copied; or (folder) -> anything, which writes it there.
        scores, corrections, parent, note, seconds
            See ``Version``; the parent is the version in use if none is given.
        keep : bool
            Whether to use it at once.

        Raises
        ------
        OutputError
            If it cannot be written.
        ModelError
            If `model` is not the folder of a model, or there is no such parent.
        """
        if parent is None:
            parent = self.current.number if self.current is not None else None
        elif parent:
            self.version(parent)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=self.folder) as partial:
                fresh = Path(partial) / "model"
                _fill(fresh, model)
                state = self._state()
                number = max([state.last, *(n for n, _ in self._folders())]) + 1
                version = Version(
                    number, self.folder / f"v{number:03d}", parent,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    dict(scores or {}), dict(corrections or {}), note, seconds,
                )  # fmt: skip
                content = {k: v for k, v in asdict(version).items() if k not in {"path", "discarded"}}
                write_text(fresh / VERSION_FILE, json.dumps(content, indent=1))
                sync_folder(fresh)
                fresh.rename(version.path)
            sync_folder(self.folder)
        except OSError as error:
            raise unwritable(
                f"a version in {self.folder} cannot be written",
                error,
                "make room, or give the right to write there",
            ) from error
        if keep:
            self.keep(number)
        return version

    def take_over(self, other: ModelStore) -> int:
        """Copy the versions of another store into this one, which has none; gives back how many.

        They keep their numbers, and the one in use is in use here. Where this store has versions of its
        own, only the one in use there is copied, if no version here has its weights. It becomes
        one more version here, not in use.

        Raises
        ------
        OutputError
            If one cannot be written; those copied before are there.
        ModelError
            If the other store is damaged.
        """
        if self._folders():
            current = other.current
            if current is None or any(_same_weights(v.path, current.path) for v in self.versions()):
                return 0
            self.add(
                current.path,
                scores=current.scores,
                corrections=current.corrections,
                parent=0,
                note=current.note,
                seconds=current.seconds,
            )
            return 1
        state = other._state()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for _, path in other._folders():
                with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=self.folder) as partial:
                    fresh = Path(partial) / path.name
                    shutil.copytree(path, fresh, symlinks=True, ignore=shutil.ignore_patterns(f"{PARTIAL}*"))
                    sync_folder(fresh)
                    fresh.rename(self.folder / path.name)
            sync_folder(self.folder)
        except OSError as error:
            raise unwritable(
                f"the versions of {other.folder} cannot be copied to {self.folder}",
                error,
                "make room, or give the right to write there",
            ) from error
        self._write(state)
        return len(other._folders())

    def keep(self, number: int) -> Version:
        """Use a version from now on; errors as ``version``, and OutputError."""
        version = self.version(number)
        state = self._state()
        kept = self._kept()
        if not kept or kept[-1] != number:
            kept = (*kept, number)[-MOST_KEPT:]
            discarded = tuple(n for n in state.discarded if n != number)
            self._write(replace(state, kept=kept, discarded=discarded))
        return replace(version, discarded=False)

    def roll_back(self, to: int | None = None) -> Version:
        """Use the version that was in use before, or a certain one, again.

        Raises
        ------
        ModelError
            If there was none before, or there is none of that number.
        """
        kept = self._kept()
        if to is not None:
            version = self.version(to)
            earlier = kept[: kept.index(to) + 1] if to in kept else (*kept, to)
            state = self._state()
            discarded = tuple(n for n in state.discarded if n != to)
            self._write(replace(state, kept=earlier, discarded=discarded))
            return replace(version, discarded=False)
        if len(kept) < 2:
            raise ModelError(
                "there is no earlier version to go back to",
                code="model.version.first",
                remedy="keep a second version first" if kept else "keep a version first",
            )
        self._write(replace(self._state(), kept=kept[:-1]))
        return self.version(kept[-2])

    def discard(self, number: int) -> None:
        """Mark a version to go when versions are pruned; the one in use stays.

        Raises
        ------
        ModelError
            If it is in use, or there is none of that number.
        """
        self.version(number)
        kept = self._kept()
        if kept and kept[-1] == number:
            raise ModelError(
                f"version {number} is in use",
                code="model.version.used",
                remedy="roll back to another one first",
            )
        state = self._state()
        self._write(replace(state, discarded=tuple(sorted({*state.discarded, number}))))

    def prune(self) -> int:
        """Remove discarded versions from the disk; gives back how many."""
        state = self._state()
        folders = dict(self._folders())
        # First their numbers, so that none is given twice.
        self._write(replace(state, last=max([state.last, *folders])))
        gone = [n for n in state.discarded if n in folders]
        try:
            for number in gone:
                aside = self.folder / f"{PARTIAL}{folders[number].name}"
                folders[number].rename(aside)
                shutil.rmtree(aside)
        except OSError as error:
            raise OutputError(
                f"discarded versions in {self.folder} cannot be removed",
                code="output.unremovable",
                reason=error.strerror or str(error),
            ) from error
        self._write(replace(self._state(), discarded=()))
        return len(gone)

    def ancestors(self, number: int) -> tuple[int, ...]:
        """A version and what it came from, back to where its line starts."""
        parents = {v.number: v.parent for v in self.versions()}
        line = [self.version(number).number]
        while (parent := parents.get(line[-1])) is not None and parent not in line:
            line.append(parent)
        return tuple(line)

    def compare(self, first: int, second: int) -> tuple[Difference, ...]:
        """What two versions differ in: line, corrections, scores, settings; scores always."""
        one, other = self.version(first), self.version(second)
        rows = [
            Difference("parent", one.parent, other.parent),
            Difference("corrected images seen", len(one.corrections), len(other.corrections)),
            Difference("strokes up to", last_stroke(one), last_stroke(other)),
        ]
        names = sorted({*one.scores, *other.scores})
        rows += [Difference(name, one.scores.get(name), other.scores.get(name)) for name in names]
        before, after = flat_settings(one), flat_settings(other)
        rows += [
            Difference(name, before.get(name), after.get(name))
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        ]
        return tuple(rows)

    def _folders(self) -> list[tuple[int, Path]]:
        if not self.folder.is_dir():
            return []
        found = [(int(m[1]), p) for p in self.folder.iterdir() if (m := NAME.match(p.name)) and p.is_dir()]
        return sorted(found)

    def _kept(self) -> tuple[int, ...]:
        """Versions that were in use, the present one last, each older than the next.

        Rolling back walks them from the end, so it never leads to a newer version, as to one that a
        person went back from.
        """
        state, there = self._state(), {n for n, _ in self._folders()}
        kept: list[int] = []
        for number in reversed(state.kept):
            if number in there and number not in state.discarded and (not kept or number < kept[-1]):
                kept.append(number)
        return tuple(reversed(kept))

    def _state(self) -> _State:
        path = self.folder / STATE_FILE
        try:
            content = parse_json(path.read_bytes())
            return _State(
                tuple(int(n) for n in content["kept"]),
                tuple(int(n) for n in content["discarded"]),
                int(content["last"]),
            )
        except FileNotFoundError:
            return _State()
        except (OSError, *BAD_CONTENT) as error:
            raise ModelError(
                f"{path} cannot be read",
                code="model.versions.unreadable",
                reason=str(error),
                remedy="remove it and keep a version again",
            ) from error

    def _write(self, state: _State) -> None:
        write_text(self.folder / STATE_FILE, json.dumps(asdict(state), indent=1))


def _fill(fresh: Path, model: Path | Callable[[Path], object]) -> None:
    if not isinstance(model, Path):
        fresh.mkdir()
        model(fresh)
        return
    if not model.is_dir():
        raise ModelError(
            f"{model} is not the folder of a model", code="model.foreign", remedy="give the folder of a model"
        )
    shutil.copytree(model, fresh, symlinks=True, ignore=shutil.ignore_patterns(f"{PARTIAL}*", VERSION_FILE))


def _same_weights(first: Path, second: Path) -> bool:
    files = (first / WEIGHTS_FILE, second / WEIGHTS_FILE)
    return all(f.is_file() for f in files) and filecmp.cmp(*files, shallow=False)
