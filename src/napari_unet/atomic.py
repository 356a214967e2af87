"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import OutputError, unwritable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_NAMED = 5  # files in a sentence
PARTIAL = ".partial-"  # how the names of files begin that are not whole yet


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`, and move it there when the block ends well.

    Parameters
    ----------
    path : pathlib.Path
        Where the file shall be; its folder is made if need be.

    Yields
    ------
    pathlib.Path
        Where to write, with the same suffix; removed if the block fails.

    Raises
    ------
    OutputError
        If the system refuses (no space, no permission, no such drive).
    """
    path = Path(path)
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(_new_file(partial))
        try:
            yield partial
            # For writing as well, without which Windows does not let a file be synced.
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(f"{path} cannot be written", error) from error


def check_outputs(
    outputs: Iterable[Path], inputs: Iterable[Path] = (), *, overwrite: bool = False, or_else: str = ""
) -> None:
    """Refuse to replace what is there: the one rule of every command, asked before any work is done.

    Parameters
    ----------
    outputs : iterable of pathlib.Path
        Files and folders that will be written.
    inputs : iterable of pathlib.Path
        Files and folders that the command reads. These are never replaced, under whatever name (links,
        upper and lower case) they are given.
    overwrite : bool
        Whether other files that are there may be replaced.
    or_else : str
        What else the person can do.

    Raises
    ------
    OutputError
        Naming what would be replaced.
    """
    there = [path for path in dict.fromkeys(map(Path, outputs)) if os.path.lexists(path)]
    if not there:
        return
    given = {identity for path in inputs if (identity := _identity(path)) is not None}
    for path in there:
        if _identity(path) in given:
            raise OutputError(
                f"{path} is one of the files that this command reads, and would be replaced",
                code="output.input",
                remedy="choose another place with --out",
            )
    if not overwrite:
        remedy = "choose another place, or replace them with --overwrite"
        if or_else:
            remedy = f"choose another place, {or_else}, or replace them with --overwrite"
        found = some_names([path.name for path in there])
        raise OutputError(
            f"{found} would be replaced in {there[0].parent}", code="output.exists", remedy=remedy
        )


def check_model(
    folder: Path,
    inputs: Iterable[Path] = (),
    *,
    overwrite: bool = False,
    or_else: str = "",
    begun: bool = False,
) -> None:
    """Refuse to replace a model, as ``check_outputs``; `begun` is whether one is being made there."""
    whole = (folder / "settings.json").exists()
    check_outputs([folder] if whole or begun else [], inputs, overwrite=overwrite, or_else=or_else)


def some_names(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _identity(path: Path) -> tuple[int, int] | None:
    """What two paths to one file or folder have in common."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_can_be_made(path: Path) -> None:
    """Refuse a place where no file can be made, before the long work rather than after it.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    with suppress(_Made), atomic_path(path):
        raise _Made


class _Made(Exception):  # noqa: N818 - leaves the block without putting anything in place
    pass


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder next to `path`, and move it there when the block ends well.

    Parameters
    ----------
    path : pathlib.Path
        Where the folder shall be; the folder around it is made if need be. One that is there already
        is replaced.

    Yields
    ------
    pathlib.Path
        An empty folder with the same suffix; removed if the block fails.

    Raises
    ------
    OutputError
        If the system refuses (no space, no permission, no such drive).
    """
    path = Path(path)
    partial = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}{path.suffix}")
    older = path.with_name(f"{PARTIAL}{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        try:
            yield partial
            if path.exists():
                path.rename(older)
            partial.rename(path)
        finally:
            for left in (partial, older):
                _remove(left)
    except OSError as error:
        raise unwritable(f"{path} cannot be written", error) from error


def write_text(path: Path, text: str) -> None:
    r"""Write a UTF-8 text file atomically; line ends stay \n on every system."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; of thousands of small ones each takes half the time of ``atomic_path``.

    Raises
    ------
    OutputError
        As ``atomic_path``.
    """
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f"{PARTIAL}{secrets.token_hex(8)}{os.path.splitext(name)[1]}")  # noqa: PTH118, PTH122
    try:
        try:
            file = _new_file(partial)
        except FileNotFoundError:
            Path(folder).mkdir(parents=True, exist_ok=True)
            file = _new_file(partial)
        try:
            with os.fdopen(file, "wb", buffering=0) as opened:
                left = memoryview(data)
                while left:
                    left = left[opened.write(left) :]
                os.fsync(file)
            os.replace(partial, path)  # noqa: PTH105
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(partial)  # noqa: PTH108
            raise
    except OSError as error:
        raise unwritable(f"{path} cannot be written", error) from error


def _new_file(path: Path | str) -> int:
    # Made again, so that nothing is written through a link, and by the system, which knows the
    # permissions wanted: asking for the process's umask would change it for other threads.
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)


def sync_folder(folder: Path) -> None:
    """Make moves into a folder last through a power cut, where the system can do that."""
    if os.name == "nt":
        return  # folders cannot be opened there, and moves are written through
    with suppress(OSError):  # some network drives know no such thing
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_partials(folder: Path) -> int:
    """Remove what a killed program left unfinished in a folder and below; gives back how much.

    Parameters
    ----------
    folder : pathlib.Path
        In which nobody writes at the moment.
    """
    count = 0
    for path in list(folder.rglob(f"{PARTIAL}*")):
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            count += 1
    return count


def _remove(path: Path) -> None:
    """Remove a file or folder; threads that write into it still have a moment to end."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for pause in (0.0, 0.05, 0.2, 0.5):
        time.sleep(pause)
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
