"""Large images with masks: `evaluate`, `compare` and `export` of a built-in model, seconds and memory.

    python benchmarks/large_scores.py [--megapixels 38 76] [--commands evaluate compare export]

An image of made-up nuclei with numbered masks, both OME-Zarr, is written to a temporary folder. Each command
runs in a process of its own. Memory is the most that this process held. `compare` puts the model next to
itself, so every pixel is segmented twice.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from scipy import ndimage

from nuclei_peers import nuclei

PIECE = 2048  # pixels of a made-up part, which is repeated
CHUNK = 1024
AXES = [{"name": name, "type": "space"} for name in "yx"]
COMMANDS = {
    "evaluate": ["evaluate", "{data}", "--model", "nuclei"],
    "compare": ["compare", "{data}", "--models", "nuclei", "nuclei"],
    "export": [
        "export",
        "{data}/images",
        "--model",
        "nuclei",
        "--format",
        "measurements",
        "--numbers",
        "objects",
    ],
}


def write(folder: Path, megapixels: float) -> tuple[int, int]:
    """Write image and mask; pixels of a side, and objects."""
    side = round((megapixels * 1e6) ** 0.5)
    image = nuclei(PIECE)
    mask, count = ndimage.label(ndimage.gaussian_filter(image.astype(np.float32), 1) > 60)
    arrays = {}
    for name, dtype in (("images", np.uint8), ("masks", np.uint32)):
        group = zarr.open_group(folder / name / "slide.ome.zarr", mode="w", zarr_format=3)
        scale = [{"type": "scale", "scale": [1.0, 1.0]}]
        levels = [{"path": "0", "coordinateTransformations": scale}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": AXES, "datasets": levels}]}
        arrays[name] = group.create_array("0", shape=(side, side), dtype=dtype, chunks=(CHUNK, CHUNK))
    objects = 0
    for top in range(0, side, PIECE):
        for left in range(0, side, PIECE):
            place = slice(top, min(top + PIECE, side)), slice(left, min(left + PIECE, side))
            height, width = (one.stop - one.start for one in place)
            arrays["images"][place] = image[:height, :width]
            arrays["masks"][place] = np.where(mask > 0, mask + objects, 0)[:height, :width]
            objects += count
    return side, objects


def run(name: str, data: Path, out: Path) -> tuple[float, float, int]:
    """Seconds, gigabytes and exit code of a command."""
    words = [word.format(data=data) for word in COMMANDS[name]]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", *words, "--out", str(out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    kilobytes = used.ru_maxrss / 1024 if sys.platform == "darwin" else used.ru_maxrss
    return time.perf_counter() - start, kilobytes / 2**20, process.returncode


def main() -> None:
    """Write, run and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, nargs="+", default=[38.0, 76.0])
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    options = parser.parse_args()
    print("| megapixels | objects | command | seconds | memory, GB | exit code |\n" + "| --- " * 6 + "|")
    for megapixels in options.megapixels:
        with tempfile.TemporaryDirectory() as name:
            _, objects = write(Path(name) / "data", megapixels)
            for command in options.commands:
                seconds, gigabytes, code = run(command, Path(name) / "data", Path(name) / command)
                row = f"{megapixels:g} | {objects:,} | {command} | {seconds:.0f} | {gigabytes:.1f} | {code}"
                print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
