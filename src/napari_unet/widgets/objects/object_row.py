"""What the dock says of the objects of the current image, and the way to their table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_unet.metrics.object_words import objects_in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.session import Session

TOOLS = {
    "delete": ("Delete", "Click an object to delete it. The key R deletes the object under the pointer."),
    "merge": (
        "Merge",
        "Draw a stroke from one object into another: they become one, and what lies between them is filled "
        "(J)",
    ),
    "split": ("Split", "Draw a stroke across an object: it is cut in two along the stroke (K)"),
}

# A tool that is taken up has the colour of the button that continues.
TAKEN_UP = "QToolButton:checked { background-color: #2f6fbd; color: white; }"


class ObjectRow(QWidget):  # type: ignore[misc]
    """Says "36 nuclei, median area 214 px (52.4 µm²)" while objects are shown.

    Parameters
    ----------
    session : Session
        Measures objects.
    shows_objects : callable
        () -> whether the mask of the current image is shown as objects.
    parent : QWidget
        Owner.
    """

    table_wanted = Signal()
    tool_wanted = Signal(str)  # a key of ``TOOLS``; empty: none any more

    def __init__(self, session: Session, shows_objects: Callable[[], bool], parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self.shows_objects = session, shows_objects
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.words.setToolTip("Objects in the mask of this image, as it is now")
        self.table_button = QPushButton("Objects…")
        self.table_button.setToolTip("Measure every object: a table, a histogram, and the way to each object")
        self.table_button.clicked.connect(self.table_wanted)
        self.tool_buttons: dict[str, QToolButton] = {}
        buttons = QHBoxLayout()
        buttons.setSpacing(3)
        buttons.addWidget(self.table_button, 1)
        for tool, (title, tip) in TOOLS.items():
            button = self.tool_buttons[tool] = QToolButton()
            button.setText(title)
            button.setToolTip(f"<qt>{tip}</qt>")
            button.setCheckable(True)
            button.setStyleSheet(TAKEN_UP)
            button.clicked.connect(lambda on, t=tool: self.tool_wanted.emit(t if on else ""))
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.words)
        column.addLayout(buttons)
        session.objects.changed.connect(self._on_measured)
        self.hide()

    def show_tool(self, tool: str) -> None:
        """Show which tool is taken up."""
        for name, button in self.tool_buttons.items():
            button.setChecked(name == tool)

    def refresh(self) -> None:
        """Say what is so now; have the objects measured if they are not."""
        current, objects = self.session.workspace.current, self.session.objects
        shown = bool(current) and self.shows_objects() and objects.key(current) is not None
        self.setVisible(shown)
        if not shown:
            return
        known, large = objects.latest(current), objects.on_disk(current) is not None
        words = "Counting objects" if known is None else objects_in_words(known.table, known.classes)
        self.words.setText(f"<b>{words}</b>" if known is not None else words)
        # A large image has its count in a row of its own, and is measured when its table is wanted.
        self.words.setVisible(known is not None or not large)
        if not large:
            objects.want([current], first=True)

    def _on_measured(self, identifier: str) -> None:
        if identifier == self.session.workspace.current:
            self.refresh()
