"""Step 3: look at masks, worst first, and mend them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_unet.evaluation.error_map import ERROR_COLOURS
from napari_unet.widgets.histogram import IoUHistogram
from napari_unet.widgets.scores_buttons import ScoresButtons
from napari_unet.widgets.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.workflow.session import Session

EDITS = {
    "fill": "Fill holes",
    "drop": "Drop small pieces",
    "smooth": "Smooth outlines",
    "undo": "Undo the last change of this image",
}


class LookPanel(Step):
    """IoU of the image at hand and of all, the errors, and the way to the worst."""

    worst_wanted = Signal()
    step_wanted = Signal(int)
    errors_wanted = Signal(bool)
    range_wanted = Signal(float, float)
    reference_wanted = Signal(object)
    done_wanted = Signal()
    revert_wanted = Signal()
    edit_wanted = Signal(str)

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(3, "Review", parent, foldable=True)
        self.session = session
        self.references: Callable[[], list[Any]] = list
        self.chosen_reference: Callable[[], Any] = lambda: None
        self.image_score = QLabel()
        self.image_score.setToolTip(
            "Intersection over union of mask and reference, mean of the classes in it"
        )
        self.overall_score = QLabel()
        self.overall_score.setWordWrap(True)
        self.histogram = IoUHistogram(self)
        self.histogram.range_selected.connect(self.range_wanted)

        self.previous_button = QToolButton()
        self.previous_button.setToolTip("Previous image in the list (Shift+N)")
        self.previous_button.setAccessibleName("Previous image")
        self.next_button = QToolButton()
        self.next_button.setToolTip("Next image in the list (N)")
        self.next_button.setAccessibleName("Next image")
        for button, by in ((self.previous_button, -1), (self.next_button, 1)):
            button.setArrowType(Qt.ArrowType.LeftArrow if by < 0 else Qt.ArrowType.RightArrow)
            button.clicked.connect(lambda _=False, n=by: self.step_wanted.emit(n))
        self.worst_button = QPushButton("Worst first")
        self.worst_button.setToolTip("Sort the list by IoU and go to the worst image (W)")
        self.worst_button.clicked.connect(self.worst_wanted)
        self.errors_box = QCheckBox("Errors")
        self.errors_box.setToolTip("Show where mask and reference agree and where not (T)")
        self.errors_box.toggled.connect(self.errors_wanted)
        self.legend = QLabel("&nbsp;&nbsp;".join(
            f'<span style="color:{colour}">■</span>&nbsp;{name.replace(" ", "&nbsp;")}'
            for name, colour in ERROR_COLOURS.items()
        ))  # fmt: skip
        self.legend.setToolTip("Blue: right. Vermillion: mask only. Yellow: reference only.")
        self.reference_box = QComboBox()
        self.reference_box.setAccessibleName("Compare with")
        self.reference_box.setToolTip("A Labels layer of the same size that holds the true masks")
        self.reference_box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.reference_box.activated.connect(
            lambda index: self.reference_wanted.emit(self.reference_box.itemData(index))
        )
        self.compare = QWidget()
        row = QHBoxLayout(self.compare)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Compare with"))
        row.addWidget(self.reference_box, 1)
        self.body.addWidget(self.compare)

        self.scores = QWidget()
        row = QHBoxLayout(self.scores)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.image_score)
        row.addWidget(self.overall_score, 1)
        self.body.addWidget(self.scores)
        self.all_scores = ScoresButtons(session, self)
        row = QHBoxLayout()
        row.addWidget(self.histogram, 1)
        row.addWidget(self.all_scores)
        self.body.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(self.worst_button, 1)
        row.addWidget(self.previous_button)
        row.addWidget(self.next_button)
        row.addWidget(self.errors_box)
        self.buttons = QWidget()
        self.buttons.setLayout(row)
        row.setContentsMargins(0, 0, 0, 0)
        self.body.addWidget(self.buttons)
        self.body.addWidget(self.legend)
        self._build_mend()
        self.empty = QLabel("Segment images that have reference masks to see how good the masks are.")
        self.empty.setWordWrap(True)
        self.body.addWidget(self.empty)

        session.score_changed.connect(self._on_score)
        session.current_changed.connect(lambda _: self.refresh())
        session.collection_changed.connect(self._on_collection)
        session.overall_changed.connect(self._on_overall)
        self.refresh_references()
        self.refresh()

    def _build_mend(self) -> None:
        self.done_button = QPushButton("Done, next")
        self.done_button.setToolTip("Vouch for the whole mask, and go to the next image (D)")
        self.done_button.clicked.connect(self.done_wanted)
        self.edit_button = QToolButton()
        self.edit_button.setText("Mend ▾")
        self.edit_button.setToolTip("Change the mask as a whole; each can be undone by Revert or Undo here")
        self.edit_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.edit_button)
        for key, title in EDITS.items():
            menu.addAction(title, lambda k=key: self.edit_wanted.emit(k))
        self.edit_button.setMenu(menu)
        self.revert_button = QPushButton("Revert")
        self.revert_button.setToolTip("Go back to what the model predicted")
        self.revert_button.clicked.connect(self.revert_wanted)
        self.mend = QWidget()
        row = QHBoxLayout(self.mend)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.done_button, 2)
        row.addWidget(self.edit_button)
        row.addWidget(self.revert_button, 1)
        self.body.addWidget(self.mend)

    def refresh_references(self) -> None:
        """List the layers that could be the reference."""
        choices = self.references()
        chosen = self.chosen_reference()
        self.compare.setVisible(bool(choices))
        self.reference_box.clear()
        self.reference_box.addItem("nothing", None)
        for layer in choices:
            self.reference_box.addItem(layer.name, layer)
            if layer is chosen:
                self.reference_box.setCurrentIndex(self.reference_box.count() - 1)

    def refresh(self) -> None:
        """Show what is known of the image at hand."""
        session = self.session
        iou = session.row(session.current).iou if session.current else None
        self.image_score.setText(
            f'<span style="font-size:16pt"><b>{iou:.3f}</b></span>' if iou is not None else ""
        )
        scored = session.overall is not None or iou is not None
        for widget in (self.scores, self.histogram, self.all_scores):
            widget.setVisible(scored)
        several = session.collection is not None and len(session.collection) > 1
        self.buttons.setVisible(scored or several)
        self.worst_button.setEnabled(scored)
        self.errors_box.setEnabled(iou is not None)
        self.legend.setVisible(self.errors_box.isChecked() and iou is not None)
        self.empty.setVisible(not scored)
        row = session.row(session.current) if session.current else None
        self.mend.setVisible(row is not None and row.status != "new")
        self.revert_button.setEnabled(row is not None and row.status in ("corrected", "done"))

    def _on_collection(self) -> None:
        self.refresh_references()
        self.refresh()

    def _on_score(self, identifier: str) -> None:
        if identifier == self.session.current:
            self.refresh()

    def _on_overall(self) -> None:
        overall = self.session.overall
        self.histogram.set_values(overall.values if overall is not None else ())
        if overall is None:
            self.overall_score.setText("")
        else:
            interval = "" if math.isnan(overall.low) else f" ({overall.low:.3f} to {overall.high:.3f})"
            which = "seen in training" if overall.seen else "unseen"
            mean = f"<b>{overall.mean_iou:.3f}</b>{interval}"
            images = f"{overall.images:,} {which} image{'s' * (overall.images != 1)}"
            self.overall_score.setText(f"IoU of this image<br>all: {mean}, {images}")
            tip = "Mean IoU, its 95 % interval by bootstrap over groups, and the images it is of."
            if overall.left_out:
                tip += f" {overall.left_out:,} images that the model saw in training are left out."
            if math.isnan(overall.low):
                tip += " An interval needs images of two groups."
            self.overall_score.setToolTip(tip)
        self.refresh()
