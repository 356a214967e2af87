"""Objects by a learned depth: where their cores begin, and how deep a piece is that is no speck.

    python benchmarks/object_cores.py DATA MODEL [MODEL ...]

Each MODEL was trained on DATA with ``separation=distance``. Prints means over its validation images and over
the images that it holds out, told by their pixels. Cores are looked for in the same masks in all rows,
without the specks of the model. Where the least depth changes, cores begin where they do in use.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.inference.objects import RISE_OF_DEPTH, grown_from_cores, maxima, smoothed
from napari_unet.inference.postprocess import find_specks
from napari_unet.metrics.objects import ObjectTally, tally_objects
from napari_unet.models.ensemble import load_any
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.inference.objects import Cores
    from napari_unet.models.ensemble import AnyModel

    Found = Callable[[NDArray[np.bool_], NDArray[np.float32]], Cores]

DEPTHS = (0.3, 0.4, 0.5, 0.6, 0.7)
LEAST = (0.0, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
RISES = (0.05, 0.1, 0.15, 0.2, 0.3)
PARTS = ("validation", "held-out")


def above(inside: NDArray[np.bool_], height: NDArray[np.float32], depth: float) -> Cores:
    """Cores are what is deeper."""
    return height, (height > depth) & inside


def ways(model: AnyModel) -> dict[str, tuple[float, Found]]:
    """Least depths, and ways to find cores, by the words for both."""
    used = model.recipe.inference.least_depth
    found: dict[str, tuple[float, Found]] = {
        f"cores deeper than {depth:g}": (used, partial(above, depth=depth)) for depth in DEPTHS
    }
    for rise in RISES:
        words = f"cores {rise:g} above the neck" + (" (in use)" if rise == RISE_OF_DEPTH else "")
        found[words] = used, partial(maxima, rise=rise)
    for least in LEAST:
        words = f"pieces deeper than {least:g}" + (" (in use)" if least == used else "")
        found[words] = least, partial(maxima, rise=RISE_OF_DEPTH)
    return found


def tallies(data: Path, folder: Path) -> dict[str, dict[str, list[ObjectTally]]]:
    """Of each way and part, the tally of each image."""
    model, dataset = load_any(folder, default_precision()), open_dataset(data)
    seen = TrainingMembership(model.provenance)
    part_of = {sample.id: seen.part(dataset.image(sample)) for sample in dataset.samples}
    judged = [sample for sample in dataset.samples if part_of[sample.id] in PARTS]
    tried = ways(model)
    out: dict[str, dict[str, list[ObjectTally]]] = {words: {part: [] for part in PARTS} for words in tried}
    every = model.recipe.inference.model_copy(update={"least_depth": 0.0})
    for result in segment_samples(judged, model, every):
        reference = dataset.mask(result.sample).objects
        assert reference is not None
        assert result.separation is not None
        height = smoothed(result.separation)
        for words, (least, way) in tried.items():
            specks = find_specks(result.mask, result.separation, least)
            mask = np.where(specks, 0, result.mask).astype(np.uint8)
            cores_of = partial(_cores_of, way=way, height=height)
            found = grown_from_cores(mask, result.probabilities, cores_of)
            out[words][part_of[result.sample.id]].append(tally_objects(reference, found))
    return out


def _cores_of(inside: NDArray[np.bool_], _: object, way: Found, height: NDArray[np.float32]) -> Cores:
    return way(inside, height)


def row(words: str, found: dict[str, list[ObjectTally]]) -> str:
    """One line of the table."""
    cells = [words]
    for part in PARTS:
        scores: tuple[Callable[[ObjectTally], float], ...] = (
            ObjectTally.f1, ObjectTally.average_precision, ObjectTally.seg_measure,
        )  # fmt: skip
        cells += [f"{np.mean([score(one) for one in found[part]]):.3f}" for score in scores]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print a table in Markdown for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    options = parser.parse_args()
    for folder in options.models:
        found = tallies(options.data, folder)
        images = [len(next(iter(found.values()))[part]) for part in PARTS]
        columns: list[Any] = ["objects"]
        for part, count in zip(PARTS, images, strict=True):
            columns += [f"{part} ({count} images): F1 at 0.5", "AP", "SEG"]
        print(f"\n{folder}\n\n| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
        for words, each in found.items():
            print(row(words, each), flush=True)


if __name__ == "__main__":
    main()
