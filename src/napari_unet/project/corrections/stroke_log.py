"""The strokes on one large mask, in memory: which of them count, what they verify, what can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.project.corrections.correction import CorrectionStats
from napari_unet.project.corrections.mask_pyramid import do_to, part_of
from napari_unet.project.corrections.stroke import QUIET, VERIFIED, Box, Stroke, joined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

ROOM = 256  # places for boxes that are made at a time


class StrokeLog:
    """Strokes in the order in which they were made.

    Attributes
    ----------
    strokes : list of Stroke
        All, with those that take others back.
    live : list of Stroke
        Those that were not taken back; the parts of one drag of the brush are one.
    stats : CorrectionStats
        How much was painted, and whether the mask is done.
    """

    def __init__(self, strokes: Iterable[Stroke] = ()) -> None:
        self.strokes: list[Stroke] = []
        self.live: list[Stroke] = []
        self.stats = CorrectionStats()
        self._boxes = np.zeros((ROOM, 4), np.int64)
        for stroke in strokes:
            self.add(stroke)

    def add(self, stroke: Stroke) -> None:
        """Take in the next stroke."""
        if len(self.strokes) == len(self._boxes):
            self._boxes = np.concatenate([self._boxes, np.zeros_like(self._boxes)])
        self._boxes[len(self.strokes)] = stroke.box
        self.strokes.append(stroke)
        old, by_hand = self.stats, stroke.kind not in QUIET
        gained = (stroke.after >= VERIFIED).astype(np.int64) - (stroke.before >= VERIFIED)
        self.stats = CorrectionStats(
            stroke.number,
            stroke.done,
            old.strokes + by_hand * stroke.begun,
            old.changed + by_hand * stroke.pixels,
            round(old.seconds + stroke.seconds, 2),
            old.verified + int((gained * stroke.lengths).sum()),
        )
        if stroke.kind == "undo":
            del self.live[-1:]
        elif stroke.pixels and stroke.begun == 0 and self.live:
            self.live[-1] = joined(self.live[-1], stroke)
        elif stroke.pixels:
            self.live.append(stroke)

    def touching(self, box: Box, since: int = 0) -> list[Stroke]:
        """Strokes on a box, in order, with a number above `since`."""
        y0, x0, y1, x1 = box
        boxes = self._boxes[: len(self.strokes)]
        apart = (boxes[:, 0] >= y1) | (boxes[:, 2] <= y0) | (boxes[:, 1] >= x1) | (boxes[:, 3] <= x0)
        found = (self.strokes[n] for n in np.flatnonzero(~apart))
        return [stroke for stroke in found if stroke.number > since and stroke.pixels]

    def last_strokes(self, side: int, *, live: bool = False) -> dict[tuple[int, int], int]:
        """Row and column of each touched cell of a grid to the number of the last stroke on it.

        Parameters
        ----------
        side : int
            Pixels of a cell, either way.
        live : bool
            Whether strokes that were taken back do not count.
        """
        found = {}
        for stroke in self.live if live else self.strokes:
            if stroke.pixels:
                y0, x0, y1, x1 = stroke.box
                for row in range(y0 // side, -(-y1 // side)):
                    for column in range(x0 // side, -(-x1 // side)):
                        found[row, column] = stroke.number
        return found

    def verified(self, box: Box) -> NDArray[np.bool_]:
        """(Y, X) bool of a box: what a person painted there."""
        y0, x0, y1, x1 = box
        found = np.zeros((y1 - y0, x1 - x0), bool)
        for stroke in self.touching(box):
            part = part_of(stroke, (y0, x0), found.shape)
            if part is not None:
                place, where, values = part
                found[place][where] = values >= VERIFIED
        return found

    def do_again(self, mask: NDArray[np.uint8], box: Box, since: int) -> None:
        """Do to a part of a mask the strokes that are not in it yet: those with a number above `since`."""
        for stroke in self.touching(box, since):
            do_to(mask, (box[0], box[1]), stroke)
