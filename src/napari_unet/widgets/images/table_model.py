"""The list of images as Qt reads it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QPalette

from napari_unet.widgets.images.table_order import Column, TableOrder
from napari_unet.widgets.images.thumbnails import Thumbnails
from napari_unet.widgets.parts.status_glyphs import StatusGlyphs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QIcon, QPixmap

    from napari_unet.session.images.image_row import ImageRow

# Plain numbers: looking a role up in its enumeration takes longer than the answer.
DISPLAY = int(Qt.ItemDataRole.DisplayRole)
DECORATION = int(Qt.ItemDataRole.DecorationRole)
TOOLTIP = int(Qt.ItemDataRole.ToolTipRole)
ALIGNMENT = int(Qt.ItemDataRole.TextAlignmentRole)
SORT_ROLE = int(Qt.ItemDataRole.UserRole)
ID_ROLE = SORT_ROLE + 1
NOTHING = "\N{EN DASH}"

HEADERS = {
    Column.IMAGE: ("Image", "Name of the image"),
    Column.GROUP: ("Group", "Subject, mosaic or block of slices; a split never parts a group"),
    Column.PART: ("Split", "What the chosen model did with the image"),
    Column.STATUS: ("Status", "How far the work on the image has come"),
    Column.IOU: ("IoU", "Overlap of mask and reference: 0 none, 1 perfect; with ~ it is an estimate"),
}
MEANINGS = {
    "": "In no split yet.",
    "train": "The model learned from this image: its IoU here flatters the model.",
    "validation": "Training chose the best epoch by this image: its IoU may flatter the model a little.",
    "held-out": "Held out from training: its IoU is an honest score.",
    "unseen": "The model has not seen this image.",
    "not known": "The model does not record what it was trained on: it may have seen this image.",
    "new": "Not segmented yet.",
    "segmented": "Has a predicted mask that nobody has corrected.",
    "corrected": "Somebody has painted on its mask.",
    "done": "Checked and finished.",
}


class ImageTableModel(QAbstractTableModel):  # type: ignore[misc]
    """Rows of images: those that pass the filter, in the order asked for.

    Rows that change stay where they are until `arrange` or `sort` is called, so that nothing jumps away from
    under the mouse.

    Parameters
    ----------
    request_thumbnail : callable or None
        Gets the id of an image when it is first painted; answers later by `set_thumbnail`.
    parent : QObject, optional
        Owner.
    """

    rows_updated = Signal()

    def __init__(
        self, request_thumbnail: Callable[[str], None] | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._thumbnails = Thumbnails(request_thumbnail, parent=self)
        self._glyphs = StatusGlyphs(QPalette())
        self._words, self._filter = "", "all"
        self._column: Column | None = None
        self._descending = False
        self._order = TableOrder()
        self._shown: NDArray[np.intp] = np.zeros(0, np.intp)
        self._places: NDArray[np.intp] = np.zeros(0, np.intp)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all images, hidden ones too, in the order given."""
        return tuple(self._order.index)

    @property
    def shown_ids(self) -> tuple[str, ...]:
        """Ids of the images that pass the filter, in the order displayed."""
        return tuple(self._order.rows[number].id for number in self._shown)

    def row_of(self, image_id: str) -> int:
        """Displayed row of an image; -1 if it is hidden or not listed."""
        number = self._order.index.get(image_id)
        return -1 if number is None else int(self._places[number])

    def image_at(self, row: int) -> ImageRow:
        """What is known of the image in a displayed row."""
        return self._order.rows[int(self._shown[row])]

    def counts(self) -> dict[str, int]:
        """How many images each filter lets through, by its key."""
        return self._order.counts()

    def set_rows(self, rows: Sequence[ImageRow]) -> None:
        """Replace the whole list."""
        order = TableOrder(rows)
        self.beginResetModel()
        self._order = order
        self._thumbnails.keep_only(order.index)
        self._place()
        self.endResetModel()

    def update_rows(self, rows: Sequence[ImageRow]) -> None:
        """Replace rows by their ids, each at its place; ids that are not listed are passed over."""
        changed = self._order.update(rows)
        if not changed:
            return
        places = np.unique(self._places[changed])
        places = places[places >= 0]
        for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
            if run.size:
                last = self.index(int(run[-1]), len(Column) - 1)
                self.dataChanged.emit(self.index(int(run[0]), 0), last)
        self.rows_updated.emit()

    def arrange(self, words: str | None = None, key: str | None = None) -> None:
        """Filter and sort again; with no arguments, by what was asked for last.

        Parameters
        ----------
        words : str, optional
            Each must be in the name or the group of an image.
        key : str, optional
            One of the keys of `FILTERS`.
        """
        self.beginResetModel()
        self._words = self._words if words is None else words
        self._filter = self._filter if key is None else key
        self._place()
        self.endResetModel()

    def is_out_of_order(self) -> bool:
        """Whether rows have changed such that `arrange` would show others or another order."""
        return not np.array_equal(self._shown, self._arranged())

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 gives back the order in which the images came."""
        self._column = None if column < 0 else Column(column)
        self._descending = order == Qt.SortOrder.DescendingOrder
        self.arrange()

    def _arranged(self) -> NDArray[np.intp]:
        return self._order.arrange(self._words, self._filter, self._column, self._descending)

    def _place(self) -> None:
        self._shown = self._arranged()
        self._places = np.full(len(self._order.rows), -1, np.intp)
        self._places[self._shown] = np.arange(len(self._shown))

    def thumbnail(self, row: int) -> QPixmap | None:
        """Picture of the image in a displayed row, for painting; if there is none yet, it is asked for."""
        return self._thumbnails.get(self.image_at(row).id)

    def set_thumbnail(self, image_id: str, array: NDArray[np.uint8]) -> None:
        """Show the picture of an image: (Y, X) or (Y, X, 3) uint8; passed over if it is not listed."""
        if image_id not in self._order.index:
            return
        self._thumbnails.put(image_id, array)
        row = self.row_of(image_id)
        if row >= 0:
            self.dataChanged.emit(self.index(row, 0), self.index(row, 0), [DECORATION])

    def clear_thumbnails(self) -> None:
        """Forget all pictures: the same ids will stand for other images."""
        self._thumbnails.keep_only(())

    def set_palette(self, palette: QPalette) -> None:
        """Choose signs that can be seen on the ground of this palette."""
        self._glyphs = StatusGlyphs(palette)

    def glyph(self, sign: str) -> QIcon | None:
        """Sign that goes with the word for a status or part."""
        return self._glyphs.get(sign)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """How many images are shown."""
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """How many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = DISPLAY) -> Any:  # noqa: N802
        """Title of a column, and what it means."""
        if orientation == Qt.Orientation.Horizontal and role in (DISPLAY, TOOLTIP):
            return HEADERS[Column(section)][role == TOOLTIP]
        return None

    def data(self, index: QModelIndex, role: int = DISPLAY) -> Any:
        """What a cell shows, sorts by and tells when the mouse rests on it."""
        column = index.column()
        if role == ALIGNMENT:
            if column == Column.IOU:
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            return None
        if role not in (DISPLAY, DECORATION, TOOLTIP, SORT_ROLE, ID_ROLE) or not index.isValid():
            return None
        row = self.image_at(index.row())
        if role == ID_ROLE:
            return row.id
        if role == SORT_ROLE:
            return (row.id, row.group, row.part, row.status, row.rank)[column]
        if role == TOOLTIP:
            return _tooltip(row, column)
        sign = {Column.PART: row.part, Column.STATUS: status_word(row)}.get(column, "")
        if role == DECORATION:
            return self.glyph(sign)
        if column == Column.STATUS:
            return status_text(row)
        if column == Column.IOU:
            return iou_words(row)
        return sign or (row.id, row.group, NOTHING)[column]


