"""Step 3: look at masks, worst first, and correct them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.evaluation.error_map import ERROR_COLOURS
from napari_unet.widgets.canvas.layer_styles import UNSURE_COLOURS, VERIFIED_COLOUR
from napari_unet.widgets.parts.step import ElidedLabel, Step
from napari_unet.widgets.parts.words import count
from napari_unet.widgets.review.edit_bar import EditBar
from napari_unet.widgets.review.iou_histogram import IoUHistogram
from napari_unet.widgets.review.scores_buttons import ScoresButtons
from napari_unet.widgets.review.volume_row import VolumeRow
from napari_unet.widgets.strokes.class_legend import ClassLegend

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.images.image_row import ImageRow
    from napari_unet.session.overall_score import Overall
    from napari_unet.session.session import Session

NOT_SEGMENTED = "Segment images to see how good their masks are: by their reference masks, or estimated."
ALONE = "There is no reference mask to compare this mask with."
NO_REFERENCE = "No reference masks. Worst first estimates the IoU instead."
NO_REFERENCE_HERE = "No image with a reference mask is segmented yet: Worst first estimates the IoU of each."
TOGGLES = {
    "errors": ("Errors", "Show where mask and reference agree and where not (T)"),
    "verified": (
        "Verified",
        "<qt>Show what you verified as pink lines: what you painted, or all of an image that is done; only "
        "that teaches and counts (O)</qt>",
    ),
    "unsure": (
        "Unsure",
        "<qt>Show where the members of an ensemble disagree, or the answers of one model to the image and "
        "its mirror images (U). From violet to yellow: standard deviation of the probabilities, up to 0.5, "
        "where half of them say no and half yes</qt>",
    ),
    "probabilities": ("Probabilities", "Show the model's probabilities below the mask, 0 to 1 (B)"),
}
SIGNS = {  # colours over the mask, next to the boxes; those of errors are many, and have a line
    "verified": f'<span style="color:{VERIFIED_COLOUR}">▨</span>',
    "unsure": "".join(f'<span style="color:{colour}">■</span>' for colour, _ in UNSURE_COLOURS[1:]),
}


def _wrapped() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


def _row() -> tuple[QWidget, QHBoxLayout]:
    widget = QWidget()
    row = QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    return widget, row


class ReviewPanel(Step):
    """IoU of the current image and of all, the errors, and the way to the worst."""

    worst_wanted = Signal()
    correct_wanted = Signal()
    step_wanted = Signal(int)
    overlay_wanted = Signal(str, bool)  # a key of ``TOGGLES``, shown or not
    range_wanted = Signal(float, float)
    reference_wanted = Signal(object)

    def __init__(self, session: Session, viewer: Any, parent: QWidget) -> None:
        super().__init__(3, "Review", parent, foldable=True)
        self.session = session
        self.references: Callable[[], list[Any]] = list
        self.chosen_reference: Callable[[], Any] = lambda: None
        self.why_not_unsure: Callable[[], str] = str
        self.image_score = QLabel()
        self.image_score.setToolTip(
            "Intersection over union of mask and reference, mean of the classes in it"
        )
        self.about_score = ElidedLabel()
        self.overall_score = _wrapped()
        self.histogram = IoUHistogram(self)
        self.histogram.range_selected.connect(self.range_wanted)
        self._make_comparison()
        self._make_ways()
        self._make_overlays()
        # Part after part: the key Tab goes through widgets in the order in which they come in here.
        self._add_comparison_and_ways()
        self.edit_bar = EditBar(session, self)
        self.volume_row = VolumeRow(session, viewer, self)
        self.classes = ClassLegend(self)
        self.empty = _wrapped()
        for part in (self.edit_bar, self.volume_row, self.classes, self.empty):
            self.body.addWidget(part)

        session.workspace.score_changed.connect(self._on_score)
        session.workspace.current_changed.connect(lambda _: self.refresh())
        session.workspace.collection_changed.connect(self._on_collection)
        session.workspace.overall_changed.connect(self._on_overall)
        self.refresh_references()
        self.refresh()

    def _make_ways(self) -> None:
        """Buttons that go to another image."""
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
        self.worst_button.setToolTip(
            "<qt>Sort the list by IoU and go to the worst image that is not done (W). Where there is no "
            "reference, IoU is estimated from how far predictions of the flipped image agree. Next: Q</qt>"
        )
        self.worst_button.clicked.connect(self.worst_wanted)
        self.correct_button = QPushButton("Correct next")
        self.correct_button.setToolTip(
            "<qt>Go to an image drawn at random, and take the brush (C). No other order teaches a network "
            "reliably more. With reference masks it is the worst image. Done (D) goes to the next one.</qt>"
        )
        self.correct_button.clicked.connect(self.correct_wanted)

    def _make_overlays(self) -> None:
        """Boxes that show something over the mask, and what its colours mean."""
        self.boxes: dict[str, QCheckBox] = {}
        for kind, (title, tip) in TOGGLES.items():
            self.boxes[kind] = box = QCheckBox(title)
            box.setToolTip(tip)
            box.toggled.connect(lambda shown, k=kind: self.overlay_wanted.emit(k, shown))
        self.errors_box, self.verified_box = self.boxes["errors"], self.boxes["verified"]
        self.unsure_box = self.boxes["unsure"]
        self.legend = _wrapped()

    def _make_comparison(self) -> None:
        """The choice of the layer that holds the true masks."""
        self.reference_box = QComboBox()
        self.reference_box.setAccessibleName("Compare with")
        self.reference_box.setToolTip("A Labels layer of the same size that holds the true masks")
        self.reference_box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.reference_box.activated.connect(
            lambda index: self.reference_wanted.emit(self.reference_box.itemData(index))
        )

    def _add_comparison_and_ways(self) -> None:
        self.compare, row = _row()
        row.addWidget(QLabel("Compare with"))
        row.addWidget(self.reference_box, 1)
        self.scores, row = _row()
        row.addWidget(self.image_score)
        row.addWidget(self.about_score, 1)
        for part in (self.compare, self.scores, self.overall_score):
            self.body.addWidget(part)
        self.all_scores = ScoresButtons(self.session, self)
        of_all = QHBoxLayout()
        of_all.addWidget(self.histogram, 1)
        of_all.addWidget(self.all_scores)
        self.body.addLayout(of_all)
        ways = QHBoxLayout()
        ways.addWidget(self.worst_button, 1)
        ways.addWidget(self.correct_button, 1)
        ways.addWidget(self.previous_button)
        ways.addWidget(self.next_button)
        overlays = QHBoxLayout()
        for kind, box in self.boxes.items():
            overlays.addWidget(box)
            if kind in SIGNS:
                overlays.addWidget(QLabel(SIGNS[kind], toolTip=TOGGLES[kind][1]))
        overlays.addStretch(1)
        self.buttons = QWidget()
        rows = QVBoxLayout(self.buttons)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        rows.addLayout(ways)
        rows.addLayout(overlays)
        self.body.addWidget(self.buttons)
        self.body.addWidget(self.legend)

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
        """Show what is known of the current image."""
        session = self.session
        row = session.workspace.row(session.workspace.current) if session.workspace.current else None
        iou = row.iou if row is not None else None
        self._tell_score(row)
        scored = session.workspace.overall is not None or iou is not None
        self.scores.setVisible(row is not None and row.rank is not None)
        for widget in (self.overall_score, self.histogram, self.all_scores):
            widget.setVisible(session.workspace.overall is not None)
        several = session.workspace.collection is not None and len(session.workspace.collection) > 1
        self.buttons.setVisible(scored or several)
        entries = (
            list(session.workspace.collection.entries.values())
            if session.workspace.collection is not None
            else []
        )
        for button in (self.worst_button, self.correct_button):
            button.setEnabled(scored or any(e.status != "new" for e in entries))
        self.errors_box.setEnabled(iou is not None)
        references = any(e.sample.has_mask for e in entries)
        without = NO_REFERENCE_HERE if references else NO_REFERENCE if several else ALONE
        self.empty.setText(without if self.worst_button.isEnabled() else NOT_SEGMENTED)
        self.empty.setVisible(not scored and (row is None or row.rank is None))
        self.edit_bar.refresh()
        self.volume_row.refresh()
        at_work = not self.edit_bar.isHidden()
        self.verified_box.setEnabled(at_work)
        self.unsure_box.setEnabled(row is not None)
        self.boxes["probabilities"].setEnabled(row is not None and row.status != "new")
        self.classes.setVisible(at_work and not self._strokes_only())
        if session.workspace.collection is not None:
            self.classes.set_classes(session.workspace.collection.classes)
        here, every = self.edit_bar.stats_in_words()
        self.hint.setText(here)
        self.hint.setToolTip(f"<qt>Work on this image; on all: {every or 'none'}</qt>")
        self.refresh_legend()

    def _strokes_only(self) -> bool:
        """Whether the mask holds strokes alone, which have a legend of their own."""
        workspace = self.session.workspace
        entry = None if workspace.collection is None else workspace.collection.entries.get(workspace.current)
        return entry is not None and entry.has_strokes_only

    def _tell_score(self, row: ImageRow | None) -> None:
        words, about = "", ""
        if row is not None and row.iou is not None:
            words, about = f"{row.iou:.3f}", "IoU of this image"
        elif row is not None and row.estimate is not None:
            words, about = f"~{row.estimate:.2f}", row.reason[:1].upper() + row.reason[1:]
        self.image_score.setText(f'<span style="font-size:14pt"><b>{words}</b></span>' if words else "")
        self.about_score.setText(about)

    def refresh_legend(self) -> None:
        """Say what the colours over the mask mean."""
        signs = (
            list(ERROR_COLOURS.items()) if self.errors_box.isChecked() and self.errors_box.isEnabled() else []
        )
        words = [
            f'<span style="color:{colour}">■</span>&nbsp;{name.replace(" ", "&nbsp;")}'
            for name, colour in signs
        ]
        if self.unsure_box.isChecked() and self.unsure_box.isEnabled():
            words += filter(None, [self.why_not_unsure()])
        self.legend.setText("&nbsp; ".join(words))
        self.legend.setToolTip(
            "<qt>Blue: right. Vermillion: mask only. Yellow: reference only.</qt>" if signs else ""
        )
        self.legend.setVisible(bool(words))

    def _on_collection(self) -> None:
        self.refresh_references()
        self.refresh()

    def _on_score(self, identifier: str) -> None:
        if identifier == self.session.workspace.current:
            self.refresh()

    def _on_overall(self) -> None:
        overall = self.session.workspace.overall
        self.histogram.set_values(overall.values if overall is not None else ())
        if overall is None:
            self.overall_score.setText("")
        else:
            percent = f"{100 * self.session.workspace.evaluation.confidence:g} % CI"
            low, high = f"{overall.low:.3f}", f"{overall.high:.3f}"
            interval = "" if math.isnan(overall.low) else f" ({percent} {low} to {high})"
            mean = f"<b>{overall.mean_iou:.3f}</b>{interval}"
            note = self.session.workspace.threshold_note
            words = f"All: {mean}, {count(overall.images, 'image')}, {seen_in_words(overall)}"
            if overall.stale:
                words += f"; {overall.stale:,} are being scored with the new threshold"
            if note:
                words += "; threshold chosen on these images"
            self.overall_score.setText(words)
            tip = (
                "Mean IoU of the masks as they are now, corrected or not, with its 95 % interval over groups "
                "and the number of images. Scores… shows how good the model's own masks are."
            )
            if note:
                tip += f" {note[:1].upper()}{note[1:]}."
            if overall.left_out:
                tip += f" {overall.left_out:,} images that the model saw in training are left out."
            if overall.no_interval:
                tip += f" {overall.no_interval[:1].upper()}{overall.no_interval[1:]}."
            self.overall_score.setToolTip(tip)
        self.refresh()


def seen_in_words(overall: Overall) -> str:
    """Whether the model has seen the images that a score is of: "unseen", "seen in training", or neither."""
    if overall.seen:
        return "seen in training"
    if not overall.unknown:
        return "unseen"
    if overall.unknown == overall.images:
        return "not known if seen"
    return f"unseen or not known ({overall.unknown:,})"
