"""What a worker, the scheduler and the store cost: the figures docs/benchmarks/scaling.md reckons with.

    python benchmarks/scaling.py

One image of 4 megapixels on 1 and 2 workers of one core each, on this machine; tasks that do nothing through
the scheduler; a chunk of a mask written to the disk and read from it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

from large_image import make, piece, write_model

ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def on_workers(count: int, image: Path, model_path: Path, out: Path) -> float:
    """Seconds of a whole run on so many workers."""
    from distributed import Client, LocalCluster

    from napari_unet.data.files.lazy_files import open_lazy
    from napari_unet.engine.cluster import Cluster
    from napari_unet.models.model import load_model
    from napari_unet.settings import LargeImageSettings
    from napari_unet.workflow.large_images.segment_large import segment_stack

    model = load_model(model_path)
    with (
        LocalCluster(count, threads_per_worker=2, memory_limit=None, dashboard_address=None) as local,
        Client(local) as client,
    ):
        cluster = Cluster(client)
        # The first run loads the program and the model, builds the graph.
        seconds = []
        for number in range(2):
            start = time.perf_counter()
            segment_stack(
                open_lazy(image), model, out / f"{count}-{number}.ome.zarr",
                large=LargeImageSettings(memory=0.5), cluster=cluster, source=model_path,
            )  # fmt: skip
            seconds.append(time.perf_counter() - start)
    return min(seconds)


def scheduler_rate(tasks: int = 2000) -> float:
    """Tasks a second that do nothing, through a scheduler in a process of its own and two workers."""
    from distributed import Client, LocalCluster

    from napari_unet.engine.cluster import Cluster
    from napari_unet.progress import CancelToken

    with (
        LocalCluster(2, threads_per_worker=4, memory_limit=None, dashboard_address=None) as local,
        Client(local) as client,
    ):
        start = time.perf_counter()
        done = sum(1 for _ in Cluster(client).spread(abs, range(tasks), CancelToken()))
        return done / (time.perf_counter() - start)


def store_cost(folder: Path) -> dict[str, float]:
    """Milliseconds to write and read a chunk of a mask, and its bytes."""
    import zarr

    mask = (np.tile(piece(0), (3, 3))[:1024, :1024] > 80).astype(np.uint8)
    array = zarr.create_array(folder / "a.zarr", shape=(1024 * 40, 1024), chunks=(1024, 1024), dtype="uint8")
    start = time.perf_counter()
    for n in range(40):
        array[1024 * n : 1024 * (n + 1)] = mask
    wrote = time.perf_counter() - start
    start = time.perf_counter()
    for n in range(40):
        np.asarray(array[1024 * n : 1024 * (n + 1)])
    read = time.perf_counter() - start
    size = next((folder / "a.zarr" / "c").glob("*/*")).stat().st_size
    return {"write": wrote / 40 * 1e3, "read": read / 40 * 1e3, "bytes": float(size)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--without-network", action="store_true", help="scheduler and store alone")
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as folder:
        cost = store_cost(Path(folder))
        print(
            f"a chunk of 1024 x 1024 of the mask: written in {cost['write']:.1f} ms, read in "
            f"{cost['read']:.1f} ms, {cost['bytes'] / 1e3:.1f} kB"
        )
        print(f"{scheduler_rate():.0f} tasks a second that do nothing")
        if options.without_network:
            return
        image, model = Path(folder) / "image.zarr", Path(folder) / "model"
        make(image, 2000)
        write_model(model, 16)
        times = {count: on_workers(count, image, model, Path(folder)) for count in (1, 2)}
        for count, seconds in times.items():
            each = seconds * count / 4
            print(f"workers of one core: {count}; {seconds:.1f} s, {each:.2f} core seconds a megapixel")
        print(f"2 workers against 1: {times[1] / times[2]:.2f} times as fast")


if __name__ == "__main__":
    main()
