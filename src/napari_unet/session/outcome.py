"""What came of something that a person waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """A result, for the status line.

    Attributes
    ----------
    sentence : str
        What was done, without the path.
    path : pathlib.Path or None
        The file or folder that holds it.
    page : pathlib.Path or None
        A report that can be opened.
    is_note : bool
        Whether it is only something to know, no result of what a person asked for.
    """

    sentence: str
    path: Path | None = None
    page: Path | None = None
    is_note: bool = False

    @property
    def folder(self) -> Path | None:
        """The folder to open: that of a file, or the folder itself."""
        if self.path is None:
            return None
        return self.path if self.path.is_dir() else self.path.parent
