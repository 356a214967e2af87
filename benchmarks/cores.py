"""Steps of training and masks on one core, two cores, and so on to all of them.

    python benchmarks/cores.py [--rounds 5]

Each number of cores has a process of its own that may use no others; they take turns. Prints milliseconds and
how many times as fast as one core.
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
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from side_by_side.case import Case, write_case
from side_by_side.runtimes import ours_network, train_ours

CASE = Case("cores", 16, 16, 128)


def measure(folder: Path, cores: int) -> list[float]:
    """Milliseconds of a step of training, and of a prediction, on so many cores."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    from napari_unet.engine.hardware import default_precision

    precision = default_precision()
    images = CASE.images()
    targets = np.ones((*images.shape[:3], 2), np.float32)
    targets[..., 0] = np.random.default_rng(1).random(images.shape[:3]) > 0.5
    step, answer = train_ours(folder, CASE, precision), ours_network(folder, CASE, precision)
    found = []
    for call in (lambda: step(images, targets), lambda: answer(images)):
        call()
        times = []
        for _ in range(6):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        found.append(1e3 * statistics.median(times))
    return found


def main() -> None:
    """Run in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(Path(options.one[0]), int(options.one[1]))))
        return
    most = len(os.sched_getaffinity(0))
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < most] + [most]
    found: dict[int, list[list[float]]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory() as folder:
        with get_context("spawn").Pool(1) as pool:
            pool.apply(write_case, (CASE, Path(folder)))
        for _ in range(options.rounds):
            for count in counts:
                answer = subprocess.run(
                    [sys.executable, __file__, "--one", folder, str(count)],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                )  # fmt: skip
                found[count].append(json.loads(answer.stdout.splitlines()[-1]))
    print("| cores | step of training | times one core | prediction | times one core |")
    print("| --- | --- | --- | --- | --- |")
    for count in counts:
        cells = []
        for column in (0, 1):
            own, one = ([row[column] for row in found[n]] for n in (count, counts[0]))
            faster = statistics.median(a / b for a, b in zip(one, own, strict=True))
            cells += [f"{statistics.median(own):.0f} ms", f"{faster:.2f}"]
        print(f"| {count} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
