"""Painting on the mask of a large image in the real window: stroke to disk, stalls, memory, levels.

    xvfb-run python benchmarks/lens.py --side 20000 --strokes 60

Makes an image and its mask on disk, opens them in napari with the dock, and paints with the mouse through the
lens: drags of 40 moves, with a move of the view after every fifth. Prints

- seconds from the release of the button until the stroke is in the journal, and in the mask on all levels;
- how late the window's timer of 5 ms came meanwhile ("stall"), also for strokes on a plain layer of napari;
- the processor time that the window's thread took between two of its beats ("busy"), which other programs on
  the machine do not change;
- how far the memory of the window's process grew over that with the image shown;
- how many levels are not those of a full rebuild.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from figures import print_figures
from roads.waiting import rest, spin
from slides import write_mask, write_pyramid
from window import BEAT, Heart

LIMITS = {
    "stroke in the journal, worst, s": 1.0,
    "stall 99th percentile, ms": 50.0,
    "busy 99th percentile, ms": 50.0,
    "memory grew, MB": 300.0,
}
MOVES = 40  # of the mouse in a drag


class Busy:
    """Writes down the processor time of the window's thread at every beat."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.beats: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(lambda: self.beats.append(time.thread_time()))
        self.timer.start(BEAT)

    def between(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Milliseconds between two beats."""
        self.timer.stop()
        return np.asarray(np.diff(self.beats) * 1000)


def memory() -> float:
    """Megabytes of this process, by /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this benchmark reads /proc, which is Linux's")


def drag(canvas: Any, row: int) -> None:
    """Paint a slanting line with the mouse, from the left of the middle of the canvas to the right."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    start = QPoint(canvas.width() // 2 - 2 * MOVES, canvas.height() // 2 + row)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    for step in range(MOVES):
        QTest.mouseMove(canvas, start + QPoint(4 * step, step // 2))
        rest(0.008)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(4 * MOVES, MOVES // 2))


def levels_differ(path: Path) -> int:
    """How many levels of a mask are not what a rebuild of all would make."""
    import zarr

    group = zarr.open_group(path, mode="r")
    names = [one["path"] for one in group.attrs["ome"]["multiscales"][0]["datasets"]]
    wrong = 0
    below = np.asarray(group[names[0]])
    for name in names[1:]:
        below = below[::2, ::2]
        wrong += not np.array_equal(below, np.asarray(group[name]))
    return wrong


def measure(folder: Path, side: int, strokes: int) -> dict[str, float]:
    """One session at the window."""
    import napari

    from napari_unet.widgets.canvas.layer_styles import camera_of
    from napari_unet.widgets.workbench import Workbench

    levels = write_pyramid(folder / "slide.zarr", side)
    path = folder / "slide.ome.zarr"
    write_mask(path, side)
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1270, 780)
    _, bench = viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
    assert isinstance(bench, Workbench)
    session = bench.session
    viewer.add_image(levels, multiscale=True, name="slide", contrast_limits=(0, 255))
    spin(lambda: session.workspace.current == "slide")
    camera = camera_of(viewer)
    camera.zoom = 1
    rest(3)
    plain = plain_stalls(viewer, strokes // 3)
    before = memory()
    collection = session.workspace.collection
    assert collection is not None
    session.disk_masks._open(collection, "slide", path, None)
    spin(lambda: bench.large.lens_is_shown and bench.large.lens.layer.visible)
    layer, disk = bench.large.lens.layer, bench.large.disk
    assert disk is not None
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size, layer.selected_label = "paint", 20, 1
    rest(1)
    canvas = viewer.window._qt_viewer.canvas.native
    heart, busy, journal, painted = Heart(), Busy(), [], []
    chance = np.random.default_rng(0)
    start, most = time.perf_counter(), 0.0
    for number in range(strokes):
        count = len(disk.log.strokes)
        drag(canvas, 48 * (number % 5) - 96)  # where nothing was painted yet
        released = time.perf_counter()
        spin(partial(is_kept, bench, disk, count), 10)
        journal.append(time.perf_counter() - released)
        spin(lambda: disk._applied == disk.stats().number, 20)
        painted.append(time.perf_counter() - released)
        most = max(most, memory())
        if number % 5 == 4:
            y, x = chance.uniform(1000, side - 1000, 2)
            camera.center = (*camera.center[:-2], y, x)
            spin(partial(is_there, bench), 10)
            rest(0.3)
    stalls = heart.stalls(start, time.perf_counter())
    used = busy.between()
    heart.timer.stop()
    out = {
        "strokes": float(strokes),
        "stroke in the journal, median, s": float(np.median(journal)),
        "stroke in the journal, worst, s": max(journal),
        "stroke on all levels, median, s": float(np.median(painted)),
        "stroke on all levels, worst, s": max(painted),
        "stall 99th percentile, ms": float(np.percentile(stalls, 99)),
        "stall worst, ms": float(stalls.max()),
        "plain napari, stall 99th percentile, ms": float(np.percentile(plain, 99)),
        "plain napari, stall worst, ms": float(plain.max()),
        "busy 99th percentile, ms": float(np.percentile(used, 99)),
        "busy worst, ms": float(used.max()),
        "memory grew, MB": most - before,
    }
    bench.shut_down()
    viewer.close()
    rest(0.2)
    out["levels that differ from a full rebuild"] = float(levels_differ(path))
    return out


def plain_stalls(viewer: Any, strokes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How late the timer comes while the same is painted on a layer of napari that nobody watches."""
    from napari_unet.widgets.canvas.large.lens import SIDE

    layer = viewer.add_labels(np.zeros((SIDE, SIDE), np.uint8), opacity=0.55)
    layer.translate = np.subtract(viewer.layers[0].extent.world[1] / 2, SIDE / 2)
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size, layer.selected_label = "paint", 20, 1
    rest(1)
    canvas = viewer.window._qt_viewer.canvas.native
    heart, start = Heart(), time.perf_counter()
    for number in range(strokes):
        drag(canvas, 48 * (number % 5) - 96)
        rest(0.2)
    stalls = heart.stalls(start, time.perf_counter())
    heart.timer.stop()
    viewer.layers.remove(layer)
    rest(1)
    return stalls


def is_there(bench: Any) -> bool:
    """Whether the lens covers what is in view."""
    from napari_unet.widgets.canvas.large.lens import holds

    large = bench.large
    return large.lens_is_shown and large.lens._wanted is None and holds(large.lens.crop.box, large.view)


def is_kept(bench: Any, disk: Any, count: int) -> bool:
    """Whether there are more strokes than so many, and nothing that was painted is in memory only."""
    watch = bench.large.lens._watch
    return len(disk.log.strokes) > count and not disk.waiting and not watch.touched


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=20_000, help="pixels of the image, a multiple of 1000")
    parser.add_argument("--strokes", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_UNET_HOME"] = str(Path(folder) / "home")
        figures = measure(Path(folder), options.side, options.strokes)
    print(f"{options.side} x {options.side} pixels")
    print_figures(figures, LIMITS)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
