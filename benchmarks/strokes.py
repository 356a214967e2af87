"""Milliseconds that a stroke costs the window, with and without the box that napari tells of.

    python benchmarks/strokes.py --sides 1024 2048 4096 --strokes 6

A stroke of 20 x 20 pixels on an image that was predicted and corrected, as ``Painting.correct`` takes it;
counting against a reference, which large images do in a thread, is left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_unet.data.sample import Sample
from napari_unet.engine.inline import InlineEngine
from napari_unet.session.images.collection import Collection
from napari_unet.session.session import Session
from napari_unet.workflow.segment.prediction import Prediction, Region


def measure(side: int, strokes: int) -> dict[bool, float]:
    """Median milliseconds of a stroke, by whether its box is given."""
    waiting: list[object] = []
    session = Session(InlineEngine(), waiting.append)
    image = np.zeros((side, side, 1), np.uint8)
    collection = Collection("strokes", [Sample("a", lambda: image)])
    session.workspace.show(collection)
    session.painting.prepare()
    until = time.monotonic() + 60
    while session.painting.project is None and time.monotonic() < until:
        while waiting:
            waiting.pop(0)()  # type: ignore[operator]
        time.sleep(0.01)
    file = collection.folder / "a.npy"
    np.save(file, np.zeros((side, side, 1), np.float16))
    whole = Region(0, 0, side, side)
    collection.entries["a"].prediction = Prediction("a", file, (side, side), regions=(whole,))
    mask = np.zeros((side, side), np.uint8)
    mask[:8, :8] = 1
    session.painting.correct("a", mask)
    found = {}
    for given in (False, True):
        taken = []
        for number in range(strokes):
            top = 40 + 30 * number + 400 * given
            mask[top : top + 20, 100:120] = 1
            box = (top, 100, top + 20, 120) if given else None
            start = time.perf_counter()
            session.painting.correct("a", mask, box=box)
            taken.append(1e3 * (time.perf_counter() - start))
        found[given] = statistics.median(taken)
    session.close()
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--strokes", type=int, default=6)
    options = parser.parse_args()
    print("| side | whole mask compared (ms) | with its box (ms) |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for side in options.sides:
            os.environ["NAPARI_UNET_HOME"] = str(Path(folder) / str(side))
            found = measure(side, options.strokes)
            print(f"| {side} | {found[False]:.1f} | {found[True]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
