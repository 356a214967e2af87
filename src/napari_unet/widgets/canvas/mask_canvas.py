"""The canvas: shows the current image with its mask, and hears of painting.

One editable Labels layer: the mask of the current image, or the masks of all slices of its stack. Painting
changes the slice in view, and undo never reaches into another one.
"""

from __future__ import annotations

import functools
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.errors import WorkbenchError
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.workspace import LARGE
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.corner_text import show_corner_text
from napari_unet.widgets.canvas.images.layer_images import OURS
from napari_unet.widgets.canvas.label_numbering import LabelNumbering
from napari_unet.widgets.canvas.large.lens_watch import LONGEST, PAINTING, SETTLE
from napari_unet.widgets.canvas.layer_places import LayerPlaces
from napari_unet.widgets.canvas.preview_layer import PreviewLayer
from napari_unet.widgets.canvas.stacks.stack_masks import StackMasks, objects_of
from napari_unet.widgets.canvas.stroke_watch import StrokeWatch
from napari_unet.widgets.parts import keys
from napari_unet.widgets.parts.notify import notify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.images.image_source import ImageSource
    from napari_unet.widgets.canvas.large.large_masks import LargeMasks
    from napari_unet.widgets.canvas.stacks.mask_stack import MaskStack

# As SETTLE and LONGEST, of masks that take a moment to be compared.
SETTLE_LARGE, LONGEST_LARGE = 400, 800
PLANE = 2  # axes of the slice in view


