"""A new model from nothing: on what, with what, for how long; what it will take; samples of what it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import WorkbenchError
from napari_unet.session.learn.facts import plan_facts
from napari_unet.widgets.learn.facts_table import FactsTable
from napari_unet.widgets.learn.settings_form import SettingsForm
from napari_unet.workflow.train.recipes import RECIPES, recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.session.session import Session
    from napari_unet.settings import Recipe

ABOUT = {
    "fast": "fast: an encoder pretrained on ImageNet, good within minutes",
    "accurate": "accurate: 32 filters, stronger augmentation, hours",
    "paper": "paper: the U-Net of 2015, 64 filters, unpadded",
    "tgs-salt": "tgs-salt: for seismic tiles of that challenge, pretrained on ImageNet",
    "ultrasound-nerve": "ultrasound-nerve: for frames of that challenge, pretrained on ImageNet",
    "isbi2012": "isbi2012: for membranes in electron microscopy",
    "dsb2018": "dsb2018: for nuclei of any look, touching ones separated",
    "cell-tracking": "cell-tracking: for numbered cells, touching ones separated, pretrained on ImageNet",
}
FIRST = ("encoder_unet", "unet")  # of the list
SETTINGS_HEIGHT = 140  # pixels
COLUMNS = 4  # of samples
SIDE = 128  # pixels of a sample on the screen
CHECK = "Check data first: it shows how the images are split, the memory, and samples."


class TrainForm(QWidget):  # type: ignore[misc]
    """Plans and starts the training of a new model."""

    reference_wanted = Signal(object)  # a Labels layer, or None

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.new_model = session.new_model
        self.references: Callable[[], list[Any]] = list
        self.chosen_reference: Callable[[], Any] = lambda: None
        self._dialog: QDialog | None = None
        self.details = QWidget()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        self.short = QLabel()
        self.short.setWordWrap(True)
        self.short.hide()
        whole.addWidget(self.short)
        whole.addWidget(self.details)
        column = QVBoxLayout(self.details)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self._build_data(column)
        self._build_recipe(column)
        self.facts = FactsTable("What the training will use")
        column.addWidget(self.facts)
        self.words = QLabel(CHECK)
        self.words.setWordWrap(True)
        column.addWidget(self.words)
        self._build_buttons(column)

    # parts

    def _build_data(self, column: QVBoxLayout) -> None:
        self.source_box = _combo("What to train on", "Images with masks, or what you corrected")
        self.source_box.currentIndexChanged.connect(lambda _: self.refresh_plan())
        column.addLayout(_row(QLabel("Train on"), self.source_box))
        self.mask_box = _combo(
            "Masks", "The Labels layer with the masks; slices with nothing on them are left out"
        )
        self.mask_box.activated.connect(lambda i: self.reference_wanted.emit(self.mask_box.itemData(i)))
        self.mask_row = QWidget()
        layout = _row(QLabel("Masks"), self.mask_box)
        layout.setContentsMargins(0, 0, 0, 0)
        self.mask_row.setLayout(layout)
        column.addWidget(self.mask_row)

    def _build_recipe(self, column: QVBoxLayout) -> None:
        self.recipe_box = _combo("Recipe", "Where the settings start from")
        for name in RECIPES:
            self.recipe_box.addItem(name, name)
            self.recipe_box.setItemData(
                self.recipe_box.count() - 1, ABOUT.get(name, name), Qt.ItemDataRole.ToolTipRole
            )
        self.recipe_box.currentIndexChanged.connect(self._on_recipe)
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 10_000)
        self.minutes.setDecimals(1)
        self.minutes.setValue(10)
        self.minutes.setSuffix(" min")
        self.minutes.setAccessibleName("Time for training")
        self.minutes.setToolTip("Time for training, in minutes; judging comes after it")
        self.minutes.valueChanged.connect(lambda _: self.refresh_plan())
        self.fold = QToolButton()
        self.fold.setText("Settings")
        self.fold.setCheckable(True)
        self.fold.setToolTip("Network, training and augmentation, one by one")
        self.fold.toggled.connect(self._on_fold)
        column.addLayout(_row(QLabel("Recipe"), self.recipe_box, self.minutes, self.fold))
        self._build_network(column)
        self.settings = SettingsForm(RECIPES["fast"])
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setWidget(self.settings)
        self.area.setFixedHeight(SETTINGS_HEIGHT)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.hide()
        column.addWidget(self.area)

    def _build_network(self, column: QVBoxLayout) -> None:
        self.network_box = _combo("Network", "Which network is trained")
        self.network_box.currentIndexChanged.connect(self._on_network)
        self.when = QLabel()
        self.when.setWordWrap(True)
        column.addLayout(_row(QLabel("Network"), self.network_box))
        column.addWidget(self.when)

    def _offer_networks(self) -> None:
        """List the networks when the form is first seen: the dock opens sooner without them."""
        if self.network_box.count():
            return
        from napari_unet.networks.registry import architectures

        known = architectures()
        for name in (*FIRST, *sorted(known.keys() - {*FIRST}, key=lambda n: known[n].title.lower())):
            self.network_box.addItem(known[name].title, name)
            self.network_box.setItemData(
                self.network_box.count() - 1, known[name].when, Qt.ItemDataRole.ToolTipRole
            )

    def _on_network(self, index: int) -> None:
        from napari_unet.networks.registry import architecture

        chosen = architecture(str(self.network_box.currentData()))
        self.when.setText(chosen.when)
        self.when.setToolTip(f"<qt>doi:{chosen.doi}; all of them: <code>napari-unet networks</code></qt>")
        self.refresh_plan()

    def _build_buttons(self, column: QVBoxLayout) -> None:
        self.check_button = QPushButton("Check data")
        self.check_button.clicked.connect(self._on_check)
        self.samples_button = QPushButton("Samples…")
        self.samples_button.setToolTip("Show a few samples as the network will see them, changed at random")
        self.samples_button.clicked.connect(self.show_samples)
        self.train_button = QPushButton("Train")
        self.train_button.setObjectName("primary")
        self.train_button.clicked.connect(self._on_train)
        self.resume_button = QPushButton("Resume")
        self.resume_button.clicked.connect(self._on_resume)
        column.addLayout(_row(self.check_button, self.samples_button, self.resume_button, self.train_button))

    # what is asked for

    def recipe(self) -> Recipe | None:
        """The recipe with what was changed; None if that cannot be, which is said."""
        try:
            chosen = self.network_box.currentData()
            name = [f"network.name={chosen}"] if chosen else []
            return recipe(str(self.recipe_box.currentData()), [*self.settings.changes(), *name])
        except WorkbenchError as error:
            self.words.setText(error.sentence)
            return None

    def _on_recipe(self, index: int) -> None:
        chosen = RECIPES[str(self.recipe_box.currentData())]
        self.settings.show_recipe(chosen)
        self.network_box.setCurrentIndex(self.network_box.findData(chosen.network.name))
        self.refresh_plan()

    def _on_fold(self, shown: bool) -> None:
        if shown:
            self.settings.build()
        self.area.setVisible(shown)
        if not shown:
            self.refresh_plan()

    def _on_check(self) -> None:
        chosen = self.recipe()
        if chosen is not None and self.source_box.currentData():
            self.new_model.make_plan(self.source_box.currentData(), chosen)

    def _on_train(self) -> None:
        plan, chosen = self.new_model.plan, self.recipe()
        if plan is None or chosen is None or not self._planned(chosen):
            self.refresh_plan()
            return
        self.new_model.train(self.source_box.currentData(), plan.recipe_for(float(self.minutes.value())))

    def _on_resume(self) -> None:
        cut_short = self.new_model.cut_short()
        if cut_short is not None:
            self.new_model.resume(cut_short)

    # what is shown

    def refresh(self) -> None:
        """Offer what there is to train on; the curves have the room while it learns and is judged."""
        self._offer_networks()
        waiting = self.session.background.stoppable or self.session.candidate.version is not None
        self.details.setVisible(not waiting)
        self.short.setVisible(waiting and bool(self.new_model.under_way))
        self.short.setText(self.new_model.under_way)
        sources = self.new_model.sources()
        chosen = self.source_box.currentData()
        self.source_box.blockSignals(True)
        self.source_box.clear()
        for source, words in sources.items():
            self.source_box.addItem(words, source)
        self.source_box.setCurrentIndex(max(self.source_box.findData(chosen), 0 if sources else -1))
        self.source_box.blockSignals(False)
        layers = self.references()
        collection = self.session.workspace.collection
        self.mask_row.setVisible(collection is not None and collection.dataset is None and bool(layers))
        self.mask_box.clear()
        self.mask_box.addItem("none", None)
        for layer in layers:
            self.mask_box.addItem(str(layer.name), layer)
        at_hand = self.chosen_reference()
        self.mask_box.setCurrentIndex(1 + layers.index(at_hand) if at_hand in layers else 0)
        cut_short = self.new_model.cut_short()
        self.resume_button.setVisible(cut_short is not None)
        if cut_short is not None:
            minutes = cut_short.recipe.training.minutes
            self.resume_button.setToolTip(
                f"Resume the training of {minutes:g} min that was stopped ({cut_short.folder.name})"
            )
        self.refresh_plan()

    def refresh_plan(self) -> None:
        """Say what was planned, and whether it can start."""
        why = self.new_model.obstacle()
        chosen = self.recipe()
        if chosen is None:
            return
        planned = self._planned(chosen)
        plan = self.new_model.plan
        if planned and plan is not None:
            minutes = float(self.minutes.value())
            some = self.new_model.without_mask() if self.source_box.currentData() == "images" else ""
            lines = [f"{some}." if some else "", plan.warning(minutes)]
            self.words.setText("\n".join(filter(None, lines)))
            self.words.setVisible(any(lines))
            self.facts.show_facts(plan_facts(plan, minutes))
        else:
            self.words.setText(why or CHECK)
            self.words.show()
            self.facts.show_facts([])
        self.check_button.setEnabled(not why)
        self.check_button.setToolTip(
            why or "Look at the images and try a few steps: takes seconds, trains nothing"
        )
        self.samples_button.setEnabled(planned)
        possible = planned and plan is not None and plan.step is not None
        self.train_button.setEnabled(not why and possible)
        self.train_button.setToolTip(why or ("Train a new model" if planned else "Check the data first"))
        self.resume_button.setEnabled(not why)

    def _planned(self, chosen: Recipe) -> bool:
        return self.new_model.plan is not None and self.new_model.planned == (
            self.source_box.currentData(),
            chosen,
        )

    def show_samples(self) -> None:
        """Show augmented samples in a window of their own."""
        if self.new_model.plan is None:
            return
        if self._dialog is not None:
            self._dialog.close()
        self._dialog = samples_dialog(self.new_model.plan.pictures, self)
        self._dialog.destroyed.connect(self._on_dialog_gone)
        self._dialog.show()

    def _on_dialog_gone(self) -> None:
        self._dialog = None


def samples_dialog(pictures: NDArray[np.uint8], parent: QWidget) -> QDialog:
    """A window with a grid of pictures.

    Parameters
    ----------
    pictures : numpy.ndarray
        (N, Y, X, 3) uint8.
    parent : QWidget
        Over which it opens.
    """
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle("What the network will see")
    grid = QGridLayout(dialog)
    words = QLabel(
        "Samples, changed at random as in training. Annotated borders are orange. Dark areas are ignored."
    )
    words.setWordWrap(True)
    grid.addWidget(words, 0, 0, 1, COLUMNS)
    for number, pixels in enumerate(pictures):
        label = QLabel()
        label.setPixmap(_pixmap(pixels))
        grid.addWidget(label, 1 + number // COLUMNS, number % COLUMNS)
    return dialog


def _pixmap(pixels: NDArray[np.uint8]) -> QPixmap:
    data = np.ascontiguousarray(pixels)
    height, width = data.shape[:2]
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    ratio = Qt.AspectRatioMode.KeepAspectRatio
    return QPixmap.fromImage(image).scaled(SIDE, SIDE, ratio)


def _combo(name: str, tip: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(tip)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return box


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1 if isinstance(widget, QComboBox) else 0)
    return row
