"""The canvas: shows the current image with its mask, probabilities and errors, and hears of painting.

One editable Labels layer, for the current image only: in a stack of masks, undo could reach into one
that is not shown.
"""

from __future__ import annotations

import functools
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_unet.errors import WorkbenchError
from napari_unet.inference.postprocess import connected_objects
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.workspace import LARGE
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.label_numbering import LabelNumbering
from napari_unet.widgets.canvas.layer_images import OURS
from napari_unet.widgets.canvas.lens_watch import LONGEST, PAINTING, SETTLE, shows_a_part, widened
from napari_unet.widgets.parts import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.project.corrections.stroke import Box
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.image_source import ImageSource
    from napari_unet.widgets.canvas.large_masks import LargeMasks

# As SETTLE and LONGEST, of masks that take a moment to be compared.
SETTLE_LARGE, LONGEST_LARGE = 400, 800
LONG = 24  # characters of an id that the canvas has room for


class MaskCanvas(QObject):  # type: ignore[misc]
    """Keeps mask, probabilities and preview in step with the session.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layers.
    session : Session
        Says what is open.
    image_source : ImageSource
        Knows which layer shows which image.
    """

    mask_shown = Signal()  # the mask in the layer is another one now
    label_chosen = Signal(int)  # class that is painted with now: 0, 1..K, 255 ignore

    def __init__(self, viewer: Any, session: Session, image_source: ImageSource, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = session
        self.image_source = image_source
        self.mask_layer: Any = None
        self.probability_layer: Any = None
        self.preview_layer: Any = None
        self.large: LargeMasks | None = None  # takes over where a mask is too large for this canvas
        self.as_objects = False
        self._setting = False
        self._touched = False
        self._shown = ""  # id whose mask is in the layer
        self._box: Box | None = None  # what was painted since, where napari says it
        self._anywhere = False  # whether something changed without napari saying where
        self._unseen = ""  # id whose image could not be brought into view
        # As the layer showed it: a stroke is the difference to that, whatever the mask has become since.
        self._mask_in_layer: NDArray[np.uint8] | None = None
        self._numbering: LabelNumbering | None = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self.take_painting)
        self._waits_since = 0.0  # when what was not looked at yet began
        self._ended = 0  # strokes of the brush that ended since the mask was last looked at
        self._moving = self._counted = False  # a stroke continues; it is counted already
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(lambda: self._show_probabilities(self._shown))
        session.workspace.current_changed.connect(self._on_current)
        session.workspace.mask_changed.connect(self._on_mask)
        session.workspace.score_changed.connect(self._on_score)
        session.workspace.leaving.connect(self.take_painting)
        session.workspace.collection_changed.connect(self._on_collection)
        session.workspace.model_changed.connect(self._on_model)
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
        if self.large is not None:
            self.large.show_objects(objects)
        if self._mask_in_layer is not None:
            self._put(self._mask_in_layer)

    def restore(self) -> None:
        """Show the mask again if a person deleted its layer."""
        if self.mask_layer is None:
            self._refresh()

    def current_mask(self) -> NDArray[np.uint8] | None:
        """(Y, X) uint8: the mask of the current image as it is in the layer; None if there is none."""
        return self._mask_in_layer if self._shown == self.session.workspace.current != "" else None

    def hide_mask(self) -> None:
        """Hide the mask, or show it again."""
        if self.large is not None and self.large.active:
            self.large.hide()
        elif self.mask_layer is not None:
            self.mask_layer.visible = not self.mask_layer.visible

    def choose_label(self, label: int) -> None:
        """Paint with a class from now on: 0 background, 1..K, 255 ignore; takes up the brush if none is."""
        if self.large is not None and self.large.active:
            self.large.choose_label(label)
            return
        layer, numbering = self.mask_layer, self._numbering
        if layer is None or numbering is None or (label != IGNORE and label > self._classes):
            return
        layer.selected_label = numbering.number_for(label)
        self.viewer.layers.selection.active = layer
        if str(layer.mode) not in PAINTING:
            layer.mode = "paint"

    def object_point(self) -> tuple[int, int] | None:
        """Row and column of what is pointed at, or of the object that is chosen; None if that is outside."""
        if self.large is not None and self.large.active:
            return self.large.lens.object_point()
        layer, mask = self.mask_layer, self.current_mask()
        if layer is None or mask is None:
            return None
        row, column = (math.floor(c + 0.5) for c in layer.world_to_data(self.viewer.cursor.position)[-2:])
        inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
        if inside and mask[row, column] not in (0, IGNORE):
            return row, column
        if not self.as_objects:
            return None
        chosen = np.argwhere(np.asarray(layer.data) == layer.selected_label)
        return (int(chosen[0, 0]), int(chosen[0, 1])) if len(chosen) and layer.selected_label else None

    def show_preview(self, preview: Any) -> None:
        """Outline what the network in training makes of the current image."""
        if preview.id != self.session.workspace.current:
            return
        found = (preview.probabilities.max(axis=-1) > self.session.workspace.inference.threshold).astype(
            np.uint8
        )
        if self.preview_layer is None:
            active = self.viewer.layers.selection.active
            self.preview_layer = self.viewer.add_labels(
                found,
                name="preview",
                metadata={OURS: "preview"},
                colormap=layer_styles.preview_colormap(),
                opacity=1.0,
            )
            self.preview_layer.contour = 1
            self.preview_layer.editable = False
            self.viewer.layers.selection.active = active
        else:
            self.preview_layer.data = found
        self.place(self.preview_layer)

    def drop_preview(self) -> None:
        """Take the preview away once nothing is learned any more."""
        if self.session.background.job is None and self.preview_layer is not None:
            self.viewer.layers.remove(self.preview_layer)

    def take_painting(self) -> None:
        """Hand to the session what was painted since it was last looked at."""
        if self.large is not None:
            self.large.take_painting()
        self._settle.stop()
        layer, before = self.mask_layer, self._mask_in_layer
        if layer is None or before is None or not self._shown:
            return
        if not self._touched and before.size > LARGE:
            return
        self._touched = False
        box, self._box, self._anywhere = (None if self._anywhere else self._box), None, False
        labels = np.asarray(layer.data)
        if labels.shape != before.shape or self._numbering is None:
            return
        y0, x0, y1, x1 = box or (0, 0, *before.shape)
        part = self._numbering.classes(labels[y0:y1, x0:x1])
        if not np.array_equal(part, before[y0:y1, x0:x1]):
            classes = part
            if box is not None:
                classes = before.copy()  # others may hold the one before
                classes[y0:y1, x0:x1] = part
            self._mask_in_layer = classes
            self.session.painting.correct(self._shown, classes, box=box, begun=self._strokes_begun())
        elif self._ended:
            self._ended, self._counted = 0, False

    # what the session says

    def _on_collection(self) -> None:
        self._shown = ""
        self._clear()

    def _on_model(self) -> None:
        if self.mask_layer is not None:
            self.mask_layer.colormap = layer_styles.class_colormap(self._classes)

    def _on_current(self, identifier: str) -> None:
        self.take_painting()
        self._shown = self._unseen = ""
        if identifier:
            try:
                self.image_source.show_image(identifier)
            except WorkbenchError as error:
                self._unseen = identifier
                self.session.workspace.report_problem(identifier, error.sentence)
                self.session.runner.failed.emit(error.sentence, "")
        self._refresh()

    def _on_mask(self, identifier: str) -> None:
        if identifier and identifier == self.session.workspace.current:
            self.take_painting()
            self._refresh()

    def _on_score(self, identifier: str) -> None:
        if identifier == self.session.workspace.current:
            self.refresh_text()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.mask_layer:
            self.take_painting()
            self._listen(event.value, on=False)
            self._shown, self._mask_in_layer, self.mask_layer = "", None, None
        elif event.value is self.probability_layer:
            self.probability_layer = None
        elif event.value is self.preview_layer:
            self.preview_layer = None

    # layers

    @property
    def _classes(self) -> int:
        collection = self.session.workspace.collection
        return len(collection.classes) if collection is not None else 1

    def _refresh(self) -> None:
        """Show mask, probabilities, errors and words of the current image."""
        identifier = self.session.workspace.current
        collection = self.session.workspace.collection
        if not identifier or collection is None:
            self._clear()
            return
        entry = collection.entries[identifier]
        if entry.disk is not None or (entry.prediction is None and not entry.is_corrected):
            self._clear()
        else:
            self.session.workspace.with_mask(identifier, lambda mask: self._show_mask(identifier, mask))
        self.refresh_text()

    def _clear(self) -> None:
        """No mask for the current image: an empty one in the layer, if there is a layer."""
        self._shown, self._mask_in_layer = "", None
        shape = self.image_source.shape()
        if self.large is not None and self.large.active:
            self._remove_layers()
            shape = None
        if self.mask_layer is not None and shape is not None:
            self._shown = self.session.workspace.current
            self._mask_in_layer = np.zeros(shape, np.uint8)
            self._put(self._mask_in_layer)
        if self.probability_layer is not None:
            self.probability_layer.data = np.zeros(shape or (1, 1), np.float32)
        self.mask_shown.emit()
        self.refresh_text()

    def _remove_layers(self) -> None:
        """Give way to a mask on disk, which has layers of its own."""
        for layer in (self.mask_layer, self.probability_layer):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _show_mask(self, identifier: str, mask: NDArray[np.uint8] | None) -> None:
        if identifier != self.session.workspace.current or mask is None:
            return  # another image was taken to hand meanwhile
        self.take_painting()
        collection = self.session.workspace.collection
        painted = collection.entries[identifier].corrected if collection is not None else None
        if painted is not None:
            mask = painted  # since the mask was asked for
        self._shown, self._mask_in_layer = identifier, mask
        self._put(mask)
        self.session.workspace.score_mask(identifier, mask)
        if self.probability_layer is None:
            # A hidden layer may come a moment after the mask that somebody is waiting for.
            self._later.start()
        else:
            self._show_probabilities(identifier)

    def _put(self, mask: NDArray[np.uint8]) -> None:
        """Put a mask into the editable layer, with nothing to undo."""
        chosen = self._chosen_label()
        objects = self._objects(mask) if self.as_objects else None
        numbering = self._numbering = LabelNumbering.of(mask, self._classes, objects)
        self._box, self._anywhere = None, False
        shown = numbering.labels  # a copy: painting must not reach what is kept
        wanted = (
            layer_styles.object_colormap() if self.as_objects else layer_styles.class_colormap(self._classes)
        )
        with self._quiet():
            if self.mask_layer is None:
                self.mask_layer = self.viewer.add_labels(
                    shown, name="U-Net mask", metadata={OURS: "mask"}, opacity=0.55, colormap=wanted
                )
                self._listen(self.mask_layer, on=True)
                keys.bind(self.mask_layer, self._label_keys())
            layer = self.mask_layer
            if not layer_styles.same_colormap(layer, wanted):
                layer.colormap = wanted
            if layer.data is not shown:
                layer.data = shown
            layer_styles.remember_meaning(layer, self.session.workspace.collection, self._shown, numbering)
            layer_styles.forget_history(layer)
            if chosen <= self._classes or chosen == IGNORE:
                layer.selected_label = numbering.number_for(chosen)
            self.place(layer)
        self.mask_shown.emit()

    def _objects(self, mask: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Objects of the current mask, told apart as the model does it."""
        mask = np.where(mask == IGNORE, 0, mask).astype(np.uint8)
        collection, identifier = self.session.workspace.collection, self._shown
        if collection is None or identifier not in collection.entries:
            return connected_objects(mask)
        return collection.objects(identifier, mask, self.session.workspace.inference)

    def _show_probabilities(self, identifier: str) -> None:
        collection = self.session.workspace.collection
        if collection is None or not identifier or identifier != self.session.workspace.current:
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
        self.place(self.probability_layer)

    def _label_keys(self) -> dict[str, Callable[[], None]]:
        """Digits choose a class; napari's tools, which have them too, go by their letters in this layer."""
        wanted = {str(number): number for number in range(10)} | {"I": IGNORE}
        return {key: functools.partial(self.choose_label, label) for key, label in wanted.items()}

    def _chosen_label(self) -> int:
        """Class that is painted with."""
        if self.mask_layer is None or self._numbering is None:
            return 1
        return int(self._numbering.classes(np.array(self.mask_layer.selected_label)))

    def _on_label(self, event: Any = None) -> None:
        self.label_chosen.emit(self._chosen_label())

    def refresh_text(self) -> None:
        """Say in the corner of the canvas what is shown."""
        overlay = layer_styles.text_overlay(self.viewer)
        identifier = self.session.workspace.current
        if not identifier or self.session.workspace.collection is None:
            overlay.visible = False
            return
        row = self.session.workspace.row(identifier)
        words = [identifier if len(identifier) <= LONG else f"{identifier[:12]}…{identifier[-8:]}"]
        if identifier == self._unseen:
            words.append("cannot be shown")
        if row.iou is not None:
            words.append(f"IoU {row.iou:.3f}")
        if row.part:
            words.append(row.part)
        if row.status in ("corrected", "done"):
            words.append(row.status)
        if self.large is not None and self.large.words():
            words.append(self.large.words())
        overlay.text = "  ·  ".join(words)
        overlay.visible = True

    # small things

    def _below_mask(self, layer: Any) -> None:
        every = self.viewer.layers
        if self.mask_layer in every and layer in every:
            every.move(every.index(layer), every.index(self.mask_layer))
            every.selection.active = self.mask_layer

    def place(self, layer: Any) -> None:
        """Lay a layer over the current image."""
        image = self.image_source.layer
        if image is not None:
            layer_styles.place_over(layer, image)
            self._rise_over(image)

    def _rise_over(self, image: Any) -> None:
        """Move our layers above an image that was opened after them, and take the mask to hand."""
        every = self.viewer.layers
        if image not in every:
            return
        place = every.index(image)
        hidden = [n for n in range(place) if OURS in every[n].metadata]
        if hidden:
            every.move_multiple(hidden, place + 1)
            if self.mask_layer in every:
                every.selection.active = self.mask_layer

    def _listen(self, layer: Any, *, on: bool) -> None:
        for name in ("paint", "labels_update", "set_data"):
            event = getattr(layer.events, name, None)
            if event is not None:
                (event.connect if on else event.disconnect)(self._on_painted)
        for event, function in (
            (layer.events.mode, self._on_mode),
            (layer.events.selected_label, self._on_label),
        ):
            (event.connect if on else event.disconnect)(function)

    def _on_mode(self, event: Any = None) -> None:
        """A brush was taken up: have a place for the strokes to come."""
        if not self._setting and str(self.mask_layer.mode) in PAINTING:
            self.session.painting.prepare()

    def _on_painted(self, event: Any = None) -> None:
        if not self._setting:
            self._touched = True
            if event is None or event.type == "set_data":  # undo, redo, and what other programs change
                self._anywhere |= event is None or not shows_a_part(event.source)
            elif event.type == "labels_update":
                self._box = widened(self._box, event.offset, event.data.shape)
            if event is not None and event.type != "set_data":
                self._moving = event.type != "paint"  # which napari emits when the button is let go
                self._ended += event.type == "paint"
            self._wait()

    def _wait(self) -> None:
        """Look at the mask soon: when nothing changed for a moment, or while one change follows another."""
        large = self._mask_in_layer is not None and self._mask_in_layer.size > LARGE
        settle, longest = (SETTLE_LARGE, LONGEST_LARGE) if large else (SETTLE, LONGEST)
        now = time.monotonic()
        if not self._settle.isActive():
            self._waits_since = now
        left = longest - (now - self._waits_since) * 1000
        self._settle.start(max(0, min(settle, int(left))))

    def _strokes_begun(self) -> int:
        """How many strokes of the brush began since the mask was last looked at; 0 if one only went on."""
        held = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        goes_on = self._moving and held
        begun = self._ended - (self._counted and self._ended > 0)
        begun += goes_on and (self._ended > 0 or not self._counted)
        if not (begun or self._counted):
            begun = 1  # by no brush: undone in the layer, or changed by another program
        self._ended, self._counted = 0, goes_on
        return begun

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before
