"""The table itself: columns that fit, rows of one height, a current row that only the person moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QItemSelection, QItemSelectionModel, QModelIndex, QSize, Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_unet.session.images.image_row import STATUSES
from napari_unet.widgets.images.table_cells import MARGIN, PICTURE, ImageCell, StatusCell, small_font
from napari_unet.widgets.images.table_model import HEADERS, ImageTableModel
from napari_unet.widgets.images.table_order import PARTS, Column
from napari_unet.widgets.parts.status_glyphs import SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtGui import QFocusEvent, QResizeEvent

# Below this width the group stands under the name and the part under the status, without columns.
NARROW = 480
WIDEST_GROUP = 140
Flag = QItemSelectionModel.SelectionFlag


class ImageTableView(QTableView):  # type: ignore[misc]
    """View of an `ImageTableModel`.

    Parameters
    ----------
    model : ImageTableModel
        What is shown.
    parent : QWidget, optional
        Owner.

    Attributes
    ----------
    quiet : bool
        Whether the current row is being moved by the program and not by the person.
    """

    def __init__(self, model: ImageTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.quiet = False
        self._image_cell, self._status_cell = ImageCell(self), StatusCell(self)
        self.setModel(model)
        self.setItemDelegateForColumn(Column.IMAGE, self._image_cell)
        self.setItemDelegateForColumn(Column.STATUS, self._status_cell)
        self.setAccessibleName("Images")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setAlternatingRowColors(True)
        # Of the palette, napari's dark theme leaves this one colour white.
        self.setStyleSheet("QTableView { alternate-background-color: rgba(128, 128, 128, 28); }")
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.setTabKeyNavigation(False)
        self.setIconSize(QSize(SIZE, SIZE))
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns.setHighlightSections(False)
        columns.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        columns.setSectionsMovable(False)
        columns.setMinimumSectionSize(24)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns.setSectionResizeMode(Column.IMAGE, QHeaderView.ResizeMode.Stretch)
        columns.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        columns.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)
        self.fit()

    def fit(self) -> None:
        """Give every column but the first the width of the longest word it may hold; rows, their height."""
        metrics, header = self.fontMetrics(), self.horizontalHeader()
        shown = [self._model.image_at(row) for row in range(min(1000, self._model.rowCount()))]
        words = {
            Column.GROUP: {row.group for row in shown},
            Column.PART: set(PARTS),
            Column.STATUS: {*STATUSES, *PARTS, "problem"},
            Column.IOU: {"~0.00"},
        }
        arrow = self.style().pixelMetric(self.style().PixelMetric.PM_HeaderMarkSize, None, header)
        for column, texts in words.items():
            sign = SIZE + 6 if column in (Column.PART, Column.STATUS) else 0
            widest = max((metrics.horizontalAdvance(text) for text in texts), default=0) + sign
            title = header.fontMetrics().horizontalAdvance(HEADERS[column][0]) + arrow + 10
            width = max(widest, title) + 10
            self.setColumnWidth(column, min(width, WIDEST_GROUP) if column == Column.GROUP else width)
        height = max(PICTURE, 2 * QFontMetrics(small_font(self.font())).height()) + 2 * MARGIN
        self.verticalHeader().setDefaultSectionSize(height)
        self._has_groups = any(row.group for row in shown)
        self._choose_columns()

    def _choose_columns(self) -> None:
        narrow = self.width() < NARROW
        self._image_cell.two_lines = self._status_cell.two_lines = narrow
        self.setColumnHidden(Column.GROUP, narrow or not self._has_groups)
        self.setColumnHidden(Column.PART, narrow)

    @property
    def _model(self) -> ImageTableModel:
        model: ImageTableModel = self.model()
        return model

    def current_id(self) -> str:
        """Id of the image in the current row; empty if there is none."""
        index = self.currentIndex()
        return self._model.image_at(index.row()).id if index.isValid() else ""

    def selected_ids(self) -> tuple[str, ...]:
        """Ids of the selected images, in the order displayed."""
        # Spans, not indexes, of which Qt asks the model one by one: a second for 20,000 rows.
        spans = self.selectionModel().selection()
        spans = spans.toList() if hasattr(spans, "toList") else spans
        rows = sorted({row for span in spans for row in range(span.top(), span.bottom() + 1)})
        return tuple(self._model.image_at(row).id for row in rows)

    def make_current(self, image_id: str) -> None:
        """Move the current row quietly, and leave the selection as it is; nowhere if the image is hidden."""
        self.quiet = True
        self.selectionModel().setCurrentIndex(self.index_of(image_id), Flag.NoUpdate)
        self.quiet = False

    def select_ids(self, ids: Iterable[str]) -> None:
        """Select these images and no others; hidden ones are passed over."""
        rows = sorted({row for row in map(self._model.row_of, ids) if row >= 0})
        selection, last = QItemSelection(), self._model.columnCount() - 1
        start = 0
        for place, row in enumerate(rows):
            if place + 1 == len(rows) or rows[place + 1] != row + 1:
                selection.select(self._model.index(rows[start], 0), self._model.index(row, last))
                start = place + 1
        self.selectionModel().select(selection, Flag.ClearAndSelect)

    def index_of(self, image_id: str) -> QModelIndex:
        """Where an image is displayed; an invalid index if it is hidden."""
        row = self._model.row_of(image_id)
        return self._model.index(row, 0) if row >= 0 else QModelIndex()

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """Take the focus without opening the first image, which Qt would make the current one."""
        had_current, self.quiet = self.currentIndex().isValid(), True
        super().focusInEvent(event)
        if not had_current:
            self.selectionModel().setCurrentIndex(QModelIndex(), Flag.NoUpdate)
        self.quiet = False

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Show the column of groups where there is room for it, and keep the current image in view."""
        row = self.visualRect(self.currentIndex())
        was_in_view = row.isValid() and 0 <= row.top() < event.oldSize().height()
        super().resizeEvent(event)
        self._choose_columns()
        if was_in_view:
            self.scrollTo(self.currentIndex())

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Follow the theme: sizes with the font, signs with the palette."""
        super().changeEvent(event)
        kinds = (QEvent.Type.FontChange, QEvent.Type.StyleChange, QEvent.Type.PaletteChange)
        if event.type() in kinds and isinstance(self.model(), ImageTableModel):
            self._model.set_palette(self.palette())
            self.fit()
            self.viewport().update()
