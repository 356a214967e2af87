"""Scores of a model on the ISBI 2012 slices it has not seen, as the challenge gives them.

The challenge took the best value of each score over all thresholds, so both that and the value at the
model's own threshold are printed. Its test labels are not public: published figures are of other slices.

Run: python benchmarks/isbi.py DATA MODEL
"""

from __future__ import annotations

import os
import sys
from functools import reduce
from operator import add
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.boundaries import pixel_error
from napari_unet.metrics.overlap import count_overlap
from napari_unet.metrics.regions import count_regions
from napari_unet.metrics.registry import SCORES, Counted
from napari_unet.models.model import load_model
from napari_unet.workflow.seen import SeenImages
from napari_unet.workflow.segment import segment_samples

NAMES = ("pixel_error", "rand_error", "warping_error", "v_rand", "v_info", "iou")
THRESHOLDS = [round(t, 2) for t in np.arange(0.05, 0.951, 0.05)]


def main() -> int:
    """Print a table in Markdown."""
    dataset, model = open_dataset(Path(sys.argv[1])), load_model(Path(sys.argv[2]))
    seen = SeenImages(model.provenance)
    held = [s for s in dataset.samples if seen.part(dataset.image(s)) not in {"train", "validation"}]
    if not held:
        print("the model has seen every slice")
        return 1
    results = [(dataset.mask(r.sample).labels, r.probabilities) for r in segment_samples(held, model)]
    own = model.recipe.inference.threshold
    table = {}
    for threshold in sorted({*THRESHOLDS, own}):
        counted = []
        for reference, probabilities in results:
            mask = mask_from_probabilities(probabilities, threshold)
            counts = count_overlap(reference, mask)
            assert counts.pixel_error == pixel_error(reference, mask)
            counted.append(Counted(counts, regions=count_regions(reference, mask)))
        pooled = reduce(add, counted)
        table[threshold] = {name: SCORES[name](pooled) for name in NAMES}
    print(f"{len(held)} slices not seen: {', '.join(s.id for s in held)}; all of their pixels together\n")
    print(
        "| score | at its own threshold, "
        + f"{own:g} | best over thresholds | at |\n| --- | --- | --- | --- |"
    )
    for name in NAMES:
        least = SCORES[name].better == "lower"
        best = (min if least else max)(table, key=lambda t: table[t][name])
        digits = 6 if name == "warping_error" else 4
        values = f"{table[own][name]:.{digits}f} | {table[best][name]:.{digits}f}"
        print(f"| {SCORES[name].title} | {values} | {best:g} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
