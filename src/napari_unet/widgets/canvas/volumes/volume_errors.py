"""The errors of a whole volume, for the view in three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_unet.evaluation.error_map import error_map
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.session.images.collection import Collection
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas

VOLUME = 3  # axes in view


class VolumeErrors(QObject):  # type: ignore[misc]
    """Shows where mask and reference of a volume differ while it is seen in three dimensions.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    session : Session
        Has masks and references.
    canvas : MaskCanvas
        Shows the mask, which gives way.
    """

    def __init__(self, viewer: Any, session: Session, canvas: MaskCanvas) -> None:
        super().__init__(canvas)
        self.viewer, self.session, self.canvas = viewer, session, canvas
        self.layer: Any = None
        self.wanted = False
        viewer.dims.events.ndisplay.connect(self.refresh)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Let go of the viewer."""
        self.viewer.dims.events.ndisplay.disconnect(self.refresh)
        self.viewer.layers.events.removed.disconnect(self._on_removed)

    def want(self, wanted: bool) -> None:
        """Show errors, or no longer."""
        self.wanted = wanted
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Have the errors worked out if they are to be seen, else take them away."""
        workspace = self.session.workspace
        collection, slices = workspace.collection, workspace.volume
        if not self.wanted or self.viewer.dims.ndisplay != VOLUME or collection is None or not slices:
            if self.layer is not None:
                layer_styles.remove_layer(self.viewer, self.layer)
            return
        settings = workspace.inference

        def work() -> None:
            found = errors_of(collection, slices, settings)
            self.session.runner.dispatch(lambda: self._show(slices, found))

        self.session.runner.in_background(work)

    def _show(self, slices: Sequence[str], errors: dict[str, NDArray[np.uint8]]) -> None:
        if not self.wanted or self.viewer.dims.ndisplay != VOLUME or slices != self.session.workspace.volume:
            return
        places = {i: self.canvas.image_source.slice_place(i) for i in errors}
        place = next((p for p in places.values() if p is not None), None)
        if place is None:
            return
        labels = np.zeros((*place.leading, *next(iter(errors.values())).shape), np.uint8)
        for identifier, part in errors.items():
            where = places[identifier]
            if where is not None:
                labels[where.index] = part
        if self.layer is None:
            active = self.viewer.layers.selection.active
            self.layer = self.viewer.add_labels(
                labels,
                name="errors in 3D",
                metadata={OURS: "errors"},
                colormap=layer_styles.error_colormap(),
                **self.canvas.places.of_new(labels.ndim),
            )
            if active in self.viewer.layers:
                self.viewer.layers.selection.active = active
        else:
            self.layer.data = labels
        self.canvas.places.lay(self.layer)
        self.layer.editable = False
        if self.canvas.mask_layer is not None:
            self.canvas.mask_layer.visible = False

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            if self.canvas.mask_layer is not None:
                self.canvas.mask_layer.visible = True


def errors_of(collection: Collection, slices: Sequence[str], settings: Any) -> dict[str, NDArray[np.uint8]]:
    """Errors of each slice that has a mask and a reference, (Y, X) uint8 as ``error_map`` gives them."""
    found = {}
    for identifier in slices:
        mask = collection.mask(identifier, settings)
        reference = None if mask is None else collection.reference(identifier)
        if mask is None or reference is None or reference.labels.shape != mask.shape:
            continue
        errors = error_map(reference, mask)
        if errors is None:
            continue
        errors[mask == IGNORE] = 0
        found[identifier] = errors
    return found
