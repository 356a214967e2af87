"""What thousands of small files cost beside the network: the same run with one thing or another left out.

    python benchmarks/small_files.py [--images 1500] [--rounds 2]

Prints milliseconds a file by the clock, those that all cores computed, and the ratio to the bare network;
then what the system needs to make a file of any kind, and to write a mask. See peers.py tiles for the whole.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from side_by_side.case import Case, write_case
from side_by_side.tiles import FILTERS, bare_seconds, make_tiles

if TYPE_CHECKING:
    from collections.abc import Callable


def clock(call: Callable[[], Any], count: int) -> tuple[float, float]:
    """Milliseconds for each of `count` things: by the clock, by all cores."""
    start = time.perf_counter(), time.process_time()
    call()
    return (
        1e3 * (time.perf_counter() - start[0]) / count,
        1e3 * (time.process_time() - start[1]) / count,
    )


def main() -> int:
    """Run all ways in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    from napari_unet.data.catalog import open_images
    from napari_unet.engine.hardware import default_precision
    from napari_unet.export.masks import write_mask
    from napari_unet.inference import predict
    from napari_unet.models.model import load_model
    from napari_unet.progress import CancelToken, ignore_progress
    from napari_unet.workflow.segment import prefetch, segment_task

    def threads(count: int) -> Any:
        return mock.patch.object(prefetch, "WRITERS", count)

    no_sync = mock.patch.object(os, "fsync", lambda _: None)
    no_writing = mock.patch.object(segment_task, "write_mask", lambda path, *_: path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_case(Case("tiles", FILTERS, 8, 112), folder)
        images = make_tiles(folder / "images", options.images)
        model = load_model(folder / "model", default_precision())
        samples = open_images([images])
        ready = [replace(s, load_image=partial(np.copy, s.read_image())) for s in samples]
        task = segment_task.SegmentTask((images,), folder / "model", folder / "masks")
        task.write(samples[:64], model, ignore_progress, CancelToken())
        ways: dict[str, tuple[Any, list[Any]]] = {
            "as it is": (samples, []),
            "one thread writes": (samples, [threads(1)]),
            "four threads write": (samples, [threads(4)]),
            "one batch at a time": (samples, [mock.patch.object(predict, "LANES_AFTER", 10**9)]),
            "not synced to disk": (samples, [no_sync]),
            "not written": (samples, [no_writing]),
            "neither read nor written": (ready, [no_writing]),
        }
        batch = np.zeros((8, 112, 112, 1), np.float32)
        found: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, (given, changes) in ways.items():
                alone = 1e3 * bare_seconds(model, batch) / len(batch)
                with ExitStack() as stack:
                    for change in changes:
                        stack.enter_context(change)
                    clocked = clock(
                        partial(task.write, given, model, ignore_progress, CancelToken()),
                        len(given),
                    )
                found[way].append((*clocked, clocked[0] / alone))
        for way, rounds in found.items():
            seconds, cores, ratio = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(f"{way:26s} {seconds:5.2f} ms, {cores:5.2f} ms of the cores, {ratio:.2f} x the network")
        mask = task.write(samples[:1], model, ignore_progress, CancelToken())[0].read_bytes()
        values = np.zeros((101, 101), np.uint8)
        values[:50] = 1
        out = folder / "made"
        out.mkdir()
        made = clock(lambda: [(out / f"{n}").write_bytes(mask) for n in range(300)], 300)
        written = clock(lambda: [write_mask(out / f"{n}.png", values) for n in range(300)], 300)
        for what, (seconds, cores) in (("a file of its size is made", made), ("a mask is written", written)):
            print(f"{what:26s} {seconds:5.2f} ms, {cores:5.2f} ms of the cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
