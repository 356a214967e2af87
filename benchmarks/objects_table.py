"""The table of 20,000 objects: how long they take to be measured, to be sorted, and to be scrolled through.

    xvfb-run python benchmarks/objects_table.py

Makes an image with round objects, measures them as the window does, in a thread beside a timer of 5 ms in the
window's thread, and scrolls through the real dialog by one row, by one page and by jumps. Prints

- seconds to measure all objects, alone, and by ``skimage.measure.regionprops_table`` of the same properties;
- how late the timer came meanwhile ("stall"), 99th percentile and longest;
- milliseconds of a scroll step until it is painted, median, 99th percentile and longest, and the processor
  time of the step ("busy"), beside that of a model of Qt's own with an object for every cell;
- milliseconds to fill the table, to sort by a column and to select half of the objects with the brush.

With ``--on-disk SIDE`` it measures the objects of a mask on disk instead, and prints seconds of the processor
and the memory that this takes beyond what the program has before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt

from figures import print_figures
from window import Heart

LIMITS = {"measured, s": 5.0, "scroll step busy 99th percentile, ms": 16.0, "stall 99th percentile, ms": 50.0}
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
CELL = 20  # pixels from one object to the next


def picture(count: int) -> tuple[Any, Any, Any]:
    """Objects of many sizes on a grid: (Y, X) int32, (Y, X, 3) uint16, (Y, X, 1) float16."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(count)))
    objects = np.zeros((side * CELL, side * CELL), np.int32)
    y, x = np.mgrid[:CELL, :CELL] - (CELL - 1) / 2
    for number in range(1, count + 1):
        top, left = (number - 1) // side * CELL, (number - 1) % side * CELL
        a, b, turn = *rng.uniform(3, 9, 2), rng.uniform(0, np.pi)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        objects[top : top + CELL, left : left + CELL][(u / a) ** 2 + (v / b) ** 2 <= 1] = number
    image = rng.integers(0, 4096, (*objects.shape, 3), dtype=np.uint16)
    return objects, image, rng.random((*objects.shape, 1)).astype(np.float16)


def by_scikit_image(objects: Any, image: Any) -> None:
    """The same measurements, as far as scikit-image has them."""
    from skimage.measure import regionprops_table

    shape = ("label", "area", "perimeter_crofton", "feret_diameter_max", "eccentricity", "solidity")
    place = ("centroid", "bbox", "intensity_mean", "intensity_min", "intensity_max")
    regionprops_table(objects, image, properties=(*shape, *place))


def scroll(view: Any, steps: list[int]) -> Any:
    """(2, N) milliseconds of each step until it is painted: by the clock, and of the processor."""
    from qtpy.QtWidgets import QApplication

    bar, taken = view.verticalScrollBar(), []
    for step in steps:
        start, busy = time.perf_counter(), time.thread_time()
        bar.setValue(bar.value() + step)
        view.viewport().repaint()
        taken.append((time.perf_counter() - start, time.thread_time() - busy))
        QApplication.processEvents()
    return np.array(taken).T * 1000


def in_qts_own_model(model: Any, columns: list[int]) -> Any:
    """The same cells in a model of Qt, in C++, with an object for every cell."""
    from qtpy.QtGui import QStandardItem, QStandardItemModel

    own = QStandardItemModel(model.rowCount(), len(columns))
    for place, column in enumerate(columns):
        for row in range(model.rowCount()):
            item = QStandardItem(model.data(model.index(row, column)))
            item.setTextAlignment(RIGHT)
            own.setItem(row, place, item)
    return own


def of_qts_own(view: Any, model: Any, steps: list[int]) -> float:
    """Processor time of a step, 99th percentile in ms, of Qt's own view of Qt's own model."""
    from qtpy.QtWidgets import QApplication, QHeaderView, QTableView

    plain = QTableView()
    own = in_qts_own_model(model, [n for n in range(len(model.columns)) if not view.isColumnHidden(n)])
    plain.setModel(own)
    plain.verticalHeader().hide()
    plain.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    plain.verticalHeader().setDefaultSectionSize(view.verticalHeader().defaultSectionSize())
    plain.resize(view.size())
    plain.show()
    for _ in range(10):
        QApplication.processEvents()
    _, busy = scroll(plain, steps)
    return float(np.percentile(busy, 99))


