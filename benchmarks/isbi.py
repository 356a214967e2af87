"""Scores of a model on the ISBI 2012 slices it has not seen, as the challenge gives them.

The challenge took the best value of each score over all thresholds, so both that and the value at the
model's own threshold are printed; of an ensemble the best values, beside those of its members. Its test
labels are not public: published figures are of other slices.

Run: python benchmarks/isbi.py DATA MODEL
"""

from __future__ import annotations

import os
import sys
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.boundaries import pixel_error
from napari_unet.metrics.overlap import count_overlap
from napari_unet.metrics.regions import count_regions
from napari_unet.metrics.registry import SCORES, Counted
from napari_unet.models.ensemble import Ensemble, load_any
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel

NAMES = ("pixel_error", "rand_error", "warping_error", "v_rand", "v_info", "iou")
THRESHOLDS = [round(t, 2) for t in np.arange(0.05, 0.951, 0.05)]


def by_threshold(dataset: Dataset, held: Sequence[Sample], model: AnyModel) -> dict[float, dict[str, float]]:
    """Each score at each threshold, of all pixels of some slices together."""
    results = [(dataset.mask(r.sample).labels, r.probabilities) for r in segment_samples(held, model)]
    table = {}
    for threshold in sorted({*THRESHOLDS, model.recipe.inference.threshold}):
        counted = []
        for reference, probabilities in results:
            mask = mask_from_probabilities(probabilities, threshold)
            counts = count_overlap(reference, mask)
            assert counts.pixel_error == pixel_error(reference, mask)
            counted.append(Counted(counts, regions=count_regions(reference, mask)))
        pooled = reduce(add, counted)
        table[threshold] = {name: SCORES[name](pooled) for name in NAMES}
    return table


def best_threshold(table: dict[float, dict[str, float]], name: str) -> float:
    """Where a score is best."""
    least = SCORES[name].better == "lower"
    return (min if least else max)(table, key=lambda t: table[t][name])


def shown(name: str, value: float) -> str:
    """A score with the digits that it needs."""
    return f"{value:.{6 if name == 'warping_error' else 4}f}"


def main() -> int:
    """Print a table in Markdown."""
    dataset, model = open_dataset(Path(sys.argv[1])), load_any(Path(sys.argv[2]), default_precision())
    seen = TrainingMembership(model.provenance)
    held = [s for s in dataset.samples if seen.part(dataset.image(s)) not in {"train", "validation"}]
    if not held:
        print("the model has seen every slice")
        return 1
    print(f"{len(held)} slices not seen: {', '.join(s.id for s in held)}; all of their pixels together\n")
    if isinstance(model, Ensemble):
        print("Best over thresholds:\n\n| | " + " | ".join(SCORES[name].title for name in NAMES) + " |")
        print("| --- |" + " --- |" * len(NAMES))
        members: list[tuple[str, AnyModel]] = [
            (f"member {n}", one) for n, (_, one) in enumerate(model.models(), start=1)
        ]
        for title, one in [*members, ("**ensemble**", model)]:
            table = by_threshold(dataset, held, one)
            cells = [shown(name, table[best_threshold(table, name)][name]) for name in NAMES]
            print(f"| {title} | " + " | ".join(cells) + " |", flush=True)
        return 0
    own, table = model.recipe.inference.threshold, by_threshold(dataset, held, model)
    print(f"| score | at its own threshold, {own:g} | best over thresholds | at |\n| --- | --- | --- | --- |")
    for name in NAMES:
        best = best_threshold(table, name)
        values = f"{shown(name, table[own][name])} | {shown(name, table[best][name])}"
        print(f"| {SCORES[name].title} | {values} | {best:g} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
