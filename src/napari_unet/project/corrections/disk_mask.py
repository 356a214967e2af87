"""The mask of one large image, on disk: strokes are journalled, then painted chunk by chunk."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path, sync_folder, write_text
from napari_unet.errors import OutputError, WorkbenchError
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.project.corrections.background_writer import BackgroundWriter
from napari_unet.project.corrections.correction import IGNORE, MaskVersion
from napari_unet.project.corrections.journal import MAGIC, StrokeFile, framed, read_strokes
from napari_unet.project.corrections.mask_pyramid import MaskPyramid
from napari_unet.project.corrections.stroke import Box, Stroke, changed_runs, states, takes_back
from napari_unet.project.corrections.stroke_log import StrokeLog
from napari_unet.project.lock import ProjectLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.project.corrections.correction import CorrectionStats

Runs = tuple[Box, "NDArray[Any]", "NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]
IDLE_SECONDS = 30.0  # a longer pause between two strokes is no work
REST = 0.3  # seconds without a stroke until what is in the journal is painted on all levels
NO_RUNS = changed_runs(np.zeros((0, 0), np.uint16), np.zeros((0, 0), np.uint16))
JOURNAL, PLACE = "strokes", "state.json"  # in the folder of corrections


class DiskMask:
    """Owns what people painted on one large image, as ``Corrections`` do for images that fit into memory.

    A stroke is in the journal within milliseconds; the chunks that it touches are written right after, on all
    levels. Until then whoever reads gets it all the same. Opened again after a kill, what is in the journal
    and not in the mask is painted again.

    Parameters
    ----------
    path : pathlib.Path
        The OME-Zarr of the mask.
    name : str
        Id of the image.
    on_trouble : callable
        (sentence) when the disk refuses, ("") when all is written again; called in another thread.
    clock : callable
        () -> seconds since 1970.
    """

    is_in_memory = False

    def __init__(
        self,
        path: Path,
        name: str,
        on_trouble: Callable[[str], None] = lambda sentence: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path, self.name = path, name
        self.folder = corrections_folder(path)
        self.pyramid = MaskPyramid(path)
        self.problem = ""  # why nothing can be painted; empty if it can
        self._clock = clock
        self._lock, self._disk = threading.RLock(), threading.Lock()
        self._last_time: float | None = None
        self._journal: StrokeFile | None = None
        self._project_lock: ProjectLock | None = None
        self._closed = False
        self._on = "painted"  # what the mask on disk is: "painted", or the "prediction" without any stroke
        self._applied = 0  # number of the last stroke that is in the mask on disk
        self._noted = 0  # what of that is noted next to the journal
        self.log = StrokeLog()
        self.writer = BackgroundWriter(self._write, self._paint, on_trouble=on_trouble, rest=REST)
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        """Take up what was painted before."""
        path = self.folder / JOURNAL
        if not path.exists():
            return
        self._take_lock()
        self.log = StrokeLog(read_strokes(path).strokes)
        with suppress(OSError, *BAD_CONTENT):
            place = parse_json((self.folder / PLACE).read_bytes())
            self._on, self._applied = str(place["on"]), int(place["applied"])
            self._noted = self._applied
        if self.problem:
            return
        if self._on == "prediction":
            self._carry(self.log.live, fresh=True)
        self._have_painted()

    def _take_lock(self) -> None:
        if self._project_lock is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = ProjectLock(self.folder)
            try:
                lock.acquire()
            except (WorkbenchError, OSError) as error:
                self.problem = error.sentence if isinstance(error, WorkbenchError) else str(error)
            else:
                self._project_lock = lock

    # what it is

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.pyramid.shape

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._closed or bool(self.problem)

    @property
    def state(self) -> dict[str, Any]:
        """What the mask was made with: threshold, minimum_size, objects, share."""
        return self.pyramid.state

    @property
    def holds_strokes_only(self) -> bool:
        """Whether the mask is what a person painted and nothing else: other pixels of it are unknown."""
        return bool(self.state.get("strokes"))

    @property
    def share(self) -> float:
        """How much of the image is segmented, 0 to 1."""
        return float(self.state.get("share", 0.0))

    def stats(self, identifier: str = "") -> CorrectionStats:
        """How much was painted, and whether the mask is done."""
        return self.log.stats

    def has_evidence(self, identifier: str = "") -> bool:
        """Whether a person verifies something of it."""
        return self.log.stats.done or self.log.stats.verified > 0

    def __contains__(self, identifier: object) -> bool:
        """Whether somebody worked on it."""
        return bool(self.log.strokes)

    # reading

    def read(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """(Y, X) uint8: a part of the mask as it is now, with strokes that are on their way to the disk."""
        with self._disk:
            return self._now((rows.start, columns.start, rows.stop, columns.stop))

    def read_box(self, box: Box) -> NDArray[np.uint8]:
        """(Y, X) uint8: as ``read``, of a box: first row, first column, row and column behind the last."""
        return self.read(slice(box[0], box[2]), slice(box[1], box[3]))

    def _now(self, box: Box) -> NDArray[np.uint8]:
        found = self.pyramid.read(slice(box[0], box[2]), slice(box[1], box[3]))
        with self._lock:
            self.log.do_again(found, box, self._applied)
        return found

    def verified(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """(Y, X) bool: what a person painted in a part."""
        with self._lock:
            return self.log.verified((rows.start, columns.start, rows.stop, columns.stop))

    def last_strokes(self, side: int, *, live: bool = False) -> dict[tuple[int, int], int]:
        """Where somebody painted; see ``StrokeLog.last_strokes``."""
        with self._lock:
            return self.log.last_strokes(side, live=live)

    def mask(self, identifier: str = "") -> NDArray[np.uint8]:
        """(Y, X) uint8: all of it; needs a byte for each pixel."""
        height, width = self.shape
        return self.read(slice(0, height), slice(0, width))

    # changing

    def prepare(self) -> None:
        """Somebody is about to paint: lock the mask on disk, which takes longer than a stroke may."""
        with self._lock:
            if not self.read_only:
                self._take_lock()

    def paint(
        self,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        origin: tuple[int, int],
        kind: str = "paint",
        *,
        box: Box | None = None,
        begun: int = 1,
    ) -> Stroke | None:
        """Take a change of a part; the person verified the pixels that differ.

        A change that takes the last stroke back is an undo.

        Parameters
        ----------
        before, after : numpy.ndarray
            (Y, X) uint8, 0 background, 1..K classes, 255 ignore: the part as it was read, and now.
        origin : tuple of int
            Row and column of its first pixel.
        kind : str
            What did it.
        box : tuple of int, optional
            First row, first column, row and column behind the last of the part, outside of which nothing
            changed.
        begun : int
            How many strokes of the hand began in it; 0: it is more of the last one.

        Returns
        -------
        Stroke or None
            None if nothing changed.

        Raises
        ------
        OutputError
            If it cannot be painted on.
        """
        y0, x0, y1, x1 = box or (0, 0, *before.shape)
        old, new = before[y0:y1, x0:x1], after[y0:y1, x0:x1]
        touched = old != new
        if not touched.any():
            return None
        top, left = y0 + origin[0], x0 + origin[1]
        with self._lock:
            verified = self.log.verified((top, left, top + old.shape[0], left + old.shape[1]))
            runs = changed_runs(states(old, verified), states(new, verified | touched), (top, left))
            stroke = self._stroke(kind, runs)
            last = self.log.live[-1] if self.log.live else None
            if begun == 0 and last is not None and last.number == self.log.stats.number:
                return self._take(replace(stroke, begun=0, kind=last.kind))
            if last is not None and takes_back(stroke, last):
                return self._take(self._inverse(last))
            return self._take(replace(stroke, begun=max(begun, 1)))

    def undo(self, identifier: str = "") -> Stroke | None:
        """Take the last stroke back, also one of an earlier session; None if there is none."""
        with self._lock:
            return self._take(self._inverse(self.log.live[-1])) if self.log.live else None

    def set_done(
        self, identifier: str = "", done: bool = True, *, mask: NDArray[np.uint8] | None = None
    ) -> Stroke | None:
        """Verify the whole mask, or take that back."""
        with self._lock:
            if self.log.stats.done == done:
                return None
            return self._take(replace(self._stroke("done" if done else "not done", NO_RUNS), done=done))

    def revert(self, identifier: str = "", prediction: NDArray[np.uint8] | None = None) -> None:
        """Go back to what was predicted; nothing is verified any more."""
        with self._lock:
            self.set_done(done=False)
            self.revert_to(identifier, 0)

    def versions(self, identifier: str = "") -> tuple[MaskVersion, ...]:
        """Every state that the mask can go back to, the oldest first."""
        with self._lock:
            painted = (MaskVersion(s.number, s.time, s.kind, s.pixels) for s in self.log.live)
            return MaskVersion(0, 0.0, "prediction", 0), *painted

    def revert_to(self, identifier: str, number: int) -> None:
        """Go back to an earlier version: take back, one after another, all that came later."""
        with self._lock:
            while self.log.live and self.log.live[-1].number > number:
                self._take(self._inverse(self.log.live[-1]))

    def _stroke(self, kind: str, runs: Runs) -> Stroke:
        now = self._clock()
        worked = 0.0 if self._last_time is None else min(max(now - self._last_time, 0), IDLE_SECONDS)
        stats = self.log.stats
        about = stats.number + 1, self.name, now, kind, self.shape
        return Stroke(*about, *runs, stats.done, stats.done, worked)

    def _inverse(self, stroke: Stroke) -> Stroke:
        plain = self._stroke("undo", NO_RUNS)
        back = stroke.inverse(
            number=plain.number, time=plain.time, kind="undo", seconds=plain.seconds, begun=1
        )
        return replace(back, done_before=plain.done, done=plain.done)

    def _take(self, stroke: Stroke) -> Stroke:
        self._take_lock()
        if self.read_only:
            raise OutputError(
                f"the mask of {self.name} cannot be changed",
                code="output.project.readonly",
                got=self.problem or "it is closed",
                remedy="close the other window, or open the image again",
            )
        self.log.add(stroke)
        self._last_time = stroke.time
        self.writer.append(stroke)
        self._have_painted()
        return stroke

    def _have_painted(self) -> None:
        """Have the writer paint what is in the journal, once all that waits is there."""
        self.writer.save(str(self.log.stats.number))  # each by another name, so that none is passed over

    # other masks of the same image

    def carry_over(self, other: DiskMask) -> int:
        """Paint here what was painted on another mask of the image, and is not here yet.

        Returns
        -------
        int
            Strokes that were taken over.
        """
        with other._lock:
            since = self.log.strokes[-1].time if self.log.strokes else 0.0
            strokes = [stroke for stroke in other.log.live if stroke.time > since]
        unknown = other if other.holds_strokes_only and not self.holds_strokes_only else None
        if not strokes:
            return 0
        self._take_lock()
        if self.problem:
            return 0
        self.flush()
        self._carry(strokes, fresh=False, unknown=unknown)
        self._have_painted()
        return len(strokes)

    def _carry(self, strokes: Iterable[Stroke], *, fresh: bool, unknown: DiskMask | None = None) -> None:
        """Set on this mask what strokes set on another one: before them is what is here.

        A journal of such strokes is there whole before any of them is painted. What the person left or made
        unknown on a mask of strokes stays as it is here.
        """
        with self._disk, self._lock:
            self._applied = 0 if fresh else self._applied
            self.log = StrokeLog() if fresh else self.log
            for stroke in strokes:
                before = states(self._now(stroke.box), self.log.verified(stroke.box))
                after = before.copy()
                after[stroke.where()] = stroke.values()[1]
                if unknown is not None:
                    after = np.where(unknown.read_box(stroke.box) == IGNORE, before, after)
                runs = changed_runs(before, after, (stroke.box[0], stroke.box[1]))
                if runs[0] != (0, 0, 0, 0):
                    plain = self._stroke(stroke.kind, runs)
                    again = replace(plain, time=stroke.time, seconds=stroke.seconds, begun=stroke.begun or 1)
                    self.log.add(again)
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            with atomic_path(self.folder / JOURNAL) as partial:
                partial.write_bytes(MAGIC + framed(self.log.strokes))
            sync_folder(self.folder)
            self._on = "painted"
            self._note_place()

    # the disk

    def _write(self, strokes: Iterable[Stroke]) -> None:
        """In the thread that writes: append to the journal."""
        try:
            if self._journal is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._journal = StrokeFile(self.folder / JOURNAL)
                sync_folder(self.folder)
            self._journal.append(s for s in tuple(strokes) if s.number > self._journal_last())
        except OSError:
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            raise

    def _journal_last(self) -> int:
        return self._journal.last if self._journal is not None else 0

    def _paint(self, _: str) -> None:
        """In the thread that writes: have all strokes in the mask that are in the journal."""
        with self._lock:
            strokes = [stroke for stroke in self.log.strokes if stroke.number > self._applied]
        if strokes:
            self.pyramid.paint(strokes, self._disk)
            with self._disk, self._lock:
                self._applied = strokes[-1].number

    def _note_place(self) -> None:
        write_text(self.folder / PLACE, json.dumps({"on": self._on, "applied": self._applied}))
        self._noted = self._applied

    @property
    def waiting(self) -> int:
        """Strokes that are in memory only."""
        return self.writer.waiting

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until everything is on disk; gives back whether it is."""
        return self.writer.flush(timeout)

    def close(self) -> None:
        """Write what waits, and let go of the mask."""
        if self._closed:
            return
        written = self.flush()
        self._closed = True
        self.writer.close()
        if self._journal is not None:
            self._journal.close()
        if self._project_lock is not None and self._project_lock.held:
            if written and self._applied != self._noted:
                self.pyramid.sync()
                with suppress(OSError, OutputError):
                    self._note_place()
            self._project_lock.release()


def note_making(path: Path, *, made: bool) -> None:
    """Say of a mask that nobody has open that it is being made of probabilities again, or was.

    While it is being made, and after a kill then, all strokes are painted on whatever is there. Once it was
    made, they are set on the new mask: to take one back leaves what is predicted now.

    Parameters
    ----------
    path : pathlib.Path
        Of the mask.
    made : bool
        Whether it is whole again.

    Raises
    ------
    OutputError
        If the disk refuses.
    """
    folder = corrections_folder(path)
    if (folder / JOURNAL).exists():
        write_text(folder / PLACE, json.dumps({"on": "prediction" if made else "painted", "applied": 0}))


def has_strokes(path: Path) -> bool:
    """Whether somebody painted on a mask, ever."""
    return (corrections_folder(path) / JOURNAL).exists()


def corrections_folder(path: Path) -> Path:
    """Where the strokes on a mask are: next to it, under its name."""
    name = path.name.removesuffix(".unfinished").removesuffix(".zarr").removesuffix(".ome")
    return path.with_name(f"{name}.corrections")