class MaskCanvas(QObject):  # type: ignore[misc]
    """Keeps mask and preview in step with the session.

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
        self.stacks = StackMasks(session, image_source, self)
        self.mask_layer: Any = None
        self.places = LayerPlaces(viewer, image_source)
        self.preview = PreviewLayer(viewer, session, self.places)
        self.large: LargeMasks | None = None  # takes over where a mask is too large for this canvas
        self.as_objects = False
        self._setting = False
        self._watch = StrokeWatch(self._wait, lambda: self._setting)
        self._shown = ""  # id whose mask is in the layer
        self._stack: MaskStack | None = None  # whose slice that is
        self._index: tuple[int, ...] = ()  # of the slice in the layer
        self._unseen = ""  # id whose image could not be brought into view
        # As the layer showed it: a stroke is the difference to that, whatever the mask has become since.
        self._mask_in_layer: NDArray[np.uint8] | None = None
        self._numbering: LabelNumbering | None = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self.take_painting)
        self._waits_since = 0.0  # when what was not looked at yet began
        session.workspace.current_changed.connect(self._on_current)
        session.workspace.mask_changed.connect(self._on_mask)
        session.workspace.score_changed.connect(self._on_score)
        session.workspace.leaving.connect(self.take_painting)
        session.workspace.collection_changed.connect(self._on_collection)
        session.workspace.model_changed.connect(self._on_model)
        self.stacks.changed.connect(self._on_slices)
        self.stacks.renumbered.connect(self._on_renumbered)
        viewer.layers.events.removed.connect(self._on_removed)
        for event in (viewer.dims.events.ndisplay, viewer.dims.events.order):
            event.connect(self._on_view)

    def close(self) -> None:
        """Let go of the viewer, and hand in the last stroke."""
        self.take_everything()
        self._settle.stop()
        self.stacks.close()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        for event in (self.viewer.dims.events.ndisplay, self.viewer.dims.events.order):
            event.disconnect(self._on_view)
        if self.mask_layer is not None:
            self._listen(self.mask_layer, on=False)

    # what the panels ask for

    def show_objects(self, objects: bool) -> None:
        """Show connected objects, or classes."""
        self.take_everything()
        self.as_objects = objects
        if self.large is not None:
            self.large.show_objects(objects)
        self.stacks.show_objects(objects)
        if self._mask_in_layer is not None:
            self._put(self._mask_in_layer)

    def restore(self) -> None:
        """Show the mask again if a person deleted its layer."""
        if self.mask_layer is None:
            self._refresh()

    def current_mask(self) -> NDArray[np.uint8] | None:
        """(Y, X) uint8: the mask of the current image as it is in the layer; None if there is none."""
        return self._mask_in_layer if self._shown == self.session.workspace.current != "" else None

    @property
    def has_strokes(self) -> bool:
        """Whether the layer has strokes of the brush that napari can undo."""
        return self._watch.history

    def numbers_in_layer(self) -> NDArray[Any]:
        """(Y, X): the numbers of the layer of the mask in the slice in view."""
        return np.asarray(self.mask_layer.data[self._index])

    def take_brush(self) -> None:
        """Activate the mask, with the brush in hand."""
        self.choose_label(self._chosen_label())

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
        chosen = np.argwhere(np.asarray(layer.data[self._index]) == layer.selected_label)
        return (int(chosen[0, 0]), int(chosen[0, 1])) if len(chosen) and layer.selected_label else None

    def take_painting(self) -> None:
        """Hand to the session what was painted since it was last looked at."""
        if self.large is not None:
            self.large.take_painting()
        self._settle.stop()
        layer, before = self.mask_layer, self._mask_in_layer
        if layer is None or before is None or not self._shown:
            return
        if not self._watch.touched and before.size > LARGE:
            return
        box = self._watch.take_box()
        fits = layer.data.shape[-2:] == before.shape and layer.data.ndim == len(self._index) + PLANE
        if not fits or self._numbering is None:
            return
        labels = np.asarray(layer.data[self._index])
        y0, x0, y1, x1 = box or (0, 0, *before.shape)
        part = self._numbering.classes(labels[y0:y1, x0:x1])
        if not np.array_equal(part, before[y0:y1, x0:x1]):
            classes = part
            if box is not None:
                classes = before.copy()  # others may hold the one before
                classes[y0:y1, x0:x1] = part
            self._mask_in_layer = classes
            self.session.painting.correct(self._shown, classes, box=box, begun=self._watch.take_strokes())
            self._note_slice()
        else:
            self._watch.nothing_changed()
        if layer.n_edit_dimensions > PLANE and self._stack is not None:
            self._take_slices_around(self._stack, int(layer.brush_size) // 2 + 1)

    def _take_slices_around(self, stack: MaskStack, reach: int) -> None:
        """Hand in what a brush in three dimensions did to the slices next to the one in view."""
        place = self.image_source.slice_place(self._shown)
        ids = {} if place is None else self.image_source.slices_of(place.layer)
        for z in range(self._index[-1] - reach, self._index[-1] + reach + 1):
            index = (*self._index[:-1], z)
            if index != self._index and index in ids and stack.is_written(index):
                self._hand_in(ids[index], stack, index)

    def _note_slice(self) -> None:
        """The slice in view was painted; its objects are numbered again once it is left."""
        stack = self._stack
        if stack is not None and stack.as_objects:
            stack.note(self._index, stack.key(self._index))
            stack.changes += 1
        elif stack is not None:
            stack.note(self._index, self.stacks.key(self._shown))

    def take_everything(self) -> None:
        """Hand in what was painted, and what other programs wrote into slices that are not in view."""
        self.take_painting()
        stack = self._stack
        place = self.image_source.slice_place(self._shown) if stack is not None else None
        if stack is None or place is None:
            return
        ids = self.image_source.slices_of(place.layer)
        for index in stack.changed_by_others():
            if index != self._index and index in ids:
                self._hand_in(ids[index], stack, index)

    def _take_what_others_wrote(self, identifier: str) -> None:
        """What another program made of a slice counts from when a person comes to it, at the latest."""
        found = self.stacks.of(identifier) if identifier else None
        if found is not None and found[1].is_changed(found[0].index):
            self._hand_in(identifier, found[1], found[0].index)

    def _on_data(self, event: Any = None) -> None:
        """Another program gave the layer another array: it is the stack's from now on."""
        stack, data = self._stack, self.mask_layer.data
        if self._setting or stack is None or data is stack.labels or data.shape != stack.labels.shape:
            return
        stack.labels = data if isinstance(data, np.ndarray) and data.flags.writeable else np.array(data)
        self.take_everything()

    def _hand_in(self, identifier: str, stack: MaskStack, index: tuple[int, ...]) -> None:
        """Record what another program made of a slice."""
        numbering = stack.numbering if stack.as_objects else self._numbering
        if numbering is None:
            return
        if not stack.as_objects:
            nothing = np.zeros((0, 0), np.uint8)
            strokes = self._has_strokes_only(identifier)
            numbering = (LabelNumbering.of_strokes if strokes else LabelNumbering.of)(nothing, self._classes)
        classes = numbering.classes(stack.labels[index])
        mask = self.session.workspace.mask(identifier)
        if mask is None or not np.array_equal(mask, classes):
            self.session.painting.correct(identifier, classes)
        stack.note(index, self.stacks.key(identifier))

    # what the session says

    def _on_collection(self) -> None:
        self._shown = ""
        self._refresh()

    def _on_model(self) -> None:
        if self.mask_layer is not None:
            self.mask_layer.colormap = layer_styles.class_colormap(self._classes)

    def _on_slices(self) -> None:
        """Slices that are not in view changed: the view of the whole shows them."""
        layer = self.mask_layer
        if layer is not None and self.viewer.dims.ndisplay > PLANE and not self.stacks.filling:
            with self._quiet():
                layer.refresh()

    def _on_renumbered(self) -> None:
        """Objects have other numbers: the slice in view first, whose strokes nobody takes back by the old."""
        stack = self._stack
        if stack is None or stack.numbering is None or not stack.as_objects or self.mask_layer is None:
            return
        self.take_painting()
        chosen = self._chosen_label()
        changed = stack.settle(self._index)
        self._numbering = stack.numbering
        with self._quiet():
            if changed:
                self._forget_history()
                self.mask_layer.refresh()
            self.mask_layer.selected_label = self._numbering.number_for(chosen)
            self._remember_meaning()

    def _may_paint(self) -> bool:
        """Whether the slice in view lies along the last two axes: else a stroke would go through slices."""
        dims = self.viewer.dims
        return dims.ndisplay == PLANE and tuple(dims.order[-PLANE:]) == (dims.ndim - 2, dims.ndim - 1)

    def _on_view(self, event: Any = None) -> None:
        if self.mask_layer is not None and self.mask_layer.ndim > PLANE:
            self.take_painting()
            with self._quiet():
                self.mask_layer.editable = self._may_paint()

    def _on_edit_dimensions(self, event: Any = None) -> None:
        if self.mask_layer.n_edit_dimensions != PLANE and not self.session.workspace.volume:
            self.mask_layer.n_edit_dimensions = PLANE
            notify("Painting changes the slice in view only: the mask of each slice has its own history.")

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
        self._take_what_others_wrote(identifier)
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
            self._leave_slice()
        else:
            self.preview.forget(event.value)

    # layers

    @property
    def _classes(self) -> int:
        collection = self.session.workspace.collection
        return len(collection.classes) if collection is not None else 1

    def _refresh(self) -> None:
        """Show mask and words of the current image."""
        identifier = self.session.workspace.current
        collection = self.session.workspace.collection
        if not identifier or collection is None:
            self._clear()
            return
        entry = collection.entries[identifier]
        shape = self.image_source.shape()
        if entry.disk is not None:
            self._clear()
        elif entry.has_strokes_only and not entry.is_corrected and shape is not None:
            self._show_mask(identifier, self.session.painting.unknown_mask(identifier, shape))
        elif entry.prediction is None and not entry.is_corrected:
            self._clear()
        else:
            self.session.workspace.with_mask(identifier, lambda mask: self._show_mask(identifier, mask))
        self.refresh_text()

    def _clear(self) -> None:
        """No mask for the current image: an empty one in the layer, if there is a layer."""
        self._shown, self._mask_in_layer = "", None
        self._leave_slice()
        shape = self.image_source.shape()
        if self.large is not None and self.large.active:
            self._remove_layers()
            shape = None
        if self.mask_layer is not None and shape is not None:
            self._shown = self.session.workspace.current
            self._mask_in_layer = np.zeros(shape, np.uint8)
            self._put(self._mask_in_layer)
        self.mask_shown.emit()
        self.refresh_text()

    def _remove_layers(self) -> None:
        """Give way to a mask on disk, which has layers of its own."""
        if self.mask_layer is not None and self.mask_layer in self.viewer.layers:
            self.viewer.layers.remove(self.mask_layer)

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

    def _leave_slice(self) -> None:
        """No slice is in view any more; the one that was is filled like all others."""
        left, self.stacks.in_view = self.stacks.in_view, ""
        self._stack, self._index = None, ()
        self.stacks.want([left] if left else [])

    def _enter_slice(self, shape: tuple[int, ...]) -> None:
        """Have the stack of the image that is shown, and leave the slice that was."""
        found = self.stacks.of(self._shown)
        if found is None or found[1].labels.shape[-PLANE:] != shape:
            self._leave_slice()
            return
        (place, stack), before = found, self.stacks.in_view
        if before != self._shown:
            self.stacks.in_view = self._shown
            self.stacks.want([before] if before else [])
            stack.settle(place.index)
        self._stack, self._index = stack, place.index

    def _put(self, mask: NDArray[np.uint8]) -> None:
        """Put a mask into the editable layer, with nothing to undo."""
        chosen = self._chosen_label()
        self._enter_slice(mask.shape)
        changed, numbering, shown = self._numbered(mask)
        self._numbering = numbering
        self._watch.forget_place()
        with self._quiet():
            if self.mask_layer is None:
                colours = layer_styles.label_colours(numbering.as_objects, self._classes)
                self.mask_layer = self.viewer.add_labels(
                    shown,
                    name="U-Net mask",
                    metadata={OURS: "mask"},
                    opacity=0.55,
                    colormap=colours,
                    **self.places.of_new(shown.ndim),
                )
                self._listen(self.mask_layer, on=True)
                keys.bind(self.mask_layer, self._label_keys())
            layer = self.mask_layer
            layer_styles.use_colours(layer, numbering.as_objects, self._classes)
            if layer.data is not shown:
                layer.data = shown
            elif changed:
                layer.refresh()
            self._remember_meaning()
            self._forget_history()
            number = numbering.number_for(chosen) if chosen <= self._classes or chosen == IGNORE else None
            if number not in (None, layer.selected_label):
                layer.selected_label = number
            self.places.lay(layer)
        self.mask_shown.emit()

    def _remember_meaning(self) -> None:
        """Tell whoever saves the layer what its numbers are."""
        collection, stack, numbering = self.session.workspace.collection, self._stack, self._numbering
        place = self.image_source.slice_place(self._shown) if stack is not None else None
        assert numbering is not None

        def slices() -> list[Sample]:
            assert stack is not None
            assert place is not None
            assert collection is not None
            self.take_everything()
            stack.settle_all()
            return [collection.entries[i].sample for i in self.image_source.slices_of(place.layer).values()]

        told = slices if place is not None else None
        layer_styles.remember_meaning(self.mask_layer, collection, self._shown, numbering, told)

    def _forget_history(self) -> None:
        """Leave nothing to undo in the layer; where nothing was painted there is nothing."""
        layer, editable = self.mask_layer, self.mask_layer.ndim == PLANE or self._may_paint()
        if self._watch.history:
            layer_styles.forget_history(layer, editable=editable)
            self._watch.history = False
        elif layer.editable != editable:
            layer.editable = editable

    def _numbered(self, mask: NDArray[np.uint8]) -> tuple[bool, LabelNumbering, NDArray[Any]]:
        """Number a mask: whether the layer shows others, what they mean, and the layer's array."""
        stack, strokes = self._stack, self._has_strokes_only(self._shown)
        if stack is None:
            # A copy: painting must not reach the stored mask.
            numbering = (
                LabelNumbering.of_strokes(mask, self._classes)
                if strokes
                else LabelNumbering.of(mask, self._classes, self._objects(mask), narrow=True)
            )
            return True, numbering, numbering.labels
        key = self.stacks.key(self._shown)
        if strokes and not stack.as_objects:
            numbering = LabelNumbering.of_strokes(mask, self._classes)
            return stack.put(self._index, key, numbering.labels), numbering, stack.labels
        if not stack.as_objects:
            changed = stack.put(self._index, key, mask if key is not None else None)
            return changed, LabelNumbering.of(mask, self._classes), stack.labels
        changed = False
        if stack.numbering is None or stack.key(self._index) != key or key is None:
            objects = self._objects(mask)
            assert objects is not None
            changed = self.stacks.fill(self._index, stack, key, mask, objects)
        assert stack.numbering is not None
        return changed, stack.numbering, stack.labels

    def _has_strokes_only(self, identifier: str) -> bool:
        """Whether pixels of an image that nobody painted are unknown."""
        collection = self.session.workspace.collection
        entry = collection.entries.get(identifier) if collection is not None else None
        return entry is not None and entry.has_strokes_only

    def _objects(self, mask: NDArray[np.uint8]) -> NDArray[np.int32] | None:
        """Objects of the current mask, separated as the model does it; None where classes are shown."""
        if not self.as_objects:
            return None
        return objects_of(
            self.session.workspace.collection, self._shown, mask, self.session.workspace.inference
        )

    def _label_keys(self) -> dict[str, Callable[[], None]]:
        """Digits choose a class; napari's tools, which have them too, go by their letters in this layer."""
        wanted = {keys.BACKGROUND_KEY: 0, keys.IGNORE_KEY: IGNORE} | {str(n): n for n in keys.DIGITS}
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
        words = self.large.words() if self.large is not None else ""
        show_corner_text(self.viewer, self.session, self._unseen, words)

    # small things

    def put_below_mask(self, layer: Any) -> None:
        """Move a layer under the mask."""
        mask = self.large.lens.layer if self.large is not None and self.large.active else self.mask_layer
        self.places.put_below(layer, mask)

    def _listen(self, layer: Any, *, on: bool) -> None:
        self._watch.listen(layer, on=on)
        for event, function in (
            (layer.events.mode, self._on_mode),
            (layer.events.selected_label, self._on_label),
            (layer.events.n_edit_dimensions, self._on_edit_dimensions),
            (layer.events.data, self._on_data),
        ):
            (event.connect if on else event.disconnect)(function)

    def _on_mode(self, event: Any = None) -> None:
        """A brush was taken up: have a place for the strokes to come."""
        if not self._setting and str(self.mask_layer.mode) in PAINTING:
            self.session.painting.prepare()

    def _wait(self) -> None:
        """Look at the mask soon: when nothing changed for a moment, or while one change follows another."""
        large = self._mask_in_layer is not None and self._mask_in_layer.size > LARGE
        settle, longest = (SETTLE_LARGE, LONGEST_LARGE) if large else (SETTLE, LONGEST)
        now = time.monotonic()
        if not self._settle.isActive():
            self._waits_since = now
        left = longest - (now - self._waits_since) * 1000
        self._settle.start(max(0, min(settle, int(left))))

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before
