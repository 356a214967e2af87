"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and move it there when the block ends well.

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
    partial = path.with_name(f".partial-{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made anew, so that nothing is written through a link, and by the system, which knows the
        # permissions wanted: asking for the process's umask would change it for other threads.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield partial
            # For writing as well, without which Windows does not let a file be synced.
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written",
            got=error.strerror or str(error),
            remedy="choose another folder or make room",
        ) from error


def write_text(path: Path, text: str) -> None:
    r"""Write a UTF-8 text file atomically; line ends stay \n on every system."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
