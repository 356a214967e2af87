"""The Labels layer with which masks of plain layers are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.widgets.canvas.images.layer_images import (
    fits_as_reference,
    is_ours,
    opened_data,
    read_labels,
)

if TYPE_CHECKING:
    from napari_unet.widgets.canvas.images.layer_images import LayerReading

SETTLE = 400  # milliseconds after the last stroke on a reference until masks are compared with it


class ChosenReference(QObject):  # type: ignore[misc]
    """Follows the layer that a person chose, and reads what its labels mean.

    Parameters
    ----------
    viewer : napari.Viewer
        Holds the layer.
    parent : QObject
        Owner.
    """

    changed = Signal()  # another layer, or other labels in it

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.layer: Any = None
        self.reading: LayerReading | None = None  # of its labels
        self._drawn = QTimer(self)
        self._drawn.setSingleShot(True)
        self._drawn.setInterval(SETTLE)
        self._drawn.timeout.connect(self._read)

    def close(self) -> None:
        """Let go of the layer."""
        self._drawn.stop()
        self._unfollow()

    def choices(self, image: Any) -> list[Any]:
        """Labels layers that could be the reference of an image layer; none of an image of a data set."""
        from napari.layers import Labels

        if image is None or opened_data(image) is not None:
            return []
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels) and not is_ours(layer) and fits_as_reference(layer, image)
        ]

    def choose(self, layer: Any) -> None:
        """Follow a Labels layer; None: no layer."""
        self._unfollow()
        self.layer = layer
        for event in _edits(layer):
            event.connect(self._on_edit)
        self._read()

    def of(self, image: Any) -> Any:
        """The layer, if the viewer still has it and it fits the image layer; else None."""
        if self.layer is None or self.layer not in self.viewer.layers:
            return None
        return self.layer if fits_as_reference(self.layer, image) else None

    def _unfollow(self) -> None:
        for event in _edits(self.layer):
            event.disconnect(self._on_edit)

    def _on_edit(self, event: Any = None) -> None:
        self._drawn.start()

    def _read(self) -> None:
        reading = read_labels(self.layer) if self.layer is not None else None
        if reading != self.reading:  # an equal one stays: samples are made again where it is another object
            self.reading = reading
        self.changed.emit()


def _edits(layer: Any) -> list[Any]:
    """Events of a Labels layer that may mean other pixels."""
    return [] if layer is None else [layer.events.paint, layer.events.labels_update, layer.events.set_data]
