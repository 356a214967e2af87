"""Says when to look at what was painted in a Labels layer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_unet.widgets.canvas.stroke_watch import StrokeWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.project.corrections.stroke import Box

# Milliseconds from the last change until the mask is looked at, and from the first where one follows the
# other. What is painted is on the disk within a second, so a drag is stored in parts.
SETTLE, LONGEST = 60, 500
PAINTING = ("paint", "fill", "erase", "polygon")


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
        self.ignoring = False  # while the layer is filled by the program
        self._since = 0.0
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(look)
        self._strokes = StrokeWatch(self._on_painted, lambda: self.ignoring)
        self._strokes.listen(layer, on=True)

    @property
    def touched(self) -> bool:
        """Whether anything was painted since ``taken``."""
        return self._strokes.touched

    def close(self) -> None:
        """Watch no more."""
        self._settle.stop()
        self._strokes.listen(self.layer, on=False)

    def taken(self) -> Box | None:
        """Where something was painted since the last call; None if it may be anywhere."""
        self._settle.stop()
        return self._strokes.take_box()

    def forget(self) -> None:
        """What was painted is of no interest any more."""
        self.taken()
        self._strokes.forget_strokes()

    def strokes_begun(self) -> int:
        """How many strokes of the brush began since the last call; 0 if one only continued."""
        return self._strokes.take_strokes()

    def _on_painted(self) -> None:
        now = time.monotonic()
        if not self._settle.isActive():
            self._since = now
        left = LONGEST - (now - self._since) * 1000
        self._settle.start(max(0, min(SETTLE, int(left))))
