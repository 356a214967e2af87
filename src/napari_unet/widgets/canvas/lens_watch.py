"""Hears of painting in a Labels layer: where, how many strokes, and when to look."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_unet.project.corrections.stroke import Box

# Milliseconds from the last change until the mask is looked at, and from the first where one follows the
# other. What is painted is on the disk within a second, so a drag is kept in parts.
SETTLE, LONGEST = 60, 500
PAINTING = ("paint", "fill", "erase", "polygon")
EVENTS = ("paint", "labels_update", "set_data")


class LensWatch(QObject):  # type: ignore[misc]
    """Watches one layer; a moment after something was painted, and now and then in a long stroke, it says so.

    Parameters
    ----------
    layer : napari.layers.Labels
        Is watched.
    look : callable
        Called when it is time to look at what was painted.
    parent : QObject
        Owner.
    """

    def __init__(self, layer: Any, look: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self.layer = layer
        self.touched = False  # whether anything was painted since ``taken``
        self.ignoring = False  # while the layer is filled by the program
        self._box: Box | None = None
        self._anywhere = False
        self._ended = 0  # strokes of the brush that ended
        self._moving = self._counted = False
        self._since = 0.0
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(look)
        for event in self._events():
            event.connect(self._on_painted)

    def _events(self) -> Iterator[Any]:
        for name in EVENTS:
            event = getattr(self.layer.events, name, None)
            if event is not None:
                yield event

    def close(self) -> None:
        """Watch no more."""
        self._settle.stop()
        for event in self._events():
            event.disconnect(self._on_painted)

    def taken(self) -> Box | None:
        """Where something was painted since the last call; None if it may be anywhere."""
        self._settle.stop()
        box = None if self._anywhere else self._box
        self.touched, self._box, self._anywhere = False, None, False
        return box

    def forget(self) -> None:
        """What was painted is of no interest any more."""
        self.taken()
        self._ended, self._counted, self._moving = 0, False, False

    def strokes_begun(self) -> int:
        """How many strokes of the brush began since the last call; 0 if one only continued."""
        held = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        continues = self._moving and held
        begun = self._ended - (self._counted and self._ended > 0)
        begun += continues and (self._ended > 0 or not self._counted)
        if not (begun or self._counted):
            begun = 1  # by no brush: undone in the layer, or changed by another program
        self._ended, self._counted = 0, continues
        return int(begun)

    def _on_painted(self, event: Any = None) -> None:
        if self.ignoring:
            return
        self.touched = True
        kind = "set_data" if event is None else event.type
        if kind == "set_data":  # undo, redo, and what other programs change
            self._anywhere |= event is None or not shows_a_part(event.source)
        elif kind == "labels_update":
            self._box = widened(self._box, event.offset, event.data.shape)
        if kind != "set_data":
            self._moving = kind != "paint"  # which napari emits when the button is let go
            self._ended += kind == "paint"
        now = time.monotonic()
        if not self._settle.isActive():
            self._since = now
        left = LONGEST - (now - self._since) * 1000
        self._settle.start(max(0, min(SETTLE, int(left))))


def shows_a_part(layer: Any) -> bool:
    """Whether a layer is about to tell where it was painted, with ``labels_update``.

    Where the picture on the screen has another size than the labels, napari first draws the whole again,
    which comes as ``set_data``. Its own callbacks run ahead of all others: only the layer knows what for.
    """
    return getattr(layer, "_updated_slice", None) is not None


def widened(box: Box | None, offset: Sequence[int], shape: Sequence[int]) -> Box:
    """The smallest box that holds another and an array of a shape (rows, columns) at an offset."""
    y0, x0 = (max(int(n), 0) for n in offset[-2:])
    y1, x1 = int(offset[-2]) + int(shape[0]), int(offset[-1]) + int(shape[1])
    if box is None:
        return y0, x0, y1, x1
    return min(box[0], y0), min(box[1], x0), max(box[2], y1), max(box[3], x1)
