"""Thousands of small files, read, segmented and written, against the network alone for as many pixels."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from side_by_side.case import Case, write_case

FILTERS = 16
BATCHES = 24  # of the bare network before and as many after


def make_tiles(folder: Path, count: int) -> Path:
    """Made-up tiles in the layout of TGS Salt; a few hundred different ones, repeated."""
    from PIL import Image

    from napari_unet.data.synthetic import make_pictures

    folder.mkdir(parents=True)
    pictures = make_pictures("salt", min(count, 200))
    for number in range(count):
        Image.fromarray(pictures[number % len(pictures)].image).save(folder / f"{number:05d}.png")
    return folder


def measure(data: Path | None, count: int) -> list[dict[str, Any]]:
    """One row: seconds of all, of the network alone, and their ratio; loading comes before.

    Parameters
    ----------
    data : pathlib.Path or None
        A folder of images of one size; made up if not given.
    count : int
        Images at most.
    """
    from napari_unet.data.catalog import open_images
    from napari_unet.engine.hardware import default_precision
    from napari_unet.inference.tiling import plan_tiles
    from napari_unet.models.model import load_model
    from napari_unet.progress import CancelToken, ignore_progress
    from napari_unet.workflow.segment.segment_task import SegmentTask

    precision = default_precision()
    with tempfile.TemporaryDirectory() as folder:
        write_case(Case("tiles", FILTERS, 8, 112), Path(folder))
        images = data or make_tiles(Path(folder) / "images", count)
        samples = open_images([images])[:count]
        model = load_model(Path(folder) / "model", precision)
        side = samples[0].read_image().shape[:2]
        settings = model.recipe.inference
        tile = plan_tiles(side, model.sizes, settings.tile, settings.overlap).tile_shape
        batch = np.zeros((max(1, 2**17 // (tile[0] * tile[1])), *tile, 1), np.float32)
        batch = batch[: 2 ** int(np.log2(len(batch)))]
        task = SegmentTask((images,), Path(folder) / "model", Path(folder) / "masks")
        task.write(samples[:64], model, ignore_progress, CancelToken())  # what is compiled comes before
        before = bare_seconds(model, batch)
        start = time.perf_counter()
        written = len(task.write(samples, model, ignore_progress, CancelToken()))
        seconds = time.perf_counter() - start
        after = bare_seconds(model, batch)
    bare = (before + after) / 2 / len(batch) * len(samples)
    return [
        {
            "row": f"{written} files of {side[1]}x{side[0]}, {FILTERS} filters, {precision}",
            "seconds": seconds,
            "bare network": bare,
            "ratio": seconds / bare,
            "bare before and after": [before / len(batch) * 1e3, after / len(batch) * 1e3],
        }
    ]


def bare_seconds(model: Any, batch: np.ndarray) -> float:
    """Seconds of one batch, the network alone."""
    run = model.outputs
    run(batch)
    start = time.perf_counter()
    for _ in range(BATCHES):
        run(batch)
    return (time.perf_counter() - start) / BATCHES
