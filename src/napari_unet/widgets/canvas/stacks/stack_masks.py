"""The masks of stacks: one array each, filled in slice by slice as predictions and corrections arrive.

Who made a mask of what stays with the session; the array is what the Labels layer shows, napari saves, and
other plugins read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.inference.postprocess import connected_objects
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas.label_numbering import LabelNumbering
from napari_unet.widgets.canvas.stacks.mask_stack import MaskStack, number_through
from napari_unet.widgets.canvas.stacks.volume_numbers import MOST_VOXELS, number_volume
from napari_unet.widgets.canvas.volumes.volume_layers import anisotropy_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_unet.session.images.collection import Collection
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.images.image_source import ImageSource
    from napari_unet.widgets.canvas.stacks.mask_stack import Index, Key
    from napari_unet.widgets.canvas.stacks.slice_place import SlicePlace

SPELL = 0.01  # seconds for which slices are looked through before the window has its turn
AT_ONCE = 4  # slices that are given other numbers before the window has its turn
PAUSE = 400  # milliseconds from the last change of a stack of objects until they are numbered through it


class StackMasks(QObject):  # type: ignore[misc]
    """Keeps the masks of stacks in step with the session, a slice at a time, in the background.

    Parameters
    ----------
    session : Session
        Has predictions and corrections.
    image_source : ImageSource
        Knows which image is which slice.
    parent : QObject
        Owner.
    """

    changed = Signal()  # slices that are not in view are others now
    renumbered = Signal()  # objects have other numbers now, those of the slice in view as well

    def __init__(self, session: Session, image_source: ImageSource, parent: QObject) -> None:
        super().__init__(parent)
        self.session, self.image_source = session, image_source
        self.as_objects = False
        self.in_view = ""  # id of the slice that is painted on: nobody else writes to it
        self._stacks: dict[int, tuple[Any, MaskStack]] = {}  # by the layer of images
        self._wanted: dict[str, None] = {}
        self._how = session.workspace.postprocessing  # that predicted masks were made with last
        self._busy = self._closed = False
        self._pump = QTimer(self)
        self._pump.setSingleShot(True)
        self._pump.setInterval(0)
        self._pump.timeout.connect(self._next)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(PAUSE)
        self._later.timeout.connect(self._number)
        session.workspace.rows_changed.connect(self.want)
        session.workspace.mask_changed.connect(self._on_mask)
        session.workspace.linking_changed.connect(self._number_again)

    def close(self) -> None:
        """Fill nothing any more."""
        self._closed = True
        self._pump.stop()
        self._later.stop()
        self._wanted.clear()

    @property
    def filling(self) -> bool:
        """Whether slices are not what they will be in a moment."""
        waiting = any(stack.waiting for _, stack in self._stacks.values())
        return self._busy or bool(self._wanted) or self._later.isActive() or waiting

    def of(self, identifier: str) -> tuple[SlicePlace, MaskStack] | None:
        """The stack that an image is a slice of, made and filled if it is new; None of a single image."""
        place = self.image_source.slice_place(identifier)
        if place is None:
            return None
        shape = (*place.leading, *self._sides(place.layer))
        known = self._stacks.get(id(place.layer))
        if known is None or known[1].labels.shape != shape or known[1].as_objects != self.as_objects:
            known = self._stacks[id(place.layer)] = place.layer, MaskStack(shape, self.as_objects)
            self.want(self.image_source.slices_of(place.layer).values())
        return place, known[1]

    def _sides(self, layer: Any) -> tuple[int, int]:
        from napari_unet.widgets.canvas.images.layer_images import image_shape

        return image_shape(layer)[:2]

    def key(self, identifier: str) -> Key:
        """What the slice of an image is to be filled with; None while it has no mask."""
        collection = self.session.workspace.collection
        entry = collection.entries.get(identifier) if collection is not None else None
        if entry is None:
            return None
        if entry.is_corrected:
            return entry.version
        if entry.prediction is None or entry.prediction.file is None:
            return None
        return entry.prediction, self.session.workspace.postprocessing

    def show_objects(self, objects: bool) -> None:
        """Number objects from now on, or classes."""
        if objects != self.as_objects:
            self.as_objects = objects
            self.forget()

    def forget(self) -> None:
        """Fill all stacks again."""
        self._stacks.clear()
        self._wanted.clear()

    def _number_again(self) -> None:
        """Number the objects of all stacks again, linked or not."""
        for _, stack in self._stacks.values():
            stack.numbered_at = None
        self._later.start()

    # filling

    def want(self, identifiers: Iterable[str]) -> None:
        """Fill the slices of these images, where they have another mask than their slice shows."""
        if not self._stacks or self._closed:
            return
        self._wanted.update(dict.fromkeys(identifiers))
        self._pump.start()

    def _on_mask(self, identifier: str) -> None:
        """Another mask of the current image may come of a threshold, which all others follow."""
        self.want([identifier])
        how, self._how = self._how, self.session.workspace.postprocessing
        for layer, stack in self._stacks.values() if how != self._how else ():
            if len(stack):
                ids = self.image_source.slices_of(layer)
                self.want(ids[index] for index in stack.filled if index in ids)

    def _next(self) -> None:
        """Have the next slice made that is not what it should be."""
        self._drop_gone()
        until = time.monotonic() + SPELL
        while self._wanted and not self._busy and not self._closed:
            if time.monotonic() > until:  # thousands of slices, most of which have no mask
                self._pump.start()
                return
            identifier = next(iter(self._wanted))
            del self._wanted[identifier]
            place = self.image_source.slice_place(identifier)
            known = self._stacks.get(id(place.layer)) if place is not None else None
            if place is None or known is None or identifier == self.in_view:
                continue
            key = self.key(identifier)
            if key == known[1].key(place.index):
                continue
            if key is None:
                known[1].put(place.index, None, None)
                self.changed.emit()
                continue
            self._make(identifier, place, known[1], key)
        if not self._wanted and not self._busy and self.as_objects:
            self._later.start()

    def _drop_gone(self) -> None:
        layers = self.image_source.viewer.layers
        self._stacks = {n: known for n, known in self._stacks.items() if known[0] in layers}

    def _make(self, identifier: str, place: SlicePlace, stack: MaskStack, key: Key) -> None:
        workspace = self.session.workspace
        collection, settings = workspace.collection, workspace.inference
        assert collection is not None
        entry = collection.entries[identifier]
        corrected = entry.corrected if entry.is_corrected else None
        if corrected is not None and entry.has_strokes_only and not stack.as_objects:
            corrected = LabelNumbering.of_strokes(corrected, self._classes).labels
        self._busy = True

        def work() -> None:
            mask = objects = None
            try:
                mask = corrected if corrected is not None else collection.predicted_mask(identifier, settings)
                if mask is not None and stack.as_objects:
                    objects = objects_of(collection, identifier, mask, settings)
            finally:
                self.session.runner.dispatch(lambda: self._take(identifier, place, stack, key, mask, objects))

        self.session.runner.in_background(work)

    def _take(
        self,
        identifier: str,
        place: SlicePlace,
        stack: MaskStack,
        key: Key,
        mask: NDArray[np.uint8] | None,
        objects: NDArray[np.int32] | None,
    ) -> None:
        self._busy = False
        if self._closed:
            return
        known = self._stacks.get(id(place.layer))
        ours = known is not None and known[1] is stack and identifier != self.in_view
        if ours and mask is not None and mask.shape == stack.labels.shape[-2:]:
            if key == self.key(identifier):
                self.fill(place.index, stack, key, mask, objects)
                self.changed.emit()
            else:
                self._wanted[identifier] = None
        self._pump.start()

    def fill(
        self,
        index: Index,
        stack: MaskStack,
        key: Key,
        mask: NDArray[np.uint8],
        objects: NDArray[np.int32] | None,
    ) -> bool:
        """Put a mask into a slice, objects with numbers that no other slice has; says whether it differs."""
        if objects is None:
            return stack.put(index, key, mask)
        numbering = LabelNumbering.of(mask, self._classes, objects, stack.numbering)
        stack.numbering = numbering
        changed = stack.put(index, key, numbering.labels)
        self._later.start()
        return changed

    @property
    def _classes(self) -> int:
        collection = self.session.workspace.collection
        return len(collection.classes) if collection is not None else 1

    # objects through all slices

    def _number(self) -> None:
        """Number the objects of the next stack from its first slice to its last, in the background."""
        if self._busy or self._wanted or self._closed or not self.as_objects:
            return
        waiting = [(o, s) for o, s in self._stacks.values() if len(s) and s.numbered_at != s.changes]
        if not waiting:
            return
        (layer, stack), linked = waiting[0], self.session.workspace.link_objects
        stack.settle_all()
        changes, indices, numbering = stack.changes, stack.filled, stack.numbering
        assert numbering is not None
        collection, settings = self.session.workspace.collection, self.session.workspace.inference
        ids = self.image_source.slices_of(layer)
        masked = {index: ids[index] for index in indices if index in ids}
        volume = collection is not None and bool(masked)
        volume = volume and all(collection.volume_of(i) for i in masked.values())  # type: ignore[union-attr]
        thickness = anisotropy_of(layer)
        self._busy = True

        def work() -> None:
            tables = class_of = None
            try:
                if volume and collection is not None and stack.labels.size <= MOST_VOXELS:
                    tables, class_of = number_volume(
                        stack.labels, masked, numbering, collection, settings, thickness
                    )
                else:
                    tables, class_of = number_through(stack.labels, indices, numbering, linked or volume)
            finally:
                self.session.runner.dispatch(lambda: self._use(stack, changes, tables, class_of))

        self.session.runner.in_background(work)

    def _use(
        self,
        stack: MaskStack,
        changes: int,
        tables: dict[Index, NDArray[np.int32]] | None,
        class_of: NDArray[np.uint8] | None,
    ) -> None:
        self._busy = False
        if self._closed:
            return
        self._pump.start()  # what was wanted meanwhile
        if tables is None or class_of is None:
            return
        if stack.changes != changes:  # somebody paints: later
            self._later.start()
            return
        stack.numbered_at = changes
        stack.use_tables(tables, LabelNumbering.of_stack(class_of, self._classes))
        self.renumbered.emit()
        self._apply(stack)

    def _apply(self, stack: MaskStack) -> None:
        for _ in range(AT_ONCE):
            if stack.waiting:
                stack.settle()
        if stack.waiting and not self._closed:
            QTimer.singleShot(0, lambda: self._apply(stack))
            return
        self.changed.emit()
        self._later.start()  # for the next stack


def objects_of(
    collection: Collection | None, identifier: str, mask: NDArray[np.uint8], settings: Any
) -> NDArray[np.int32]:
    """(Y, X) int32: the objects of a mask of an image, separated as the model does it."""
    mask = np.where(mask == IGNORE, 0, mask).astype(np.uint8)
    if collection is None or identifier not in collection.entries:
        return connected_objects(mask)
    return collection.objects(identifier, mask, settings)
