"""How the real window feels: clicks and seconds to a result; the dock, Segment, stalls, Cancel.

Needs a screen (a virtual one will do: `xvfb-run python benchmarks/window.py`, or DISPLAY of an Xvfb).
Everything is measured in the window's own process with a heartbeat timer; the network runs in its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from figures import print_figures
from napari_unet.data.synthetic import write_synthetic
from roads.every import EVERY
from roads.road import Pictures, drive, write_table
from roads.waiting import rest, spin

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "window.md"
BEAT = 5  # milliseconds between two beats of the heart
LIMITS = {
    "dock opens, s": 0.5,
    "first Segment, s": 6.0,
    "warm Segment 256x256, s": 0.25,
    "stall 99th percentile, ms": 50.0,
    "Cancel answered, s": 0.3,
}
BUSY = "dock opens while a training runs, s"
BUSY_LIMITS = {BUSY: 0.5}
# A network as large and trained as little as this needs: only its speed counts.
MAKE_MODEL = """
import sys
from pathlib import Path
from napari_unet.models.model import Model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings, Recipe
recipe = Recipe(network=NetworkSettings(filters=16))
model = Model(recipe, Normalization(), ("foreground",), build_network(recipe.network), {})
save_model(model, Path(sys.argv[1]))
"""


class Heart:
    """Beats in the window's thread and writes down when it did."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.beats: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(lambda: self.beats.append(time.perf_counter()))
        self.timer.start(BEAT)

    def stalls(self, start: float, end: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Milliseconds that each beat came late between two times."""
        beats = np.array([b for b in self.beats if start <= b <= end])
        return np.asarray(np.maximum(np.diff(beats) * 1000 - BEAT, 0))


def measure(model: Path, data: Path, rounds: int) -> dict[str, float]:
    """One session at the window."""
    import napari

    from napari_unet.widgets.workbench import Workbench

    viewer = napari.Viewer(show=True)
    heart = Heart()
    rest(1)
    out: dict[str, float] = {}
    start = time.perf_counter()
    _, bench = viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
    assert isinstance(bench, Workbench)
    out["dock opens, s"] = time.perf_counter() - start

    # A cold process: nothing was clicked before, the dock has only just opened.
    start = time.perf_counter()
    rest(0)  # it is seen before anybody can click
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (256, 256), dtype=np.uint8), name="one")
    bench.session.workspace.load_model(model)
    spin(lambda: bench.segment_panel.run_button.isEnabled())
    bench.segment_panel.run_button.click()
    spin(lambda: bench.canvas.mask_layer is not None)
    out["first Segment, s"] = time.perf_counter() - start
    rest(1)

    warm = []
    shown: list[float] = []
    bench.canvas.mask_layer.events.set_data.connect(lambda _=None: shown.append(time.perf_counter()))
    for _ in range(rounds):
        shown.clear()
        start = time.perf_counter()
        bench.segment_panel.run_button.click()
        spin(lambda: bool(shown) and bench.session.runner.progress is None)
        warm.append(shown[0] - start)
        rest(0.1)
    out["warm Segment 256x256, s"] = statistics.median(warm)

    viewer.layers.clear()
    viewer.open(str(data), plugin="napari-unet-workbench")
    spin(
        lambda: (
            bench.session.workspace.collection is not None
            and bench.session.workspace.collection.name == data.name
        )
    )
    rest(2)
    bench.segment_panel.scope_box.setCurrentIndex(3)
    bench.segment_panel.run_button.click()
    spin(lambda: bench.session.runner.progress is not None and bench.session.runner.progress.done > 0)
    rest(1)
    start = time.perf_counter()
    before = bench.session.runner.progress.done if bench.session.runner.progress else 0
    limit = start + 20
    spin(lambda: bench.session.runner.progress is None or time.perf_counter() > limit)
    stalls = heart.stalls(start, time.perf_counter())
    out["stall 99th percentile, ms"] = float(np.percentile(stalls, 99))
    out["stall worst, ms"] = float(stalls.max())
    done = (
        bench.session.runner.progress.done
        if bench.session.runner.progress
        else len(bench.session.workspace.rows())
    ) - before
    out["images a second meanwhile"] = done / (time.perf_counter() - start)

    answers = []
    for _ in range(3):
        if bench.session.runner.progress is None:
            bench.segment_panel.run_button.click()
        spin(lambda: bench.session.runner.progress is not None and bench.session.runner.progress.done > 0)
        bench.segment_panel.cancel_button.click()
        answers.append(spin(lambda: bench.session.runner.progress is None))
        rest(0.2)
    out["Cancel answered, s"] = max(answers)
    out["heavy modules in the window's process"] = float(
        sum(name in sys.modules for name in ("tensorflow", "keras", "torch", "jax"))
    )
    viewer.close()
    rest(0.2)
    return out


def measure_busy_dock(folder: Path, rounds: int) -> dict[str, float]:
    """Seconds until the dock is open, each time in a new process, while a training uses all cores."""
    data = folder / "tiles"
    write_synthetic("salt", data, 60)
    training = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", "train", data, "--out", folder / "model",
         "--minutes", "60", "--quiet"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(30)  # until it learns
        if training.poll() is not None:
            raise SystemExit("the training ended before anything was measured")
        found = []
        for _ in range(rounds):
            answer = subprocess.run(
                [sys.executable, __file__, "--dock-once"], capture_output=True, text=True, check=True
            )
            found.append(float(answer.stdout.splitlines()[-1]))
    finally:
        training.kill()
        training.wait()
    return {BUSY: statistics.median(found), "the slowest, s": max(found)}


def open_dock_once() -> float:
    """Seconds until the dock is open, in a window that is open."""
    import napari

    viewer = napari.Viewer(show=True)
    rest(1)
    start = time.perf_counter()
    viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
    rest(0)  # it is seen
    seconds = time.perf_counter() - start
    viewer.close()
    rest(0.2)
    return seconds


def main() -> None:
    """Measure and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled already
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="tiles of 101x101 in the made-up set")
    parser.add_argument("--data", type=Path, help="a data set instead of made-up tiles")
    parser.add_argument("--rounds", type=int, default=15, help="warm clicks")
    parser.add_argument("--json", type=Path, help="write the figures here")
    letters = "".join(road.letter for road in EVERY)
    parser.add_argument("--roads", default=letters, help="letters of the roads to drive, e.g. ae")
    parser.add_argument("--page", type=Path, default=PAGE, help="page with the table of roads")
    parser.add_argument("--only-roads", action="store_true", help="leave out how the window feels")
    parser.add_argument(
        "--pictures",
        type=Path,
        help="folder for pictures of the window after each road, in both themes and two sizes",
    )
    parser.add_argument("--busy-dock", action="store_true", help="only the dock, while a training runs")
    parser.add_argument("--dock-once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.dock_once:
        print(open_dock_once())
        return
    if options.busy_dock:
        with tempfile.TemporaryDirectory() as name:
            print_figures(measure_busy_dock(Path(name), 5), BUSY_LIMITS)
        return
    pictures = None
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
        pictures = Pictures(options.pictures)
    for road in EVERY:
        if road.letter in options.roads:
            driven = drive(road, pictures)
            print(driven.row, flush=True)
            write_table(options.page, [driven])
    if options.only_roads:
        return
    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder) / "model", Path(folder) / "tiles"
        subprocess.run([sys.executable, "-c", MAKE_MODEL, model], check=True, capture_output=True)
        if options.data is None:
            write_synthetic("salt", data, options.images)
        figures = measure(model, options.data or data, options.rounds)
    print_figures(figures, LIMITS)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
