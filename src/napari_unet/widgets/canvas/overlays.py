"""What is shown with the mask on demand: errors, what is verified, where the model is unsure, probabilities.

A layer is in the list of layers only while its box is ticked. One that is not shown any more is hidden at
once and leaves the list a moment later, so that a look back and forth costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.evaluation.error_map import error_map
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.quality.disagreement import Disagreement
from napari_unet.session.workspace import LARGE
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS, is_reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas

NAMES = {  # of the layers
    "errors": "errors",
    "verified": "verified",
    "unsure": "unsure",
    "probabilities": "probabilities",
}
LINGER = 3000  # milliseconds that a hidden layer stays in the list
PLANE = 2  # axes in view that overlays are shown in
MOST = 0.5  # standard deviation of probabilities of which half are 0 and half 1


class Overlays(QObject):  # type: ignore[misc]
    """Keeps layers of errors, verified pixels, disagreement and probabilities in step with the mask.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layers.
    session : Session
        Says what is open.
    canvas : MaskCanvas
        Shows the mask.
    """

    gone = Signal(str)  # a person deleted a layer: a key of ``NAMES``
    map_changed = Signal()  # there is a map of where the model is unsure now, or none

    def __init__(self, viewer: Any, session: Session, canvas: MaskCanvas) -> None:
        super().__init__(canvas)
        self.viewer = viewer
        self.session = session
        self.canvas = canvas
        self.disagreement = Disagreement(session.workspace, session.runner)
        self.shown = dict.fromkeys(NAMES, False)
        self.layers: dict[str, Any] = dict.fromkeys(NAMES)
        self._hidden: list[Any] = []  # layers of reference masks that gave way
        self._tidy = QTimer(self)
        self._tidy.setSingleShot(True)
        self._tidy.setInterval(LINGER)
        self._tidy.timeout.connect(self._remove_hidden)
        self.disagreement.changed.connect(self._on_disagreement)
        canvas.mask_shown.connect(self.refresh)
        session.workspace.score_changed.connect(self._on_change)
        session.workspace.rows_changed.connect(self._on_rows)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.ndisplay.connect(self._on_view)

    def close(self) -> None:
        """Let go of the viewer, and stop what is compared."""
        self.viewer.dims.events.ndisplay.disconnect(self._on_view)
        self.disagreement.want(False)
        self._tidy.stop()
        self.viewer.layers.events.removed.disconnect(self._on_removed)

    def show(self, kind: str, shown: bool) -> None:
        """Show "errors", what is "verified", where the model is "unsure", or "probabilities"; or hide it."""
        self.shown[kind] = shown
        if kind == "unsure":
            self.disagreement.want(shown)
            self._show_unsure()
        else:
            self.refresh()

    def refresh(self) -> None:
        """Show what belongs to the current image."""
        mask = self.canvas.current_mask() if self.viewer.dims.ndisplay == PLANE else None
        errors, verified = self._errors(mask), self._verified(mask)
        self._put("errors", errors)
        self._put("verified", verified)
        self._put("probabilities", self._probabilities())
        self._outline(errors is not None or self._unsure() is not None)

    def _outline(self, outline: bool) -> None:
        """Show outlines of the mask alone while colours of something else lie over it, or all of it."""
        self._hide_references(outline)
        mask_layer = self.canvas.mask_layer
        # Only where it is another: napari then says that all of the layer may have changed.
        if mask_layer is not None and bool(mask_layer.contour) != outline:
            mask_layer.contour = int(outline)

    def _hide_references(self, hide: bool) -> None:
        """Hide layers of reference masks, whose colours would mix with those above; or show them again."""
        if hide and not self._hidden:
            every = [layer for layer in self.viewer.layers if layer.visible and is_reference(layer)]
            self._hidden = every
            for layer in every:
                layer.visible = False
        elif not hide and self._hidden:
            for layer in self._hidden:
                layer.visible = True
            self._hidden = []

    def _on_view(self, event: Any = None) -> None:
        """What is of one slice is not shown in the view of the whole."""
        if any(self.shown.values()):
            self.refresh()
            self._show_unsure()

    def _on_change(self, identifier: str) -> None:
        if identifier == self.session.workspace.current:
            self.refresh()

    def _on_rows(self, identifiers: tuple[str, ...]) -> None:
        if self.shown["verified"] and self.session.workspace.current in identifiers:
            self.refresh()

    def _errors(self, mask: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        collection = self.session.workspace.collection
        if not self.shown["errors"] or mask is None or collection is None:
            return None
        reference = collection.reference(self.session.workspace.current)
        errors = None if reference is None else error_map(reference, mask)
        if errors is not None:
            errors[mask == IGNORE] = 0
        return errors

    def _verified(self, mask: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        if not self.shown["verified"] or mask is None:
            return None
        verified = self.session.painting.verified(self.session.workspace.current)
        if verified is None or verified.shape != mask.shape:
            return None
        return layer_styles.hatched(verified)

    def _probabilities(self) -> NDArray[np.floating] | None:
        """(Y, X) in [0, 1]: of the class that is likeliest; of the first one of a large image."""
        collection = self.session.workspace.collection
        entry = None if collection is None else collection.entries.get(self.session.workspace.current)
        prediction = None if entry is None else entry.prediction
        if self.viewer.dims.ndisplay != PLANE:
            return None
        if not self.shown["probabilities"] or prediction is None or prediction.file is None:
            return None
        try:
            kept = prediction.probabilities()
        except (OSError, ValueError):
            return None  # gone from the disk, which is said where the mask is wanted
        if kept.shape[0] * kept.shape[1] > LARGE:
            return kept[..., 0]  # mapped; read as far as it is shown
        return np.asarray(kept.max(axis=-1), np.float32)

    def _on_disagreement(self) -> None:
        self._show_unsure()
        self.map_changed.emit()

    def _show_unsure(self) -> None:
        self._put("unsure", self._unsure())
        self._outline(self._unsure() is not None or (self.shown["errors"] and self._is_there("errors")))

    def _unsure(self) -> NDArray[np.generic] | None:
        flat = self.viewer.dims.ndisplay == PLANE
        return self.disagreement.values() if self.shown["unsure"] and flat else None

    def _is_there(self, kind: str) -> bool:
        layer = self.layers[kind]
        return layer is not None and bool(layer.visible)

    def _put(self, kind: str, values: NDArray[np.generic] | None) -> None:
        layer = self.layers[kind]
        if values is None:
            if layer is not None:
                layer.visible = False
                self._tidy.start()
            return
        if layer is None:
            active = self.viewer.layers.selection.active
            layer = self.layers[kind] = self._add(kind, values)
            if active in self.viewer.layers:
                self.viewer.layers.selection.active = active
        elif layer.data is not values:
            layer.data = values
        layer.visible = True
        self.canvas.places.lay(layer)

    def _remove_hidden(self) -> None:
        for kind, layer in self.layers.items():
            if layer is not None and not self.shown[kind]:
                self.layers[kind] = None
                layer_styles.remove_layer(self.viewer, layer)

    def _add(self, kind: str, values: NDArray[np.generic]) -> Any:
        about = {"name": NAMES[kind], "metadata": {OURS: kind}, **self.canvas.places.of_new(2)}
        if kind == "probabilities":
            layer = self.viewer.add_image(
                values,
                colormap="magma",
                contrast_limits=(0, 1),
                opacity=0.7,
                blending="translucent_no_depth",
                **about,
            )
            self.canvas.put_below_mask(layer)
            return layer
        if kind == "unsure":
            return self.viewer.add_image(
                values,
                colormap=layer_styles.unsure_colormap(),
                contrast_limits=(0, MOST),
                opacity=0.9,
                blending="translucent_no_depth",
                **about,
            )
        colours, opacity = (
            (layer_styles.error_colormap(), 0.6)
            if kind == "errors"
            else (layer_styles.verified_colormap(), 0.9)
        )
        layer = self.viewer.add_labels(values, colormap=colours, opacity=opacity, **about)
        layer.editable = False
        return layer

    def _on_removed(self, event: Any) -> None:
        for kind, layer in self.layers.items():
            if layer is not None and event.value is layer:
                self.layers[kind] = None
                self.show(kind, False)
                self.gone.emit(kind)
