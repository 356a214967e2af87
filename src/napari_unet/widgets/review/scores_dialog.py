"""All scores of all images: a table, a histogram and the threshold curve, tied to the viewer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QItemSelection, QItemSelectionModel, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
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

from napari_unet.atomic import write_text
from napari_unet.errors import OutputError
from napari_unet.evaluation.report.report_files import table_text, with_threshold_note
from napari_unet.session.outcome import Outcome
from napari_unet.widgets.review.iou_histogram import IoUHistogram
from napari_unet.widgets.review.scores_model import SHOWN_FIRST, WHICH, ScoresModel, header_of
from napari_unet.widgets.review.threshold_curve import ThresholdCurvePlot

if TYPE_CHECKING:
    from napari_unet.session.quality.score_table import ScoreTable
    from napari_unet.session.session import Session

SOON, SOON_OF_MANY = 150, 700  # milliseconds over which news are gathered
MANY = 500  # rows
AT_REST = 350  # milliseconds after which images are scored with a new threshold
EMPTY = "Segment images that have reference masks: their scores come here, worst first."


class ScoresDialog(QDialog):  # type: ignore[misc]
    """A window next to the viewer that stays open while one works.

    Parameters
    ----------
    session : Session
        Whose current image follows the table, and the other way round.
    board : ScoreTable
        Keeps the scores.
    parent : QWidget, optional
        Owner.
    """

    threshold_wanted = Signal(float)
    report_wanted = Signal()

    def __init__(self, session: Session, board: ScoreTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.board = board
        self.setWindowTitle("Scores of the model's masks")
        self.resize(1040, 560)
        self._chosen = set(SHOWN_FIRST)
        self._following = False
        self._build()
        self._soon = self._timer(SOON, self._fill)
        self._rest = self._timer(AT_REST, board.refresh)
        board.changed.connect(self._on_news)
        session.workspace.rows_changed.connect(self._on_rows)
        session.workspace.current_changed.connect(self._on_current)
        self._fill()

    def _timer(self, pause: int, then: Any) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(pause)
        timer.timeout.connect(then)
        return timer

    # parts

    def _build(self) -> None:
        self.overall = QLabel()
        self.overall.setWordWrap(True)
        self.busy = QLabel()
        self.model = ScoresModel(self)
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setWordWrap(False)
        self.view.setTabKeyNavigation(False)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.view.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionsMovable(True)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.sectionClicked.connect(self._sort)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(
            lambda place: self.columns_menu().popup(header.mapToGlobal(place))
        )
        self.view.selectionModel().currentRowChanged.connect(self._on_row)
        self.empty = QLabel(EMPTY)
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.histogram = IoUHistogram()
        self.histogram.range_selected.connect(self.select_range)
        self.plot = ThresholdCurvePlot()
        self.plot.threshold_wanted.connect(self.threshold_wanted)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(8, 0, 0, 0)
        column.addWidget(QLabel("<b>How many images have which IoU</b> (a click selects them)"))
        column.addWidget(self.histogram)
        column.addWidget(QLabel("<b>What another threshold would give</b>"))
        column.addWidget(self.plot, 1)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.view, 1)
        column.addWidget(self.empty, 1)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(left)
        split.addWidget(right)
        split.setStretchFactor(0, 3)
        split.setStretchFactor(1, 2)
        split.setChildrenCollapsible(False)
        head = QHBoxLayout()
        head.addWidget(self.overall, 1)
        head.addWidget(self.busy)
        layout = QVBoxLayout(self)
        layout.addLayout(head)
        layout.addWidget(split, 1)
        layout.addLayout(self._build_buttons())

    def _build_buttons(self) -> QHBoxLayout:
        self.which_box = QComboBox()
        self.which_box.setAccessibleName("Which images")
        self.which_box.setToolTip("Images that the model has seen in training stand in italics")
        for key, title in WHICH.items():
            self.which_box.addItem(title, key)
        self.which_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.which_box.currentIndexChanged.connect(self._on_which)
        self.columns_button = QToolButton()
        self.columns_button.setText("Columns ▾")
        self.columns_button.setToolTip("Choose scores; also by a right click on a heading")
        self.columns_button.clicked.connect(
            lambda: self.columns_menu().popup(
                self.columns_button.mapToGlobal(self.columns_button.rect().topLeft())
            )
        )
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the selected rows, or all, to paste into a spreadsheet")
        self.copy_button.clicked.connect(self.copy)
        self.save_button = QPushButton("Save CSV…")
        self.save_button.setToolTip("Save all columns of all images")
        self.save_button.clicked.connect(self.save)
        self.report_button = QPushButton("Report…")
        self.report_button.setToolTip("Write a report as one page, with plots, pictures and all scores")
        self.report_button.clicked.connect(self.report_wanted)
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        for button in (self.copy_button, self.save_button, self.report_button, close):
            button.setAutoDefault(False)
        row = QHBoxLayout()
        row.addWidget(self.which_box)
        row.addWidget(self.columns_button)
        row.addStretch(1)
        for button in (self.copy_button, self.save_button, self.report_button, close):
            row.addWidget(button)
        return row

    # columns

    def columns_menu(self) -> QMenu:
        """Menu of all scores, those that are shown with a tick."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for number, key in enumerate(self.model.columns):
            if key == "image":
                continue
            action = menu.addAction(header_of(key))
            action.setCheckable(True)
            action.setChecked(key in self._chosen)
            action.setToolTip(str(self.model.headerData(number, Qt.Orientation.Horizontal, _TOOLTIP)))
            action.toggled.connect(lambda shown, k=key: self.show_column(k, shown))
        menu.aboutToHide.connect(menu.deleteLater)
        return menu

    def show_column(self, key: str, shown: bool) -> None:
        """Show or hide a score."""
        (self._chosen.add if shown else self._chosen.discard)(key)
        self._show_columns()

    def _show_columns(self) -> None:
        for number, key in enumerate(self.model.columns):
            self.view.setColumnHidden(number, key not in self._chosen)
        column, order = self.model.sorted_by
        self.view.horizontalHeader().setSortIndicator(column, order)

    def shown_columns(self) -> list[str]:
        """Keys of the columns that are shown, from the left."""
        header = self.view.horizontalHeader()
        places = sorted(range(len(self.model.columns)), key=header.visualIndex)
        return [self.model.columns[n] for n in places if not self.view.isColumnHidden(n)]

    def _sort(self, column: int) -> None:
        before, order = self.model.sorted_by
        up = Qt.SortOrder.AscendingOrder
        turned = column == before and order == up
        self._rearrange(lambda: self.model.sort(column, Qt.SortOrder.DescendingOrder if turned else up))

    def _on_which(self, index: int) -> None:
        self._rearrange(lambda: self.model.filter(str(self.which_box.itemData(index))))

    def _rearrange(self, change: Any) -> None:
        """Change which rows are where; the current image stays the one that is selected."""
        self._following = True
        try:
            change()
            self._show_columns()
        finally:
            self._following = False
        self._on_current(self.session.workspace.current)

    # news

    def _on_news(self) -> None:
        if self.isVisible() and not self._soon.isActive():
            self._soon.start(SOON if self.model.rowCount() < MANY else SOON_OF_MANY)

    def _on_rows(self, identifiers: tuple[str, ...]) -> None:
        self._on_news()

    def _fill(self) -> None:
        collection = self.session.workspace.collection
        rows = self.board.rows()
        words = {"segmented": "as predicted"}
        status = {}
        for found in rows:
            entry = collection.entries[found.id] if collection is not None else None
            status[found.id] = words.get(entry.status, entry.status) if entry is not None else ""
        first = self.model.rowCount() == 0
        self._rearrange(lambda: self.model.set_rows(rows, status))
        if first and rows:
            self.view.resizeColumnsToContents()
            self.view.setColumnWidth(0, self.view.columnWidth(0) + 2 * self.fontMetrics().averageCharWidth())
        for index, (key, title) in enumerate(WHICH.items()):
            self.which_box.setItemText(index, f"{title} ({self.model.counts()[key]:,})")
        self.view.setVisible(bool(rows))
        self.empty.setVisible(not rows)
        for button in (self.copy_button, self.save_button, self.report_button):
            button.setEnabled(bool(rows))
        counted, seen = self.board.counted()
        self.histogram.set_values([s.row["iou"] for s in counted if s.row.get("iou") is not None])
        self.plot.show_curve(self.board.curve(), seen)
        self.plot.set_threshold(self.session.workspace.inference.threshold)
        self._tell(len(counted), seen)

    def _tell(self, count: int, seen: bool) -> None:
        progress = self.board.progress
        self.busy.setText(f"scoring {int(progress.done):,} of {int(progress.total):,}" if progress else "")
        mean, (low, high) = self.board.mean_iou(), self.board.interval
        if math.isnan(mean):
            self.overall.setText("")
            return
        why = self.board.no_interval
        interval = f" ({why})" if why else ""
        if not math.isnan(low):
            interval = f" ({low:.3f} to {high:.3f})"
        unknown = sum(s.row["part"] == "not known" for s in self.board.counted()[0])
        which = "that it has not seen"
        if seen:
            which = "seen in training, which flatters it"
        elif unknown:
            which = f"that it has not seen, as far as is known ({unknown:,} without a record)"
        name = self.session.workspace.model.name if self.session.workspace.model is not None else "the model"
        left = len(self.board.rows()) - count
        apart = f" {left:,} it has seen are listed, but do not count." if left and not seen else ""
        images = f"{count:,} image{'s' * (count != 1)}"
        note = self.session.workspace.threshold_note
        note = f" Careful: {note}." if note else ""
        if self.board.stale:
            note += f" {self.board.stale:,} rows wait to be scored with the threshold as it is now."
        words = f"<b>{mean:.3f}</b>{interval} mean IoU of {name} on {images} {which}.{apart}{note}"
        self.overall.setText(words)

    def follow_threshold(self, threshold: float) -> None:
        """The threshold is another one: the line moves now, scores follow when it rests."""
        self.plot.set_threshold(threshold)
        if self.isVisible():
            self._rest.start()

    # the viewer

    def _on_row(self, now: Any, before: Any) -> None:
        if now.isValid() and not self._following:
            self.session.workspace.select(self.model.id_at(now.row()))

    def _on_current(self, identifier: str) -> None:
        row = self.model.row_of(identifier) if identifier else -1
        selection = self.view.selectionModel()
        if row < 0:
            selection.clearSelection()
            return
        self._following = True
        try:
            index = self.model.index(row, 0)
            whole = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            selection.setCurrentIndex(index, whole)
            self.view.scrollTo(index)
        finally:
            self._following = False

    def select_range(self, low: float, high: float) -> None:
        """Select the images of a bar of the histogram."""
        last = self.model.columnCount() - 1
        chosen = QItemSelection()
        for row in self.model.rows_between(low, high):
            chosen.select(self.model.index(row, 0), self.model.index(row, last))
        self.view.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if chosen.indexes():
            self.view.scrollTo(chosen.indexes()[0])

    # out

    def selected_rows(self) -> list[int]:
        """Displayed rows that are selected; all if there are fewer than two."""
        rows = sorted(index.row() for index in self.view.selectionModel().selectedRows())
        return rows if len(rows) > 1 else list(range(self.model.rowCount()))

    def copy(self) -> None:
        """Put the rows on the clipboard, as a spreadsheet takes them."""
        columns = self.shown_columns()
        note = self.session.workspace.threshold_note
        rows = with_threshold_note(self.model.table(self.selected_rows(), columns), note)
        columns = [*columns, "threshold_note"] if note else columns
        lines = ["\t".join(header_of(key) for key in columns)]
        lines += ["\t".join(_cell(row[key]) for key in columns) for row in rows]
        QApplication.clipboard().setText("\n".join(lines))
        self.session.runner.succeeded.emit(Outcome(f"{len(lines) - 1:,} rows are on the clipboard."))

    def save(self) -> None:
        """Save all columns of all rows."""
        path, _ = QFileDialog.getSaveFileName(self, "Save scores", "scores.csv", "Tables (*.csv)")
        if not path:
            return
        rows = self.model.table(range(self.model.rowCount()), self.model.columns)
        try:
            write_text(
                Path(path), table_text(with_threshold_note(rows, self.session.workspace.threshold_note))
            )
        except OutputError as error:
            self.session.runner.failed.emit(error.sentence, "")
        else:
            self.session.runner.succeeded.emit(Outcome("The scores are saved.", Path(path)))

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Keep scores up to date while it is open."""
        super().showEvent(event)
        self.board.watch(True)
        self._fill()

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Rest while nobody looks."""
        super().hideEvent(event)
        self._soon.stop()
        self._rest.stop()
        self.board.watch(False)


_TOOLTIP = int(Qt.ItemDataRole.ToolTipRole)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())
