"""All of an image stays in view: while the dock takes room, and when an image of another size comes."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_unet.widgets.canvas.images.layer_images import image_shape, is_image, view_of
from napari_unet.widgets.canvas.layer_styles import camera_of

LOOK, LOOKS = 100, 15  # milliseconds between two looks whether the image fits next to a new dock; how many


class WholeInView(QObject):  # type: ignore[misc]
    """Resets the camera where all of an image was in view and is no more, unless a person zooms.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose camera it is.
    parent : QObject
        Owner.
    """

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.looks = 0  # that are left to see whether the image fits next to the dock
        self._zoom = 0.0  # of the camera at the last look
        self._extent: Any = None  # of the image in view, in the world
        self._fit = QTimer(self)
        self._fit.setSingleShot(True)
        self._fit.setInterval(0)
        self._fit.timeout.connect(lambda: self.viewer.reset_view())
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(LOOK)
        self._again.timeout.connect(self.look_again)
        if self._shows_all():
            self.looks, self._zoom = LOOKS, camera_of(viewer).zoom

    def close(self) -> None:
        """Leave the camera alone."""
        self._fit.stop()
        self._again.stop()

    def fit_soon(self) -> None:
        """Reset the camera once everything that happens now has happened."""
        self._fit.start()

    def look_again(self) -> None:
        """The dock takes room from the canvas, in a moment: have all of the image in view, if it was."""
        camera = camera_of(self.viewer)
        if self.looks <= 0 or camera.zoom != self._zoom:  # a person zooms
            self.looks = 0
            return
        self.looks -= 1
        if not self._shows_all():
            self.viewer.reset_view()
        self._zoom = camera.zoom
        self._again.start()

    def comes(self, layer: Any) -> None:
        """The image of a layer comes into view: reset the camera if it has another size or place."""
        extent = extent_of(layer)
        if self._extent not in (None, extent):
            self.fit_soon()
        self._extent = extent

    def _shows_all(self) -> bool:
        """Whether all of the image that is chosen is in view."""
        layer = self.viewer.layers.selection.active
        if layer is None or not is_image(layer):
            return False
        shape = image_shape(layer)[:2]
        return view_of(layer, shape) == (0, 0, *shape)


def extent_of(layer: Any) -> Any:
    """First and last row and column of a layer in the world."""
    return np.round(layer.extent.world[:, -2:], 6).tolist()
