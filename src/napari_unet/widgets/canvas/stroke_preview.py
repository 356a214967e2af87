"""What the model that learns from strokes makes of the image in view: hatched, not on painted pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas

NAME = "preview, not saved"


class StrokePreview(QObject):  # type: ignore[misc]
    """Keeps a layer of its own in step with the preview, below the mask; nobody paints in it.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    session : Session
        Has the preview.
    canvas : MaskCanvas
        Shows the strokes.
    """

    def __init__(self, viewer: Any, session: Session, canvas: MaskCanvas) -> None:
        super().__init__(canvas)
        self.viewer, self.session, self.canvas = viewer, session, canvas
        self.layer: Any = None
        self._of: NDArray[np.uint8] | None = None  # the mask that the lines below are of
        self._lines: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
        session.strokes.previewed.connect(self.refresh)
        session.workspace.current_changed.connect(self._on_current)
        session.workspace.rows_changed.connect(self._on_rows)
        canvas.mask_shown.connect(self.refresh)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Let go of the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)

    def refresh(self) -> None:
        """Show the preview of the image in view, or nothing."""
        mask, painted = self.session.strokes.mask_in_view(), self.canvas.current_mask()
        if mask is None:
            if self.layer is not None:
                layer_styles.remove_layer(self.viewer, self.layer)
            return
        if mask is not self._of:
            self._of, self._lines = mask, hatched_classes(mask)
        lines = self._lines
        if painted is not None and painted.shape == mask.shape and self._has_strokes():
            lines = np.where(painted == IGNORE, lines, 0).astype(np.uint8)
        self._show(lines)

    def _has_strokes(self) -> bool:
        workspace = self.session.workspace
        entry = None if workspace.collection is None else workspace.collection.entries.get(workspace.current)
        return entry is not None and entry.has_strokes_only

    def _show(self, lines: NDArray[np.uint8]) -> None:
        collection = self.session.workspace.collection
        classes = 1 if collection is None else len(collection.classes)
        if self.layer is None:
            active = self.viewer.layers.selection.active
            self.layer = self.viewer.add_labels(
                lines,
                name=NAME,
                metadata={OURS: "preview"},
                opacity=0.85,
                colormap=layer_styles.class_colormap(classes),
                **self.canvas.places.of_new(lines.ndim, self.session.strokes.origin),
            )
            self.layer.editable = False
            if active in self.viewer.layers:
                self.viewer.layers.selection.active = active
        else:
            self.layer.data = lines
            layer_styles.use_colours(self.layer, False, classes)
        self.canvas.places.lay(self.layer, self.session.strokes.origin)
        self.canvas.put_below_mask(self.layer)

    def _on_current(self, identifier: str) -> None:
        self.refresh()

    def _on_rows(self, identifiers: tuple[str, ...]) -> None:
        if self.session.workspace.current in identifiers:
            self.refresh()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None


def hatched_classes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(Y, X) uint8: slanting lines over the regions of each class 1..K, and their outlines; 0 elsewhere."""
    lines = np.zeros(mask.shape, np.uint8)
    for label in np.unique(mask[mask > 0]):
        lines += layer_styles.hatched(mask == label) * label
    return lines
