"""The view of the table of objects: cells that are painted as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QTableView

if TYPE_CHECKING:
    from qtpy.QtCore import QModelIndex
    from qtpy.QtGui import QColor, QPainter, QPaintEvent
    from qtpy.QtWidgets import QStyleOptionViewItem, QWidget

    from napari_unet.widgets.objects.object_model import ObjectModel

MARGIN = 4  # pixels between text and the border of its cell
MIDDLE = Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextSingleLine
LEFT, RIGHT = int(Qt.AlignmentFlag.AlignLeft | MIDDLE), int(Qt.AlignmentFlag.AlignRight | MIDDLE)
SELECTED = QStyle.StateFlag.State_Selected


class CellPainter(QStyledItemDelegate):  # type: ignore[misc]
    """Paints a cell as one line of text.

    The delegate of Qt asks the model for seven things a cell, each of them a call into Python, and lays the
    text out in a document. A page of 30 rows has 400 cells, so this asks once, for text that is ready.
    """

    def __init__(self, model: ObjectModel, parent: QWidget) -> None:
        super().__init__(parent)
        self.model = model
        self._row = -1
        self._ink: QColor | None = None
        self._ground: QColor | None = None

    def begin(self) -> None:
        """A picture begins: nothing is known of its rows."""
        self._row = -1

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint a cell. Whole rows are selected, so the first cell of a row speaks for the rest."""
        row, column, cell = index.row(), index.column(), option.rect
        if row != self._row:
            self._row = row
            chosen, palette = bool(option.state & SELECTED), option.palette
            self._ground = palette.color(QPalette.ColorRole.Highlight) if chosen else None
            self._ink = palette.color(
                QPalette.ColorRole.HighlightedText if chosen else QPalette.ColorRole.Text
            )
            painter.setPen(self._ink)
        if self._ground is not None:
            painter.fillRect(cell, self._ground)
        place = QRect(cell.x() + MARGIN, cell.y(), cell.width() - 2 * MARGIN, cell.height())
        text, words = self.model.text_at(row, column), self.model.is_words(column)
        if words:  # names are alike at the front, so they are cut there
            text = option.fontMetrics.elidedText(text, Qt.TextElideMode.ElideLeft, place.width())
        painter.drawText(place, LEFT if words else RIGHT, text)


class ObjectView(QTableView):  # type: ignore[misc]
    """A table whose cells are painted as plain text."""

    def __init__(self, model: ObjectModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self.painter = CellPainter(model, self)
        self.setItemDelegate(self.painter)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the cells in view."""
        self.painter.begin()
        super().paintEvent(event)
