"""The window that lists every key."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.widgets.parts.keys import every_key

LEFT = 1  # sections in the left column


class KeysDialog(QDialog):  # type: ignore[misc]
    """Every key with what it does, in two columns of sections."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Keys of the U-Net Workbench")
        self.shown: dict[str, str] = {}
        columns = QHBoxLayout()
        columns.setSpacing(28)
        sections = list(every_key().items())
        for part in (sections[:LEFT], sections[LEFT:]):
            columns.addLayout(self._column(part))
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        layout = QVBoxLayout(self)
        layout.addLayout(columns)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)

    def _column(self, sections: list[tuple[str, dict[str, str]]]) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(3)
        for title, keys in sections:
            row = grid.rowCount()
            if row > 1:
                grid.setRowMinimumHeight(row, 8)
            grid.addWidget(QLabel(f"<b>{title}</b>"), row + 1, 0, 1, 2)
            for place, (key, meaning) in enumerate(keys.items(), start=row + 2):
                grid.addWidget(QLabel(key), place, 0, Qt.AlignmentFlag.AlignRight)
                grid.addWidget(QLabel(meaning), place, 1)
                self.shown[key] = meaning
        grid.setColumnStretch(1, 1)
        grid.setRowStretch(grid.rowCount(), 1)
        return grid
