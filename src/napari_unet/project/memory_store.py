"""Corrections in memory: masks, what is known of each, and the strokes that led to them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np

from napari_unet.project.mask_files import Effort, StoredMask
from napari_unet.project.stroke import QUIET, VOUCHED, Stroke


class MemoryStore:
    """Masks and strokes in memory alone; whoever changes it holds the lock.

    An array that somebody else may hold is read-only, and a stroke on it makes a new one: a mask that was
    handed out never changes. Between two strokes that nobody looks at, nothing is copied.
    """

    def __init__(self) -> None:
        self.efforts: dict[str, Effort] = {}
        self.last = 0
        self._loaded: OrderedDict[str, StoredMask] = OrderedDict()
        self._dirty: dict[str, None] = {}  # changed since they were saved, the latest last
        self._waiting: dict[str, list[Stroke]] = {}  # not in the history yet

    def effort(self, identifier: str) -> Effort:
        """Of an image; all zero if nobody worked on it."""
        return self.efforts.get(identifier, Effort())

    def shape(self, identifier: str) -> tuple[int, int] | None:
        """(Y, X) of an image; None while any mask will do."""
        stored = self._loaded.get(identifier)
        return None if stored is None else (int(stored.mask.shape[0]), int(stored.mask.shape[1]))

    def load(self, identifier: str) -> StoredMask | None:
        """The correction of an image; None if nobody worked on it."""
        return self._loaded.get(identifier)

    def put(self, identifier: str, stored: StoredMask) -> StoredMask:
        """Take in what a person starts from."""
        self._loaded[identifier] = stored
        self.efforts[identifier] = stored.effort
        self._touch(identifier)
        return stored

    def take(self, stroke: Stroke, stored: StoredMask) -> None:
        """Do a stroke to the mask in memory."""
        mask = stored.mask if stored.mask.flags.writeable else stored.mask.copy()
        vouched = stored.vouched if stored.vouched.flags.writeable else stored.vouched.copy()
        stroke.apply(mask, vouched)
        old = stored.effort
        by_hand = stroke.kind not in QUIET
        gained = (stroke.after >= VOUCHED).astype(np.int64) - (stroke.before >= VOUCHED)
        effort = Effort(
            stroke.number,
            stroke.done,
            old.strokes + by_hand * stroke.begun,
            old.changed + by_hand * stroke.pixels,
            round(old.seconds + stroke.seconds, 2),
            old.vouched + int((gained * stroke.lengths).sum()),
        )
        self._loaded[stroke.image] = replace(stored, mask=mask, vouched=vouched, effort=effort)
        self.efforts[stroke.image] = effort
        self.last = max(self.last, stroke.number)
        self._waiting.setdefault(stroke.image, []).append(stroke)
        self._touch(stroke.image)

    def forget(self, identifier: str) -> None:
        """Know nothing of an image any more."""
        self._loaded.pop(identifier, None)
        for known in (self.efforts, self._dirty, self._waiting):
            known.pop(identifier, None)

    def history(self, identifier: str) -> list[Stroke]:
        """Every stroke on an image, the oldest first."""
        return list(self._waiting.get(identifier, ()))

    def unsaved(self) -> list[str]:
        """Images whose mask, or history, is not where it belongs: here none, as nothing is ever saved."""
        return []

    def journal_is_full(self) -> bool:
        """Whether all masks should be saved now, as their strokes take up much of the disk."""
        return False

    def changed_before(self, count: int) -> str:
        """Id of the image that changed ahead of the last `count`, if its mask is to be saved; else empty."""
        return ""

    def _touch(self, identifier: str) -> None:
        self._dirty.pop(identifier, None)
        self._dirty[identifier] = None


def frozen(stored: StoredMask) -> StoredMask:
    """Make the arrays of a correction read-only, as somebody is about to hold them."""
    for array in (stored.mask, stored.vouched, stored.prediction):
        array.flags.writeable = False
    return stored
