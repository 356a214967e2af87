"""What the slices of a stack are: one volume, or images of their own. A stack is asked about once."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from napari_unet.session.images.volume_rows import FILES


class StackQuestion(QWidget):  # type: ignore[misc]
    """A line with two buttons; what the file says is the first of them, and holds until one is pressed.

    Parameters
    ----------
    parent : QWidget
        Owner.
    """

    answered = Signal(bool)  # whether the stack is a volume

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.words = QLabel()
        self.volume_button = QPushButton("One volume")
        self.volume_button.setToolTip(
            "<qt>The slices lie one behind another. The list has one row for all of them, objects are "
            "numbered in three dimensions, and a 2.5D or 3D model sees neighbouring slices.</qt>"
        )
        self.images_button = QPushButton("Images")
        self.images_button.setToolTip(
            "<qt>Each slice is an image of its own, as in a time series. The list has a row for each.</qt>"
        )
        self.volume_button.clicked.connect(lambda: self.answered.emit(True))
        self.images_button.clicked.connect(lambda: self.answered.emit(False))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.words, 1)
        row.addWidget(self.volume_button)
        row.addWidget(self.images_button)
        self.hide()

    def ask(self, about: tuple[int, str] | None) -> None:
        """Ask about a stack of so many slices, along an axis or in numbered files; None: ask nothing."""
        self.setVisible(about is not None)
        if about is None:
            return
        count, axis = about
        said = axis == "z"
        what = f"The {count} numbered files are" if axis == FILES else f"The {count} pages are"
        self.words.setText(f"{count} slices along Z are" if said else what)
        layout = self.layout()
        first, second = (
            (self.volume_button, self.images_button) if said else (self.images_button, self.volume_button)
        )
        for button in (first, second):
            layout.removeWidget(button)
            layout.addWidget(button)
