"""How long the table of images takes with 20,000 rows.

Run: QT_QPA_PLATFORM=offscreen python benchmarks/table.py [COUNT]
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_unet.session.images.image_row import STATUSES, ImageRow
from napari_unet.widgets.images.image_table import ImageTable
from napari_unet.widgets.images.table_order import PARTS, Column

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_MS = 16.7


def make_rows(count: int, seed: int = 0) -> list[ImageRow]:
    """Rows with everything known, in groups of 40."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(5, 2, count)
    return [
        ImageRow(
            f"{rng.integers(16**10):010x}_{number}",
            f"subject {number // 40}",
            PARTS[number % 4],
            STATUSES[number % 3],
            float(scores[number]),
            True,
        )
        for number in range(count)
    ]


def milliseconds(action: Callable[[], object]) -> float:
    """Time of an action with all the painting it brings."""
    start = time.perf_counter()
    action()
    for _ in range(3):
        QApplication.processEvents()
    return 1000 * (time.perf_counter() - start)


def main() -> int:
    """Print a table; exit code 1 where a limit is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    application = QApplication(sys.argv[:1])
    picture = np.random.default_rng(1).integers(0, 255, (64, 64), np.uint8)
    table = ImageTable(lambda image_id: table.set_thumbnail(image_id, picture))
    table.resize(360, 700)
    table.show()
    milliseconds(lambda: None)
    rows = make_rows(count)
    limits = {}
    timings = {}

    def measure(name: str, limit: float, action: Callable[[], object]) -> None:
        limits[name], timings[name] = limit, milliseconds(action)

    def search(words: str) -> Callable[[], None]:
        return lambda: table.model.arrange(words)

    def by_status() -> None:
        table.view.sortByColumn(Column.STATUS, Qt.SortOrder.AscendingOrder)

    measure("set_rows", 500, lambda: table.set_rows(rows))
    measure("search 'subject 12'", 50, search("subject 12"))
    measure("search nothing", 50, search(""))
    measure("filter held-out", 50, lambda: table.set_filter("held-out"))
    measure("filter all", 50, lambda: table.set_filter("all"))
    measure("sort by name, first", 300, lambda: table.view.sortByColumn(0, Qt.SortOrder.AscendingOrder))
    measure("sort by IoU", 50, table.sort_worst_first)
    measure("select all", 400, table.view.selectAll)
    measure("sort, all selected", 400, by_status)
    measure("select every tenth", 400, lambda: table.select(table.shown_ids()[::10]))
    measure("sort, a tenth selected", 400, table.sort_worst_first)
    table.view.clearSelection()
    table.sort_worst_first()

    bar = table.view.verticalScrollBar()
    pages = range(0, bar.maximum() + 1, bar.pageStep())
    first = [milliseconds(partial(bar.setValue, place)) for place in pages]
    again = [milliseconds(partial(bar.setValue, place)) for place in reversed(pages)]
    for name, steps in (("page, asks for pictures", first), ("page, back again", again)):
        limits[f"{name}, 99th percentile"] = 2 * FRAME_MS
        timings[f"{name}, 99th percentile"] = float(np.percentile(steps, 99))

    rng = np.random.default_rng(2)
    steps = []
    for _ in range(100):
        chosen = rng.integers(0, count, 5)
        news = [replace(rows[number], iou=float(rng.random())) for number in chosen]
        steps.append(milliseconds(partial(table.update_rows, news)))
    measure("tell counts and order", 50, table._tell)
    limits["100 updates of 5 rows"], timings["100 updates of 5 rows"] = 1000, sum(steps)

    print(f"{count:,} rows, {len(first):,} pages, 360 pixels wide")
    print(f"{'':40} {'ms':>8} {'limit':>8}")
    for name, value in timings.items():
        print(f"{name:40} {value:8.1f} {limits[name]:8.1f}")
    application.closeAllWindows()
    return int(any(timings[name] > limits[name] for name in timings))


if __name__ == "__main__":
    sys.exit(main())
