"""Hears of painting in a Labels layer: where it was, and how many strokes of the brush began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.project.corrections.stroke import Box

EVENTS = ("paint", "labels_update", "set_data")


class StrokeWatch:
    """What happened in a Labels layer since its mask was last looked at.

    Parameters
    ----------
    on_change : callable
        Called with every change of its pixels, or what may be one.
    is_ours : callable
        () -> whether the program itself changes the layer right now.

    Attributes
    ----------
    touched : bool
        Whether something changed.
    history : bool
        Whether napari may have something to undo; set to False by who makes it forget.
    """

    def __init__(self, on_change: Callable[[], None], is_ours: Callable[[], bool]) -> None:
        self._on_change, self._is_ours = on_change, is_ours
        self.touched = False
        self.history = False
        self._box: Box | None = None  # what was painted since, where napari says it
        self._anywhere = False  # whether something changed without napari saying where
        self._ended = 0  # strokes of the brush that ended since the mask was last looked at
        self._moving = self._counted = False  # a stroke continues; it is counted already

    def listen(self, layer: Any, *, on: bool) -> None:
        """Listen to a layer, or no longer."""
        for name in EVENTS:
            event = getattr(layer.events, name, None)
            if event is not None:
                (event.connect if on else event.disconnect)(self._hear)

    def _hear(self, event: Any = None) -> None:
        if self._is_ours():
            return
        self.touched = True
        if event is None or event.type == "set_data":  # undo, redo, and what other programs change
            self._anywhere |= event is None or not shows_a_part(event.source)
        elif event.type == "labels_update":
            self._box = widened(self._box, event.offset, event.data.shape)
        if event is not None and event.type != "set_data":
            self.history = True
            self._moving = event.type != "paint"  # which napari emits when the button is let go
            self._ended += event.type == "paint"
        self._on_change()

    def forget_place(self) -> None:
        """The layer has another mask now: nothing of it is painted yet."""
        self._box, self._anywhere = None, False

    def take_box(self) -> Box | None:
        """Where the mask changed since this was last asked; None: anywhere."""
        box = None if self._anywhere else self._box
        self.touched = False
        self.forget_place()
        return box

    def take_strokes(self) -> int:
        """How many strokes of the brush began since the mask was last looked at; 0 if one only continued."""
        held = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        continues = self._moving and held
        begun = self._ended - (self._counted and self._ended > 0)
        begun += continues and (self._ended > 0 or not self._counted)
        if not (begun or self._counted):
            begun = 1  # by no brush: undone in the layer, or changed by another program
        self._ended, self._counted = 0, continues
        return int(begun)

    def forget_strokes(self) -> None:
        """Strokes until now are of no interest any more."""
        self._ended, self._counted, self._moving = 0, False, False

    def nothing_changed(self) -> None:
        """The mask is as before: strokes that ended changed nothing."""
        if self._ended:
            self._ended, self._counted = 0, False


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
