"""What folding batch normalization into the convolutions brings to inference.

    [KERAS_BACKEND=torch] python benchmarks/folding.py [--rounds N] [--filters N] [--precision P]

The network as trained and the folded one take turns in one process; the ratio counts. Seconds of the
processor are told beside those of the clock, as other programs disturb them less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from napari_unet.engine.hardware import default_precision
from napari_unet.networks.graphs.folding import fold
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--precision", default=default_precision())
    options = parser.parse_args()
    import keras  # not sooner: by now graphics processors lend memory as it is needed

    network = build_network(NetworkSettings(filters=options.filters), precision=options.precision)
    folded = fold(network)
    images = np.random.default_rng(0).standard_normal((4, 256, 256, 1)).astype(np.float32)
    both = (network, folded.network)
    difference = np.abs(np.subtract(*(n.predict_on_batch(images) for n in both))).max()
    clock: list[float] = []
    processor: list[float] = []
    for _ in range(options.rounds):
        taken = []
        for each in both:
            start = time.perf_counter(), time.process_time()
            each.predict_on_batch(images)
            taken.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        clock.append(taken[0][0] / taken[1][0])
        processor.append(taken[0][1] / taken[1][1])
    start_refresh = time.process_time()
    folded.refresh()
    refresh = time.process_time() - start_refresh
    print(
        f"{keras.backend.backend()}, {options.precision}, {options.filters} filters, 4 images of 256x256: "
        f"as trained / folded {spread(clock)} by the clock, {spread(processor)} of the processor; "
        f"largest difference of a logit {difference:.1e}; {refresh * 1e3:.0f} ms to take over new weights"
    )


def spread(ratios: list[float]) -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
