"""The versions of a project's model: use one, go back, compare two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_unet.project.model_version import Version
    from napari_unet.session.learn.candidate_version import CandidateVersion


class VersionsRow(QWidget):  # type: ignore[misc]
    """A list of versions and what can be done with them.

    Attributes
    ----------
    several : bool
        Whether there is a choice.
    """

    compare_wanted = Signal()

    def __init__(self, candidate: CandidateVersion, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.candidate = candidate
        self.several = False
        self._number: int | None = None  # of the version in use
        self._earlier: Version | None = None
        self.box = QComboBox()
        self.box.setAccessibleName("Versions of the model")
        self.box.setToolTip(
            "<qt>Versions of the model in this project. Two numbers are the mean IoU before and after that "
            "round, on the same held-out images. Compare… scores any two versions on the same images.</qt>"
        )
        self.box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.box.currentIndexChanged.connect(lambda _: self._refresh_buttons())
        self.use_button = QPushButton("Use")
        self.use_button.setToolTip("Segment with the selected version from now on")
        self.use_button.clicked.connect(lambda: candidate.roll_back(self.box.currentData()))
        self.back_button = QPushButton("Roll back")
        self.back_button.clicked.connect(lambda: candidate.roll_back())
        self.compare_button = QPushButton("Compare…")
        self.compare_button.setToolTip("Compare any two versions on the same held-out images")
        self.compare_button.clicked.connect(self.compare_wanted)
        row = QHBoxLayout()
        for button in (self.use_button, self.back_button, self.compare_button):
            row.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.box)
        column.addLayout(row)

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
        self.several = len(versions) > 1
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
    """A version on one line: "v002 in use, better: 0.672 before, 0.703 now on 132 images".

    Both numbers are of the same held-out images. Without such a pair there is no number: two versions
    may have been judged on different images, or with and without flips.
    """
    words = f"{version.name} in use" if version.number == current else version.name
    words += f", {version.note}" if version.note else ""
    scores = version.scores
    if {"held_out_iou", "difference", "held_out_images"} <= set(scores):
        new, images = scores["held_out_iou"], int(scores["held_out_images"])
        before = new - scores["difference"]
        words += f": {before:.3f} before, {new:.3f} now on {images:,} image{'s' * (images != 1)}"
    return words + (", discarded" if version.discarded else "")
