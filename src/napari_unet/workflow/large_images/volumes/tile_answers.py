"""What a network said of tiles, on disk until the cells of the result are made of it."""

from __future__ import annotations

import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import unwritable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FOLDER = "answers"


@dataclass(frozen=True)
class TileAnswers:
    """Answers for the tiles of one volume, a file each; any number of processes may write and read them.

    A file is there whole or not at all.

    Attributes
    ----------
    store : pathlib.Path
        Of the result.
    image : int
        Number of the volume in the stack.
    """

    store: Path
    image: int

    def _file(self, tile: int) -> Path:
        return self.store / FOLDER / str(self.image) / f"{tile}.npy"

    def has(self, tile: int) -> bool:
        """Whether an answer is there."""
        return self._file(tile).is_file()

    def write(self, tile: int, values: NDArray[np.float32]) -> None:
        """Write an answer.

        Raises
        ------
        OutputError
            If the disk refuses.
        """
        file = self._file(tile)
        partial = file.with_name(f".{tile}-{secrets.token_hex(4)}.partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as opened:
                np.save(opened, values, allow_pickle=False)
            partial.replace(file)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise unwritable(
                f"{self.store} cannot be written",
                error,
                "make room or choose another folder; finished parts stay",
            ) from error

    def read(self, tile: int, part: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        """Read a part of an answer, (Z, Y, X, K) float32; raises FileNotFoundError if it is gone."""
        return np.array(np.load(self._file(tile), mmap_mode="r", allow_pickle=False)[part])

    def forget(self, tile: int) -> None:
        """Remove an answer that nothing is made of any more."""
        with suppress(OSError):  # another process looks at it, or did the same
            self._file(tile).unlink()


def forget_answers(store: Path) -> None:
    """Remove what is left of all answers."""
    shutil.rmtree(store / FOLDER, ignore_errors=True)
