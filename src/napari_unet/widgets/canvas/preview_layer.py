"""White outlines over the current image: what the network in training makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS

if TYPE_CHECKING:
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.layer_places import LayerPlaces


class PreviewLayer:
    """Shows the last preview of the current image while something is learned.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    session : Session
        Says which image is current, and whether something is learned.
    places : LayerPlaces
        Lays the layer over the current image.

    Attributes
    ----------
    layer : napari.layers.Labels or None
        There is one while there is a preview.
    """

    def __init__(self, viewer: Any, session: Session, places: LayerPlaces) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Any = None
        self.places = places

    def show(self, preview: Any) -> None:
        """Outline what the network makes of the current image; of another one nothing is shown."""
        if preview.id != self.session.workspace.current:
            return
        threshold = self.session.workspace.inference.threshold
        found = (preview.probabilities.max(axis=-1) > threshold).astype(np.uint8)
        if self.layer is None:
            self._add(found)
        else:
            self.layer.data = found
        self.places.lay(self.layer)

    def _add(self, found: Any) -> None:
        active = self.viewer.layers.selection.active
        colours = layer_styles.preview_colormap()
        self.layer = self.viewer.add_labels(
            found,
            name="preview",
            metadata={OURS: "preview"},
            colormap=colours,
            opacity=1.0,
            **self.places.of_new(found.ndim),
        )
        self.layer.contour = 1
        self.layer.editable = False
        self.viewer.layers.selection.active = active

    def drop(self) -> None:
        """Take the preview away once nothing is learned any more."""
        if self.session.background.job is None and self.layer is not None:
            layer_styles.remove_layer(self.viewer, self.layer)

    def forget(self, layer: Any) -> None:
        """A layer was removed from the viewer."""
        if layer is self.layer:
            self.layer = None
