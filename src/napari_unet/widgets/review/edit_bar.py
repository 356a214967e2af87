"""The row of buttons that verify a mask, clean it up, and go back to an earlier one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QWidget

from napari_unet.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.export.stacks import StackSlice
    from napari_unet.project.corrections.correction import MaskVersion
    from napari_unet.session.session import Session
    from napari_unet.widgets.review.export_dialog import ExportDialog

WHOLE = {"fill": "Fill holes", "drop": "Drop small pieces", "smooth": "Smooth outlines"}
OBJECT = {
    "grow": "Grow the object under the pointer\tG",
    "shrink": "Shrink the object under the pointer\tShift+G",
}
MOST_VERSIONS = 20  # in the menu, the newest
DAY = 86_400  # seconds


class EditBar(QWidget):  # type: ignore[misc]
    """Done, Clean up and Revert for the current image, and accepting many at once.

    Parameters
    ----------
    session : Session
        Whose image is edited.
    parent : QWidget
        Owner.
    """

    done_wanted = Signal()
    edit_wanted = Signal(str)  # "fill", "drop", "smooth", "grow", "shrink", "undo", "revert"
    version_wanted = Signal(int)  # number of a version of the current image
    accept_wanted = Signal(tuple, bool)  # ids, and whether they are done or no longer

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self.selected: Callable[[], tuple[str, ...]] = tuple
        self.pixel_sizes: Callable[[Sequence[str]], dict[str, PixelSize]] = lambda ids: {}
        self.stack_slices: Callable[[Sequence[str]], dict[str, StackSlice]] = lambda ids: {}
        self.shows_objects: Callable[[], bool] = lambda: False
        self.done_button = QPushButton("Done, next")
        self.done_button.setToolTip("Mark the whole mask as verified, and go to the next image (D)")
        self.done_button.clicked.connect(self.done_wanted)
        self.accept_button = self._menu_button("Accept ▾", "Mark many masks as verified, or undo that")
        self.edit_button = self._menu_button(
            "Clean up ▾", "Change the mask of this image; each change can be undone here"
        )
        self.revert_button = self._menu_button("Revert ▾", "Go back to the prediction, or to an earlier mask")
        self.accept_button.menu().aboutToShow.connect(self._fill_accept)
        self.edit_button.menu().aboutToShow.connect(self._fill_edit)
        self.revert_button.menu().aboutToShow.connect(self._fill_revert)
        self.export_button = QToolButton()
        self.export_button.setText("Export…")
        self.export_button.setToolTip("Save masks and objects for other programs: PNG, OME-Zarr, COCO, …")
        self.export_button.clicked.connect(self.show_export)
        self.export_dialog: ExportDialog | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.done_button, 1)
        for button in (self.accept_button, self.edit_button, self.revert_button, self.export_button):
            row.addWidget(button)

    def _menu_button(self, title: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setText(title)
        button.setToolTip(tip)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setMenu(QMenu(button))
        return button

    def refresh(self) -> None:
        """Offer what can be done with the current image."""
        session = self.session
        row = session.workspace.row(session.workspace.current) if session.workspace.current else None
        self.setVisible(row is not None and row.status != "new")
        kept = session.painting.project
        changed = row is not None and row.status in ("corrected", "done")
        known = kept is not None and session.workspace.current in kept.corrections
        self.revert_button.setEnabled(changed or known)

    def show_export(self) -> None:
        """Open the dialog that exports, or bring it to the front."""
        from napari_unet.widgets.review.export_dialog import ExportDialog

        if self.export_dialog is None:
            self.export_dialog = ExportDialog(
                self.session,
                lambda: self.selected(),
                self,
                lambda ids: self.pixel_sizes(ids),
                lambda ids: self.stack_slices(ids),
            )
        self.export_dialog.offer("objects" if self.shows_objects() else "classes")
        self.export_dialog.refresh()
        self.export_dialog.show()
        self.export_dialog.raise_()

    def stats_in_words(self) -> tuple[str, str]:
        """Work on the current image and on all, in words; empty where there was none."""
        project = self.session.painting.project
        if project is None:
            return "", ""
        one = project.corrections.stats(self.session.workspace.current)
        every = project.corrections.total()
        return in_words(one.strokes, one.changed, one.seconds), in_words(
            every.strokes, every.changed, every.seconds
        )

    # menus, made when they are opened

    def _fill_edit(self) -> None:
        menu = self.edit_button.menu()
        menu.clear()
        for group in (WHOLE, OBJECT):
            for key, title in group.items():
                menu.addAction(title, lambda k=key: self.edit_wanted.emit(k))
            menu.addSeparator()
        menu.addAction("Undo the last change of this image", lambda: self.edit_wanted.emit("undo"))

    def _fill_accept(self) -> None:
        menu, session = self.accept_button.menu(), self.session
        menu.clear()
        rows = {row.id: row for row in session.workspace.rows()}
        chosen = tuple(i for i in self.selected() if i in rows and _open(rows[i].status))
        every = tuple(i for i, row in rows.items() if _open(row.status))
        self._offer(menu, f"Selected images ({len(chosen):,})", chosen, True)
        volume = tuple(i for i in session.workspace.volume if i in rows and _open(rows[i].status))
        if session.workspace.volume:
            self._offer(menu, f"All slices of this volume with a mask ({len(volume):,})", volume, True)
        self._offer(menu, f"All images with a mask ({len(every):,})", every, True)
        menu.addSeparator()
        last = tuple(i for i in session.painting.accepted if i in rows and rows[i].status == "done")
        self._offer(menu, f"Undo last accept ({len(last):,})", last, False)
        current = session.workspace.current
        done = (current,) if current in rows and rows[current].status == "done" else ()
        self._offer(menu, "Mark as not done", done, False)

    def _offer(self, menu: QMenu, title: str, ids: tuple[str, ...], done: bool) -> None:
        action = menu.addAction(title, lambda: self.accept_wanted.emit(ids, done))
        action.setEnabled(bool(ids))

    def _fill_revert(self) -> None:
        menu = self.revert_button.menu()
        menu.clear()
        menu.addAction("To the prediction", lambda: self.edit_wanted.emit("revert"))
        try:
            versions = self.session.painting.versions(self.session.workspace.current)
        except WorkbenchError as error:
            menu.addAction(error.sentence).setEnabled(False)
            return
        if len(versions) < 2:
            return
        menu.addSection("Earlier masks, the newest first")
        for version in list(reversed(versions))[1 : 1 + MOST_VERSIONS]:
            menu.addAction(version_words(version), lambda n=version.number: self.version_wanted.emit(n))


def _open(status: str) -> bool:
    return status in ("segmented", "corrected")


def version_words(version: MaskVersion) -> str:
    """When a mask came to be, by what, and how many pixels that changed."""
    if not version.number:
        return "before the first stroke"
    moment = time.localtime(version.time)
    today = time.time() - version.time < DAY and moment.tm_yday == time.localtime().tm_yday
    pixels = f", {version.pixels:,} px" if version.pixels else ""
    return f"{time.strftime('%H:%M:%S' if today else '%d %b %Y, %H:%M', moment)}   {version.kind}{pixels}"


def in_words(strokes: int, pixels: int, seconds: float) -> str:
    """Work of the hand: "3 strokes, 214 px, 1 min"; empty if there was none."""
    if not strokes and not pixels:
        return ""
    worked = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
    return f"{strokes:,} stroke{'s' * (strokes != 1)}, {pixels:,} px, {worked}"
