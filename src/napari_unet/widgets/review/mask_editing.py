"""What the buttons and keys of mending do to the current mask."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_unet.errors import DataError, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas

BREATH = 0.02  # seconds that the window may wait
FEW_PIXELS = 16  # smaller pieces are dropped where no minimum size is set
NAMES = {
    "fill": "fill holes",
    "drop": "drop small pieces",
    "smooth": "smooth",
    "grow": "grow",
    "shrink": "shrink",
}


class MaskEditing:
    """Changes masks as a whole or an object at a time, verifies them, goes back.

    Parameters
    ----------
    session : Session
        Whose masks are changed.
    canvas : MaskCanvas
        Knows what is pointed at, and hands in what was painted before.
    """

    def __init__(self, session: Session, canvas: MaskCanvas) -> None:
        self.session = session
        self.canvas = canvas
        self._accepting: list[str] = []
        self._done = True
        self._next = QTimer(canvas)
        self._next.setSingleShot(True)
        self._next.setInterval(0)
        self._next.timeout.connect(lambda: self._accept_some(BREATH))
        session.workspace.leaving.connect(self.close)

    def close(self) -> None:
        """Bring to its end what was begun."""
        self._next.stop()
        self._accept_some(math.inf)

    def edit(self, what: str) -> None:
        """Change the mask of the current image: one of ``NAMES``, "undo" or "revert"."""
        current, painting = self.session.workspace.current, self.session.painting
        if not current:
            return
        self.canvas.take_painting()
        try:
            if what == "revert":
                painting.revert(current)
            elif what == "undo":
                painting.undo(current)
            elif self.canvas.large is not None and self.canvas.large.active:
                self.canvas.large.edit(self._edit(what), NAMES[what])
            else:
                painting.edit(current, self._edit(what), NAMES[what])
        except WorkbenchError as error:
            self.session.runner.failed.emit(error.sentence, "")

    def go_back(self, number: int) -> None:
        """Go back to an earlier version of the mask of the current image."""
        self.canvas.take_painting()
        try:
            self.session.painting.revert_to(self.session.workspace.current, number)
        except WorkbenchError as error:
            self.session.runner.failed.emit(error.sentence, "")

    def accept(self, ids: tuple[str, ...], done: bool) -> None:
        """Verify masks, or no longer: a few at a time, so that the window does not wait for thousands."""
        self.close()
        self.canvas.take_painting()
        self._accepting, self._done = list(ids), done
        if done:
            self.session.painting.accepted = ()
        self._accept_some(BREATH)

    def _accept_some(self, seconds: float) -> None:
        painting, end = self.session.painting, time.monotonic() + seconds
        if not self._accepting:
            return
        while self._accepting:
            painting.set_done([self._accepting.pop(0)], self._done, together=True)
            if time.monotonic() > end and self._accepting:
                self._next.start()
                return
        self.session.estimates.update_estimates()

    def _edit(self, what: str) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
        from napari_unet.inference.edits import mask_edits

        smallest = max(self.session.workspace.inference.minimum_size, FEW_PIXELS)
        edits: dict[str, Any] = {
            "fill": mask_edits.fill_holes,
            "drop": lambda mask: mask_edits.drop_small(mask, smallest),
            "smooth": mask_edits.smooth,
        }
        if what in edits:
            return edits[what]  # type: ignore[no-any-return]
        change = mask_edits.grow if what == "grow" else mask_edits.shrink
        point = self.canvas.object_point()

        def at_point(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
            if point is None or mask_edits.object_at(mask, point) is None:
                raise DataError(
                    f"there is no object to {what} under the pointer",
                    code="data.object.missing",
                    remedy="point at an object on the canvas, then press "
                    + ("G" if what == "grow" else "Shift+G"),
                )
            return change(mask, point)

        return at_point
