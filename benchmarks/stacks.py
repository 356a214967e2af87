"""Stalls of the window while a person scrolls through a stack of 200 slices and paints in it.

Needs a screen, as `window.py` does. The same is measured with napari alone, an image and a Labels layer of
that shape, because drawing takes its time, above all without a graphics card.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from roads.waiting import rest, spin
from window import Heart

if TYPE_CHECKING:
    from collections.abc import Callable

DRAG = 24  # pixels of the screen that one stroke is long
STROKES = 12


def scroll(viewer: Any, slices: int) -> None:
    """Go through the stack, a slice every 30 milliseconds, as with the arrow key held down."""
    for number in range(slices):
        viewer.dims.set_current_step(0, number)
        rest(0.03)


def paint(viewer: Any, layer: Any) -> None:
    """Some strokes of the brush with the mouse, on slices one after another."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    canvas = viewer.window._qt_viewer.canvas.native
    viewer.layers.selection.active = layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 1, 12
    for number in range(STROKES):
        viewer.dims.set_current_step(0, 10 * (number % 4))
        rest(0.2)
        start = canvas.rect().center() + QPoint(10 * number - 60, 5 * number - 30)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        for step in range(1, DRAG // 4):
            QTest.mouseMove(canvas, start + QPoint(4 * step, 2 * step))
            rest(0.01)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(DRAG, DRAG // 2))
        rest(0.4)


def stalls(heart: Any, act: Callable[[], None]) -> str:
    """How late the window's timer came while something was done: median, 99th percentile, worst."""
    start = time.perf_counter()
    act()
    late = heart.stalls(start, time.perf_counter())
    return f"{np.median(late):8.1f}{np.percentile(late, 99):8.1f}{late.max():8.1f}"


def processor_time(viewer: Any, slices: int) -> str:
    """What it costs the processor to go to another slice, without drawing; other programs do not matter."""
    spent = []
    for number in range(slices):
        start = time.thread_time()
        viewer.dims.set_current_step(0, number)
        spent.append(1000 * (time.thread_time() - start))
        rest(0)
    return f"{np.median(spent):8.1f}{np.percentile(spent, 99):8.1f}{max(spent):8.1f}"


def masks_of(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(Z, Y, X): discs that move from slice to slice."""
    rows, columns = np.ogrid[: shape[1], : shape[2]]
    stack = np.zeros(shape, np.uint8)
    for number in range(shape[0]):
        for row, column in ((100, 100), (300, 200), (200, 400)):
            stack[number] |= ((rows - row) ** 2 + (columns - column - number % 60) ** 2 < 50**2).astype(
                np.uint8
            )
    return stack


def measure(masks: np.ndarray[Any, np.dtype[np.uint8]], with_dock: bool) -> None:
    """One window: scroll, paint, and, with the dock, scroll among objects."""
    import napari

    who = "with the dock" if with_dock else "napari alone"
    viewer = napari.Viewer(show=True)
    heart = Heart()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, masks.shape, dtype=np.uint8), name="stack")
    bench = open_dock(viewer, masks) if with_dock else None
    layer = viewer.add_labels(masks.copy()) if bench is None else bench.canvas.mask_layer
    rest(2)
    words = stalls(heart, lambda: scroll(viewer, len(masks)))
    print(f"{f'scrolling, {who}':34}{words}", flush=True)
    rest(1)
    words = stalls(heart, lambda: paint(viewer, layer))
    print(f"{f'painting, {who}':34}{words}", flush=True)
    rest(1)
    print(f"{f'processor, a step, {who}':34}{processor_time(viewer, len(masks))}", flush=True)
    if bench is not None:
        bench.canvas.show_objects(True)
        spin(lambda: not bench.canvas.stacks.filling)
        print(f"{'processor, a step among objects':34}{processor_time(viewer, len(masks))}", flush=True)
    heart.timer.stop()
    viewer.close()
    rest(0.5)


def open_dock(viewer: Any, masks: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
    """The dock, once the layer of masks is filled with these as corrections."""
    _, bench = viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
    session = bench.session
    spin(lambda: len(session.workspace.rows()) == len(masks))
    session.painting.prepare()
    for identifier, mask in zip(session.workspace.collection.ids, masks, strict=True):
        session.painting.correct(identifier, mask)
    session.workspace.mask_changed.emit(session.workspace.current)
    spin(lambda: bench.canvas.mask_layer is not None and not bench.canvas.stacks.filling)
    if not np.array_equal(bench.canvas.mask_layer.data, masks):
        raise AssertionError("the layer is not the whole mask")
    return bench


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    masks = masks_of((options.slices, options.side, options.side))
    print(f"{'milliseconds':34}  median    99 %   worst")
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_HOME"] = home  # where strokes are kept: another run has painted other ones
        for with_dock in (False, True):
            measure(masks, with_dock)


if __name__ == "__main__":
    main()
