"""The table of all scores as Qt reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QFont

from napari_unet.evaluation.report.summary_text import meaning_of, title_of
from napari_unet.metrics.registry import SCORES
from napari_unet.session.images.collection import SEEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_unet.workflow.evaluate.stored_predictions import ScoredImage

DISPLAY = int(Qt.ItemDataRole.DisplayRole)
TOOLTIP = int(Qt.ItemDataRole.ToolTipRole)
ALIGNMENT = int(Qt.ItemDataRole.TextAlignmentRole)
FONT = int(Qt.ItemDataRole.FontRole)
NOTHING = "\N{EN DASH}"
TEXT = ("image", "group", "part", "mask")
SHOWN_FIRST = (
    "image",
    "part",
    "mask",
    "iou",
    "dice",
    "precision",
    "recall",
    "f1_50",
    "ap",
    "splits",
    "merges",
)
TOOLTIPS = {
    "image": "Name of the image; a click shows it",
    "mask": "Whether a person has corrected the mask. The scores are those of the model's own mask.",
}
WHICH = {"all": "All images", "unseen": "Not seen, or not known", "seen": "Seen in training"}


class ScoresModel(QAbstractTableModel):  # type: ignore[misc]
    """One row an image, one column a score; sorted by any of them, those without a score last."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns: tuple[str, ...] = ("image", "part", "iou")
        self.which = "all"
        self._rows: list[dict[str, Any]] = []
        self._shown: list[int] = []
        self._column, self._descending = "iou", False
        self._slanted = QFont()
        self._slanted.setItalic(True)

    def set_rows(self, scored: Sequence[ScoredImage], status: dict[str, str]) -> None:
        """Show other scores; the order and what is filtered stay as they were asked for.

        Parameters
        ----------
        scored : sequence of ScoredImage
            In the order of the images.
        status : dict
            Of the mask of each image, by id.
        """
        rows = []
        for found in scored:
            known = {"image": found.id, "mask": status.get(found.id, ""), "problem": found.problem}
            rows.append({**found.row, **known})
        keys = dict.fromkeys(TEXT)
        for row in rows:
            keys.update(dict.fromkeys(k for k in row if k != "problem"))
        columns = tuple(keys) if rows else self.columns
        self.beginResetModel()
        self._rows, self.columns = rows, columns
        self._arrange()
        self.endResetModel()

    def filter(self, which: str) -> None:
        """Show "all", those "unseen" by the model, or those "seen" in training."""
        self.beginResetModel()
        self.which = which
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column."""
        if 0 <= column < len(self.columns):
            self.beginResetModel()
            self._column = self.columns[column]
            self._descending = order == Qt.SortOrder.DescendingOrder
            self._arrange()
            self.endResetModel()

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """Name of the column, and whether the largest is on top."""
        return self._column, self._descending

    def _arrange(self) -> None:
        wanted = [
            i for i, row in enumerate(self._rows) if self.which == "all" or self._seen(row) == self.which
        ]
        column = self._column

        def missing(number: int) -> bool:
            value = self._rows[number].get(column)
            return value is None or value == ""

        known = [i for i in wanted if not missing(i)]
        known.sort(key=lambda i: self._rows[i][column], reverse=self._descending)
        self._shown = known + [i for i in wanted if missing(i)]

    @staticmethod
    def _seen(row: dict[str, Any]) -> str:
        return "seen" if row.get("part") in SEEN else "unseen"

    def counts(self) -> dict[str, int]:
        """How many images each filter lets through."""
        seen = sum(self._seen(row) == "seen" for row in self._rows)
        return {"all": len(self._rows), "unseen": len(self._rows) - seen, "seen": seen}

    def id_at(self, row: int) -> str:
        """Of the image in a displayed row."""
        return str(self._rows[self._shown[row]]["image"])

    def row_of(self, identifier: str) -> int:
        """Displayed row of an image; -1 if it is not there."""
        for place, number in enumerate(self._shown):
            if self._rows[number]["image"] == identifier:
                return place
        return -1

    def rows_between(self, low: float, high: float) -> list[int]:
        """Displayed rows with an IoU from `low` up to, not including, `high`; 1 belongs to the last bin."""
        found = []
        for place, number in enumerate(self._shown):
            iou = self._rows[number].get("iou")
            if iou is not None and low <= iou and (iou < high or high >= 1.0):
                found.append(place)
        return found

    def table(self, rows: Iterable[int], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Values of displayed rows, as they are, not as they are shown."""
        return [{c: self._rows[self._shown[r]].get(c) for c in columns} for r in rows]

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """How many images are shown."""
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """How many scores there are."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = DISPLAY) -> Any:  # noqa: N802
        """Title of a column, and what it means."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        key = self.columns[section]
        if role == DISPLAY:
            return header_of(key)
        if role == TOOLTIP:
            return about_column(key)
        return None

    def data(self, index: QModelIndex, role: int = DISPLAY) -> Any:
        """What a cell shows."""
        if not index.isValid() or role not in (DISPLAY, TOOLTIP, ALIGNMENT, FONT):
            return None
        row, key = self._rows[self._shown[index.row()]], self.columns[index.column()]
        if role == ALIGNMENT:
            return None if key in TEXT else Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == FONT:
            return self._slanted if row.get("part") in SEEN else None
        if role == TOOLTIP:
            return row["problem"] or (str(row["image"]) if key == "image" else None)
        return shown(row.get(key), key)


def header_of(key: str) -> str:
    """Title of a column."""
    return "Mask" if key == "mask" else title_of(key)


def about_column(key: str) -> str:
    """What the values of a column mean."""
    return TOOLTIPS.get(key) or meaning_of(key) or header_of(key)


def shown(value: Any, key: str) -> str:
    """A value as the table shows it."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        whole = key in SCORES and SCORES[key].unit == "objects"
        return f"{value:.0f}" if whole else f"{value:.3f}"
    return str(value)
