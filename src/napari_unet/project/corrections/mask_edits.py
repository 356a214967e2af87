"""Edits of masks: each change becomes a stroke, which is done in memory, written, and can be undone."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import DataError, OutputError
from napari_unet.project.corrections.correction import Correction, CorrectionStats
from napari_unet.project.corrections.stroke import Box, Stroke, changed_runs, states

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.project.corrections.background_writer import BackgroundWriter, NoWriter
    from napari_unet.project.corrections.memory_store import MemoryStore

IDLE_SECONDS = 30.0  # a longer pause between two strokes is no work
MOST_UNDONE = 100
MOST_UNSAVED = 4  # images whose masks are in memory only though their strokes are written
NO_RUNS = changed_runs(np.zeros((0, 0), np.uint16), np.zeros((0, 0), np.uint16))


class MaskEdits:
    """Makes strokes of what changes, does them to the masks of a store, and has them written.

    Whoever calls a method holds the lock.

    Parameters
    ----------
    store : MemoryStore
        Where the masks are.
    lock : threading.RLock
        That of the store.

    Attributes
    ----------
    clock : callable
        () -> seconds since 1970.
    writer : BackgroundWriter, NoWriter or None
        Writes strokes and masks; None while every change is refused.
    undoable : dict
        Id of an image to the strokes that can be undone, the oldest first.
    """

    def __init__(self, store: MemoryStore, lock: Any) -> None:
        self.store, self.lock = store, lock
        self.clock: Callable[[], float] = time.time
        self.writer: BackgroundWriter | NoWriter | None = None
        self.undoable: defaultdict[str, list[Stroke]] = defaultdict(list)
        self._last_time: float | None = None

    def loaded(self, identifier: str) -> Correction:
        """The correction of an image that has one."""
        correction = self.store.load(identifier)
        assert correction is not None
        return correction

    def begin(self, identifier: str, prediction: NDArray[np.uint8]) -> Correction:
        """Start the correction of an image from its (Y, X) uint8 predicted mask.

        Raises
        ------
        DataError
            If the image is unknown, or of another size.
        OutputError
            If the project is open for reading only.
        """
        self._check_writable()
        self.check_size(identifier, prediction)
        start = prediction.copy()
        start.flags.writeable = False
        correction = Correction(start, np.zeros(start.shape, bool), start, CorrectionStats())
        self.store.put(identifier, correction)
        # Ahead of the first stroke, which says nothing of the pixels that it left alone.
        self.save(identifier, first=True)
        return correction

    def rebase(self, correction: Correction, identifier: str, prediction: NDArray[np.uint8]) -> Correction:
        """The correction on a newer predicted mask, where nothing of it is verified; else as it is."""
        if correction.stats.is_evidence or np.array_equal(correction.mask, prediction):
            return correction
        check_masks(identifier, correction.mask, prediction)
        verified = correction.verified
        runs = changed_runs(states(correction.mask, verified), states(prediction, verified))
        self.do(correction, self.stroke(identifier, correction, "prediction", runs))
        return self.loaded(identifier)

    def become(
        self, correction: Correction, identifier: str, kind: str, mask: NDArray[np.uint8],
        verified: NDArray[np.bool_], done: bool,
        marks: tuple[NDArray[np.uint16], NDArray[np.uint16]] | None = None,
    ) -> Stroke | None:  # fmt: skip
        """Do the stroke that makes a correction equal to these (Y, X) arrays; None if it is already.

        `marks` are the bits of joins and cuts that pixels have now, and those that they are to have.
        """
        check_masks(identifier, correction.mask, mask)
        now, wanted = states(correction.mask, correction.verified), states(mask, verified)
        if marks is not None:
            now, wanted = now | marks[0], wanted | marks[1]
        runs = changed_runs(now, wanted)
        stroke = replace(self.stroke(identifier, correction, kind, runs), done=done)
        if not stroke.pixels and correction.stats.done == done:
            return None
        self.remember(stroke)
        return self.do(correction, stroke)

    def stroke(
        self,
        identifier: str,
        correction: Correction,
        kind: str,
        runs: tuple[Box, NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint16]],
    ) -> Stroke:
        """The next stroke, made now, of the runs that ``changed_runs`` found."""
        now = self.clock()
        worked = 0.0 if self._last_time is None else min(max(now - self._last_time, 0), IDLE_SECONDS)
        shape = (int(correction.mask.shape[0]), int(correction.mask.shape[1]))
        done = correction.stats.done
        return Stroke(self.store.last + 1, identifier, now, kind, shape, *runs, done, done, worked)

    def remember(self, stroke: Stroke) -> None:
        """Let a stroke be undone later."""
        undoable = self.undoable[stroke.image]
        undoable.append(stroke)
        del undoable[:-MOST_UNDONE]

    def inverse(self, identifier: str, correction: Correction) -> Stroke:
        """The stroke that undoes the last one, which cannot be undone again."""
        stroke, done = self.undoable[identifier].pop(), correction.stats.done
        undo = self.stroke(stroke.image, correction, "undo", NO_RUNS)
        back = stroke.inverse(number=undo.number, time=undo.time, kind="undo", seconds=undo.seconds, begun=1)
        changed_done = stroke.done != stroke.done_before
        return replace(back, done_before=done, done=stroke.done_before if changed_done else done)

    def do(self, correction: Correction, stroke: Stroke) -> Stroke:
        """Do a stroke in memory and have it written; raises OutputError if nothing may be changed."""
        writer = self._check_writable()
        self.store.take(stroke, correction)
        self._last_time = stroke.time
        writer.append(stroke)
        if self.store.journal_is_full():
            self.save_all()
        older = self.store.changed_before(MOST_UNSAVED)
        if older:
            self.save(older)
        return stroke

    def save(self, identifier: str, *, first: bool = False) -> None:
        """Have the mask of an image written, or, `first`, before any stroke to come."""
        self._check_writable().save(identifier, first=first)

    def save_all(self) -> None:
        """Have all masks written that changed."""
        for identifier in self.store.unsaved():
            self.save(identifier)

    def forget(self, identifier: str) -> None:
        """Know nothing of an image any more."""
        self.store.forget(identifier)
        self.undoable.pop(identifier, None)

    def check_size(self, identifier: str, mask: NDArray[np.uint8]) -> None:
        """Raise DataError if a mask is not of the size of its image."""
        shape = self.store.shape(identifier)
        if shape is not None and mask.shape != shape:
            raise DataError(
                f"the mask does not fit the image {identifier}",
                code="data.mask.size",
                expected=f"{shape[1]} x {shape[0]} pixels",
                got=f"{mask.shape[1]} x {mask.shape[0]}",
                remedy="segment it again",
            )

    def _check_writable(self) -> BackgroundWriter | NoWriter:
        if self.writer is None:
            raise OutputError(
                "the project is open for reading only",
                code="output.project.readonly",
                remedy="open it again without reading only",
            )
        return self.writer


def check_masks(identifier: str, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
    """Raise DataError unless both are (Y, X) uint8 of one size."""
    for mask in (before, after):
        if mask.ndim != 2 or mask.dtype != np.uint8 or mask.shape != before.shape:
            raise DataError(
                f"the mask of {identifier} does not fit",
                code="data.mask.size",
                expected=f"uint8 of shape {before.shape}",
                got=f"{mask.dtype} of shape {mask.shape}",
                remedy="give masks of one image, before and after",
            )
