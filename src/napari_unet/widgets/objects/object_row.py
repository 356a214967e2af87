"""What the dock says of the objects of the current image, and the way to their table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_unet.metrics.object_words import objects_in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.session import Session


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
        self.row = QHBoxLayout()
        self.row.addWidget(self.words, 1)
        self.row.addWidget(self.table_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(self.row)
        session.objects.changed.connect(self._on_measured)
        self.hide()

    def refresh(self) -> None:
        """Say what is so now; have the objects measured if they are not."""
        current, objects = self.session.workspace.current, self.session.objects
        shown = bool(current) and self.shows_objects() and objects.key(current) is not None
        self.setVisible(shown)
        if not shown:
            return
        known = objects.latest(current)
        words = "Counting objects" if known is None else objects_in_words(known.table, known.classes)
        self.words.setText(f"<b>{words}</b>" if known is not None else words)
        objects.want([current], first=True)

    def _on_measured(self, identifier: str) -> None:
        if identifier == self.session.workspace.current:
            self.refresh()
