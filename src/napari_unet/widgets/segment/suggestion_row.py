"""Lines under the models: which of them fits the current image, and whether the one in use knows its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_unet.errors import WorkbenchError
from napari_unet.models.image_statistics import SIDE, describe_image
from napari_unet.models.likeness import Likeness
from napari_unet.session.workspace import LARGE
from napari_unet.widgets.parts.step import ElidedLabel
from napari_unet.workflow.segment.suggest_model import Suggestion, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.models.card import ModelCard
    from napari_unet.models.image_statistics import ImageStatistics
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.session import Session

UNLIKE = "This image does not look like those that {} was trained on ({}). Check the mask."


class SuggestionRow(QWidget):  # type: ignore[misc]
    """Looks at each image that is taken to hand, aside, and offers the model that fits best.

    Where no model was chosen yet it is chosen at once, so that the first click on Segment does something
    useful; the line says so. Where the image does not look like the training images of the model in use,
    another line says that; it stops nobody.

    Parameters
    ----------
    session : Session
        Its models are offered.
    parent : QWidget
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self.shape: Callable[[], tuple[int, int] | None] = lambda: None
        self.suggestion: Suggestion | None = None
        self._statistics: dict[str, tuple[ImageStatistics, int]] = {}
        self._described: Collection | None = None
        self._chosen_here = False
        self._known: ModelCard | None = None
        self._likeness: Likeness | None = None
        self.words = ElidedLabel()
        self.use_button = QPushButton("Use")
        self.use_button.setToolTip("Segment with this model from now on")
        self.use_button.clicked.connect(self.use)
        self.warning = QLabel()
        self.warning.setWordWrap(True)
        rows = QGridLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setColumnStretch(0, 1)
        rows.addWidget(self.words, 0, 0)
        rows.addWidget(self.use_button, 0, 1)
        rows.addWidget(self.warning, 1, 0, 1, 2)
        self.hide()
        session.workspace.current_changed.connect(lambda _: self.suggest_for())
        session.workspace.model_changed.connect(self._refresh)
        session.workspace.models_changed.connect(self._refresh)

    def suggest_for(self) -> None:
        """Look at the current image, unless that was done."""
        session, collection = self.session, self.session.workspace.collection
        identifier = session.workspace.current
        if collection is not self._described:
            self._described = collection
            self._statistics.clear()
        if collection is None or not identifier or identifier in self._statistics:
            self._refresh()
            return
        shape = self.shape()

        def work() -> None:
            try:
                if shape is not None and shape[0] * shape[1] > LARGE:
                    rows, columns = (_middle(n) for n in shape)
                    image = collection.entries[identifier].sample.read_region(rows, columns)
                else:
                    image = collection.image(identifier)
                found = describe_image(image), image.shape[2]
            except (WorkbenchError, OSError, KeyError, IndexError):
                return  # where it is shown or segmented, that is said
            session.runner.dispatch(lambda: self._keep(collection, identifier, found))

        session.runner.in_background(work)

    def use(self) -> None:
        """Choose the model that is suggested."""
        if self.suggestion is not None:
            self.session.workspace.choose_model(self.suggestion.card)

    def _keep(self, collection: Collection, identifier: str, found: tuple[ImageStatistics, int]) -> None:
        if collection is self._described:
            self._statistics[identifier] = found
            self._refresh()

    def _refresh(self) -> None:
        session = self.session
        found = self._statistics.get(session.workspace.current)
        self.suggestion = suggest(*found, session.candidate.suggestible()) if found is not None else None
        suggestion = self.suggestion
        if suggestion is not None and session.workspace.model is None and not session.runner.busy:
            self._chosen_here = True
            session.workspace.choose_model(suggestion.card)  # comes back here
            return
        used = session.workspace.model
        chosen = suggestion is not None and used is not None and used.path == suggestion.card.path
        if not chosen:
            self._chosen_here = False
        why = self._unlike(*found, used) if found is not None and used is not None else ""
        offered = suggestion is not None and (not chosen or (self._chosen_here and not why))
        self.words.setVisible(offered)
        self.use_button.setVisible(offered and not chosen)
        if suggestion is not None:
            self.words.setText(suggestion.reason)
        self.warning.setText(UNLIKE.format(used.name, why) if why and used is not None else "")
        self.warning.setVisible(bool(why))
        self.setVisible(offered or bool(why))

    def _unlike(self, look: ImageStatistics, channels: int, used: ModelCard) -> str:
        """What is unlike the training images of the model in use; empty if nothing, or not known."""
        if used is not self._known:
            self._known, self._likeness = used, Likeness.of_model(used.provenance)
        if self._likeness is None or used.mismatch(channels):
            return ""
        return self._likeness.compare(look).why


def _middle(size: int) -> slice:
    start = max(0, (size - SIDE) // 2)
    return slice(start, start + SIDE)
