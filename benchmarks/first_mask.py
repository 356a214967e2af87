"""The whole command `segment` on one image, from the start of Python to its end.

    python benchmarks/first_mask.py [--rounds 5]

Prints seconds by the clock and of all cores: of a model that is run for the first time on a machine, and of
one that an earlier process compiled.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from side_by_side.case import Case, write_case


def run(image: Path, model: Path, out: Path, cache: Path) -> tuple[float, float]:
    """Seconds by the clock, and of all cores, of one command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "napari_unet.cli", "segment", "--quiet"]
    subprocess.run(
        [*command, image, "--model", model, "--out", out],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "NAPARI_UNET_CACHE": str(cache)},
    )  # fmt: skip
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run in turns and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled already
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    from PIL import Image

    found: dict[str, list[tuple[float, float]]] = {"first time": [], "compiled by an earlier process": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with get_context("spawn").Pool(1) as pool:
            pool.apply(write_case, (Case("first mask", 16, 1), folder))
        pixels = np.random.default_rng(0).integers(0, 255, (256, 256), np.uint8)
        Image.fromarray(pixels).save(folder / "image.png")
        for turn in range(options.rounds + 1):  # the first brings the files into memory
            for number, way in enumerate(found):
                out = folder / f"masks{turn}-{number}"
                took = run(folder / "image.png", folder / "model", out, folder / f"cache{turn}")
                if turn:
                    found[way].append(took)
    print("| command `segment`, one image of 256x256 | seconds | seconds of all cores |\n| --- | --- | --- |")
    for way, rows in found.items():
        clock, cores = zip(*rows, strict=True)
        print(
            f"| {way} | {statistics.median(clock):.2f} ({min(clock):.2f} to {max(clock):.2f}) "
            f"| {statistics.median(cores):.2f} |"
        )


if __name__ == "__main__":
    main()
