"""Steps of training and masks on one core, two cores, and so on to all of them; and on as many devices.

    python benchmarks/cores.py [--rounds 5] [--kinds cores devices]

Each number of cores has a process of its own that may use no others; they take turns. A product of large
matrices shows what the machine gives: cores that share a clock or a cache do not double it. Devices are
virtual ones of the processor, of one core each, that share every batch (JAX, float32; patches of half the
side, as a step on one core takes seconds there). Prints milliseconds and how many times as fast as one. A
row that fails says why, and the others are measured.
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
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from side_by_side.case import Case, write_case

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 240  # seconds of one turn
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


SIDES = {"cores": 128, "devices": 64}  # pixels of a patch, either way


def case_of(kind: str) -> Case:
    """16 patches, and the network of 16 filters."""
    return Case(kind, 16, 16, SIDES[kind])


def measure(folder: Path, kind: str, count: int) -> list[float]:
    """Milliseconds of a step of training, a prediction and a product on so many cores; on devices a step."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:count]))
    from napari_unet.engine.devices import data_parallel
    from napari_unet.engine.hardware import default_precision
    from side_by_side.runtimes import ours_network, train_ours

    case = case_of(kind)
    images = case.images()
    targets = np.ones((*images.shape[:3], 2), np.float32)
    targets[..., 0] = np.random.default_rng(1).random(images.shape[:3]) > 0.5
    if kind == "devices":
        names = tuple(f"cpu:{number}" for number in range(count)) if count > 1 else ()
        with data_parallel(names):
            step = train_ours(folder, case, "float32")
            return [timed(lambda: step(images, targets))]
    precision = default_precision()
    step, answer = train_ours(folder, case, precision), ours_network(folder, case, precision)
    product = matrix_product()
    return [timed(lambda: step(images, targets)), timed(lambda: answer(images)), timed(product)]


def matrix_product() -> Callable[[], object]:
    """Multiplies two matrices of 3072 x 3072 float32, by what trains the network."""
    from keras import ops

    matrix = ops.convert_to_tensor(np.random.default_rng(0).random((3072, 3072), np.float32))
    return lambda: ops.convert_to_numpy(ops.matmul(matrix, matrix))[0, 0]


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of a call, the first one left out."""
    call()
    times = []
    for _ in range(6):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def turn(folder: str, kind: str, count: int) -> list[float] | str:
    """What one process measures, or why it failed."""
    environment = dict(os.environ)
    if kind == "devices":
        flags = f"--xla_force_host_platform_device_count={count} {ONE_THREAD}"
        environment |= {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags}
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--one", folder, kind, str(count)],
            capture_output=True, text=True, check=False, timeout=LIMIT, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"stopped after {LIMIT} s"
    if done.returncode:
        return (done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1][:200]
    return [float(value) for value in json.loads(done.stdout.splitlines()[-1])]


def table(kind: str, found: dict[int, list[list[float] | str]]) -> list[str]:
    """Rows of Markdown: each number of cores or devices against the first."""
    columns = ["step of training", "prediction", "matrix product"][: 3 if kind == "cores" else 1]
    heads = " | ".join(f"{name} | times one" for name in columns)
    lines = [f"| {kind} | {heads} |", "| --- " * (1 + 2 * len(columns)) + "|"]
    for count, rounds in found.items():
        cells = []
        for column in range(len(columns)):
            both = [
                (a[column], b[column])
                for a, b in zip(found[min(found)], rounds, strict=True)
                if not isinstance(a, str) and not isinstance(b, str)
            ]
            if not both:
                cells += [next((one for one in rounds if isinstance(one, str)), "not measured"), ""]
                continue
            faster = statistics.median(a / b for a, b in both)
            cells += [f"{statistics.median(b for _, b in both):.0f} ms", f"{faster:.2f}"]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Run in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--most", type=int, help="cores and devices at most; all if not given")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        folder, kind, count = options.one
        print(json.dumps(measure(Path(folder), kind, int(count))))
        return
    from napari_unet.engine.hardware import available_cores

    most = min(options.most or available_cores(), available_cores())
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < most] + [most]
    for kind in options.kinds:
        if kind == "devices" and find_spec("jax") is None:
            print("devices need JAX: pip install jax")
            continue
        with tempfile.TemporaryDirectory() as name:
            with get_context("spawn").Pool(1) as pool:
                pool.apply(write_case, (case_of(kind), Path(name)))
            found: dict[int, list[list[float] | str]] = {count: [] for count in counts}
            for _ in range(options.rounds):
                for count in counts:
                    found[count].append(turn(name, kind, count))
            print("\n".join(table(kind, found)), flush=True)
            print()


if __name__ == "__main__":
    main()
