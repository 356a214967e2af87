"""Corrections in memory: masks, what is known of each, and the strokes that led to them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np

from napari_unet.project.corrections.correction import Correction, CorrectionStats
from napari_unet.project.corrections.stroke import QUIET, VERIFIED, Stroke


class MemoryStore:
    """Masks and strokes in memory alone; whoever changes it holds the lock.

    An array that somebody else may hold is read-only, and a stroke on it makes a new one: a mask that was
    handed out never changes. Between two strokes that nobody looks at, nothing is copied.
    """

    def __init__(self) -> None:
        self.stats: dict[str, CorrectionStats] = {}
        self.last = 0
        self._loaded: OrderedDict[str, Correction] = OrderedDict()
        self._dirty: dict[str, None] = {}  # changed since they were saved, the latest last
        self._waiting: dict[str, list[Stroke]] = {}  # not in the history yet

    def stats_of(self, identifier: str) -> CorrectionStats:
        """Of an image; all zero if nobody worked on it."""
        return self.stats.get(identifier, CorrectionStats())

    def shape(self, identifier: str) -> tuple[int, int] | None:
        """(Y, X) of an image; None while any mask will do."""
        stored = self._loaded.get(identifier)
        return None if stored is None else (int(stored.mask.shape[0]), int(stored.mask.shape[1]))

    def load(self, identifier: str) -> Correction | None:
        """The correction of an image; None if nobody worked on it."""
        return self._loaded.get(identifier)

    def put(self, identifier: str, stored: Correction) -> Correction:
        """Take in what a person starts from."""
        self._loaded[identifier] = stored
        self.stats[identifier] = stored.stats
        self._touch(identifier)
        return stored

    def take(self, stroke: Stroke, stored: Correction) -> None:
        """Do a stroke to the mask in memory."""
        mask = stored.mask if stored.mask.flags.writeable else stored.mask.copy()
        verified = stored.verified if stored.verified.flags.writeable else stored.verified.copy()
        stroke.apply(mask, verified)
        old = stored.stats
        by_hand = stroke.kind not in QUIET
        gained = (stroke.after >= VERIFIED).astype(np.int64) - (stroke.before >= VERIFIED)
        stats = CorrectionStats(
            stroke.number,
            stroke.done,
            old.strokes + by_hand * stroke.begun,
            old.changed + by_hand * stroke.pixels,
            round(old.seconds + stroke.seconds, 2),
            old.verified + int((gained * stroke.lengths).sum()),
        )
        self._loaded[stroke.image] = replace(stored, mask=mask, verified=verified, stats=stats)
        self.stats[stroke.image] = stats
        self.last = max(self.last, stroke.number)
        self._waiting.setdefault(stroke.image, []).append(stroke)
        self._touch(stroke.image)

    def forget(self, identifier: str) -> None:
        """Know nothing of an image any more."""
        self._loaded.pop(identifier, None)
        for known in (self.stats, self._dirty, self._waiting):
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


def frozen(stored: Correction) -> Correction:
    """Make the arrays of a correction read-only, as somebody is about to hold them."""
    for array in (stored.mask, stored.verified, stored.prediction):
        array.flags.writeable = False
    return stored
