"""Delete, merge and split objects: one click or one stroke each, by buttons and keys, with undo."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.errors import WorkbenchError
from napari_unet.inference.edits.object_edits import (
    ObjectEdit,
    delete_object,
    merge_objects,
    split_objects,
)
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS
from napari_unet.widgets.canvas.large.lens_watch import PAINTING
from napari_unet.widgets.parts import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas

Tool = Literal["delete", "merge", "split"]
NAMES = {"delete": "delete object", "merge": "merge objects", "split": "split object"}  # of versions
COLOURS = {"merge": "#FFFFFF", "split": "#FF5A4F"}
LINE = "stroke"  # name of its layer
HELP = {
    "delete": "Click an object to delete it. The button ends it.",
    "merge": "Draw a stroke from one object into another. J ends it.",
    "split": "Draw a stroke across an object. K ends it.",
}
WIDTH = 2.5  # pixels of the screen
OFTEN = 0.03  # seconds between two pictures of a stroke


class ObjectTools(QObject):  # type: ignore[misc]
    """Takes clicks and strokes on the canvas while a tool is chosen.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose canvas.
    session : Session
        Records what is changed.
    canvas : MaskCanvas
        Shows the mask.
    undo : callable
        Takes back the last change of the current image.
    """

    chosen = Signal(str)  # the tool; empty for none

    def __init__(self, viewer: Any, session: Session, canvas: MaskCanvas, undo: Callable[[], None]) -> None:
        super().__init__(canvas)
        self.viewer, self.session, self.canvas, self.undo = viewer, session, canvas, undo
        self.tool: Tool | Literal[""] = ""
        self._line: Any = None  # layer of the stroke
        self._bound: Any = None  # layer whose undo is ours
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.events.active.connect(self._on_active)
        canvas.mask_shown.connect(self._bind_undo)

    def close(self) -> None:
        """Let go of the viewer."""
        self.choose("")
        if self._on_press in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_press)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)

    # tools

    def choose(self, tool: Tool | Literal[""]) -> None:
        """Take up a tool, or put it down."""
        if tool == self.tool:
            return
        self.tool = tool
        camera = layer_styles.camera_of(self.viewer)
        layer = self._mask_layer
        if tool and layer is not None:
            self.viewer.layers.selection.active = layer
            if str(layer.mode) in PAINTING:
                layer.mode = "pan_zoom"
        camera.mouse_pan = not tool
        self.viewer.help = HELP.get(tool, "")
        if not tool:
            self._drop_line()
        self.chosen.emit(tool)

    def toggle(self, tool: Tool) -> None:
        """Take up a tool; put it down if it is in hand."""
        self.choose("" if tool == self.tool else tool)

    @property
    def _mask_layer(self) -> Any:
        large = self.canvas.large
        return large.lens.layer if large is not None and large.active else self.canvas.mask_layer

    # changes

    def delete_at_pointer(self) -> None:
        """Delete the object under the pointer."""
        self._delete(self.viewer.cursor.position)

    def _delete(self, position: Any) -> None:
        layer = self._mask_layer
        if layer is None:
            return
        row, column = (math.floor(c + 0.5) for c in layer.world_to_data(position)[-2:])

        def change(
            mask: NDArray[np.uint8], objects: NDArray[np.int32], first: tuple[int, int] = (0, 0)
        ) -> ObjectEdit:
            y, x = row + first[0], column + first[1]
            inside = 0 <= y < objects.shape[0] and 0 <= x < objects.shape[1]
            return delete_object(mask, objects, int(objects[y, x]) if inside else 0)

        self._edit(change, "delete")

    def _stroke(self, tool: Tool, path: NDArray[np.float64]) -> None:
        edit = merge_objects if tool == "merge" else split_objects
        self._edit(partial(_along, edit, path), tool)

    def _edit(self, change: Callable[..., ObjectEdit], tool: Tool) -> None:
        self.canvas.take_painting()
        session, large = self.session, self.canvas.large
        if self._mask_layer is None and not (large is not None and large.active):
            return
        try:
            if large is not None and large.active:
                large.edit_objects(partial(_of_pieces, change), NAMES[tool])
            else:
                current = session.workspace.current
                session.painting.edit_objects(current, change, NAMES[tool], session.objects.numbers(current))
        except WorkbenchError as error:
            session.runner.failed.emit(error.sentence, "")

    # the canvas

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """One click or one stroke, from the press of the button to its release."""
        tool, layer = self.tool, self._mask_layer
        if not tool or event.button != 1:
            return
        if layer is None:
            self._edit(lambda mask, *_: ObjectEdit(mask), tool)  # says where it is possible
            return
        if str(layer.mode) in PAINTING:  # the brush was taken up meanwhile
            self.choose("")
            return
        if tool == "delete":
            position = event.position
            yield
            while event.type == "mouse_move":
                yield
            self._delete(position)
            return
        path = [layer.world_to_data(event.position)[-2:]]
        shown = 0.0
        yield
        while event.type == "mouse_move":
            path.append(layer.world_to_data(event.position)[-2:])
            if time.monotonic() - shown > OFTEN:
                self._show_line(tool, layer, path)
                shown = time.monotonic()
            yield
        path.append(layer.world_to_data(event.position)[-2:])
        self._hide_line()
        self._stroke(tool, np.array(path, np.float64))

    def _show_line(self, tool: Tool, layer: Any, path: list[Any]) -> None:
        points = np.array(path, np.float64)
        if len(points) < 2 or np.ptp(points, axis=0).max() == 0:
            return
        zoom = layer_styles.camera_of(self.viewer).zoom * float(np.abs(layer.scale[-1]))
        look = {"shape_type": "path", "edge_width": WIDTH / zoom, "edge_color": COLOURS[tool]}
        image = self.canvas.image_source.layer
        if self._line is None:
            active = self.viewer.layers.selection.active
            place = {} if image is None else layer_styles.placement(image, 2, self._first_pixel)
            self._line = self.viewer.add_shapes(
                [points], name=LINE, metadata={OURS: "stroke"}, face_color="transparent", **place, **look
            )
            self.viewer.layers.selection.active = active
            layer_styles.camera_of(self.viewer).mouse_pan = False  # a layer that comes lets it move again
        else:
            self._line.data = []
            self._line.add([points], face_color="transparent", **look)
            self._line.visible = True
        if image is not None:
            layer_styles.place_over(self._line, image, self._first_pixel)

    @property
    def _first_pixel(self) -> tuple[int, int]:
        """Row and column of the image at which the layer of the mask begins."""
        large = self.canvas.large
        crop = large.lens.crop if large is not None and large.active else None
        return (0, 0) if crop is None else (crop.box[0], crop.box[1])

    def _hide_line(self) -> None:
        if self._line is not None:
            self._line.visible = False

    def _drop_line(self) -> None:
        if self._line is not None:
            layer_styles.remove_layer(self.viewer, self._line)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._line:
            self._line = None

    def _on_active(self, event: Any) -> None:
        """Another layer is chosen: the tool is of the mask."""
        if self.tool and event.value not in (None, self._mask_layer, self._line):
            self.choose("")

    # undo

    def _bind_undo(self) -> None:
        """Let Ctrl+Z take back edits of objects, too, where there is no stroke of the brush to undo."""
        layer = self.canvas.mask_layer
        if layer is not None and layer is not self._bound:
            self._bound = layer
            keys.bind(layer, {keys.UNDO_KEY: self._undo})

    def _undo(self) -> None:
        layer = self.canvas.mask_layer
        if self.canvas.has_strokes:
            layer.undo()
        else:
            self.undo()


def _along(
    edit: Callable[..., ObjectEdit],
    path: NDArray[np.float64],
    mask: NDArray[np.uint8],
    objects: NDArray[np.int32],
    first: tuple[int, int] = (0, 0),
) -> ObjectEdit:
    return edit(mask, objects, path + first)


def _of_pieces(
    change: Callable[..., ObjectEdit], mask: NDArray[np.uint8], first: tuple[int, int]
) -> NDArray[np.uint8]:
    """Change a part of a large mask, whose objects are its connected pieces."""
    from napari_unet.inference.joined import number_part
    from napari_unet.project.corrections.correction import IGNORE

    objects = number_part(np.where(mask == IGNORE, 0, mask).astype(np.uint8))[0]
    return change(mask, objects, first).mask
