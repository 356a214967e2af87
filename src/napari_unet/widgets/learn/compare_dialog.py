"""Two versions of the model side by side: the sentence, and every image, the greatest loss first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets.learn.versions_row import words_of

if TYPE_CHECKING:
    from napari_unet.evaluation.compare import Comparison
    from napari_unet.session.session import Session

HELP = "Choose two versions. Both segment the images that were held out from both."
SIZE = (560, 480)  # pixels


class CompareDialog(QDialog):  # type: ignore[misc]
    """Compares any two versions; a click on an image goes to it.

    Parameters
    ----------
    session : Session
        Of whose project the versions are.
    """

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self.setWindowTitle("Compare two versions")
        self.resize(*SIZE)
        self.first_box, self.second_box = QComboBox(), QComboBox()
        for box, name in ((self.first_box, "First version"), (self.second_box, "Second version")):
            box.setAccessibleName(name)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            box.currentIndexChanged.connect(lambda _: self._refresh_button())
        self.run_button = QPushButton("Compare")
        self.run_button.setObjectName("primary")
        self.run_button.clicked.connect(self.compare)
        row = QHBoxLayout()
        row.addWidget(self.first_box, 1)
        row.addWidget(QLabel("with"))
        row.addWidget(self.second_box, 1)
        row.addWidget(self.run_button)
        self.sentence = QLabel(HELP)
        self.sentence.setWordWrap(True)
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels(["Image", "First", "Second", "Difference"])
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.cellClicked.connect(self._go_to)
        self.table.setToolTip("IoU of each image; a click goes to it")
        column = QVBoxLayout(self)
        column.addLayout(row)
        column.addWidget(self.sentence)
        column.addWidget(self.table, 1)
        session.background.changed.connect(self.refresh)
        session.candidate.changed.connect(self.refresh)
        self.refresh()
        self._choose_last()

    def done(self, result: int) -> None:
        """Listen no more once it is closed."""
        self.session.background.changed.disconnect(self.refresh)
        self.session.candidate.changed.disconnect(self.refresh)
        super().done(result)

    def refresh(self) -> None:
        """List the versions there are; what was chosen stays."""
        current = self.session.candidate.in_use
        number = None if current is None else current.number
        for box in (self.first_box, self.second_box):
            chosen = box.currentData()
            box.blockSignals(True)
            box.clear()
            for version in self.session.candidate.versions:
                box.addItem(words_of(version, number), version.number)
            box.setCurrentIndex(box.findData(chosen))
            box.blockSignals(False)
        self._refresh_button()

    def _choose_last(self) -> None:
        count = self.first_box.count()
        self.first_box.setCurrentIndex(max(count - 2, 0))
        self.second_box.setCurrentIndex(count - 1)

    def _refresh_button(self) -> None:
        why = self.session.background.obstacle
        if self.first_box.currentData() == self.second_box.currentData():
            why = why or "Choose two different versions"
        self.run_button.setEnabled(not why)
        self.run_button.setToolTip(why or "Segment the held-out images with both, and compare")

    def compare(self) -> None:
        """Put both versions on the held-out images."""
        first, second = self.first_box.currentData(), self.second_box.currentData()
        names = [f"v{n:03d}" for n in (first, second)]
        self.sentence.setText("Comparing…")
        self.table.setRowCount(0)

        def show(comparison: Comparison) -> None:
            self.show_comparison(comparison, names[0], names[1])

        if (
            self.session.learning.compare(first, second, show) is None
            and self.sentence.text() == "Comparing…"
        ):
            self.sentence.setText("There is nothing to compare on.")

    def show_comparison(self, comparison: Comparison, first: str, second: str) -> None:
        """Show what came of it.

        Parameters
        ----------
        comparison : Comparison
            Of the second against the first.
        first, second : str
            What they are called.
        """
        words = comparison.sentence
        self.sentence.setText(f"{second} against {first}: {words}.")
        self.table.setSortingEnabled(False)
        self.table.setHorizontalHeaderLabels(["Image", first, second, "Difference"])
        self.table.setRowCount(len(comparison.images))
        for row, (identifier, old, new) in enumerate(
            zip(comparison.images, comparison.old, comparison.new, strict=True)
        ):
            self.table.setItem(row, 0, QTableWidgetItem(identifier))
            for column, value in ((1, old), (2, new), (3, new - old)):
                self.table.setItem(row, column, _Number(value, signed=column == 3))
        self.table.setSortingEnabled(True)
        self.table.sortItems(3, Qt.SortOrder.AscendingOrder)

    def _go_to(self, row: int, column: int) -> None:
        item = self.table.item(row, 0)
        workspace = self.session.workspace
        if (
            item is not None
            and workspace.collection is not None
            and item.text() in workspace.collection.entries
        ):
            workspace.select(item.text())


class _Number(QTableWidgetItem):  # type: ignore[misc]
    """A cell that sorts by its number."""

    def __init__(self, value: float, *, signed: bool) -> None:
        super().__init__(f"{value:+.3f}" if signed else f"{value:.3f}")
        self.value = value
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return isinstance(other, _Number) and self.value < other.value
