"""Where members of an ensemble are trained until it is whole: a folder for each run, next to the ensemble."""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from napari_unet.atomic import PARTIAL, atomic_folder
from napari_unet.errors import Cancelled
from napari_unet.models.model_folder import OWN_FILES, SETTINGS_FILE, SPLIT_FILE, STATE_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_unet.data.split import Split

UNFINISHED = ".unfinished"  # how the names of folders end that hold runs
RUNNING = "running"  # a file in the folder of a run, as long as that continues
NAME = re.compile(r"(\d{4,})-[0-9a-f]{8}")


@contextmanager
def run_folder(
    out: Path,
    split: Split,
    names: Sequence[str],
    earlier: Path | None,
    check: Callable[[Path], None],
) -> Iterator[Path]:
    """Have a folder for one run, which no worker of an earlier run knows.

    Nothing else is touched before the check is passed; then earlier runs have to stop. When the block
    ends well, all runs are removed. When it is stopped or fails, this run stays and earlier ones are removed,
    unless it failed before anything was learned: then earlier ones stay.

    Parameters
    ----------
    out : pathlib.Path
        Folder of the ensemble.
    split : Split
        Is written into the folder.
    names : sequence of str
        Of the members.
    earlier : pathlib.Path, optional
        Folder with members to resume from, which are copied.
    check : callable
        (folder) -> None; raises if the run cannot start.

    Yields
    ------
    pathlib.Path
        Absolute. It holds the file `RUNNING` until the block ends.
    """
    home = home_of(out)
    before = _found(home)
    folder = home / f"{1 + max(map(_number, before), default=0):04d}-{secrets.token_hex(4)}"
    with atomic_folder(folder) as fresh:
        split.save(fresh / SPLIT_FILE)
        (fresh / RUNNING).touch()
        if earlier is not None:
            for name in names:
                _copy(earlier / name, fresh / name)
    try:
        check(folder)
    except BaseException:
        _remove(home, [folder])
        raise
    for other in before:
        (other / RUNNING).unlink(missing_ok=True)
    try:
        yield folder
    except BaseException as error:
        (folder / RUNNING).unlink(missing_ok=True)
        in_vain = not isinstance(error, Cancelled | KeyboardInterrupt) and not _learned(folder)
        _remove(home, [folder] if in_vain else before)
        raise
    _remove(home, [*_found(home), *home.glob(f"{PARTIAL}*")])


def earlier_run(out: Path) -> Path | None:
    """Folder of the last run that did not make its ensemble whole."""
    whole = [folder for folder in _found(home_of(out)) if (folder / SPLIT_FILE).exists()]
    return max(whole, key=_number, default=None)


def home_of(out: Path) -> Path:
    """Folder of all runs."""
    out = out.expanduser().resolve()
    return out.with_name(out.name + UNFINISHED)


def _found(home: Path) -> list[Path]:
    return [path for path in home.iterdir() if NAME.fullmatch(path.name)] if home.is_dir() else []


def _number(folder: Path) -> int:
    return int(folder.name.partition("-")[0])


def _copy(source: Path, target: Path) -> None:
    """Copy a member, of which a worker that does not know yet that it is to stop may write a newer state."""
    if not source.is_dir():
        return
    target.mkdir()
    # Where there are settings the rest is there, too, and does not change any more.
    for name in sorted(OWN_FILES, key=lambda name: name != SETTINGS_FILE):
        with suppress(FileNotFoundError):
            shutil.copyfile(source / name, target / name)


def _learned(folder: Path) -> bool:
    return any(any(folder.glob(f"*/{name}")) for name in (STATE_FILE, SETTINGS_FILE))


def _remove(home: Path, folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # where something is left in it
        home.rmdir()