def on_disk(side: int) -> dict[str, float]:
    """Measure the objects of a mask of ``side`` x ``side`` pixels on disk; the image has three channels."""
    from large_image import memory
    from napari_unet.engine.inline import run_inline
    from napari_unet.engine.task import FromCaller
    from napari_unet.export.label_store import LabelStore
    from napari_unet.export.ome_zarr import LabelShape
    from napari_unet.workflow.inputs.image_reference import CallReference
    from napari_unet.workflow.large_images.layers.measure_mask import MeasureMaskTask

    objects, tile, said = picture(2500)
    height = len(objects)
    repeats = -(-side // height)

    def part(values: Any, rows: slice, columns: slice) -> Any:
        down, across = (
            np.arange(rows.start, rows.stop) % height,
            np.arange(columns.start, columns.stop) % height,
        )
        return values[down[:, None], across]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.ome.zarr"
        shape = LabelShape((), (side, side), (1024, 1024))
        store = LabelStore.create(path, shape, "objects", ("disc",), {}, probabilities=True)
        mask, sure = (objects > 0).astype(np.uint8), np.rint(255 * said[..., 0]).astype(np.uint8)
        for top in range(0, side, 1024):
            rows, columns = slice(top, min(top + 1024, side)), slice(0, side)
            store.write(0, (), rows, columns, part(mask, rows, columns))
            store.write_probabilities((), rows, columns, part(sure, rows, columns)[None])
        image = FromCaller(lambda rows, columns: part(tile, rows, columns))
        task = MeasureMaskTask(path, CallReference("slide", image, None, image))
        before, busy = memory("VmRSS"), time.process_time()
        found = run_inline(task)
        return {
            "megapixels": side * side / 1e6,
            "objects": float(len(found.table)),
            "expected, about": 2500.0 * repeats**2,
            "processor, s": time.process_time() - busy,
            "memory beyond, MB": (memory("VmHWM") - before) / 1e6,
            "mask, objects and image whole, MB": side * side * (1 + 4 + 6) / 1e6,
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=300, help="scroll steps of each kind")
    parser.add_argument(
        "--on-disk", type=int, metavar="SIDE", help="measure only a mask on disk of this side"
    )
    parser.add_argument("--without-scikit-image", action="store_true", help="which takes a minute")
    parser.add_argument("--json", help="write the figures here as well")
    arguments = parser.parse_args()
    if arguments.on_disk:
        print_figures(on_disk(arguments.on_disk), {})
        return
    from qtpy.QtWidgets import QApplication, QHeaderView

    from napari_unet.metrics.object_measures import measure_objects
    from napari_unet.session.quality.image_objects import ImageObjects
    from napari_unet.session.quality.object_tables import BREATH
    from napari_unet.widgets.objects.column_histogram import ColumnHistogram
    from napari_unet.widgets.objects.object_model import SHOWN_FIRST, ObjectModel
    from napari_unet.widgets.objects.object_view import ObjectView

    application = QApplication.instance() or QApplication([])
    objects, image, said = picture(arguments.objects)
    mask = (objects > 0).astype(np.uint8)
    figures: dict[str, float] = {}
    start = time.perf_counter()
    table = measure_objects(objects, mask, image, said, (0.5, 0.5), "µm")
    figures["measured, s"] = time.perf_counter() - start
    assert len(table) == arguments.objects
    if not arguments.without_scikit_image:
        start = time.perf_counter()
        by_scikit_image(objects, image)
        figures["by scikit-image, s"] = time.perf_counter() - start
    heart = Heart()
    work = threading.Thread(
        target=lambda: measure_objects(
            objects, mask, image, said, (0.5, 0.5), "µm", lambda: time.sleep(BREATH)
        )
    )
    start = time.perf_counter()
    work.start()
    while work.is_alive():
        application.processEvents()
        time.sleep(0.0005)
    figures["measured beside the window, s"] = time.perf_counter() - start
    late = heart.stalls(start, time.perf_counter())
    figures["stall 99th percentile, ms"] = float(np.percentile(late, 99))
    figures["stall longest, ms"] = float(np.max(late))
    one = ImageObjects("one", None, table, ("nucleus",), np.zeros((len(table), 2), np.int64))
    model = ObjectModel()
    view = ObjectView(model)
    view.verticalHeader().hide()  # as TableDialog has it
    view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    view.verticalHeader().setDefaultSectionSize(20)
    start = time.perf_counter()
    model.set_images([one])
    figures["table filled, ms"] = (time.perf_counter() - start) * 1000
    for place, name in enumerate(model.columns):
        view.setColumnHidden(place, name not in SHOWN_FIRST and not name.startswith("intensity_mean"))
    view.resize(1200, 600)
    view.show()
    for _ in range(10):
        application.processEvents()
    page = view.verticalScrollBar().pageStep()
    rng = np.random.default_rng(1)
    steps = [1] * arguments.steps + [page] * arguments.steps
    steps += rng.integers(-arguments.objects, arguments.objects, arguments.steps).tolist()
    taken, busy = scroll(view, steps)
    figures["scroll step median, ms"] = float(np.median(taken))
    figures["scroll step 99th percentile, ms"] = float(np.percentile(taken, 99))
    figures["scroll step longest, ms"] = float(taken.max())
    figures["scroll step busy 99th percentile, ms"] = float(np.percentile(busy, 99))
    figures["the same of Qt's own model, ms"] = of_qts_own(view, model, steps)
    start = time.perf_counter()
    model.sort(model.columns.index("area_px"), Qt.SortOrder.DescendingOrder)
    view.viewport().repaint()
    figures["sorted, ms"] = (time.perf_counter() - start) * 1000
    histogram = ColumnHistogram()
    start = time.perf_counter()
    histogram.set_values(model.values("area_px"), "Area (px)")
    figures["histogram, ms"] = (time.perf_counter() - start) * 1000
    print_figures(figures, LIMITS)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
