"""Ways to tell touching objects apart: what each model's output allows, on the images that it holds out.

Run: python benchmarks/objects.py DATA MODEL [MODEL ...]
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
from napari_unet.models.ensemble import load_any

if TYPE_CHECKING:
    from napari_unet.models.ensemble import AnyModel

WORDS = {
    "connected": "connected components",
    "shape": "watershed on the distance to the mask's edge",
    "probability": "watershed on probability",
    "border": "its own borders",
    "distance": "watershed on its own distance",
    "star": "star-convex polygons",
    "objects": "objects found one by one",
}


def ways(model: AnyModel) -> dict[str, str]:
    """Settings of ``objects`` that suit a model's output, with words for them."""
    learned = model.recipe.network.separation
    if learned == "none":
        return {way: WORDS[way] for way in ("connected", "shape", "probability")}
    return {"learned": WORDS[learned]}


def row(title: str, overall: dict[str, Any]) -> str:
    """One line of the table."""
    found = overall["scores"]
    cells = [title, f"{overall['pooled_iou']:.3f}"]
    for name in ("f1_50", "ap"):
        low, high = found[name]["interval"]
        cells.append(f"{found[name]['mean']:.3f} ({low:.3f} to {high:.3f})")
    cells += [f"{found[name]['pooled']:.0f}" for name in ("splits", "merges")]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Print a table in Markdown."""
    dataset = open_dataset(Path(sys.argv[1]))
    print("| network | objects | pooled IoU | F1 at 0.5 | AP | splits | merges |")
    print("| --- |" + " --- |" * 6)
    for path in map(Path, sys.argv[2:]):
        model = load_any(path, default_precision())
        held = held_out(dataset, model)
        if not len(held):
            print(f"{path} holds out no image of these", file=sys.stderr)
            return 1
        for way, words in ways(model).items():
            about = f"`{model.recipe.network.name}` | {words}"
            print(row(about, scores(held, model, objects=way)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
