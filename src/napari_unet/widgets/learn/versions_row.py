"""The versions of a project's model: use one, go back, compare two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QSizePolicy, QWidget

if TYPE_CHECKING:
    from napari_unet.project.model_version import Version
    from napari_unet.session.learn.candidate_version import CandidateVersion


class VersionsRow(QWidget):  # type: ignore[misc]
    """A list of versions and what can be done with them; hidden while there is only one."""

    compare_wanted = Signal()

    def __init__(self, candidate: CandidateVersion, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.candidate = candidate
        self._number: int | None = None  # of the version in use
        self._earlier: Version | None = None
        self.box = QComboBox()
        self.box.setAccessibleName("Versions of the model")
        self.box.setToolTip(
            "Versions of the model in this project, with IoU and verdict of when they were made. Over other "
            "images, or without flips, the same model has another IoU: Compare… puts both on the same."
        )
        self.box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.box.currentIndexChanged.connect(lambda _: self._refresh_buttons())
        self.use_button = QPushButton("Use")
        self.use_button.setToolTip("Use the version chosen from now on")
        self.use_button.clicked.connect(lambda: candidate.roll_back(self.box.currentData()))
        self.back_button = QPushButton("Roll back")
        self.back_button.clicked.connect(lambda: candidate.roll_back())
        self.compare_button = QPushButton("Compare…")
        self.compare_button.setToolTip("Put any two versions on the same held-out images")
        self.compare_button.clicked.connect(self.compare_wanted)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        for button in (self.use_button, self.back_button, self.compare_button):
            row.addWidget(button)

    def refresh(self) -> None:
        """List the versions, the one in use chosen."""
        versions, current = self.candidate.versions, self.candidate.in_use
        number = None if current is None else current.number
        self._number, self._earlier = number, self.candidate.earlier
        self.box.blockSignals(True)
        self.box.clear()
        for version in versions:
            self.box.addItem(words_of(version, number), version.number)
        if number is not None:
            self.box.setCurrentIndex(self.box.findData(number))
        self.box.blockSignals(False)
        self.setVisible(len(versions) > 1)
        self._refresh_buttons()

    def _refresh_buttons(self) -> None:
        """Offer only what leads to another version; going back leads to an older one."""
        free, earlier = not self.candidate.runner.busy, self._earlier
        self.use_button.setEnabled(free and self.box.currentData() not in (None, self._number))
        self.back_button.setEnabled(free and earlier is not None)
        self.back_button.setToolTip(
            "There is no older version to go back to"
            if earlier is None
            else f"Go back to {earlier.name}, which was in use before"
        )


def words_of(version: Version, current: int | None) -> str:
    """A version on one line, with its IoU: "v002 in use, 0.812 over 131 held-out, better".

    Two versions may have been judged on different images, which the number of images tells.
    """
    score, of = version.scores.get("held_out_iou"), "held-out"
    if score is None:
        score, of = version.scores.get("validation_iou"), "validation"
    words = f"{version.name} in use" if version.number == current else version.name
    images = version.scores.get("held_out_images") if of == "held-out" else None
    over = "" if images is None else f"over {images:.0f} "
    words += f", {score:.3f} {over}{of}" if score is not None else ""
    words += f", {version.note}" if version.note else ""
    return words + (", discarded" if version.discarded else "")
