"""Programs of compiled models on disk, so that the next process needs no Keras to run them."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet import __version__, networks
from napari_unet.atomic import write_bytes
from napari_unet.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "NAPARI_UNET_CACHE"
NONE = "none"  # value of that variable with which nothing is remembered
MOST_BYTES = 2**30  # of all programs; those that were not used for the longest time go first
MOST_OF_ONE = 2**28


def program_key(files: Iterable[Path], precision: str) -> str:
    """32 hexadecimal digits of all that decides a program.

    Parameters
    ----------
    files : iterable of pathlib.Path
        All that is in them decides it: settings and weights of a model.
    precision : str
        Of the computation.
    """
    digest = hashlib.blake2b(f"{__version__} {precision} {_writer_hash()}".encode(), digest_size=16)
    for path in files:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


@cache
def _writer_hash() -> str:
    """Of the code that writes programs: another version of it may write others."""
    root = Path(networks.__file__).parent
    files = sorted(root.rglob("*.py"))
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def remembered(key: str) -> bytes | None:
    """The program of a key, an ONNX file; None if there is none."""
    folder = programs_folder()
    if folder is None:
        return None
    try:
        data = (folder / f"{key}.onnx").read_bytes()
        os.utime(folder / f"{key}.onnx")
    except OSError:
        return None
    checksum, program = data[:16], data[16:]
    return program if checksum == _checksum(program) else None


def is_remembered(key: str) -> bool:
    """Whether there is a program of a key."""
    folder = programs_folder()
    return folder is not None and (folder / f"{key}.onnx").is_file()


def remember(key: str, program: bytes) -> None:
    """Write a program for later processes; a disk that refuses is no reason to stop."""
    folder = programs_folder()
    if folder is None or len(program) > MOST_OF_ONE:
        return
    with suppress(OSError, OutputError):
        write_bytes(folder / f"{key}.onnx", _checksum(program) + program)
        files = sorted(folder.glob("*.onnx"), key=lambda file: file.stat().st_mtime, reverse=True)
        held = 0
        for file in files:
            held += file.stat().st_size
            if held > MOST_BYTES:
                file.unlink()


def _checksum(program: bytes) -> bytes:
    return hashlib.blake2b(program, digest_size=16).digest()


def programs_folder() -> Path | None:
    """Where programs are; None if the environment says that nothing is remembered."""
    named = os.environ.get(VARIABLE, "")
    if named.lower() == NONE:
        return None
    if named:
        return Path(named) / "programs"
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "napari-unet-workbench" / "programs"
