"""The lens: a piece of the mask on disk of a large image, at full resolution, that can be painted on."""

from __future__ import annotations

import functools
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_unet.errors import WorkbenchError
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.images.layer_metadata import LARGE_MASK_KEY
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS
from napari_unet.widgets.canvas.label_numbering import LabelNumbering
from napari_unet.widgets.canvas.large.lens_watch import PAINTING, LensWatch
from napari_unet.widgets.parts import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.project.corrections.disk_mask import DiskMask
    from napari_unet.project.corrections.stroke import Box
    from napari_unet.session.session import Session

SIDE = 2048  # pixels of a lens, either way
STEP = 128  # lenses begin at multiples of it
AGAIN = 80  # milliseconds until what could not be done during a stroke is tried again


@dataclass(frozen=True, eq=False)
class Crop:
    """What a lens shows.

    Attributes
    ----------
    disk : DiskMask
        The mask that it is of.
    box : tuple of int
        First row, first column, row and column behind the last.
    mask : numpy.ndarray
        (Y, X) uint8.
    numbering : LabelNumbering
        Its numbers in the layer.
    number : int
        Of the last stroke in it.
    """

    disk: DiskMask
    box: Box
    mask: NDArray[np.uint8]
    numbering: LabelNumbering
    number: int


class Lens(QObject):  # type: ignore[misc]
    """Shows the part of a mask on disk that one looks at, and hands in what is painted there.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    session : Session
        Takes what is painted.
    place : callable
        (layer, (row, column)) lays a layer over the image, with its first pixel there; says if it moved.
    parent : QObject
        Owner.
    """

    shown = Signal()  # another part of the mask, or the same as it is now
    label_chosen = Signal(int)  # class that is painted with now

    def __init__(
        self, viewer: Any, session: Session, place: Callable[[Any, tuple[int, int]], bool], parent: QObject
    ) -> None:
        super().__init__(parent)
        self.viewer, self.session, self.place = viewer, session, place
        self.layer: Any = None
        self.crop: Crop | None = None
        self.as_objects = False
        self.rule: Any = (
            None  # makes the mask of probabilities, while the one on disk is of another threshold
        )
        self.editable = True
        self._watch: LensWatch | None = None
        self._label = 1
        self._wanted: tuple[DiskMask, Box] | None = None
        self._asked = 0  # parts that were asked for; an older answer is of no use
        self._thread = ThreadPoolExecutor(1, "lens")
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(AGAIN)
        self._again.timeout.connect(self._ask)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Hand in the last stroke, and let go of the viewer."""
        self.take_painting()
        self._again.stop()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self._watch is not None:
            self._watch.close()

    # what it shows

    def look_at(self, disk: DiskMask, view: Box) -> None:
        """Have what is in view in the lens, with some room around."""
        box = self.crop.box if self.crop is not None and self.crop.disk is disk else None
        if self._wanted is not None and self._wanted[0] is disk:
            box = self._wanted[1]
        if box is None or not holds(box, view):
            self._wanted = disk, box_around(view, disk.shape)
            self._ask()

    def reload(self) -> None:
        """Read again what is shown, as the mask is another one now."""
        self.take_painting()
        if self.crop is not None:
            self._wanted = self._wanted or (self.crop.disk, self.crop.box)
            self._ask()

    def drop(self) -> None:
        """Show nothing any more."""
        self.take_painting()
        self._again.stop()
        self._asked += 1
        self.crop = self._wanted = None
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)

    def _ask(self) -> None:
        """Read the part that is wanted, in a thread."""
        if self._wanted is None:
            return
        self._asked += 1
        (disk, box), asked = self._wanted, self._asked
        classes, objects, rule = self._classes, self.as_objects, self.rule

        def read() -> None:
            if asked != self._asked:
                return
            try:
                crop = read_crop(disk, box, classes, objects, rule)
            except (WorkbenchError, OSError, ValueError) as error:
                words = str(error)
                self.session.runner.dispatch(lambda: self.session.runner.failed.emit(words, ""))
                return
            self.session.runner.dispatch(lambda: self._put(asked, crop))

        with suppress(RuntimeError):  # closed
            self._thread.submit(read)

    def _put(self, asked: int, crop: Crop) -> None:
        if asked != self._asked:
            return
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton and self._is_painting:
            self._again.start()  # a stroke stays in the part that it began in
            return
        self.take_painting()
        if crop.disk.stats().number != crop.number:
            self._ask()  # something was painted since it was read
            return
        self._wanted = None
        self.crop = crop
        self._show(crop)
        self._prepare()

    def _show(self, crop: Crop) -> None:
        labels = crop.numbering.labels  # a copy: painting must not reach the stored mask
        with self._quiet():
            if self.layer is None:
                self._add(labels, layer_styles.label_colours(crop.numbering.as_objects, self._classes))
            layer = self.layer
            layer_styles.use_colours(layer, crop.numbering.as_objects, self._classes)
            self._fill(layer, labels, crop.box[:2])
            layer_styles.forget_history(layer)
            layer.editable = self.editable and not crop.disk.read_only
            layer.metadata[LARGE_MASK_KEY] = str(crop.disk.path)
            layer.selected_label = crop.numbering.number_for(self._label)
        self.shown.emit()

    def _fill(self, layer: Any, labels: NDArray[Any], first: tuple[int, int]) -> None:
        """Fill the layer and lay it over the image, drawn once.

        New pixels go into the array of the layer. napari makes its shaders again for a new array, which takes
        a tenth of a second.
        """
        have = layer.data
        if have is labels or have.shape != labels.shape or have.dtype != labels.dtype:
            self.place(layer, first)
            if have is not labels:
                layer.data = labels
            return
        have[...] = labels
        if not self.place(layer, first):
            layer.refresh(extent=False)

    def _add(self, labels: NDArray[Any], colours: Any) -> None:
        self.layer = self.viewer.add_labels(
            labels, name="U-Net mask", metadata={OURS: "mask"}, opacity=0.55, colormap=colours
        )
        self._watch = LensWatch(self.layer, self.take_painting, self)
        self._watch.ignoring = True
        wanted = {str(number): number for number in range(10)} | {"I": IGNORE}
        chosen = {key: functools.partial(self.choose_label, label) for key, label in wanted.items()}
        keys.bind(self.layer, {**chosen, "Control-Z": self._undo})
        self.layer.events.selected_label.connect(self._on_label)
        self.layer.events.mode.connect(self._prepare)

    def set_editable(self, editable: bool) -> None:
        """Whether it may be painted on; not while the mask is being made."""
        self.editable = editable
        if self.layer is not None and self.crop is not None:
            self.layer.editable = editable and not self.crop.disk.read_only

    @property
    def _classes(self) -> int:
        collection = self.session.workspace.collection
        return len(collection.classes) if collection is not None else 1

    @property
    def _is_painting(self) -> bool:
        return self.layer is not None and str(self.layer.mode) in PAINTING

    def _prepare(self, event: Any = None) -> None:
        """Have the mask locked, in the thread, once somebody takes up the brush: no stroke waits for it."""
        if self.crop is not None and self._is_painting:
            with suppress(RuntimeError):  # closed
                self._thread.submit(self.crop.disk.prepare)

    # what is done in it

    def take_painting(self) -> None:
        """Hand in what was painted since it was last looked at."""
        watch, crop = self._watch, self.crop
        if watch is None or crop is None or self.layer is None or not watch.touched:
            return
        box = watch.taken()
        labels = np.asarray(self.layer.data)
        if labels.shape != crop.mask.shape:
            return
        y0, x0, y1, x1 = box or (0, 0, *crop.mask.shape)
        part = crop.numbering.classes(labels[y0:y1, x0:x1])
        if np.array_equal(part, crop.mask[y0:y1, x0:x1]):
            return
        before = crop.mask[y0:y1, x0:x1].copy()
        crop.mask[y0:y1, x0:x1] = part
        origin = crop.box[0] + y0, crop.box[1] + x0
        self.session.painting.correct_part(crop.disk, before, part, origin, begun=watch.strokes_begun())

    def edit(self, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], kind: str) -> None:
        """Change what the lens shows by a function of it, as if it was painted."""
        self.take_painting()
        crop = self.crop
        if crop is None:
            return
        after = change(crop.mask.copy())
        self.session.painting.correct_part(crop.disk, crop.mask, after, crop.box[:2], kind)
        self.reload()

    def edit_objects(
        self, change: Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]], kind: str
    ) -> None:
        """Change objects, also where they reach beyond what the lens shows.

        Parameters
        ----------
        change : callable
            (mask, first) -> mask; first is the row and column of the mask at which the lens begins.
        kind : str
            What does it.
        """
        self.take_painting()
        crop = self.crop
        if crop is None:
            return
        box, mask = crop.box, crop.mask
        for more in (SIDE // 2, SIDE, 0):
            after = change(mask.copy(), (crop.box[0] - box[0], crop.box[1] - box[1]))
            wider = _wider(box, mask != after, crop.disk.shape, more)
            if not more or wider == box:
                break
            box = wider
            mask = crop.disk.read(slice(box[0], box[2]), slice(box[1], box[3]))
        self.session.painting.correct_part(crop.disk, mask, after, box[:2], kind)
        self.reload()

    def choose_label(self, label: int) -> None:
        """Paint with a class from now on: 0 background, 1..K, 255 ignore; takes up the brush if none is."""
        if self.layer is None or self.crop is None or (label != IGNORE and label > self._classes):
            return
        self._label = label
        self.layer.selected_label = self.crop.numbering.number_for(label)
        self.viewer.layers.selection.active = self.layer
        if not self._is_painting and self.layer.editable:
            self.layer.mode = "paint"

    def object_point(self) -> tuple[int, int] | None:
        """Row and column in the lens of what is pointed at; None if that is no object."""
        if self.layer is None or self.crop is None:
            return None
        place = self.layer.world_to_data(self.viewer.cursor.position)[-2:]
        row, column = (math.floor(c + 0.5) for c in place)
        mask = self.crop.mask
        inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
        return (row, column) if inside and mask[row, column] not in (0, IGNORE) else None

    def _undo(self) -> None:
        """Take back the last stroke, in view or not: the view goes where it was."""
        self.take_painting()
        current = self.session.workspace.current
        live = self.crop.disk.log.live if self.crop is not None else []
        if not live:
            return
        box = live[-1].box
        with suppress(WorkbenchError):
            self.session.painting.undo(current)
        if self.crop is not None and not holds(self.crop.box, box):
            self.show_place(box)

    def show_place(self, box: Box) -> None:
        """Move the view to a part of the image."""
        if self.layer is None or self.crop is None:
            return
        middle = [(box[n] + box[n + 2]) / 2 - self.crop.box[n] for n in range(2)]
        world = self.layer.data_to_world(middle)
        camera = layer_styles.camera_of(self.viewer)
        camera.center = (*camera.center[:-2], *world[-2:])

    def _on_label(self, event: Any = None) -> None:
        if self.crop is not None and self.layer is not None:
            self._label = int(self.crop.numbering.classes(np.array(self.layer.selected_label)))
            self.label_chosen.emit(self._label)

    def _on_removed(self, event: Any) -> None:
        if event.value is not self.layer or self.layer is None:
            return
        self.take_painting()
        if self._watch is not None:
            self._watch.close()
        self.layer = self._watch = self.crop = None

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        if self._watch is not None:
            self._watch.ignoring = True
        try:
            yield
        finally:
            if self._watch is not None:
                self._watch.ignoring = False
                self._watch.forget()


def read_crop(disk: DiskMask, box: Box, classes: int, objects: bool, rule: Any) -> Crop:
    """Read a part of a mask; in a thread.

    Parameters
    ----------
    disk : DiskMask
        The mask.
    box : tuple of int
        First row, first column, row and column behind the last.
    classes : int
        K.
    objects : bool
        Whether every connected object gets a number of its own.
    rule : MaskRule or None
        Makes it of probabilities, where the mask on disk is of another threshold still.
    """
    rows, columns = slice(box[0], box[2]), slice(box[1], box[3])
    number = disk.stats().number
    kept = None if rule is None else disk.pyramid.probabilities(rows, columns)
    mask = disk.read(rows, columns) if kept is None else rule.mask(kept)
    if disk.holds_strokes_only:
        return Crop(disk, box, mask, LabelNumbering.of_strokes(mask, classes), number)
    numbers = None
    if objects:
        from napari_unet.inference.joined import number_part

        numbers = number_part(np.where(mask == IGNORE, 0, mask).astype(np.uint8))[0]
    return Crop(disk, box, mask, LabelNumbering.of(mask, classes, numbers, narrow=True), number)


def box_around(view: Box, shape: tuple[int, int]) -> Box:
    """The lens around the middle of a view: within the image, at multiples of ``STEP``."""
    found = []
    for first, end, full in zip(view[:2], view[2:], shape, strict=True):
        side = min(SIDE, full)
        start = round(((first + end) / 2 - side / 2) / STEP) * STEP
        found.append(min(max(start, 0), full - side))
    top, left = found
    return top, left, top + min(SIDE, shape[0]), left + min(SIDE, shape[1])


def _wider(box: Box, changed: NDArray[np.bool_], shape: tuple[int, int], more: int) -> Box:
    """A box with more pixels at those sides at which something changed, within the image."""
    top, left, bottom, right = box
    return (
        max(top - more * bool(changed[0].any()), 0),
        max(left - more * bool(changed[:, 0].any()), 0),
        min(bottom + more * bool(changed[-1].any()), shape[0]),
        min(right + more * bool(changed[:, -1].any()), shape[1]),
    )


def holds(box: Box, view: Box) -> bool:
    """Whether a view lies within a box."""
    return box[0] <= view[0] and box[1] <= view[1] and box[2] >= view[2] and box[3] >= view[3]


def fits(view: Box) -> bool:
    """Whether a view is close enough for the lens."""
    return max(view[2] - view[0], view[3] - view[1]) <= SIDE - STEP
