"""The line at the bottom of the dock: the last result or error, and how far long work is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets.parts.keys import CANCEL
from napari_unet.widgets.parts.notify import details_box
from napari_unet.widgets.parts.step import ElidedLabel
from napari_unet.widgets.parts.thin_bar import thin_bar
from napari_unet.widgets.parts.words import progress_words

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.progress import Progress
    from napari_unet.session.outcome import Outcome

# Okabe and Ito's: vermillion for an error, bluish green for a result; a bar at the left edge.
BARS = {"error": "#D55E00", "result": "#009E73", "note": "#56B4E9"}


class WrappedText(QTextEdit):  # type: ignore[misc]
    """Text that can be selected, as high as it needs; a long path wraps where a label would widen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setTabChangesFocus(True)
        self.document().setDocumentMargin(2)
        self.viewport().setAutoFillBackground(False)
        self.setStyleSheet("QTextEdit { background: transparent; border: none; padding: 0px; }")
        self.textChanged.connect(self.fit)

    def fit(self) -> None:
        """Take the height that all of the text needs at this width."""
        self.document().setTextWidth(self.viewport().width())
        self.setFixedHeight(max(int(self.document().size().height()) + 2, self.fontMetrics().height() + 6))

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Wrap again."""
        super().resizeEvent(event)
        self.fit()

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Any width will do."""
        return QSize(40, self.height())


class StatusLine(QWidget):  # type: ignore[misc]
    """Shows one result or error until the next one, and long work while it lasts.

    Attributes
    ----------
    kind : str
        "error", "result" or "note"; empty before anything happened.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = ""
        self._outcome: Outcome | None = None
        self._details = ""
        self._build_said()
        self._build_work()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 0, 8, 0)
        column.setSpacing(2)
        column.addWidget(self.work)
        column.addWidget(self.said)
        self.work.hide()
        self.said.hide()

    def _build_said(self) -> None:
        self.bar = QFrame()
        self.bar.setFixedWidth(3)
        self.words = WrappedText()
        self.words.setAccessibleName("Last result or error")
        self.path = ElidedLabel(cut=Qt.TextElideMode.ElideLeft)
        self.path.setAccessibleName("Where the result is")
        self.path.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details_button = QPushButton("Details")
        self.details_button.setToolTip("What a developer needs to find the cause")
        self.details_button.clicked.connect(self.show_details)
        self.folder_button = QPushButton("Open folder")
        self.folder_button.clicked.connect(lambda: self._open("folder"))
        self.report_button = QPushButton("Open report")
        self.report_button.clicked.connect(lambda: self._open("page"))
        self.clear_button = QToolButton()
        self.clear_button.setText("\N{MULTIPLICATION SIGN}")
        self.clear_button.setAutoRaise(True)
        self.clear_button.setToolTip("Remove this message")
        self.clear_button.setAccessibleName("Remove this message")
        self.clear_button.clicked.connect(self.clear)
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.words, 1)
        first.addWidget(self.details_button, 0, Qt.AlignmentFlag.AlignTop)
        first.addWidget(self.clear_button, 0, Qt.AlignmentFlag.AlignTop)
        second.addWidget(self.path, 1)
        for button in (self.folder_button, self.report_button):
            second.addWidget(button)
        right = QVBoxLayout()
        right.setSpacing(2)
        right.addLayout(first)
        right.addLayout(second)
        self.said = QWidget()
        row = QHBoxLayout(self.said)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(5)
        row.addWidget(self.bar)
        row.addLayout(right, 1)

    def _build_work(self) -> None:
        self.progress_bar = thin_bar()
        self.progress_words = QLabel()
        self.progress_words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; files and masks that are finished stay (Escape)")
        self.cancel_button.setShortcut(CANCEL)
        self.work = QWidget()
        row = QHBoxLayout(self.work)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.progress_words, 3)
        row.addWidget(self.progress_bar, 2)
        row.addWidget(self.cancel_button)

    # what is said

    def show_outcome(self, outcome: Outcome) -> None:
        """Show a result, with its path and what can be opened."""
        self._outcome, self._details = outcome, ""
        self._say("note" if outcome.is_note else "result", outcome.sentence)

    def show_error(self, sentence: str, details: str = "") -> None:
        """Show an error in full; a button shows its details, if there are any."""
        self._outcome, self._details = None, details
        self._say("error", sentence)

    def clear(self) -> None:
        """Show nothing until the next result."""
        self.kind, self._outcome = "", None
        self.said.hide()

    def show_details(self) -> None:
        """Open the window with the details of an error, to be copied."""
        details_box(self.words.toPlainText(), self._details, self).open()

    def _say(self, kind: str, sentence: str) -> None:
        outcome, self.kind = self._outcome, kind
        self.bar.setStyleSheet(f"background-color: {BARS[kind]};")
        self.words.setPlainText(sentence[:1].upper() + sentence[1:])
        path = None if outcome is None else outcome.path
        self.path.setText("" if path is None else str(path))
        self.path.setVisible(path is not None)
        self.folder_button.setVisible(path is not None)
        self.folder_button.setToolTip("" if path is None else f"Show {path} in the file manager")
        self.report_button.setVisible(outcome is not None and outcome.page is not None)
        self.report_button.setToolTip("Open the report in the browser")
        self.details_button.setVisible(bool(self._details))
        self.said.show()
        self.words.fit()

    def _open(self, what: str) -> None:
        path: Path | None = None if self._outcome is None else getattr(self._outcome, what)
        if path is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.show_error(f"No program opens {path}. It is there: open it in your file manager.")

    # long work

    def show_work(self, what: str, progress: Progress | None) -> None:
        """Show how far a task is; None: nothing runs.

        Parameters
        ----------
        what : str
            What it does, like "Exporting"; its own words if empty.
        progress : Progress or None
            How far it is.
        """
        self.work.setVisible(progress is not None)
        if progress is None:
            return
        words = progress_words(progress, what)
        self.progress_words.setText(words)
        self.progress_words.setToolTip(words)
        self.progress_bar.setRange(0, int(progress.total) if progress.done else 0)
        self.progress_bar.setValue(int(progress.done))
