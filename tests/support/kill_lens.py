"""A person who paints through the lens on the mask of a large image, in a real window, until killed.

Before each stroke it writes down where the stroke is, and afterwards that it was painted. Now and then the
view moves, and the lens with it.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import numpy as np

from support.killed_window import Log, NoEngine, live

SHAPE = (700, 610)
SIZE = 6  # pixels of a stroke, either way


def main(log: str, store: str, seed: int) -> None:
    """Open a window, and paint; never ends."""
    import napari

    from napari_unet.widgets.canvas.large import lens
    from napari_unet.widgets.canvas.layer_styles import camera_of
    from napari_unet.widgets.workbench import Workbench

    write = Log(log).write
    lens.SIDE, lens.STEP = 256, 32
    viewer = napari.Viewer(show=False)
    dock = Workbench(viewer, lambda dispatch: NoEngine())
    dock.large.preferences = dock.large.preferences.model_copy(update={"large_megapixels": 0.1})
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="a")
    session, large = dock.session, dock.large
    live(lambda: session.workspace.current == "a")
    session.disk_masks._open(session.workspace.collection, "a", Path(store), None)
    chance = random.Random(seed)
    while True:
        camera = camera_of(viewer)
        camera.center = tuple(chance.uniform(150, side - 150) for side in SHAPE)
        camera.zoom = 5
        viewer.window._qt_viewer.canvas.on_draw(None)  # a window that is not shown does not
        live(
            lambda: (
                large.lens_is_shown
                and large.lens._wanted is None
                and lens.holds(large.lens.crop.box, large.view)
            )
        )
        layer, (top, left, bottom, right) = large.lens.layer, large.lens.crop.box
        layer.mode = "paint"
        for _ in range(chance.randrange(1, 6)):
            y, x, label = (
                chance.randrange(top, bottom - SIZE),
                chance.randrange(left, right - SIZE),
                chance.choice((0, 1)),
            )
            box = np.mgrid[y - top : y - top + SIZE, x - left : x - left + SIZE].reshape(2, -1)
            write(will=[y, x, label])
            number = large.lens.crop.numbering.number_for(label)
            layer.data_setitem(tuple(box), np.full(box.shape[1], number, layer.dtype))
            write(did=[y, x, label])
            pause = time.monotonic() + chance.random() * 0.1
            live(lambda pause=pause: time.monotonic() > pause)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
