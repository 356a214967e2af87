"""Step 2: a model, where to put it, and what to make of its probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QToolButton,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_unet.models.shipped import is_shipped
from napari_unet.widgets.parts.keys import CANCEL
from napari_unet.widgets.parts.step import ElidedLabel, Step
from napari_unet.widgets.parts.thin_bar import thin_bar
from napari_unet.widgets.parts.words import LINK_TIP, progress_words
from napari_unet.widgets.segment.place_row import PlaceRow
from napari_unet.widgets.segment.run_record_button import RunRecordButton
from napari_unet.widgets.segment.suggestion_row import SuggestionRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.models.card import ModelCard
    from napari_unet.session.session import Session

SCOPES = {"image": "This image", "view": "What is in view", "selected": "Selected rows", "all": "All"}
HELD_OUT = "held-out"  # scope and part; offered where the model's split has such images
VOLUME = "volume"  # scope; offered while a slice of one is in view
AT_REST = 400  # milliseconds after which other images are scored with a new threshold
MANY = 5  # rows; fewer are not counted on the button
MOST_NAMED = 3  # members of an ensemble
EVEN = 1e-3  # differences of weights up to this need no mention


class SegmentPanel(Step):
    """Chooses a model and runs it."""

    wanted = Signal(str)  # scope a person asked to segment

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(2, "Segment", parent, foldable=True)
        self.session = session
        self.misfit: Callable[[], str] = str
        self.selected: Callable[[], tuple[str, ...]] = tuple
        self.in_stack: Callable[[], bool] = bool
        self._filling = self._busy = self._apart = False
        self._build_model()
        self._build_run()
        self._build_mask()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(AT_REST)
        self._rest.timeout.connect(session.rescore)
        session.workspace.model_changed.connect(self._on_model)
        session.workspace.models_changed.connect(self._on_model)
        session.workspace.collection_changed.connect(self.refresh)
        session.workspace.current_changed.connect(lambda _: self.refresh())
        self._on_model()

    # parts

    def _build_model(self) -> None:
        self.model_box = QComboBox()
        self.model_box.setAccessibleName("Model")
        self.model_box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.model_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model_box.setToolTip("The trained network that segments")
        self.model_box.activated.connect(self._on_model_chosen)
        self.model_button = QToolButton()
        self.model_button.setText("Open ▾")
        self.model_button.setToolTip("Open a model, or a folder with models in it")
        self.model_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.model_button)
        menu.addAction("Folder of a model or of models…", self._choose_folder)
        menu.addAction("Model in a zip…", self._choose_zip)
        menu.addSeparator()
        self.place_row = PlaceRow(self.session.place, self)
        menu.addAction("Compute on another computer…", self.place_row.open)
        self.model_button.setMenu(menu)
        row = QHBoxLayout()
        row.addWidget(QLabel("Model"))
        row.addWidget(self.model_box, 1)
        row.addWidget(self.model_button)
        self.body.addLayout(row)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.about.setObjectName("about")
        self.body.addWidget(self.about)
        self.suggestion = SuggestionRow(self.session, self)
        self.body.addWidget(self.suggestion)
        self.body.addWidget(self.place_row)

    def _build_run(self) -> None:
        self.scope_box = QComboBox()
        self.scope_box.setAccessibleName("Segment which images")
        self.scope_box.setToolTip(
            "What is segmented. What is in view: only the part of this image on the canvas, "
            "for images too large to wait for"
        )
        for key, title in SCOPES.items():
            self.scope_box.addItem(title, key)
        self.scope_box.currentIndexChanged.connect(lambda _: self.refresh())
        self.run_button = QPushButton("Segment")
        self.run_button.setDefault(True)
        self.run_button.setObjectName("primary")
        self.run_button.clicked.connect(lambda: self.wanted.emit(self.scope))
        run = QWidget()
        row = QHBoxLayout(run)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.scope_box, 1)
        row.addWidget(self.run_button, 1)
        self.run_records = RunRecordButton(self.session, self)
        row.addWidget(self.run_records)

        self.planes_box = QCheckBox("Average over three planes")
        self.planes_box.setToolTip(
            "Segment volumes along z, y and x, and average. It takes three times as long and needs voxels "
            "that are about cubic. One slice alone is segmented as it is."
        )
        self.planes_box.toggled.connect(self.session.workspace.average_planes)
        self.body.addWidget(self.planes_box)

        self.bar = thin_bar()
        self.progress_words = ElidedLabel()
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; images that are finished keep their masks (Escape)")
        self.cancel_button.setShortcut(CANCEL)
        self.cancel_button.clicked.connect(self.session.runner.cancel)
        running = QWidget()
        row = QHBoxLayout(running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.progress_words, 2)
        row.addWidget(self.cancel_button)
        self.pages = QStackedWidget()
        self.pages.addWidget(run)
        self.pages.addWidget(running)
        self.pages.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.body.addWidget(self.pages)

    def _build_mask(self) -> None:
        self.mask_part = QWidget()
        form = QFormLayout(self.mask_part)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(3)
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(0.0, 1.0)
        self.threshold.setSingleStep(0.01)  # type: ignore[arg-type]
        self.threshold.setDecimals(2)
        self.threshold.setToolTip("Probability (0 to 1) from which a pixel is foreground; followed at once")
        self.threshold.setAccessibleName("Threshold")
        self.threshold.valueChanged.connect(self._on_postprocessing)
        form.addRow("Threshold", self.threshold)
        self.minimum_size = QSpinBox()
        self.minimum_size.setRange(0, 10_000_000)
        self.minimum_size.setSuffix(" px")
        self.minimum_size.setAccelerated(True)
        self.minimum_size.setToolTip("Connected pieces with fewer pixels are dropped at once")
        self.minimum_size.setAccessibleName("Minimum size")
        self.minimum_size.valueChanged.connect(self._on_postprocessing)
        self.show_box = QComboBox()
        self.show_box.addItem("Classes", False)
        self.show_box.addItem("Objects", True)
        self.show_box.setAccessibleName("Show classes or objects")
        self.show_box.setToolTip("One colour for each class, or one for each object")
        row = QHBoxLayout()
        row.addWidget(self.minimum_size, 1)
        row.addWidget(QLabel("Show"))
        row.addWidget(self.show_box, 1)
        form.addRow("Min. size", row)
        self.link_box = QCheckBox("Link objects across slices")
        self.link_box.setToolTip(LINK_TIP)
        self.link_box.toggled.connect(self.session.workspace.link)
        self.session.workspace.linking_changed.connect(self._show_link)
        self.show_box.currentIndexChanged.connect(lambda _: self._show_link())
        form.addRow(self.link_box)
        self._show_link()
        self.body.addWidget(self.mask_part)

    def _show_link(self) -> None:
        """Offer to link objects where the current image is a slice of a stack and objects are shown."""
        self.link_box.setChecked(self.session.workspace.link_objects)
        linkable = self.in_stack() and not self.session.workspace.volume  # whose objects are numbered through
        self.link_box.setVisible(bool(self.show_box.currentData()) and linkable)

    # models

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a model, or a folder with models in it")
        if path:
            self.session.workspace.load_model(Path(path))

    def _choose_zip(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", filter="Models (*.zip)")
        if path:
            self.session.workspace.load_model(Path(path))

    def _on_model_chosen(self, index: int) -> None:
        card = self.session.workspace.models.get(self.model_box.itemData(index))
        if card is not None:
            self.session.workspace.choose_model(card)

    def _on_model(self) -> None:
        self._filling = True
        try:
            self.model_box.clear()
            # One's own first; those that come with the program are there always.
            for path, card in sorted(
                self.session.workspace.models.items(), key=lambda item: is_shipped(item[0])
            ):
                title = f"{card.name} (built-in)" if is_shipped(path) else card.name
                self.model_box.addItem(title, path)
                about = (card.provenance.get("about") or {}).get("title") or str(path)
                self.model_box.setItemData(self.model_box.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
            chosen = self.session.workspace.model
            self.model_box.setEnabled(bool(self.session.workspace.models))
            self.model_box.setPlaceholderText(
                "choose a model" if self.session.workspace.models else "no model yet"
            )
            paths = [self.model_box.itemData(n) for n in range(self.model_box.count())]
            self.model_box.setCurrentIndex(paths.index(chosen.path) if chosen is not None else -1)
            self._offer_objects()
            self.threshold.setValue(self.session.workspace.inference.threshold)
            self.minimum_size.setValue(self.session.workspace.inference.minimum_size)
            self.planes_box.setChecked(self.session.workspace.inference.orthogonal)
        finally:
            self._filling = False
        self.refresh()

    def _offer_objects(self) -> None:
        """Show objects of a model that tells them apart, and classes of any other, when it is chosen."""
        model = self.session.workspace.model
        apart = model is not None and model.tells_objects_apart
        if model is not None and apart != self._apart:
            self._apart = apart
            self.show_box.setCurrentIndex(int(apart))
            self.show_box.activated.emit(int(apart))

    def _on_postprocessing(self, value: Any = None) -> None:
        if self._filling:
            return
        self.session.workspace.set_postprocessing(
            float(self.threshold.value()), int(self.minimum_size.value())
        )
        self._rest.start()

    # running

    @property
    def scope(self) -> str:
        """What is to be segmented: "image", "volume", "view", "selected", "all" or "held-out"."""
        return str(self.scope_box.currentData())

    def refresh(self) -> None:
        """Say what can be done, and if not, why."""
        session = self.session
        collection = session.workspace.collection
        number = len(collection.listed_ids) if collection is not None else 0
        slices, what = len(session.workspace.volume), "images"
        if collection is not None and collection.volumes:
            what = "volumes" if number == len(collection.volumes) else "rows"
        titles = {
            "image": "This slice" if slices else "This image",
            "view": "What is in view",
            "selected": f"Selected rows ({len(session.workspace.listed(self.selected())):,})",
            "all": f"All {number:,} {what}" if number > 1 else "All images",
        }
        for key, title in titles.items():
            self.scope_box.setItemText(self.scope_box.findData(key), title)
        chosen = len(self.selected())
        self._offer(VOLUME, f"This volume ({slices:,})" if slices else "", 1)
        held_out = len(self.held_out_ids())
        self._offer(HELD_OUT, f"Held-out only ({held_out:,})" if held_out else "", len(titles) + 1)
        misfit = self.misfit()
        self._mark(bool(misfit))
        if session.workspace.model is None:
            verb = "Choose" if session.workspace.models else "Open"
            self.about.setText(f"{verb} a model, or train one in step 4, Learn.")
            why = f"{verb} a model first."
        elif misfit:
            self.about.setText(misfit)
            why = misfit
        else:
            first, second = about(session.workspace.model).split("<br>")
            self.about.setText(first)
            self.about.setToolTip(f"<qt>{second}</qt>")
            why = "" if number else "Open images first."
            if number and self.scope == "selected" and not chosen:
                why = "Select rows in the list first."
        self.run_button.setEnabled(not why and not session.runner.busy)
        self.run_button.setToolTip(why or "Segment (S)")
        self.run_records.refresh()
        self._show_link()
        self.planes_box.setVisible(session.workspace.takes_planes)
        if collection is None or not any(e.is_segmented for e in collection.entries.values()):
            self.mask_part.hide()
        else:
            self.mask_part.show()

    def _offer(self, key: str, title: str, place: int) -> None:
        """Offer a scope at a place, or not if it has no title."""
        there = self.scope_box.findData(key)
        if title and there < 0:
            self.scope_box.insertItem(min(place, self.scope_box.count()), title, key)
        elif title:
            self.scope_box.setItemText(there, title)
        elif there >= 0:
            self.scope_box.removeItem(there)

    def held_out_ids(self) -> tuple[str, ...]:
        """Ids of the images that are held out from the model."""
        collection = self.session.workspace.collection
        if collection is None:
            return ()
        return tuple(i for i, entry in collection.entries.items() if entry.part == HELD_OUT)

    def _mark(self, wrong: bool) -> None:
        """Mark the field that does not fit."""
        style = "QComboBox { border: 2px solid #D55E00; }" if wrong else ""
        if self.model_box.styleSheet() != style:  # setting it costs a few milliseconds each time
            self.model_box.setStyleSheet(style)

    def show_job(self) -> None:
        """Show how far the task is, if one runs."""
        progress = None if self.session.runner.what else self.session.runner.progress
        running = progress is not None
        if running != (self.pages.currentIndex() == 1) or self._busy != self.session.runner.busy:
            self.pages.setCurrentIndex(int(running))
            self._busy = self.session.runner.busy
            self.refresh()
        if progress is not None:
            self.bar.setRange(0, int(progress.total) if progress.done else 0)
            self.bar.setValue(int(progress.done))
            self.progress_words.setText(progress_words(progress))
            if progress.done and not self.mask_part.isVisible():
                self.refresh()


def about(card: ModelCard) -> str:
    """What a person should know of a model before running it: two short lines."""
    network = card.recipe.network
    channels = card.normalization.channels
    classes = ", ".join(card.classes)
    score = card.validation_iou
    parts = [f"Trained on {card.trained_on}"]
    held_out = ((card.provenance.get("about") or {}).get("scores") or {}).get("held_out") or {}
    if "iou" in held_out:
        parts.append(f"held-out IoU {held_out['iou']['mean']:.2f}")
    elif score is not None:
        parts.append(f"validation IoU {score:.2f}")
    first = "; ".join(parts)
    if card.members:
        return f"{first}<br>{about_members(card)}; class{'es' * (len(card.classes) != 1)}: {classes}"
    second = (
        f"{network.name}, {network.filters} filters, {channels} channel{'s' * (channels != 1)}; "
        f"class{'es' * (len(card.classes) != 1)}: {classes}"
    )
    return f"{first}<br>{second}"


def about_members(card: ModelCard) -> str:
    """What an ensemble is made of, in one short line: no more than three of its members by name."""
    members = card.members
    even = max(w for _, w in members) - min(w for _, w in members) < EVEN
    named = [name if even else f"{name} {weight:.2f}" for name, weight in members[:MOST_NAMED]]
    more = f" and {len(members) - len(named)} more" if len(members) > len(named) else ""
    return f"Ensemble of {len(members)}: {', '.join(named)}{more}"
