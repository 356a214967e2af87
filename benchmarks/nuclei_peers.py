"""One image of nuclei to numbered objects, by this program and by what people would pick instead.

    python benchmarks/nuclei_peers.py [--side 2048] [--rounds 3] [--python PEERS/bin/python] [--programs ...]

Ours is the built-in model of nuclei. StarDist is its 2D default network, Cellpose 3 the network of cyto3,
Cellpose 4 that of cpsam, all with random weights where theirs are not on this machine: speed alone is
compared, as objects are what random weights happen to find. Of Cellpose the network alone is run, without
its flows, which lead nowhere with random weights and take minutes; and on the image as it is, which is
faster than enlarging small nuclei first. Each has a process of its own, and they
take turns. Cold is from the start of Python to the objects on disk; warm is one more image in the same
process, median of the rounds. Seconds of all cores mean something on a busy machine, too.

Other programs want versions of their own. They are looked for in this Python, or in another one:

    python -m venv PEERS && PEERS/bin/pip install stardist tensorflow "cellpose<4"
    python -m venv PEERS4 && PEERS4/bin/pip install "cellpose>=4"
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Find = Callable[[np.ndarray], np.ndarray]

LIMIT = 1800  # seconds of one program
PAD = 24  # pixels from the middle of one nucleus to that of the next, about


def nuclei(side: int, seed: int = 0) -> np.ndarray:
    """(Y, X) uint8: bright discs on noise, about as dense as cells in a dish."""
    rng = np.random.default_rng(seed)
    image = rng.normal(30, 5, (side, side)).astype(np.float32)
    y, x = np.mgrid[-12:13, -12:13]
    for _ in range((side // PAD) ** 2 // 2):
        top, left = rng.integers(0, side - 25, 2)
        image[top : top + 25, left : left + 25] += 80 * (y**2 + x**2 < rng.integers(5, 12) ** 2)
    return image.clip(0, 255).astype(np.uint8)


def ours() -> Find:
    """The built-in model of nuclei."""
    from napari_unet.data.sample import Sample
    from napari_unet.engine.hardware import default_precision
    from napari_unet.models.ensemble import load_any
    from napari_unet.workflow.segment.segment_samples import segment_samples

    model = load_any(Path("nuclei"), default_precision())

    def find(image: np.ndarray) -> np.ndarray:
        (result,) = segment_samples([Sample("a", lambda: image[..., None])], model)
        return np.asarray(result.objects)

    return find


def stardist() -> Find:
    """StarDist's 2D default network, random weights; thresholds with which it finds about as many objects."""
    from stardist.models import Config2D, StarDist2D

    model: Any = StarDist2D(Config2D(), name=None, basedir=None)

    def find(image: np.ndarray) -> np.ndarray:
        low, high = np.percentile(image, (1, 99.8))
        scaled = ((image - low) / (high - low)).astype(np.float32)
        probability, distances = model.predict(scaled, n_tiles=model._guess_n_tiles(scaled))
        # Random weights say the same everywhere. So nuclei stand where the image is bright, and are round.
        down, across = (a // b for a, b in zip(image.shape, probability.shape, strict=True))
        probability = scaled[::down, ::across]
        distances = np.full_like(distances, 9.0)
        found, _ = model._instances_from_prediction(
            image.shape, probability.clip(0, 1), distances, prob_thresh=0.8, nms_thresh=0.4
        )
        return np.asarray(found)

    return find


def cellpose() -> Find:
    """The network of Cellpose 3 (cyto3), random weights unless they are there."""
    from cellpose import models
    from scipy import ndimage

    path = Path.home() / ".cellpose" / "models" / "cyto3"
    model: Any = models.CellposeModel(gpu=False, pretrained_model=str(path) if path.is_file() else False)

    def find(image: np.ndarray) -> np.ndarray:
        probability = model.eval(image, diameter=30, normalize=True, compute_masks=False)[1][2]
        return np.asarray(ndimage.label(probability > 0)[0])

    return find


def cellpose4() -> Find:
    """The network of Cellpose 4 (cpsam), random weights unless they are there."""
    from cellpose import models, vit
    from scipy import ndimage

    path = Path.home() / ".cellpose" / "models" / "cpsam_v2"
    with tempfile.TemporaryDirectory() as folder:
        if not path.is_file():
            path = Path(folder) / "random"
            vit.CPSAM().save_model(path)
        model: Any = models.CellposeModel(gpu=False, pretrained_model=str(path))

    def find(image: np.ndarray) -> np.ndarray:
        probability = model.eval(image, normalize=True, compute_masks=False)[1][2]
        return np.asarray(ndimage.label(probability > 0)[0])

    return find


PROGRAMS: dict[str, Callable[[], Find]] = {
    "ours": ours, "StarDist": stardist, "Cellpose 3": cellpose, "Cellpose 4": cellpose4
}  # fmt: skip


def one(program: str, side: int, rounds: int, out: Path) -> dict[str, float]:
    """In a process of its own: seconds of the first image, and of each after it."""
    find = PROGRAMS[program]()
    objects = find(nuclei(side))
    np.save(out, objects.astype(np.int32))
    first = cpu()
    seconds, cores = [], []
    for number in range(rounds):
        image = nuclei(side, number + 1)
        clock, before = time.perf_counter(), cpu()
        find(image)
        seconds.append(time.perf_counter() - clock)
        cores.append(cpu() - before)
    return {
        "cold cores": first, "objects": float(objects.max()), "warm": statistics.median(seconds),
        "warm cores": statistics.median(cores),
    }  # fmt: skip


def cpu() -> float:
    """Seconds that all cores spent on this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def ask(program: str, python: str, side: int, rounds: int, folder: Path) -> dict[str, float] | str:
    """What a program's process measured, or why it failed."""
    out = folder / f"{program}.npy"
    command = [python, __file__, "--one", program, str(out), "--side", str(side), "--rounds", str(rounds)]
    start = time.perf_counter()
    with (folder / "said").open("w+") as said, (folder / "errors").open("w+") as errors:
        try:
            process = subprocess.Popen(command, stdout=said, stderr=errors, text=True)
        except OSError as error:
            return f"failed: {error}"
        while process.poll() is None and time.perf_counter() - start < LIMIT and not out.exists():
            time.sleep(0.02)
        cold = time.perf_counter() - start
        try:
            code = process.wait(timeout=max(1.0, LIMIT - cold))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"stopped after {LIMIT} s"
        said.seek(0)
        errors.seek(0)
        if code:
            return "failed: " + (errors.read().strip() or "no message").splitlines()[-1][:150]
        return {"cold": cold, **json.loads(said.read().splitlines()[-1])}


def main() -> None:
    """Ask each in turn and print a table."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled already
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument(
        "--python", default=os.environ.get("PEERS_PYTHON", sys.executable), help="that has the others"
    )
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], options.side, options.rounds, Path(options.one[1]))))
        return
    print(
        "| program | cold, s | cold, s of all cores | warm, s | warm, s of all cores "
        "| ours is times as fast, by cores | objects |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as name:
        mine = 0.0
        for program in options.programs:
            python = sys.executable if program == "ours" else options.python
            found = ask(program, python, options.side, options.rounds, Path(name))
            if isinstance(found, str):
                print(f"| {program} | {found} | | | | | |", flush=True)
                continue
            mine = found["warm cores"] if program == "ours" else mine
            times = f"{found['warm cores'] / mine:.2f}" if mine else ""
            print(
                f"| {program} | {found['cold']:.1f} | {found['cold cores']:.1f} | {found['warm']:.2f} "
                f"| {found['warm cores']:.2f} | {times} | {found['objects']:.0f} |", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
