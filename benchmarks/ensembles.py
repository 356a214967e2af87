"""What averaging brings: an ensemble and each of its members, without and with flips and quarter turns.

Scores are of the images that all members hold out.

Run: python benchmarks/ensembles.py DATA ENSEMBLE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from judging import held_out, scores
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.inference.predict import FLIPS
from napari_unet.models.ensemble import Ensemble, load_any

if TYPE_CHECKING:
    from napari_unet.models.ensemble import AnyModel

NAMES = ("iou", "pixel_error", "v_rand", "rand_error", "warping_error", "f1_50", "ap")


def main() -> int:
    """Print a table in Markdown."""
    dataset, model = open_dataset(Path(sys.argv[1])), load_any(Path(sys.argv[2]), default_precision())
    if not isinstance(model, Ensemble):
        print(f"{sys.argv[2]} is no ensemble")
        return 1
    held = held_out(dataset, model)
    if not len(held):
        print("the members hold out no image of these in common")
        return 1
    turns = model.recipe.inference.flips
    ways = ["none"] if turns == "none" else ["none", turns]
    rows: list[tuple[str, AnyModel]] = [
        (f"member {n}", one) for n, (_, one) in enumerate(model.models(), start=1)
    ]
    table: list[tuple[str, dict[str, Any]]] = []
    for way in ways:
        for name, one in [*rows, ("**ensemble**", model)]:
            label = name if way == "none" else f"{name}, {len(FLIPS[way])} flips and turns"
            table.append((label, scores(held, one, flips=way)))
    known = [n for n in NAMES if n in table[0][1]["scores"]]
    print(f"{len(held)} images held out\n")
    print("| | pooled IoU | " + " | ".join(f"mean {n}" if n == "iou" else n for n in known) + " |")
    print("| --- |" + " --- |" * (len(known) + 1))
    for label, found in table:
        values = [found["pooled_iou"]]
        for name in known:
            score = found["scores"][name]
            values.append(score["mean"] if name in {"iou", "f1_50", "ap"} else score["pooled"])
        print(f"| {label} | " + " | ".join(f"{v:.4f}" for v in values) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
