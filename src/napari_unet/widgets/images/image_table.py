"""The list of images: search, filter, sort, look at one after another, choose several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QModelIndex, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets.images.table_model import ImageTableModel
from napari_unet.widgets.images.table_order import FILTERS, Column
from napari_unet.widgets.images.table_view import ImageTableView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.session.images.image_row import ImageRow

SEARCH_PAUSE_MS = 150
NEWS_PAUSE_MS = 250


class ImageTable(QWidget):  # type: ignore[misc]
    """List of images with search, filter and what is known of each.

    Rows that are updated keep their place; a button offers to sort again once they are out of order.

    Parameters
    ----------
    request_thumbnail : callable or None
        Gets the id of an image when it is first painted; answers later, in the thread of the window, by
        `set_thumbnail`.
    parent : QWidget, optional
        Owner.
    """

    # The current row moved, by mouse, key, `next_image` or `previous_image`: the id of its image.
    image_activated = Signal(str)
    # The selection changed, by whatever hand: its ids in the order displayed.
    selection_changed = Signal(tuple)

    def __init__(
        self, request_thumbnail: Callable[[str], None] | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.model = ImageTableModel(request_thumbnail, self)
        self.view = ImageTableView(self.model)
        self.model.set_palette(self.view.palette())
        self._current = ""
        self._selected: tuple[str, ...] = ()
        self._empty_text = "No images yet."
        self._build()
        self._typing = self._timer(SEARCH_PAUSE_MS, self._search_now)
        self._news = self._timer(NEWS_PAUSE_MS, self._tell)
        self.search.textChanged.connect(lambda _: self._typing.start())
        self.search.installEventFilter(self)
        self.filter.activated.connect(lambda _: self._search_now())
        self.clear_button.clicked.connect(self.clear_search)
        self.again_button.clicked.connect(self.refresh)
        self.model.modelReset.connect(self._restore)
        self.model.rows_updated.connect(lambda: self._news.isActive() or self._news.start())
        chosen = self.view.selectionModel()
        chosen.currentRowChanged.connect(self._on_current)
        chosen.selectionChanged.connect(lambda *_: self._on_selection())
        self._tell()

    def _timer(self, pause: int, then: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(pause)
        timer.timeout.connect(then)
        return timer

    def _build(self) -> None:
        self.search = QLineEdit(placeholderText="Search", clearButtonEnabled=True)
        self.search.setAccessibleName("Search images")
        self.search.setToolTip("Words in the name or the group of an image")
        self.filter = QComboBox(sizeAdjustPolicy=QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.filter.setAccessibleName("Filter images")
        self.filter.setToolTip("Which images are listed")
        for key, title in FILTERS.items():
            self.filter.addItem(title, key)
        self.message = QLabel(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        self.clear_button = QPushButton("Clear the search")
        self.again_button = QToolButton(text="Sort again", autoRaise=True)
        self.again_button.setToolTip("Rows have changed: filter and sort them again")
        self.summary = QLabel()
        empty = QWidget()
        inside = QVBoxLayout(empty)
        inside.addStretch()
        inside.addWidget(self.message)
        inside.addWidget(self.clear_button, 0, Qt.AlignmentFlag.AlignHCenter)
        inside.addStretch()
        self.pages = QStackedWidget()
        self.pages.addWidget(self.view)
        self.pages.addWidget(empty)
        self.above = QHBoxLayout()
        self.above.addWidget(self.search, 1)
        self.above.addWidget(self.filter)
        self.below = QWidget()  # may be put elsewhere
        below = QHBoxLayout(self.below)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(self.summary)
        below.addWidget(self.again_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(self.above)
        layout.addWidget(self.pages, 1)
        layout.addWidget(self.below)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """No: the words for an empty list wrap, but a list gives way to what stands below it."""
        return False

    def set_rows(self, rows: Sequence[ImageRow]) -> None:
        """Replace the whole list; what is selected, current and in view stays so."""
        place = self.view.verticalScrollBar().value()
        self.model.set_rows(rows)
        self.view.fit()
        self.view.verticalScrollBar().setValue(place)

    def update_rows(self, rows: Sequence[ImageRow]) -> None:
        """Replace rows by their ids, each at its place."""
        self.model.update_rows(rows)

    def set_thumbnail(self, image_id: str, array: NDArray[np.uint8]) -> None:
        """Show the picture of an image: (Y, X) or (Y, X, 3) uint8 of up to 64 pixels a side."""
        self.model.set_thumbnail(image_id, array)

    def set_empty_text(self, text: str) -> None:
        """Say what stands in place of the table while there are no images."""
        self._empty_text = text
        self._tell()

    def current_id(self) -> str:
        """Id of the current image, be it hidden by the filter; empty if there is none."""
        return self._current

    def selected_ids(self) -> tuple[str, ...]:
        """Ids of the selected images, in the order displayed; hidden ones are never selected."""
        return self._selected

    def shown_ids(self) -> tuple[str, ...]:
        """Ids of the images that pass search and filter, in the order displayed."""
        return self.model.shown_ids

    def show_image(self, image_id: str) -> None:
        """Make an image the current one and bring it into view, without `image_activated`.

        A selection that holds the image stays as it is, any other gives way to the image alone. An image
        that the filter hides becomes current unseen.
        """
        self._current = image_id
        index = self.view.index_of(image_id)
        if image_id not in self._selected:
            self.view.select_ids([image_id])
        self.view.make_current(image_id)
        if index.isValid():
            self.view.scrollTo(index)

    def select(self, ids: Iterable[str]) -> None:
        """Select these images and no others, and leave the current one; hidden ones are passed over."""
        self.view.select_ids(ids)
        if self._selected and not self.view.viewport().rect().intersects(self._rect_of(self._selected)):
            self.view.scrollTo(self.view.index_of(self._selected[0]))

    def _rect_of(self, ids: tuple[str, ...]) -> object:
        first = self.view.visualRect(self.view.index_of(ids[0]))
        return first.united(self.view.visualRect(self.view.index_of(ids[-1])))

    def next_image(self) -> str:
        """Go to the image below; gives its id, or an empty string at the end."""
        return self._step(1)

    def previous_image(self) -> str:
        """Go back to the image above; gives its id, or an empty string at the start."""
        return self._step(-1)

    def _step(self, by: int) -> str:
        row = self.model.row_of(self._current)
        row = row + by if row >= 0 else 0
        if not 0 <= row < self.model.rowCount():
            return ""
        self.view.selectRow(row)
        self.view.scrollTo(self.model.index(row, 0))
        return self._current

    def sort_worst_first(self) -> None:
        """Sort by IoU, lowest first and none last, and show the top."""
        self.view.sortByColumn(Column.IOU, Qt.SortOrder.AscendingOrder)
        self.view.scrollToTop()

    def is_worst_first(self) -> bool:
        """Whether the list is sorted by IoU, lowest first."""
        header = self.view.horizontalHeader()
        rising = header.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
        return bool(header.sortIndicatorSection() == Column.IOU and rising)

    def refresh(self) -> None:
        """Filter and sort again, where updates have put rows out of order."""
        self.model.arrange()

    def set_filter(self, key: str) -> None:
        """Choose a filter by its key in `FILTERS`."""
        self.filter.setCurrentIndex(list(FILTERS).index(key))
        self._search_now()

    def clear_search(self) -> None:
        """Show all images."""
        self.search.clear()
        self.set_filter("all")

    def _search_now(self) -> None:
        self._typing.stop()
        self.model.arrange(self.search.text(), self.filter.currentData())

    def _restore(self) -> None:
        """After rows came, went or moved: select again what was, as far as it is shown."""
        before = self._selected
        chosen = self.view.selectionModel()
        chosen.blockSignals(True)
        self.view.select_ids(before)
        self.view.make_current(self._current)
        chosen.blockSignals(False)
        index = self.view.index_of(self._current)
        if index.isValid():
            self.view.scrollTo(index)
        else:
            self.view.scrollToTop()
        self.view.viewport().update()
        self._selected = self.view.selected_ids()
        if set(before) != set(self._selected):
            self.selection_changed.emit(self._selected)
        self._tell()

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid() and not self.view.quiet:
            self._current = self.view.current_id()
            self.image_activated.emit(self._current)

    def _on_selection(self) -> None:
        self._selected = self.view.selected_ids()
        self._tell_shown()
        self.selection_changed.emit(self._selected)

    def _tell(self) -> None:
        """Say how many there are: of each kind, shown, selected; and whether rows are out of order."""
        self._news.stop()
        for number, (key, count) in enumerate(self.model.counts().items()):
            self.filter.setItemText(number, f"{FILTERS[key]} ({count:,})")
        total, shown = len(self.model.ids), self.model.rowCount()
        self.pages.setCurrentIndex(int(not shown))
        self.message.setText("No image matches." if total else self._empty_text)
        self.clear_button.setVisible(bool(total))
        self.clear_button.setText("Clear the search" if self.search.text() else "Show all images")
        self.again_button.setVisible(self.model.is_out_of_order())
        self._tell_shown()

    def _tell_shown(self) -> None:
        total, shown, selected = len(self.model.ids), self.model.rowCount(), len(self._selected)
        text = ""  # the filter says how many there are
        if shown < total:
            text = f"{shown:,} of {total:,} shown"
        elif selected > 1:
            text = f"{total:,} images"
        if selected > 1:  # one is in view: nobody needs to read it
            text += f", {selected:,} selected"
        self.summary.setText(text)
        self.summary.setToolTip(text)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """From the search field: Down goes to the table, Escape clears."""
        if watched is self.search and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Down:
                self.view.setFocus(Qt.FocusReason.TabFocusReason)
                return True
            if event.key() == Qt.Key.Key_Escape and self.search.text():
                self.search.clear()
                return True
        return bool(super().eventFilter(watched, event))
