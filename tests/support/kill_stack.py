"""A person who paints in the slices of a stack, in a real window, until killed.

Before each stroke it writes down what the slice shall be after it, and afterwards that it was painted. With
"strokes" the masks are new ones: what is not painted is unknown, and background is painted as a class is.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from typing import Any

import numpy as np

from support.killed_window import Log, NoEngine, live

SHAPE = (6, 40, 50)
NAME = "stack"
UNKNOWN, BACKGROUND_STROKE = 255, 254


def digest(mask: Any) -> str:
    """What tells one mask from all others."""
    return hashlib.blake2b(np.ascontiguousarray(mask, np.uint8).tobytes(), digest_size=8).hexdigest()


def as_stored(shown: Any) -> Any:
    """Classes of what a layer of strokes shows: 255 where nobody painted."""
    stored = np.where(shown == 0, UNKNOWN, shown)
    return np.where(shown == BACKGROUND_STROKE, 0, stored)


def main(log: str, seed: int, kind: str = "mask") -> None:
    """Open a window, and paint; never ends."""
    strokes = kind == "strokes"
    import napari

    from napari_unet.widgets.workbench import Workbench

    write = Log(log).write
    viewer = napari.Viewer(show=False)
    viewer.add_image(np.zeros(SHAPE, np.uint8), name=NAME)
    dock = Workbench(viewer, lambda dispatch: NoEngine())
    session = dock.session
    live(lambda: session.workspace.current != "")
    if strokes:
        dock.strokes_row.new_button.click()
    else:
        session.painting.correct(session.workspace.current, np.eye(*SHAPE[1:], dtype=np.uint8))
        session.workspace.mask_changed.emit(session.workspace.current)
    live(lambda: session.painting.project is not None and dock.canvas.mask_layer is not None)
    show = dock.segment_panel.show_box  # the model that is suggested shows objects; strokes below are classes
    show.setCurrentIndex(show.findData(False))
    show.activated.emit(show.currentIndex())
    live(lambda: not dock.canvas.as_objects and not dock.canvas.stacks.filling)
    layer, chance = dock.canvas.mask_layer, random.Random(seed)
    write(open=str(session.painting.project.folder))
    while True:
        number = chance.randrange(SHAPE[0])
        viewer.dims.set_current_step(0, number)
        live(lambda number=number: session.workspace.current == f"{NAME} [{number}]")
        if strokes:
            dock.stroke_actions.new_mask()
        for _ in range(chance.randrange(1, 4)):
            row, column = chance.randrange(SHAPE[1] - 5), chance.randrange(SHAPE[2] - 5)
            box = np.mgrid[number : number + 1, row : row + 5, column : column + 5].reshape(3, -1)
            after = np.asarray(layer.data[number]).copy()
            label = chance.choice((BACKGROUND_STROKE, 1)) if strokes else chance.randrange(2)
            after[row : row + 5, column : column + 5] = label
            state = digest(as_stored(after) if strokes else after)
            write(will=number, state=state)
            layer.data_setitem(tuple(box), np.full(box.shape[1], label, layer.dtype))
            write(did=number, state=state)
            pause = time.monotonic() + chance.random() * 0.1
            live(lambda pause=pause: time.monotonic() > pause)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
