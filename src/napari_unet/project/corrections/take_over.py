"""Take over from elsewhere what was done to an image, stroke by stroke."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import DataError
from napari_unet.project.corrections.memory_store import frozen
from napari_unet.project.corrections.stroke import Stroke, done_again, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.project.corrections.correction import Correction
    from napari_unet.project.corrections.mask_edits import MaskEdits


def take_over(
    edits: MaskEdits, identifier: str, other: MaskEdits, name: str, since: int, *, fresh: bool
) -> int:
    """Do to an image what was done to it elsewhere; see ``Corrections.take_over``."""
    with other.lock:
        theirs = other.store.load(name)
        if theirs is None or theirs.stats.number <= since:
            return since
        frozen(theirs)
        undoable = len(other.undoable[name])
        try:
            strokes = [s for s in other.store.history(name) if s.number > since]
        except DataError:
            strokes = []  # the mask is there all the same
    with edits.lock:
        start = _start(edits, identifier, theirs.prediction, fresh=fresh) if not since else None
        for stroke in strokes:
            _do_again(edits, identifier, stroke)
        if start is not None:
            known = edits.undoable[identifier]
            del known[: max(len(known) - undoable, 0)]
        mine = edits.loaded(identifier)
        if not strokes or (start is not None and not _equal(mine, theirs)):
            painted = theirs.verified | theirs.stats.done
            mask = theirs.mask if start is not None else np.where(painted, theirs.mask, mine.mask)
            verified = theirs.verified if start is not None else theirs.verified | mine.verified
            done = theirs.stats.done or (start is None and mine.stats.done)
            edits.become(mine, identifier, "taken over", mask, verified, done)
    return theirs.stats.number


def _start(
    edits: MaskEdits, identifier: str, prediction: NDArray[np.uint8], *, fresh: bool
) -> Correction | None:
    """What strokes from elsewhere begin with; None if they fall on what is painted here."""
    edits.check_size(identifier, prediction)
    try:
        correction = edits.store.load(identifier)
    except DataError:
        if not fresh:
            raise
        edits.store.forget(identifier)
        correction = None
    if correction is None:
        return edits.begin(identifier, prediction)
    if fresh:
        none = np.zeros_like(correction.verified)
        edits.become(correction, identifier, "prediction", prediction, none, False)
        edits.undoable.pop(identifier, None)
        return edits.loaded(identifier)
    based = edits.rebase(correction, identifier, prediction)
    return None if based.stats.is_evidence else based


def _do_again(edits: MaskEdits, identifier: str, stroke: Stroke) -> None:
    """Do a stroke from elsewhere to a mask that may be another one than it was made on."""
    correction = edits.loaded(identifier)
    known, number = edits.undoable[identifier], edits.store.last + 1
    then: dict[str, Any] = {"number": number, "time": stroke.time, "seconds": stroke.seconds}
    if stroke.kind == "undo" and known:
        edits.do(correction, replace(edits.inverse(identifier, correction), **then))
        return
    done = correction.stats.done
    again = replace(done_again(stroke, correction.mask, correction.verified, done), image=identifier, **then)
    if not again.pixels and again.done == done:
        return
    more = stroke.begun == 0 and bool(known) and known[-1].number == correction.stats.number
    if stroke.begun == 0 and not more:
        again = replace(again, begun=1)
    if more:
        known[-1] = joined(known[-1], again)
    elif stroke.kind not in ("undo", "done", "not done", "prediction"):
        edits.remember(again)
    edits.do(correction, again)


def _equal(one: Correction, other: Correction) -> bool:
    same = np.array_equal(one.mask, other.mask) and np.array_equal(one.verified, other.verified)
    return same and one.stats.done == other.stats.done
