"""A proposal to fill between slices: outlines in a layer of its own, above the mask; nobody paints in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS

if TYPE_CHECKING:
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas

NAME = "fill, not accepted"
OUTLINE = 2  # pixels
PLANE = 2  # axes in view while slices are


class FillLayer(QObject):  # type: ignore[misc]
    """Keeps the layer in step with the proposal.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    session : Session
        Has the proposal.
    canvas : MaskCanvas
        Knows where the slices lie.
    """

    def __init__(self, viewer: Any, session: Session, canvas: MaskCanvas) -> None:
        super().__init__(canvas)
        self.viewer, self.session, self.canvas = viewer, session, canvas
        self.layer: Any = None
        session.fill.changed.connect(self.refresh)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.ndisplay.connect(self._on_view)

    def close(self) -> None:
        """Let go of the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_view)

    def refresh(self) -> None:
        """Show the proposal, or nothing."""
        proposal = self.session.fill.proposal
        source = self.canvas.image_source
        places = {} if proposal is None else {i: source.slice_place(i) for i in proposal.slices}
        place = next((p for p in places.values() if p is not None), None)
        if proposal is None or place is None:
            if self.layer is not None:
                layer_styles.remove_layer(self.viewer, self.layer)
            return
        sides = next(iter(proposal.slices.values())).shape
        labels = np.zeros((*place.leading, *sides), np.uint8)
        for identifier, part in proposal.slices.items():
            where = places[identifier]
            if where is not None:
                labels[where.index] = part
        active = self.viewer.layers.selection.active
        if self.layer is None:
            self.layer = self.viewer.add_labels(
                labels,
                name=NAME,
                metadata={OURS: "fill"},
                opacity=1.0,
                colormap=layer_styles.fill_colormap(),
                **self.canvas.places.of_new(labels.ndim),
            )
            self._on_view()
        else:
            self.layer.data = labels
        if active in self.viewer.layers:
            self.viewer.layers.selection.active = active
        self.canvas.places.lay(self.layer)
        self.layer.editable = False

    def _on_view(self, event: Any = None) -> None:
        """Outlines in slices; all of it in three dimensions, where napari has no outlines."""
        if self.layer is not None:
            self.layer.contour = OUTLINE if self.viewer.dims.ndisplay == PLANE else 0

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            if self.session.fill.proposal is not None:
                self.session.fill.discard()
