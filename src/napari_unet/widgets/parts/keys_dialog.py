"""The window that lists every key."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QWidget

from napari_unet.widgets.parts.keys import every_key


class KeysDialog(QDialog):  # type: ignore[misc]
    """Every key with what it does, in two columns of sections."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Keys of the U-Net Workbench")
        self.shown: dict[str, str] = {}
        grid = QGridLayout(self)
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(3)
        row = 0
        for title, keys in every_key().items():
            heading = QLabel(f"<b>{title}</b>")
            grid.addWidget(heading, row, 0, 1, 2)
            row += 1
            for key, meaning in keys.items():
                grid.addWidget(QLabel(key), row, 0, Qt.AlignmentFlag.AlignRight)
                grid.addWidget(QLabel(meaning), row, 1)
                self.shown[key] = meaning
                row += 1
        grid.setColumnStretch(1, 1)
