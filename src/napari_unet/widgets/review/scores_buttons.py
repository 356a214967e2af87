"""The two buttons of the review step: the table of all scores, and the report."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QPushButton, QVBoxLayout, QWidget

from napari_unet.session.outcome import Outcome

if TYPE_CHECKING:
    from napari_unet.session.quality.score_table import ScoreTable
    from napari_unet.session.session import Session
    from napari_unet.widgets.review.scores_dialog import ScoresDialog


class ScoresButtons(QWidget):  # type: ignore[misc]
    """Opens the scores, and writes a report into a folder that a person chooses.

    Parameters
    ----------
    session : Session
        Whose images and model.
    parent : QWidget, optional
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.dialog: ScoresDialog | None = None
        self._slider: Any = None
        self.scores_button = QPushButton("Scores…")
        self.scores_button.setToolTip("All scores of all images, worst first, and the threshold curve")
        self.scores_button.clicked.connect(self.show_scores)
        self.report_button = QPushButton("Report…")
        self.report_button.setToolTip(
            "Write a report of what is segmented and has a reference: one page, scores, plots, pictures"
        )
        self.report_button.clicked.connect(self.choose_folder)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.scores_button)
        column.addWidget(self.report_button)

    @functools.cached_property
    def board(self) -> ScoreTable:
        """All scores; made when they are first wanted."""
        from napari_unet.session.quality.score_table import ScoreTable

        board = ScoreTable(self.session.workspace, self.session.runner, self.session.history)
        board.pixel_sizes = lambda ids: self.session.objects.pixel_sizes(ids)
        return board

    def tie_threshold(self, slider: Any) -> None:
        """Let the line of the curve and a slider be where the other is."""
        self._slider = slider
        slider.valueChanged.connect(self._on_slider)

    def _on_slider(self, value: float) -> None:
        if self.dialog is not None:
            self.dialog.follow_threshold(float(value))

    def show_scores(self) -> None:
        """Open the window of scores, or bring it to the front."""
        from napari_unet.widgets.review.scores_dialog import ScoresDialog

        if self.dialog is None:
            self.dialog = ScoresDialog(self.session, self.board, self.window())
            self.dialog.report_wanted.connect(self.choose_folder)
            self.dialog.threshold_wanted.connect(self._on_threshold)
        self.dialog.show()
        self.dialog.raise_()
        self.dialog.activateWindow()

    def _on_threshold(self, threshold: float) -> None:
        if self._slider is not None:
            self._slider.setValue(threshold)

    def choose_folder(self) -> None:
        """Ask where to, and write the report there."""
        session = self.session
        if session.runner.busy:
            session.runner.failed.emit("Another task is running: wait for it, or cancel it.", "")
            return
        project = session.painting.project
        start = str(project.folder / "reports") if project is not None else ""
        chosen = QFileDialog.getExistingDirectory(self, "Choose where to save the report", start)
        if chosen:
            self.write(Path(chosen))

    def write(self, parent: Path) -> None:
        """Write the report into a new folder of this one, and show it when it is there."""
        model, collection = self.session.workspace.model, self.session.workspace.collection
        names = (model.name if model is not None else "model", collection.name if collection else "images")
        folder = new_folder(parent, " on ".join(names))
        if self.board.write_report(folder, self._written) is None:
            self.session.runner.failed.emit("Segment images that have reference masks first.", "")

    def _written(self, page: Path) -> None:
        self.session.runner.succeeded.emit(Outcome("The report is written.", page.parent, page))
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))

    def close_scores(self) -> None:
        """Close the window of scores for good."""
        if self.dialog is not None:
            self.dialog.close()
            self.dialog.deleteLater()
            self.dialog = None


def new_folder(parent: Path, name: str) -> Path:
    """A folder of this name that is not there yet; nothing is made or overwritten."""
    plain = re.sub(r"[^\w .()+-]", "_", name).strip(" .") or "report"
    folder, number = parent / f"report {plain[:80]}", 1
    while folder.exists():
        number += 1
        folder = parent / f"report {plain[:80]} ({number})"
    return folder
