"""What the dock says of the mask of a large image: how many objects, how much of it, where it is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from napari_unet.errors import WorkbenchError
from napari_unet.widgets.parts.step import ElidedLabel

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.session import Session

ALL = 0.9995  # of an image is all of it, in words


class LargeMaskRow(QWidget):  # type: ignore[misc]
    """Two lines under Segment, while the current image is a large one.

    Parameters
    ----------
    session : Session
        Owns the masks.
    is_large : callable
        () -> whether the mask of the current image is one on disk, or would be.
    parent : QWidget
        Owner.
    """

    def __init__(self, session: Session, is_large: Callable[[], bool], parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self.is_large = session, is_large
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.path = ElidedLabel()
        self.button = QToolButton()
        self.button.setText("Folder ▾")
        self.button.setToolTip("Where the mask is on disk")
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.button)
        self.open_action = menu.addAction("Open folder", self._open)
        menu.addAction("Save the next mask in another folder…", self._choose)
        self.button.setMenu(menu)
        row = QHBoxLayout()
        row.addWidget(self.path, 1)
        row.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.words)
        column.addLayout(row)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.hide()

    def refresh(self) -> None:
        """Say what is so now."""
        current, collection = self.session.workspace.current, self.session.workspace.collection
        shown = collection is not None and current in collection.entries and self.is_large()
        self.setVisible(shown)
        if not shown or collection is None:
            return
        disk = collection.entries[current].disk
        folder = self.session.disk_masks.folder(current) if disk is None else disk.path.parent
        if self.session.disk_masks.making == current:
            words = "Large image: its mask is being made on disk."
        elif disk is None:
            words = "Large image: its mask goes to disk."
        elif disk.holds_strokes_only:
            words = "Large image: zoom in to paint. Your strokes go to disk."
        else:
            words = self._about(current, disk.share)
            if disk.problem:
                words = f"Read only: {disk.problem}"
        self.words.setText(words)
        self.path.setText(f"Mask in {folder}")
        self.path.setToolTip(str(disk.path if disk is not None else folder))
        self.open_action.setEnabled(folder.is_dir())

    def _about(self, current: str, share: float) -> str:
        count = self.session.disk_masks.objects(current)
        objects = "Objects are being counted" if count is None else f"{count:,} object{'s' * (count != 1)}"
        if share < ALL:
            objects += f" in the {100 * share:.2g} % of the image that is segmented"
        return objects

    def _folder(self) -> Path:
        collection, current = self.session.workspace.collection, self.session.workspace.current
        disk = collection.entries[current].disk if collection is not None else None
        return self.session.disk_masks.folder(current) if disk is None else disk.path.parent

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder())))

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Save masks of this image in", str(self._folder()))
        if not chosen:
            return
        try:
            self.session.disk_masks.choose_folder(self.session.workspace.current, Path(chosen))
        except WorkbenchError as error:
            self.session.runner.failed.emit(error.sentence, "")
        self.refresh()
