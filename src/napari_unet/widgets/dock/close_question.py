"""The question whether work that runs may be stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMessageBox

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_unet.session.session import Session


def may_stop(session: Session, parent: QWidget) -> bool:
    """Ask a person whether what runs may be stopped; the answer is no unless they choose yes."""
    progress = session.runner.progress
    far = ""
    if progress is not None:
        unit = "megapixels" if progress.message == "Megapixels" else "images"
        far = f" {int(progress.done):,} of {int(progress.total):,} {unit} are done."
    learning = session.background.job is not None
    what = "The model is still learning" if learning else "Segmentation is still running"
    answer = QMessageBox.question(
        parent,
        "U-Net Workbench",
        f"{what}.{far} Stop it and close?",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        QMessageBox.StandardButton.No,
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
