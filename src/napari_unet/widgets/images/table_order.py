"""Which images the table shows and in which order, in numpy; knows nothing of Qt."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.session.images.image_row import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_unet.session.images.image_row import ImageRow

PARTS = ("train", "validation", "held-out", "unseen", "not known")
PROBLEM = len(STATUSES)
HEXADECIMAL = re.compile(r"(?=.*\d)(?=.*[a-fA-F])[0-9a-fA-F]{8,}")  # names such as 0a7e067255


class Column(IntEnum):
    """Columns of the table, from the left."""

    IMAGE = 0
    GROUP = 1
    PART = 2
    STATUS = 3
    IOU = 4


# What the combo box offers: the key in code and the words on the screen.
FILTERS = {
    "all": "All",
    "new": "New",
    "segmented": "Segmented",
    "corrected": "Corrected",
    "done": "Done",
    "reference": "With reference",
    "held-out": "Held-out",
    "problem": "Problems",
}


class TableOrder:
    """Rows of the table as columns of numbers, to sort, filter and count all of them at once.

    A proxy model would ask Python for every comparison; 20,000 rows take it a second or more.

    Parameters
    ----------
    rows : sequence of ImageRow
        Their ids differ.

    Raises
    ------
    ValueError
        Two rows have one id.
    """

    def __init__(self, rows: Sequence[ImageRow] = ()) -> None:
        self.rows = list(rows)
        self.index = {row.id: number for number, row in enumerate(self.rows)}
        if len(self.index) < len(self.rows):
            twice = next(row.id for number, row in enumerate(self.rows) if self.index[row.id] != number)
            raise ValueError(f"every image is listed once, yet {twice!r} came twice; give ids that differ")
        count = len(self.rows)
        self._text = [f"{row.id}\n{row.group}".casefold() for row in self.rows]
        self._status = np.zeros(count, np.int8)
        self._part = np.zeros(count, np.int8)
        self._iou = np.full(count, np.nan)
        self._reference = np.zeros(count, bool)
        self._problem = np.zeros(count, bool)
        self._ranks: dict[Column, NDArray[np.float64]] = {}
        for number, row in enumerate(self.rows):
            self._note(number, row)

    def _note(self, number: int, row: ImageRow) -> None:
        self._status[number] = STATUSES.index(row.status)
        self._part[number] = PARTS.index(row.part) if row.part in PARTS else -1
        self._iou[number] = np.nan if row.rank is None else row.rank
        self._reference[number] = row.has_reference
        self._problem[number] = bool(row.problem)

    def update(self, rows: Iterable[ImageRow]) -> list[int]:
        """Replace rows by their ids.

        Parameters
        ----------
        rows : iterable of ImageRow
            Those whose id is not listed are passed over: news of a list shown before.

        Returns
        -------
        list of int
            Numbers of the rows that changed.
        """
        changed = []
        for row in rows:
            number = self.index.get(row.id, -1)
            if number < 0 or self.rows[number] == row:
                continue
            if row.group != self.rows[number].group:
                self._text[number] = f"{row.id}\n{row.group}".casefold()
                self._ranks.pop(Column.GROUP, None)
            self.rows[number] = row
            self._note(number, row)
            changed.append(number)
        return changed

    def counts(self) -> dict[str, int]:
        """How many rows each filter lets through, by its key."""
        return {key: int(np.count_nonzero(self._passes(key))) for key in FILTERS}

    def arrange(self, words: str, key: str, column: Column | None, descending: bool) -> NDArray[np.intp]:
        """Numbers of the rows to show, in order.

        Parameters
        ----------
        words : str
            Each must be in the name or the group; case does not matter.
        key : str
            One of `FILTERS`.
        column : StepColumn or None
            What to sort by; None leaves the order in which the rows came.
        descending : bool
            Whether the greatest comes first. What has no value comes last either way, and equals stay in the
            order in which they came.

        Returns
        -------
        numpy.ndarray
            (shown,) intp.
        """
        shown = self._passes(key)
        for word in words.casefold().split():
            shown = shown & np.fromiter((word in text for text in self._text), bool, len(self._text))
        numbers = np.flatnonzero(shown)
        if column is None:
            return numbers
        values = self._values(column)[numbers]
        return numbers[np.argsort(-values if descending else values, kind="stable")]

    def _passes(self, key: str) -> NDArray[np.bool_]:
        if key == "all":
            return np.ones(len(self.rows), bool)
        if key == "reference":
            return self._reference
        if key == "problem":
            return self._problem
        if key == "held-out":
            return np.equal(self._part, PARTS.index(key))
        return np.equal(self._status, [str(status) for status in STATUSES].index(key))

    def _values(self, column: Column) -> NDArray[np.float64]:
        """Numbers to sort by; NaN, which numpy sorts last, where there is nothing to tell."""
        if column == Column.IOU:
            return self._iou
        if column == Column.STATUS:
            return np.where(self._problem, PROBLEM, self._status).astype(np.float64)
        if column == Column.PART:
            return np.where(self._part < 0, np.nan, self._part)
        if column not in self._ranks:
            texts = [row.id if column == Column.IMAGE else row.group for row in self.rows]
            self._ranks[column] = _ranks(texts)
        return self._ranks[column]


def _ranks(texts: list[str]) -> NDArray[np.float64]:
    """Place of every text where numbers inside count as numbers, so that z9 comes before z10.

    Digits among the letters of a hexadecimal name are no numbers: 0a18 comes before 0a7e.
    """
    keys = {
        text: text.casefold()
        if HEXADECIMAL.fullmatch(text)
        else re.sub(r"\d+", lambda digits: digits[0].zfill(20), text.casefold())
        for text in texts
    }
    places = {key: float(place) for place, key in enumerate(sorted(set(keys.values())))}
    return np.array([places[keys[text]] if text else np.nan for text in texts], np.float64)
