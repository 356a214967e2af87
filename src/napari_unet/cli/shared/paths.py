"""Paths as people type them: ~ and patterns, which not every shell expands, in every argument alike."""

from __future__ import annotations

import errno
import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.file_names import is_junk
from napari_unet.data.files.source import natural_key
from napari_unet.errors import DataError, OutputError, WorkbenchError

if TYPE_CHECKING:
    import argparse

NOTHING_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # whoever reads it says so, or makes it
SHOWN = 120  # characters of a path in a sentence
OUTPUTS = {"out", "save_run"}  # of these no pattern is expanded: nothing need be there


def expand_paths(options: argparse.Namespace) -> None:
    """Expand ~ and patterns in all paths that a command was given, in place.

    Raises
    ------
    DataError, OutputError
        If a pattern matches nothing, or several files where one is wanted; if there can be no such path, or
        it must not be looked at.
    """
    for name, value in vars(options).items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                _check(path, output=name in OUTPUTS)
        if isinstance(value, Path):
            setattr(options, name, _home(value) if name in OUTPUTS else _one(value))
        elif isinstance(value, list) and value and all(isinstance(item, Path) for item in value):
            setattr(options, name, [path for item in value for path in matching(item)])


def _check(path: Path, *, output: bool) -> None:
    """Refuse a path that the system cannot have, or that it keeps from this person."""
    try:
        os.lstat(_home(path))
        return
    except ValueError:  # NUL, or a letter that no file name can have
        reason, shown = "a character that no file name can have", repr(str(path))[:200]
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return
        reason = (
            "a name that is too long" if error.errno == errno.ENAMETOOLONG else error.strerror or str(error)
        )
        shown = str(path) if len(str(path)) <= SHOWN else f"{str(path)[:SHOWN]}..."
    found: WorkbenchError
    if output:
        found = OutputError(
            f"{shown} cannot be written",
            code="output.unwritable",
            reason=reason,
            remedy="choose another path",
        )
    else:
        found = DataError(
            f"{shown} cannot be read", code="data.file.unreadable", reason=reason, remedy="check the path"
        )
    raise found


def matching(path: Path) -> list[Path]:
    """The files that a path or a pattern stands for, in natural order; a file of that very name comes first.

    Raises
    ------
    DataError
        If it is a pattern that nothing matches.
    """
    path = _home(path)
    if path.exists() or path.is_symlink() or not glob.has_magic(str(path)):
        return [path]
    # A folder that is there may have a bracket in its name.
    start = next(parent for parent in path.parents if parent.exists() or parent == parent.parent)
    rest = path.relative_to(start)
    pattern = str(Path(glob.escape(str(start))) / rest)
    found = [
        p
        for p in glob.glob(pattern, recursive=True)  # noqa: PTH207 - of a pattern with any root
        if not is_junk(Path(p).relative_to(start).as_posix())
    ]
    if not found:
        raise DataError(f"no file matches {path}", code="data.file.missing", remedy="check the pattern")
    return [Path(p) for p in sorted(found, key=natural_key)]


def _one(path: Path) -> Path:
    found = matching(path)
    if len(found) > 1:
        raise DataError(
            f"{path} matches {len(found):,} files",
            code="data.file.ambiguous",
            expected="one",
            got=f"{found[0]}, {found[1]}, ...",
        )
    return found[0]


def _home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # of somebody whom this machine does not know
        return path
