"""Where our layers lie: over the current image, and above it in the list of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS

if TYPE_CHECKING:
    from napari_unet.widgets.canvas.images.image_source import ImageSource


class LayerPlaces:
    """Lays layers over the current image.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layers.
    image_source : ImageSource
        Knows which layer shows the image.
    """

    def __init__(self, viewer: Any, image_source: ImageSource) -> None:
        self.viewer = viewer
        self.image_source = image_source

    def of_new(self, axes: int, first: tuple[int, int] = (0, 0)) -> dict[str, Any]:
        """Where a new layer lies; see ``layer_styles.placement``. Empty where no image has so many axes."""
        image = self.image_source.layer
        if image is None or image.ndim < axes:
            return {}
        return layer_styles.placement(image, axes, first)

    def lay(self, layer: Any, first: tuple[int, int] = (0, 0)) -> None:
        """Lay a layer over the image, with its first pixel at a row and column of that."""
        image = self.image_source.layer
        if image is not None and image.ndim >= layer.ndim:
            layer_styles.place_over(layer, image, first)
            self._rise_over(image)

    def put_below(self, layer: Any, upper: Any) -> None:
        """Move a layer under another one, if the viewer has both."""
        every = self.viewer.layers
        if upper in every and layer in every:
            every.move(every.index(layer), every.index(upper))

    def _rise_over(self, image: Any) -> None:
        """Move our layers above an image that was opened after them, and take the mask to hand."""
        every = self.viewer.layers
        if image not in every:
            return
        place = max(every.index(one) for one in (image, *self.image_source.layers_of_image()) if one in every)
        hidden = [n for n in range(place) if OURS in every[n].metadata]
        if hidden:
            every.move_multiple(hidden, place + 1)
            for layer in every:
                if layer.metadata.get(OURS) == "mask":
                    every.selection.active = layer