def status_word(row: ImageRow) -> str:
    """Status of an image in one word; a problem goes before the status."""
    return "problem" if row.problem else row.status


def about_slices(row: ImageRow) -> list[str]:
    """How many slices a volume has, and how many of them are done; nothing of an image."""
    if not row.slices:
        return []
    return [f"{row.slices} slices" + (f", {row.done} done" if row.done else "")]


def status_text(row: ImageRow) -> str:
    """Status of an image in one word; of a volume how many of its slices are done, once one is."""
    if row.slices and 0 < row.done < row.slices and not row.problem:
        return f"{row.done} of {row.slices} done"
    return status_word(row)


def iou_words(row: ImageRow) -> str:
    """IoU of an image: known, or, with a ~, estimated."""
    if row.iou is None and row.estimate is not None:
        return f"~{row.estimate:.2f}"
    return NOTHING if row.iou is None else f"{row.iou:.2f}"


def _tooltip(row: ImageRow, column: int) -> str:
    """Rich text, which wraps; a plain one does not."""
    if column == Column.IOU:
        if row.iou is None and row.estimate is not None:
            lines = [row.reason[:1].upper() + row.reason[1:] + "."]
        elif row.iou is None:
            lines = [f"No IoU yet: it needs a {'predicted' if row.has_reference else 'reference'} mask."]
        else:
            lines = [f"IoU {row.iou:.4f} of the predicted mask with the reference: 0 none, 1 perfect."]
    elif column == Column.GROUP:
        lines = [f"Group {row.group}: a split never parts it." if row.group else "In no group."]
    else:
        status = MEANINGS[row.status] + (" Has a reference mask." if row.has_reference else "")
        part = [f"Split: {row.part}. {MEANINGS.get(row.part, '')}"] if row.part else []
        lines = {
            Column.IMAGE: [row.id, *about_slices(row), *([f"Group {row.group}"] if row.group else [])],
            Column.PART: [MEANINGS.get(row.part, row.part)],
        }.get(Column(column), [status, *part])
    if row.problem and column in (Column.IMAGE, Column.STATUS):
        lines.append(f"Problem: {row.problem}")
    return "<qt>" + "<br>".join(escape(line) for line in lines) + "</qt>"
