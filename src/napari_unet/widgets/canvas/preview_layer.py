"""White outlines over the current image: what the network in training makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.layer_images import OURS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.session.session import Session


class PreviewLayer:
    """Shows the last preview of the current image while something is learned.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    session : Session
        Says which image is current, and whether something is learned.
    place : callable
        (layer) -> None: lays a layer over the current image.
    placement : callable
        (axes) -> where a new layer over the last axes of that image lies.

    Attributes
    ----------
    layer : napari.layers.Labels or None
        There is one while there is a preview.
    """

    def __init__(
        self,
        viewer: Any,
        session: Session,
        place: Callable[[Any], None],
        placement: Callable[[int], dict[str, Any]],
    ) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Any = None
        self._place, self._placement = place, placement

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
        self._place(self.layer)

    def _add(self, found: Any) -> None:
        active = self.viewer.layers.selection.active
        colours = layer_styles.preview_colormap()
        self.layer = self.viewer.add_labels(
            found,
            name="preview",
            metadata={OURS: "preview"},
            colormap=colours,
            opacity=1.0,
            **self._placement(found.ndim),
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
