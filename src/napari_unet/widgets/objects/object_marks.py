"""Objects on the canvas: those that are selected in a table are outlined; a click on one selects its row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS
from napari_unet.widgets.canvas.large.lens_watch import PAINTING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas

MARK = "selected objects"
WIDTH = 2  # pixels of the outline
RIM = 2  # pixels around the objects in which the outline ends
SMALL = 24  # pixels of the screen; an object that looks smaller is zoomed in on
COMFORTABLE = 96  # pixels of the screen that it has then
STILL = 3  # pixels of the screen that the pointer may move in a click


class ObjectMarks(QObject):  # type: ignore[misc]
    """Outlines objects, brings them into view, and says which one is clicked.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets a layer while something is selected.
    session : Session
        Knows which pixel belongs to which object.
    canvas : MaskCanvas
        Shows the mask.
    """

    picked = Signal(str, int)  # image and number of the object that was clicked

    def __init__(self, viewer: Any, session: Session, canvas: MaskCanvas) -> None:
        super().__init__(canvas)
        self.viewer, self.session, self.canvas = viewer, session, canvas
        self.layer: Any = None
        self.active = False  # whether clicks select objects and marks are shown
        self._marked: tuple[str, tuple[int, ...]] = ("", ())
        self._centre_on: tuple[str, int] | None = None
        session.workspace.current_changed.connect(lambda _: self._show())
        session.objects.changed.connect(self._on_measured)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Let go of the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self._on_press in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_press)

    def set_active(self, active: bool) -> None:
        """Whether a table is open."""
        self.active = active
        if active:
            self.session.objects.want_numbers(self.session.workspace.current)
        self._show()
        if not active and self.layer is not None:
            layer_styles.remove_layer(self.viewer, self.layer)

    def mark(self, identifier: str, numbers: tuple[int, ...], *, centre_on: int | None = None) -> None:
        """Outline objects of an image, and bring one of them into view.

        Parameters
        ----------
        identifier : str
            Of the image.
        numbers : tuple of int
            Of its objects; none takes the outlines away.
        centre_on : int, optional
            The object that comes to the middle of the canvas.
        """
        self._marked = identifier, numbers
        self._centre_on = None if centre_on is None else (identifier, centre_on)
        self._show()

    def number_at(self, row: int, column: int) -> int:
        """Number of the object at a pixel of the current image; 0 for none."""
        return self.session.objects.at_pixel(self.session.workspace.current, row, column)

    # showing

    def _on_measured(self, identifier: str) -> None:
        if identifier == self.session.workspace.current and self.active:
            self._show()

    def _show(self) -> None:
        current, objects = self.session.workspace.current, self.session.objects
        identifier, wanted = self._marked
        if self.active and current:
            objects.want_numbers(current)
        if not self.active or identifier != current or not wanted:
            self._hide()
            return
        known = objects.get(current)
        if known is None:
            return  # comes when it is measured
        rows = [row for row in (known.table.row_of(n) for n in wanted) if row >= 0]
        if not rows:
            self._hide()
            return
        box = known.box(rows, RIM)
        inside = objects.where(current, wanted, box)
        if inside is None:
            if objects.on_disk(current) is None:
                return  # comes when it is measured
            self._hide()  # too far apart on a large image
        else:
            self._put(inside.astype(np.uint8), box[:2])
        if self._centre_on is not None and self._centre_on[0] == current:
            row = known.table.row_of(self._centre_on[1])
            self._centre_on = None
            if row >= 0:
                self._bring_into_view(known.table.columns, row)

    def _put(self, values: Any, first: tuple[int, int]) -> None:
        active = self.viewer.layers.selection.active
        image = self.canvas.image_source.layer
        if self.layer is None:
            self.layer = self.viewer.add_labels(
                values,
                name=MARK,
                metadata={OURS: "marks"},
                opacity=1.0,
                colormap=layer_styles.preview_colormap(),
                **({} if image is None else layer_styles.placement(image, values.ndim, first)),
            )
            self.layer.contour = WIDTH
            self.layer.editable = False
        else:
            self.layer.data = values
        self.layer.visible = True
        if image is not None:
            layer_styles.place_over(self.layer, image, first)
        if active in self.viewer.layers and active is not self.layer:
            self.viewer.layers.selection.active = active

    def _hide(self) -> None:
        if self.layer is not None and self.layer.visible:
            self.layer.visible = False

    def _bring_into_view(self, columns: dict[str, Any], row: int) -> None:
        image = self.canvas.image_source.layer
        if image is None:
            return
        centre = [float(columns[f"centroid_{axis}_px"][row]) for axis in "yx"]
        sides = [
            float(columns[f"{b}_px"][row] - columns[f"{a}_px"][row])
            for a, b in (("top", "bottom"), ("left", "right"))
        ]
        world = image.data_to_world((*[0.0] * (image.ndim - 2), *centre))
        camera = layer_styles.camera_of(self.viewer)
        size = max(sides) * float(np.abs(image.scale[-1]))
        if size * camera.zoom < SMALL:
            camera.zoom = COMFORTABLE / size
        camera.center = (*camera.center[:-2], *world[-2:])

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None

    # clicks

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """Select the object that is clicked, while no tool that changes the mask is taken up."""
        if not self.active or event.button != 1:
            return
        layer = viewer.layers.selection.active
        if layer is self.canvas.mask_layer and layer is not None and str(layer.mode) in PAINTING:
            return
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if math.dist(start, event.pos) > STILL:
            return
        image = self.canvas.image_source.layer
        if image is None:
            return
        row, column = (math.floor(c + 0.5) for c in image.world_to_data(event.position)[-2:])
        number = self.number_at(row, column)
        if number:
            self.picked.emit(self.session.workspace.current, number)
