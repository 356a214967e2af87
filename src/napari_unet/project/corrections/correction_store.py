"""The corrections of a project in memory and on the disk: masks, journal, history, and how they meet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import DataError, OutputError
from napari_unet.project.corrections.correction import Correction, CorrectionStats
from napari_unet.project.corrections.journal import Journal, StrokeFile, read_strokes
from napari_unet.project.corrections.mask_files import MaskFolder, read_stored_mask
from napari_unet.project.corrections.memory_store import MemoryStore, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari_unet.project.corrections.stroke import Stroke

MEMORY_BYTES = 256 * 2**20  # of masks that stay in memory though they are saved
JOURNAL_BYTES = 32 * 2**20  # beyond this all masks are saved, and the journal begins again


@dataclass(frozen=True)
class Restored:
    """What opening a project brought back that was in no mask yet.

    Attributes
    ----------
    strokes, images : int
        How many strokes, on how many images.
    problems : tuple of str
        Sentences on what could not be read.
    """

    strokes: int = 0
    images: int = 0
    problems: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For a person; empty if there was nothing to restore."""
        if not self.strokes:
            return ""
        return (
            f"{self.strokes} stroke{'s' * (self.strokes != 1)} on {self.images} "
            f"image{'s' * (self.images != 1)} were restored: the program did not end in good order last time."
        )


