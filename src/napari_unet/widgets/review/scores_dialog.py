"""All scores of all images: a table, a histogram and the threshold curve, tied to the viewer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QItemSelection, Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QTableView, QVBoxLayout, QWidget

from napari_unet.atomic import write_text
from napari_unet.errors import OutputError
from napari_unet.evaluation.report.report_files import table_text, with_threshold_note
from napari_unet.session.outcome import Outcome
from napari_unet.widgets.parts.table_dialog import ROWS, SELECT, TableDialog
from napari_unet.widgets.review.iou_histogram import IoUHistogram
from napari_unet.widgets.review.scores_model import SHOWN_FIRST, WHICH, ScoresModel, about_column, header_of
from napari_unet.widgets.review.threshold_curve import ThresholdCurvePlot

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QModelIndex
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_unet.session.quality.score_table import ScoreTable
    from napari_unet.session.session import Session

AT_REST = 350  # milliseconds after which images are scored with a new threshold
EMPTY = "Segment images that have reference masks: their scores come here, worst first."


class ScoresDialog(TableDialog):
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
        self.board = board
        view = QTableView()
        view.setModel(ScoresModel())
        super().__init__(session, view, WHICH, SHOWN_FIRST, EMPTY, parent)
        self.setWindowTitle("Scores of the model's masks")
        self.resize(1040, 560)
        self._build()
        self._rest = self.timer(AT_REST, board.refresh)
        board.changed.connect(self.news)
        session.workspace.rows_changed.connect(lambda _: self.news())
        session.workspace.current_changed.connect(self._on_current)
        self._fill()

    def _build(self) -> None:
        self.view.selectionModel().currentRowChanged.connect(self._on_row)
        self.which_box.setToolTip("Images that the model has seen in training stand in italics")
        self.which_box.currentIndexChanged.connect(self._on_which)
        self.save_button.setToolTip("Save all columns of all images")
        self.report_button = QPushButton("Report…")
        self.report_button.setToolTip("Write a report as one page, with plots, pictures and all scores")
        self.report_button.clicked.connect(self.report_wanted)
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
        self.arrange(right, (3, 2), (), (self.report_button,))

    def titles(self, name: str) -> tuple[str, str]:
        """Title of a score, and what it means."""
        return header_of(name), about_column(name)

    def _on_which(self, index: int) -> None:
        self.rearrange(lambda: self.model.filter(str(self.which_box.itemData(index))))

    def rearrange(self, change: Callable[[], None]) -> None:
        """Change which rows are where; the current image stays the one that is selected."""
        self._following = True
        try:
            change()
            self._show_columns()
        finally:
            self._following = False
        self._on_current(self.session.workspace.current)

    # news

    def _fill(self) -> None:
        collection = self.session.workspace.collection
        rows = self.board.rows()
        words = {"segmented": "as predicted"}
        status = {}
        for found in rows:
            entry = collection.entries[found.id] if collection is not None else None
            status[found.id] = words.get(entry.status, entry.status) if entry is not None else ""
        first = self.model.rowCount() == 0
        self.rearrange(lambda: self.model.set_rows(rows, status))
        if first and rows:
            self.fit_columns()
        for index, (key, title) in enumerate(WHICH.items()):
            self.which_box.setItemText(index, f"{title} ({self.model.counts()[key]:,})")
        self.show_rows(self.report_button)
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
            self.words.setText("")
            return
        why = self.board.no_interval
        interval = f" ({why})" if why else ""
        if not math.isnan(low):
            interval = f" (95 % CI {low:.3f} to {high:.3f})"
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
        self.words.setText(words)

    def follow_threshold(self, threshold: float) -> None:
        """The threshold is another one: the line moves now, scores follow when it rests."""
        self.plot.set_threshold(threshold)
        if self.isVisible():
            self._rest.start()

    # the viewer

    def _on_row(self, now: QModelIndex, before: QModelIndex) -> None:
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
            selection.setCurrentIndex(index, SELECT | ROWS)
            self.view.scrollTo(index)
        finally:
            self._following = False

    def select_range(self, low: float, high: float) -> None:
        """Select the images of a bar of the histogram."""
        last = self.model.columnCount() - 1
        chosen = QItemSelection()
        for row in self.model.rows_between(low, high):
            chosen.select(self.model.index(row, 0), self.model.index(row, last))
        self.view.selectionModel().select(chosen, SELECT)
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
        self.to_clipboard(map(header_of, columns), ([_cell(row[key]) for key in columns] for row in rows))

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

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Keep scores up to date while it is open."""
        self.board.watch(True)
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Rest while nobody looks."""
        super().hideEvent(event)
        self._rest.stop()
        self.board.watch(False)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())
