"""Lines under the models: which of them fits the current image, and whether the one in use knows its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_unet.data.files.channels import channels_of
from napari_unet.errors import WorkbenchError
from napari_unet.models.image_statistics import describe_image, middle
from napari_unet.models.likeness import Likeness
from napari_unet.session.workspace import LARGE
from napari_unet.widgets.parts.step import ElidedLabel
from napari_unet.workflow.segment.suggest_model import Suggestion, closest_model, suggest, suggest_channel

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.models.card import ModelCard
    from napari_unet.models.image_statistics import ImageStatistics
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.image_channels import ImageChannels
    from napari_unet.session.session import Session

NONE_FITS = (
    "No model was trained on images like this{}. Use the closest and check the mask, or paint a new mask."
)
UNLIKE = "Unlike its training images ({}): check the mask."


class SuggestionRow(QWidget):  # type: ignore[misc]
    """Looks at each image that is taken to hand, aside, and offers the model that fits best.

    Where no model was chosen yet it is chosen at once, so that the first click on Segment does something
    useful; the line says so. Where the image does not look like the training images of the model in use,
    another line says that; it stops nobody. Where no model fits, the closest is offered, but not chosen.

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
        self.closest: Suggestion | None = None  # where no model fits and none is chosen
        self.every_channel: Callable[[], ImageChannels | None] = lambda: None
        self._statistics: dict[tuple[str, tuple[str, ...]], _Look] = {}
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
        session.workspace.channels_changed.connect(self.suggest_for)
        session.workspace.mask_changed.connect(lambda _: self._refresh())
        session.workspace.model_changed.connect(self._refresh)
        session.workspace.models_changed.connect(self._refresh)

    def suggest_for(self) -> None:
        """Look at the current image, unless that was done."""
        session, collection = self.session, self.session.workspace.collection
        identifier = session.workspace.current
        if collection is not self._described:
            self._described = collection
            self._statistics.clear()
        key = self._key
        if collection is None or not identifier or key in self._statistics:
            self._refresh()
            return
        shape = self.shape()

        def work() -> None:
            try:
                sample = collection.entries[identifier].sample
                if shape is not None and shape[0] * shape[1] > LARGE:
                    rows, columns = (middle(n) for n in shape)
                    image = sample.read_region(rows, columns)
                else:
                    image = collection.image(identifier)
                found = _look_at(image, channels_of(sample).colour)
            except (WorkbenchError, OSError, KeyError, IndexError):
                return  # where it is shown or segmented, that is said
            session.runner.dispatch(lambda: self._keep(collection, key, found))

        session.runner.in_background(work)

    def use(self) -> None:
        """Choose the model that is suggested, and the channel that it is suggested for."""
        suggestion = self.suggestion or self.closest
        if suggestion is not None:
            self.session.workspace.choose_model(suggestion.card)
            if suggestion.channel:
                self.session.channels.choose((suggestion.channel,))

    @property
    def _key(self) -> tuple[str, tuple[str, ...]]:
        """The current image, and which of its channels are read."""
        collection = self.session.workspace.collection
        return self.session.workspace.current, () if collection is None else collection.channels

    def _keep(self, collection: Collection, key: tuple[str, tuple[str, ...]], found: _Look) -> None:
        if collection is self._described:
            self._statistics[key] = found
            self._refresh()

    def _refresh(self) -> None:
        session = self.session
        found = self._statistics.get(self._key)
        self.suggestion = self.closest = None
        if found is not None:
            cards = session.candidate.suggestible()
            if not session.workspace.volume:  # a network that sees several slices is for volumes
                cards = [card for card in cards if card.recipe.network.dimensions == "2d"]
            self.suggestion = suggest(found.whole, found.channels, cards, found.colour)
            self.suggestion = self.suggestion or suggest_channel(found.each, cards)
            if self.suggestion is None and session.workspace.model is None:
                self.closest = closest_model(found.whole, found.channels, cards, found.colour)
        if self.closest is not None:
            self._show_closest(self.closest)
            return
        suggestion = self.suggestion
        if suggestion is not None and session.workspace.model is None and not session.runner.busy:
            self._chosen_here = True
            session.workspace.choose_model(suggestion.card)  # comes back here
            return
        used = session.workspace.model
        chosen = suggestion is not None and used is not None and used.path == suggestion.card.path
        if not chosen:
            self._chosen_here = False
        chosen = chosen and suggestion is not None and not suggestion.channel
        why = self._unlike(found, used) if found is not None and used is not None else ""
        # Why a model was chosen is of no interest any more once the image is segmented.
        told = self._chosen_here and not why and not self._is_segmented()
        offered = suggestion is not None and (not chosen or told)
        self.words.setVisible(offered)
        self.use_button.setVisible(offered and not chosen)
        if suggestion is not None:
            self.words.setText(self._words(suggestion))
        self.warning.setText(UNLIKE.format(why) if why else "")
        self.warning.setVisible(bool(why))
        self.setVisible(offered or bool(why))

    def _show_closest(self, closest: Suggestion) -> None:
        self.words.setText(f"{closest.card.name} is the closest")
        self.warning.setText(NONE_FITS.format(f" ({closest.reason})" if closest.reason else ""))
        for widget in (self.words, self.use_button, self.warning, self):
            widget.setVisible(True)

    def _is_segmented(self) -> bool:
        collection = self.session.workspace.collection
        entry = None if collection is None else collection.entries.get(self.session.workspace.current)
        return entry is not None and entry.is_segmented

    def _words(self, suggestion: Suggestion) -> str:
        every = self.every_channel()
        if not suggestion.channel or every is None:
            return suggestion.reason
        fits = f"{suggestion.card.name} fits"
        return suggestion.reason.replace(fits, f"{fits} channel {every.title(int(suggestion.channel))}", 1)

    def _unlike(self, look: _Look, used: ModelCard) -> str:
        """What is unlike the training images of the model in use; empty if nothing, or not known."""
        if used is not self._known:
            self._known, self._likeness = used, Likeness.of_model(used.provenance)
        if self._likeness is None or used.mismatch(look.channels, look.colour):
            return ""
        return self._likeness.compare(look.whole).why


class _Look(NamedTuple):
    """How an image looks, as it is read; and each of its channels, where they are not those of a colour."""

    whole: ImageStatistics
    channels: int
    colour: bool | None
    each: tuple[ImageStatistics, ...]


def _look_at(image: NDArray[np.generic], colour: bool | None) -> _Look:
    count = image.shape[2]
    apart = count > 1 and colour is not None and not colour
    each = tuple(describe_image(image[..., n : n + 1]) for n in range(count)) if apart else ()
    return _Look(describe_image(image), count, colour, each)
