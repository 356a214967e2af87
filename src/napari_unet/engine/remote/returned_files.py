"""Files that another machine made for a task, as they come: into the places of that task and nowhere else."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from napari_unet.engine.remote.compression import unpack_bytes
from napari_unet.engine.remote.outputs import PART
from napari_unet.engine.remote.store import Incoming, safe_path
from napari_unet.errors import ComputeError, unwritable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LARGEST = 2**27  # bytes of a part: a text may come whole


class ReturnedFiles:
    """Takes files into the places that a task writes to.

    Parameters
    ----------
    places : sequence of pathlib.Path
        Files or folders.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.places = tuple(places)
        self._open: dict[Path, Incoming] = {}

    def take(self, kind: str, place: int, path: str, data: bytes = b"", hash: str = "") -> None:
        """Take what another machine says of a file or folder.

        Parameters
        ----------
        kind : str
            "file" for a part of one, "folder" for one that is there, "gone" for what is not any more.
        place : int
            Which place.
        path : str
            Inside it.
        data : bytes
            Of a file: a packed part.
        hash : str
            Of a file: of all of it, with the last part.

        Raises
        ------
        ComputeError
            If it would lead out of the place, or is damaged.
        OutputError
            If the system refuses.
        """
        goal = self._goal(place, path)
        try:
            if kind == "folder":
                goal.mkdir(parents=True, exist_ok=True)
            elif kind == "gone":
                if goal.is_dir():
                    shutil.rmtree(goal, ignore_errors=True)
                else:
                    goal.unlink(missing_ok=True)
            else:
                self._take_part(goal, data, hash)
        except OSError as error:
            raise unwritable(f"{goal} cannot be written", error) from error

    def _goal(self, place: int, path: str) -> Path:
        root = self.places[place]
        if place < 0:
            raise IndexError(place)
        goal = root / safe_path(path) if path else root
        # A link inside might lead elsewhere.
        if path and not goal.parent.resolve().is_relative_to(root.resolve()):
            raise ComputeError(
                f"{path[:80]!r} leads out of {root} by a link",
                code="compute.remote.path",
                remedy="remove the link, or choose another folder",
            )
        return goal

    def _take_part(self, goal: Path, data: bytes, digest: str) -> None:
        if goal not in self._open:
            goal.parent.mkdir(parents=True, exist_ok=True)
            self._open[goal] = Incoming(goal)
        taken = self._open[goal]
        try:
            taken.write(unpack_bytes(data, max(PART, LARGEST)))
        except (OSError, ValueError):
            self._open.pop(goal).drop()
            raise
        if digest:
            self._open.pop(goal).end(digest)

    def drop(self) -> None:
        """Forget files that did not come whole."""
        for taken in self._open.values():
            taken.drop()
        self._open.clear()