class CorrectionStore(MemoryStore):
    """Masks, journal and history of a project.

    Whoever changes it holds the lock; ``save`` and ``append`` are for one thread, and take it themselves.

    Parameters
    ----------
    folder : pathlib.Path
        Of the project.
    shapes : mapping
        Id of every image to (Y, X).
    stems : mapping
        Id of every image to its files' name without suffix.
    lock : threading.RLock
        Guards what is in memory.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Mapping[str, tuple[int, int]],
        stems: Mapping[str, str],
        lock: Any,
    ) -> None:
        super().__init__()
        self.masks = MaskFolder(folder / "masks", stems)
        self.journal = Journal(folder / "journal")
        self.history_folder = folder / "history"
        self._shapes, self._stems, self._lock = shapes, stems, lock
        self._known: set[str] = set()  # images whose file was read or written
        self._settled: dict[str, int] = {}  # last stroke that is in mask and history
        self._starts: dict[str, Correction] = {}  # what a person starts from, until that is on the disk
        self._journaled = 0  # last stroke that is in the journal, as all are that came ahead of it
        self._saving = ""  # id of the image whose mask is being written

    def open(self) -> Restored:
        """Read what is there, and do again the strokes that are in the journal only."""
        self.stats, problems = self.masks.stats()
        self._known = set(self.stats)
        self.last = max((e.number for e in self.stats.values()), default=0)
        strokes, spoilt = self.journal.read()
        problems += spoilt
        restored: dict[str, int] = {}
        for stroke in strokes:
            self.last = max(self.last, stroke.number)
            try:
                if self._restore(stroke):
                    before = restored.get(stroke.image, 0)
                    # The rest of a drag whose first part is saved was restored, too.
                    restored[stroke.image] = max(before + stroke.begun, 1)
            except DataError as error:
                problems.append(error.sentence)
        self._journaled = self.last
        return Restored(sum(restored.values()), len(restored), tuple(dict.fromkeys(problems)))

    def _restore(self, stroke: Stroke) -> bool:
        identifier = stroke.image
        if identifier not in self._stems:
            raise DataError(
                f"the journal has strokes on {identifier}, which is no image of the project",
                code="data.journal.foreign",
            )
        if stroke.number > self.stats_of(identifier).number:
            stored = self.load(identifier)
            if stored is None:
                # Only where somebody removed the mask: the strokes at least are shown.
                empty = np.zeros(self._shapes.get(identifier, stroke.shape), np.uint8)
                stored = super().put(
                    identifier, Correction(empty, empty > 0, empty.copy(), CorrectionStats())
                )
            self.take(stroke, stored)
            return True
        self._waiting.setdefault(identifier, []).append(stroke)
        return False

    def shape(self, identifier: str) -> tuple[int, int]:
        """(Y, X) of an image.

        Raises
        ------
        DataError
            If the project has no such image.
        """
        if identifier not in self._shapes:
            raise DataError(
                f"the project has no image {identifier}",
                code="data.image.unknown",
                remedy="add it to the project, or make another",
            )
        return self._shapes[identifier]

    def load(self, identifier: str) -> Correction | None:
        """The correction of an image, from memory or disk; None if nobody worked on it.

        Raises
        ------
        DataError
            If its file cannot be read.
        """
        if identifier in self._loaded:
            self._loaded.move_to_end(identifier)
            return self._loaded[identifier]
        if identifier not in self.stats:
            return None
        stored = read_stored_mask(self.masks.path(identifier), self.shape(identifier))
        self._loaded[identifier] = stored
        self._let_go()
        return stored

    def put(self, identifier: str, stored: Correction) -> Correction:
        """Take in what a person starts from; it is saved as it is, ahead of the first stroke."""
        self._starts[identifier] = frozen(stored)
        return super().put(identifier, stored)

    def journal_is_full(self) -> bool:
        """Whether all masks should be saved now; once that was said, not until as much is written again."""
        if self.journal.written <= JOURNAL_BYTES:
            return False
        self.journal.written = 0
        return True

    def forget(self, identifier: str) -> None:
        """Know nothing of an image any more; its file is set aside when the next is written."""
        super().forget(identifier)
        self._known.discard(identifier)
        self._starts.pop(identifier, None)

    def history(self, identifier: str) -> list[Stroke]:
        """Every stroke on an image, the oldest first.

        Raises
        ------
        DataError
            If its file cannot be read.
        """
        path = self._history_path(identifier)
        on_disk = read_strokes(path).strokes if path.exists() else ()
        both = {s.number: s for s in (*on_disk, *super().history(identifier))}
        return [both[n] for n in sorted(both)]

    def _history_path(self, identifier: str) -> Path:
        return self.history_folder / f"{self._stems[identifier]}.strokes"

    def unsaved(self) -> list[str]:
        """Images whose mask, or history, is not up to date."""
        return sorted(self._dirty.keys() | {i for i, strokes in self._waiting.items() if strokes})

    def changed_before(self, count: int) -> str:
        """Id of the unsaved image that changed ahead of the last `count`; empty if there is none."""
        return next(islice(reversed(self._dirty), count, None), "")

    # for the thread that writes

    def append(self, strokes: Iterable[Stroke]) -> None:
        """Write strokes to the journal; raises OSError."""
        strokes = tuple(strokes)
        self.journal.append(strokes)
        self._journaled = max([self._journaled, *(s.number for s in strokes)])

    def save(self, identifier: str) -> None:
        """Write the mask of an image and its history, and let the journal go where all is written.

        Of an image that has no file yet only what the person started from is written: strokes come behind it.

        Raises
        ------
        OSError, OutputError
            If that fails; it may be tried again.
        """
        with self._lock:
            start = self._starts.pop(identifier, None)
            stored = start or self._loaded.get(identifier)
            dirty = identifier in self._dirty
            if stored is not None and dirty:
                frozen(stored)  # a stroke that comes meanwhile goes to another array
            through = (self.stats_of(identifier) if start is None else start.stats).number
            waiting = [s for s in self._waiting.get(identifier, ()) if s.number <= through]
            if through == self.stats_of(identifier).number:
                self._dirty.pop(identifier, None)
            self._saving = identifier
        try:
            # No mask has a stroke that neither journal nor history has, should the program be killed here.
            if early := [s for s in waiting if s.number > self._journaled]:
                self.journal.append(early)
            if stored is not None and dirty:
                if identifier not in self._known:
                    self.masks.set_aside(identifier)  # what is there nevertheless could not be read
                self.masks.write(identifier, stored)
                self._known.add(identifier)
            if waiting:
                self._append_history(identifier, waiting)
        except BaseException:
            with self._lock:
                self._saving = ""
                if dirty:
                    self._dirty.setdefault(identifier)
                if start is not None:
                    self._starts.setdefault(identifier, start)
            raise
        with self._lock:
            self._saving = ""
            rest = [s for s in self._waiting.get(identifier, ()) if s.number > through]
            self._waiting[identifier] = rest
            self._settled[identifier] = through
            self._let_go()
        if waiting:
            self._compact()

    def _compact(self) -> None:
        folders = (self.masks.folder, self.history_folder)
        self.journal.compact(lambda i: self._settled.get(i, 0), folders)

    def _append_history(self, identifier: str, strokes: list[Stroke]) -> None:
        path = self._history_path(identifier)
        path.parent.mkdir(exist_ok=True)
        try:
            file = StrokeFile(path)
        except DataError:
            path.rename(path.with_suffix(f".damaged-{strokes[-1].number}"))
            file = StrokeFile(path)
        try:
            file.append([s for s in strokes if s.number > file.last])
        finally:
            file.close()

    def _let_go(self) -> None:
        """Let go of masks that are saved and were not looked at lately; never of the last one."""
        size = sum(3 * s.mask.nbytes for s in self._loaded.values())
        for identifier in list(self._loaded)[:-1]:
            if size <= MEMORY_BYTES:
                return
            if identifier not in self._dirty and identifier != self._saving:
                size -= 3 * self._loaded.pop(identifier).mask.nbytes

    def close(self) -> None:
        """Write the index of all masks, and let go of the journal; errors are of no consequence."""
        with suppress(OSError, OutputError):
            self._compact()
            if not self.unsaved():
                self.masks.write_index(self.stats)
        self.journal.close()
