"""Objects that are filled between every fourth slice, compared with the truth.

fib-medulla  the largest cells of the slices that the model was not trained on. The IoU of a cell is that of
             its voxels in all slices between; the table has the mean over cells. Four ways:
             blend        the two masks faded into each other: a pixel is inside if more than half is
             distances    signed distances to both outlines
             + network    and the probabilities of a model, as the window does it
             nearest      the nearer of the two masks

Run: python benchmarks/fill_between.py --data DATA --model MODEL [--first Z] [--cells 40] [--every 4]
DATA holds fib-medulla/, with images/ and bodies/. MODEL was trained on slices before Z.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_unet.data.catalog import open_dataset
from napari_unet.data.volumes.slices import place_of
from napari_unet.engine.hardware import default_precision
from napari_unet.inference.edits.fill_between import fill_between
from napari_unet.models.model import load_model
from napari_unet.workflow.segment.segment_samples import segment_samples
from running import find_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Way = Callable[[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32]], NDArray[np.bool_]]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--first", type=int, default=112, help="first slice that is compared")
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--every", type=int, default=4)
    given = parser.parse_args()
    folder = find_set(given.data, ["fib-medulla"])
    if folder is None:
        print(f"fib-medulla is not in {given.data}", file=sys.stderr)
        return 1
    cells = tifffile.imread(next((folder / "bodies").glob("*.tif")))[given.first :]
    probability = probabilities(folder, given.model, given.first)
    numbers, sizes = np.unique(cells[cells > 0], return_counts=True)
    order = np.argsort(-sizes)[: given.cells]
    largest, sizes = numbers[order], sizes[order]
    print(f"{len(largest)} cells of {sizes[-1]:,} to {sizes[0]:,} voxels, every {given.every}th slice")
    print("| way | mean IoU | median | cells from 0.9 on | ms an object |\n| --- | --- | --- | --- | --- |")
    for name, way in WAYS.items():
        scores, seconds = compare(cells, largest, probability, given.every, way)
        share = np.mean(scores >= 0.9)
        print(
            f"| {name} | {scores.mean():.3f} | {np.median(scores):.3f} | {share:.0%} | {1000 * seconds:.1f} |"
        )
    return 0


def probabilities(folder: Path, model: Path, first: int) -> NDArray[np.float32]:
    """(Z, Y, X) float32: probability of the inside of cells, of the slices from `first` on."""
    dataset = open_dataset(folder)
    placed = [(place_of(sample), sample) for sample in dataset.samples]
    wanted = {place.z: sample for place, sample in placed if place is not None and place.z >= first}
    results = segment_samples(
        [wanted[z] for z in sorted(wanted)], load_model(model, default_precision()), None
    )
    found = {result.sample.id: result.probabilities[..., 0] for result in results}
    return np.stack([found[wanted[z].id] for z in sorted(wanted)])


def compare(
    cells: NDArray[np.integer],
    numbers: NDArray[np.integer],
    probability: NDArray[np.float32],
    every: int,
    way: Way,
) -> tuple[NDArray[np.float64], float]:
    """IoU of each cell in the slices between those that are kept, and processor seconds an object."""
    scores, seconds, count = [], 0.0, 0
    for number in numbers:
        both = either = 0
        for z in range(0, len(cells) - every, every):
            first, last = cells[z] == number, cells[z + every] == number
            if not (first.any() and last.any()):
                continue
            start = time.process_time()
            found = way(first, last, probability[z : z + every + 1])
            seconds += time.process_time() - start
            count += 1
            truth = cells[z + 1 : z + every] == number
            both += int(np.count_nonzero(found & truth))
            either += int(np.count_nonzero(found | truth))
        scores.append(both / max(either, 1))
    return np.array(scores), seconds / max(count, 1)


def blend(
    first: NDArray[np.bool_], last: NDArray[np.bool_], probability: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Fade one mask into the other."""
    steps = len(probability) - 1
    shares = np.arange(1, steps)[:, None, None] / steps
    return np.asarray((1 - shares) * first + shares * last >= 0.5)


def nearest(
    first: NDArray[np.bool_], last: NDArray[np.bool_], probability: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Take the nearer mask."""
    steps = len(probability) - 1
    return np.stack([first if 2 * n <= steps else last for n in range(1, steps)])


WAYS: dict[str, Way] = {
    "nearest": nearest,
    "blend": blend,
    "distances": lambda first, last, p: fill_between(first, last, len(p) - 2),
    "+ network": lambda first, last, p: fill_between(first, last, len(p) - 2, p),
}

if __name__ == "__main__":
    sys.exit(main())
