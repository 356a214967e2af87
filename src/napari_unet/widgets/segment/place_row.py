"""Where to compute: one field for the command that leads to another computer, and what was found there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_unet.session.compute_place import ComputePlace


class PlaceRow(QWidget):  # type: ignore[misc]
    """A line under the model; it is there once somebody asks for it, or another computer is in use.

    Parameters
    ----------
    place : ComputePlace
        Of the session.
    parent : QWidget
        Owner.
    """

    def __init__(self, place: ComputePlace, parent: QWidget) -> None:
        super().__init__(parent)
        self.place = place
        self._shown = ""
        self.field = QLineEdit()
        self.field.setPlaceholderText("this computer")
        self.field.setAccessibleName("Command that leads to another computer")
        self.field.setToolTip(
            "A command that leads to another computer, such as: ssh box\n"
            "That computer segments and learns. What you paint stays here. Empty: this computer"
        )
        self.field.returnPressed.connect(self._check)
        self.button = QPushButton("Check")
        self.button.setToolTip("Connect, say what is there, and compute there from now on")
        self.button.clicked.connect(self._check)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        row = QHBoxLayout()
        row.addWidget(QLabel("Compute on"))
        row.addWidget(self.field, 1)
        row.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.words)
        place.changed.connect(self._on_changed)
        self.hide()
        self._on_changed()

    def open(self) -> None:
        """Show the line, ready to type."""
        self.show()
        self.field.setFocus()

    def _check(self) -> None:
        self.place.check(self.field.text())

    def _on_changed(self) -> None:
        checking = self.place.checking is not None
        if self.place.text != self._shown:  # what a person typed in vain stays, to be mended
            self._shown = self.place.text
            self.field.setText(self._shown)
            self.field.setCursorPosition(0)
        self.button.setEnabled(not checking)
        self.words.setText(self.place.sentence)
        self.words.setVisible(bool(self.place.sentence))
        if self.place.text or self.place.sentence:
            self.show()
