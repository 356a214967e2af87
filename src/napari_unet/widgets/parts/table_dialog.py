"""A window with a table: sorted by headings, columns to choose, a place for plots, Copy and Save."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSplitter,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.session.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_unet.session.session import Session

ROWS = QItemSelectionModel.SelectionFlag.Rows
SELECT = QItemSelectionModel.SelectionFlag.ClearAndSelect
UP, DOWN = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder
WIDEST = 220  # pixels of a column until somebody drags it


class TableDialog(QDialog):  # type: ignore[misc]
    """A window next to the viewer that stays open while one works.

    The model has ``columns`` (names), ``sorted_by`` (name, whether descending) and ``sort(column, order)``.

    Parameters
    ----------
    session : Session
        Hears what was copied and saved.
    view : QTableView
        With its model.
    which : dict
        Of which rows one may choose: key and title.
    shown_first : collection of str
        Columns that are shown until somebody chooses others.
    empty : str
        What is said as long as there are no rows.
    parent : QWidget, optional
        Owner.
    """

    soon, soon_of_many, many = 150, 700, 500  # milliseconds over which news are gathered; many rows

    def __init__(
        self,
        session: Session,
        view: QTableView,
        which: dict[str, str],
        shown_first: Iterable[str],
        empty: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.view, self.model = view, view.model()
        self.model.setParent(self)
        self._chosen = set(shown_first)
        self._following = False  # while the program, not a person, changes what is selected
        self._soon = self.timer(self.soon, self._fill)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.busy = QLabel()
        self.empty = QLabel(empty)
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.which_box = QComboBox()
        self.which_box.setAccessibleName("Which images")
        self.which_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        for key, title in which.items():
            self.which_box.addItem(title, key)
        self.columns_button = QToolButton()
        self.columns_button.setText("Columns ▾")
        self.columns_button.setToolTip("Choose columns; also by a right click on a heading")
        self.columns_button.clicked.connect(
            lambda: self.columns_menu().popup(
                self.columns_button.mapToGlobal(self.columns_button.rect().topLeft())
            )
        )
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the selected rows, or all, to paste into a spreadsheet")
        self.copy_button.clicked.connect(self.copy)
        self.save_button = QPushButton("Save CSV…")
        self.save_button.clicked.connect(self.save)
        self.close_button = QPushButton("Close")
        self.close_button.clicked.connect(self.close)
        self._prepare_view()

    def timer(self, pause: int, then: Callable[[], None]) -> QTimer:
        """Make a timer that rings once."""
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(pause)
        timer.timeout.connect(then)
        return timer

    def _prepare_view(self) -> None:
        view = self.view
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setWordWrap(False)
        view.setTextElideMode(Qt.TextElideMode.ElideLeft)  # names are alike at the front
        view.setTabKeyNavigation(False)
        rows = view.verticalHeader()
        rows.hide()
        # One height for all: Qt then asks no row for its own.
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = view.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionsMovable(True)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.setSortIndicator(-1, UP)
        header.sectionClicked.connect(self._on_heading)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(
            lambda place: self.columns_menu().popup(header.mapToGlobal(place))
        )

    def arrange(
        self, right: QWidget, shares: tuple[int, int], left: Sequence[QWidget], more: Sequence[QWidget] = ()
    ) -> None:
        """Lay everything out: the table, what stands right of it, and the buttons below.

        Parameters
        ----------
        right : QWidget
            Plots.
        shares : tuple of int
            Of the width: of the table, and of the plots.
        left : sequence of QWidget
            Buttons after those that choose rows and columns.
        more : sequence of QWidget
            Buttons after Save.
        """
        table = QWidget()
        column = QVBoxLayout(table)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view, 1)
        column.addWidget(self.empty, 1)
        split = QSplitter(Qt.Orientation.Horizontal)
        for place, (widget, share) in enumerate(zip((table, right), shares, strict=True)):
            split.addWidget(widget)
            split.setStretchFactor(place, share)
        split.setChildrenCollapsible(False)
        head, foot = QHBoxLayout(), QHBoxLayout()
        head.addWidget(self.words, 1)
        head.addWidget(self.busy)
        for widget in (self.which_box, self.columns_button, *left):
            foot.addWidget(widget)
        foot.addStretch(1)
        for widget in (self.copy_button, self.save_button, *more, self.close_button):
            foot.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.addLayout(head)
        layout.addWidget(split, 1)
        layout.addLayout(foot)
        for button in self.findChildren(QPushButton):
            button.setAutoDefault(False)

    # columns

    @abstractmethod
    def titles(self, name: str) -> tuple[str, str]:
        """Title of a column, and what it means."""

    def can_hide(self, name: str) -> bool:
        """Whether one may choose that a column is not shown."""
        return name != "image"

    def shows(self, name: str) -> bool:
        """Whether a column is shown now."""
        return name in self._chosen

    def columns_menu(self) -> QMenu:
        """Menu of all columns, those that are shown with a tick."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for name in filter(self.can_hide, self.model.columns):
            title, about = self.titles(name)
            action = menu.addAction(title)
            action.setCheckable(True)
            action.setChecked(name in self._chosen)
            action.setToolTip(about)
            action.toggled.connect(lambda shown, n=name: self.show_column(n, shown))
        menu.aboutToHide.connect(menu.deleteLater)
        return menu

    def show_column(self, name: str, shown: bool) -> None:
        """Show or hide a column."""
        (self._chosen.add if shown else self._chosen.discard)(name)
        self._show_columns()

    def _show_columns(self) -> None:
        for place, name in enumerate(self.model.columns):
            self.view.setColumnHidden(place, not self.shows(name))
        name, descending = self.model.sorted_by
        place = self.model.columns.index(name) if name in self.model.columns else -1
        self.view.horizontalHeader().setSortIndicator(place, DOWN if descending else UP)

    def shown_columns(self) -> list[str]:
        """Names of the columns that are shown, from the left."""
        header = self.view.horizontalHeader()
        places = sorted(range(len(self.model.columns)), key=header.visualIndex)
        return [self.model.columns[n] for n in places if not self.view.isColumnHidden(n)]

    def fit_columns(self) -> None:
        """Make columns as wide as what stands in them."""
        self.view.resizeColumnsToContents()
        for place in range(self.model.columnCount()):
            self.view.setColumnWidth(place, min(self.view.columnWidth(place) + 8, WIDEST))

    def sort_by(self, name: str, *, descending: bool = False) -> None:
        """Sort by a column."""
        place = self.model.columns.index(name)
        self.rearrange(lambda: self.model.sort(place, DOWN if descending else UP))

    def _on_heading(self, place: int) -> None:
        name = self.model.columns[place]
        before, descending = self.model.sorted_by
        self.sort_by(name, descending=name == before and not descending)

    @abstractmethod
    def rearrange(self, change: Callable[[], None]) -> None:
        """Change which rows are where; what is selected stays selected."""

    # news

    def news(self) -> None:
        """Fill the table soon, if somebody looks."""
        if self.isVisible() and not self._soon.isActive():
            self._soon.start(self.soon if self.model.rowCount() < self.many else self.soon_of_many)

    @abstractmethod
    def _fill(self) -> None:
        """Show what there is now."""

    def show_rows(self, *also: QWidget) -> None:
        """Show the table or what is said in place of it; and whether buttons can be clicked."""
        some = bool(self.model.rowCount())
        self.view.setVisible(some)
        self.empty.setVisible(not some)
        for button in (self.copy_button, self.save_button, *also):
            button.setEnabled(some)

    # out

    @abstractmethod
    def copy(self) -> None:
        """Put the selected rows, or all, on the clipboard, as a spreadsheet takes them."""

    @abstractmethod
    def save(self) -> None:
        """Save the table."""

    def to_clipboard(self, heading: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Put rows on the clipboard, as a spreadsheet takes them, and say how many."""
        lines = ["\t".join(cells) for cells in (heading, *rows)]
        QApplication.clipboard().setText("\n".join(lines))
        count = len(lines) - 1
        words = f"{count:,} row{'s are' if count != 1 else ' is'} on the clipboard."
        self.session.runner.succeeded.emit(Outcome(words))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Be up to date as soon as somebody looks."""
        super().showEvent(event)
        self._fill()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Rest while nobody looks."""
        super().hideEvent(event)
        self._soon.stop()
