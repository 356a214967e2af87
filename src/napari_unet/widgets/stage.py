"""The canvas: shows the image at hand with its mask, probabilities and errors, and hears of painting.

One editable Labels layer, for the image at hand only: in a stack of masks, undo could reach into one
that is not shown.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.errors import WorkbenchError
from napari_unet.evaluation.error_map import error_map
from napari_unet.inference.postprocess import connected_objects
from napari_unet.widgets import layers
from napari_unet.widgets.layer_images import OURS
from napari_unet.workflow.session import LARGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.widgets.sources import Sources
    from napari_unet.workflow.session import Session

SETTLE = 60  # milliseconds after the last stroke until the mask is looked at
SETTLE_LARGE = 1500
LONG = 24  # characters of an id that the canvas has room for


class Stage(QObject):  # type: ignore[misc]
    """Keeps the layers of the workbench in step with the session.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layers.
    session : Session
        Says what is at hand.
    sources : Sources
        Knows which layer shows which image.
    """

    errors_gone = Signal()  # a person deleted the layer of errors

    def __init__(self, viewer: Any, session: Session, sources: Sources, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = session
        self.sources = sources
        self.mask_layer: Any = None
        self.error_layer: Any = None
        self.probability_layer: Any = None
        self.preview_layer: Any = None
        self.as_objects = False
        self.errors_shown = False
        self._setting = False
        self._touched = False
        self._shown = ""  # id whose mask is in the layer
        self._unseen = ""  # id whose image could not be brought into view
        self._classes_shown: NDArray[np.uint8] | None = None
        self._class_of: NDArray[np.uint8] = np.arange(256, dtype=np.uint8)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self.take_painting)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(lambda: self._show_probabilities(self._shown))
        session.current_changed.connect(self._on_current)
        session.mask_changed.connect(self._on_mask)
        session.score_changed.connect(self._on_score)
        session.leaving.connect(self.take_painting)
        session.collection_changed.connect(self._on_collection)
        session.model_changed.connect(self._on_model)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Let go of the viewer, and hand in the last stroke."""
        self.take_painting()
        self._settle.stop()
        self._later.stop()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self.mask_layer is not None:
            self._listen(self.mask_layer, on=False)

    # what the panels ask for

    def show_objects(self, objects: bool) -> None:
        """Show connected objects, or classes."""
        self.take_painting()
        self.as_objects = objects
        if self._classes_shown is not None:
            self._put(self._classes_shown)

    def restore(self) -> None:
        """Show the mask again if a person deleted its layer."""
        if self.mask_layer is None:
            self._refresh()

    def show_errors(self, shown: bool) -> None:
        """Show where the mask agrees with the reference, and where not."""
        self.errors_shown = shown
        self._refresh_errors()

    def show_preview(self, preview: Any) -> None:
        """Outline what the network in training makes of the image at hand."""
        if preview.id != self.session.current:
            return
        found = (preview.probabilities.max(axis=-1) > self.session.inference.threshold).astype(np.uint8)
        if self.preview_layer is None:
            active = self.viewer.layers.selection.active
            self.preview_layer = self.viewer.add_labels(
                found,
                name="preview",
                metadata={OURS: "preview"},
                colormap=layers.preview_colormap(),
                opacity=1.0,
            )
            self.preview_layer.contour = 1
            self.preview_layer.editable = False
            self.viewer.layers.selection.active = active
        else:
            self.preview_layer.data = found
        self._place(self.preview_layer)

    def drop_preview(self) -> None:
        """Take the preview away once nothing is learned any more."""
        if self.session.learning.job is None and self.preview_layer is not None:
            self.viewer.layers.remove(self.preview_layer)

    def take_painting(self) -> None:
        """Hand to the session what was painted since it was last looked at."""
        self._settle.stop()
        layer, before = self.mask_layer, self._classes_shown
        if layer is None or before is None or not self._shown:
            return
        if not self._touched and before.size > LARGE:
            return
        self._touched = False
        labels = np.asarray(layer.data)
        if labels.shape != before.shape:
            return
        classes = self._class_of[np.minimum(labels, len(self._class_of) - 1)]
        if not np.array_equal(classes, before):
            self._classes_shown = classes
            self.session.painting.correct(self._shown, classes)

    # what the session says

    def _on_collection(self) -> None:
        self._shown = ""
        self._clear()

    def _on_model(self) -> None:
        if self.mask_layer is not None:
            self.mask_layer.colormap = layers.class_colormap(self._classes)

    def _on_current(self, identifier: str) -> None:
        self.take_painting()
        self._shown = self._unseen = ""
        if identifier:
            try:
                self.sources.show_image(identifier)
            except WorkbenchError as error:
                self._unseen = identifier
                self.session.tell_problem(identifier, error.sentence)
                self.session.failed.emit(error.sentence, "")
        self._refresh()

    def _on_mask(self, identifier: str) -> None:
        if identifier and identifier == self.session.current:
            self.take_painting()
            self._refresh()

    def _on_score(self, identifier: str) -> None:
        if identifier == self.session.current:
            self._refresh_errors()
            self._refresh_text()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.mask_layer:
            self.take_painting()
            self._listen(event.value, on=False)
            self._shown, self._classes_shown, self.mask_layer = "", None, None
        elif event.value is self.error_layer:
            self.error_layer = None
            self.show_errors(False)
            self.errors_gone.emit()
        elif event.value is self.probability_layer:
            self.probability_layer = None
        elif event.value is self.preview_layer:
            self.preview_layer = None

    # layers

    @property
    def _classes(self) -> int:
        collection = self.session.collection
        return len(collection.classes) if collection is not None else 1

    def _refresh(self) -> None:
        """Show mask, probabilities, errors and words of the image at hand."""
        identifier = self.session.current
        collection = self.session.collection
        if not identifier or collection is None:
            self._clear()
            return
        entry = collection.entries[identifier]
        if entry.prediction is None and entry.corrected is None:
            self._clear()
        else:
            self.session.with_mask(identifier, lambda mask: self._show_mask(identifier, mask))
        self._refresh_text()

    def _clear(self) -> None:
        """No mask for the image at hand: an empty one in the layer, if there is a layer."""
        self._shown, self._classes_shown = "", None
        shape = self.sources.shape()
        if self.mask_layer is not None and shape is not None:
            self._shown = self.session.current
            self._classes_shown = np.zeros(shape, np.uint8)
            self._put(self._classes_shown)
        if self.probability_layer is not None:
            self.probability_layer.data = np.zeros(shape or (1, 1), np.float32)
        self._refresh_errors()
        self._refresh_text()

    def _show_mask(self, identifier: str, mask: NDArray[np.uint8] | None) -> None:
        if identifier != self.session.current or mask is None:
            return  # another image was taken to hand meanwhile
        self.take_painting()
        collection = self.session.collection
        painted = collection.entries[identifier].corrected if collection is not None else None
        if painted is not None:
            mask = painted  # since the mask was asked for
        self._shown, self._classes_shown = identifier, mask
        self._put(mask)
        self.session.score_mask(identifier, mask)
        if self.probability_layer is None:
            # A hidden layer may come a moment after the mask that somebody is waiting for.
            self._later.start()
        else:
            self._show_probabilities(identifier)

    def _put(self, mask: NDArray[np.uint8]) -> None:
        """Put a mask into the editable layer, with nothing to undo."""
        if self.as_objects:
            labels = self._objects(mask)
            lookup = np.ones(int(labels.max(initial=0)) + 2, np.uint8)  # what is painted new is class 1
            lookup[labels.ravel()] = mask.ravel()
            lookup[0] = 0
            self._class_of = lookup
            shown: NDArray[Any] = labels
        else:
            self._class_of = np.minimum(np.arange(256), self._classes).astype(np.uint8)
            shown = mask.copy()  # painting must not reach what is kept
        with self._quiet():
            if self.mask_layer is None:
                self.mask_layer = self.viewer.add_labels(
                    shown, name="U-Net mask", metadata={OURS: "mask"}, opacity=0.55
                )
                self._listen(self.mask_layer, on=True)
            layer = self.mask_layer
            wanted = layers.object_colormap() if self.as_objects else layers.class_colormap(self._classes)
            if not layers.same_colormap(layer, wanted):
                layer.colormap = wanted
            if layer.data is not shown:
                layer.data = shown
            layers.forget_history(layer)
            self._place(layer)

    def _objects(self, mask: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Objects of the mask at hand, told apart as the model does it."""
        collection, identifier = self.session.collection, self._shown
        if collection is None or identifier not in collection.entries:
            return connected_objects(mask)
        return collection.objects(identifier, mask, self.session.inference)

    def _show_probabilities(self, identifier: str) -> None:
        collection = self.session.collection
        if collection is None or not identifier or identifier != self.session.current:
            return
        prediction = collection.entries[identifier].prediction
        if prediction is None or prediction.file is None:
            return
        try:
            kept = prediction.probabilities()
        except (OSError, ValueError):
            return  # gone from the disk, which is told where the mask is wanted
        if kept.shape[0] * kept.shape[1] > LARGE:
            values: NDArray[Any] = kept[..., 0]  # mapped; read as far as it is shown
        else:
            values = np.asarray(kept.max(axis=-1), np.float32)
        if self.probability_layer is None:
            self.probability_layer = self.viewer.add_image(
                values,
                name="probabilities",
                metadata={OURS: "probabilities"},
                visible=False,
                colormap="magma",
                contrast_limits=(0, 1),
                opacity=0.7,
                blending="translucent_no_depth",
            )
            self._below_mask(self.probability_layer)
        else:
            self.probability_layer.data = values
        self._place(self.probability_layer)

    def _refresh_errors(self) -> None:
        collection, identifier = self.session.collection, self.session.current
        errors = None
        if self.errors_shown and collection is not None and self._shown == identifier != "":
            reference = collection.reference(identifier)
            if reference is not None and self._classes_shown is not None:
                errors = error_map(reference, self._classes_shown)
        if errors is None:
            if self.error_layer is not None:
                self.error_layer.visible = False
            if self.mask_layer is not None:
                self.mask_layer.contour = 0
            return
        if self.error_layer is None:
            active = self.viewer.layers.selection.active
            self.error_layer = self.viewer.add_labels(
                errors,
                name="errors",
                metadata={OURS: "errors"},
                colormap=layers.error_colormap(),
                opacity=0.6,
            )
            self.error_layer.editable = False
            self.viewer.layers.selection.active = active
        else:
            self.error_layer.data = errors
        self.error_layer.visible = True
        self._place(self.error_layer)
        if self.mask_layer is not None and self.mask_layer.contour == 0:
            self.mask_layer.contour = 1

    def _refresh_text(self) -> None:
        overlay = layers.text_overlay(self.viewer)
        identifier = self.session.current
        if not identifier or self.session.collection is None:
            overlay.visible = False
            return
        row = self.session.row(identifier)
        words = [identifier if len(identifier) <= LONG else f"{identifier[:12]}…{identifier[-8:]}"]
        if identifier == self._unseen:
            words.append("cannot be shown")
        if row.iou is not None:
            words.append(f"IoU {row.iou:.3f}")
        if row.part:
            words.append(row.part)
        if row.status in ("corrected", "done"):
            words.append(row.status)
        overlay.text = "  ·  ".join(words)
        overlay.visible = True

    # small things

    def _below_mask(self, layer: Any) -> None:
        every = self.viewer.layers
        if self.mask_layer in every and layer in every:
            every.move(every.index(layer), every.index(self.mask_layer))
            every.selection.active = self.mask_layer

    def _place(self, layer: Any) -> None:
        """Lay a layer over the image at hand."""
        image = self.sources.layer
        if image is not None:
            layers.place_over(layer, image)

    def _listen(self, layer: Any, *, on: bool) -> None:
        for name in ("paint", "labels_update", "set_data"):
            event = getattr(layer.events, name, None)
            if event is not None:
                (event.connect if on else event.disconnect)(self._on_painted)
        (layer.events.mode.connect if on else layer.events.mode.disconnect)(self._on_mode)

    def _on_mode(self, event: Any = None) -> None:
        """A brush was taken up: have a place for the strokes to come."""
        if not self._setting and str(self.mask_layer.mode) in ("paint", "fill", "erase", "polygon"):
            self.session.painting.prepare()

    def _on_painted(self, event: Any = None) -> None:
        if not self._setting:
            self._touched = True
            size = 0 if self._classes_shown is None else self._classes_shown.size
            self._settle.start(SETTLE if size <= LARGE else SETTLE_LARGE)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before
