"""Mitochondria and synapses of vnc-em, slice by slice: what makes objects of the classes of pixels.

The same number of megapixels of patches each time, so that a busy machine changes nothing. One arm after
another takes away a cause of fragments: cuts by an output that has not learned yet, pieces of a few pixels,
features that nobody has seen before. Trained on the first slices, tuned on three, scored on the last four.

Run: python benchmarks/organelles.py VNC_EM [MEGAPIXELS]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from judging import scores
from napari_unet.data.split import Split
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.inline import run_inline
from napari_unet.models.ensemble import load_any
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from object_classes import LITE0, SCORED, TUNED, organelles, write_set

HELD, CHOSEN = 4, 3  # slices
ARMS = {
    "fast, distance output": ["network.separation=distance"],
    "fast, tuned": TUNED,
    "Lite0, tuned": [*TUNED, *LITE0],
}


def main() -> int:
    """Train, score and print a table in Markdown."""
    megapixels = float(sys.argv[2]) if len(sys.argv) > 2 else 40
    print("| model | steps | threshold | smallest piece | class | pooled IoU | F1 at 0.5 | AP | PQ |")
    print("| --- |" + " --- |" * 8)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "organelles"
        dataset = write_set(folder, list(organelles(Path(sys.argv[1]))), ("mitochondrion", "synapse"))
        ids = [sample.id for sample in dataset.samples]
        split = Split(tuple(ids[: -HELD - CHOSEN]), tuple(ids[-HELD - CHOSEN : -HELD]), tuple(ids[-HELD:]))
        for title, changes in ARMS.items():
            chosen = recipe("fast", [f"training.megapixels={megapixels}", *changes])
            run_inline(TrainTask(folder, Path(place) / title, chosen, split=split))
            model = load_any(Path(place) / title, default_precision())
            inference = model.recipe.inference
            found = scores(dataset.subset(split.held_out), model)["per_class"]
            for name, values in found.items():
                cells = " | ".join(f"{values[key]:.3f}" for key in ("pooled_iou", *SCORED))
                about = f"{model.provenance['steps']} | {inference.threshold} | {inference.minimum_size}"
                print(f"| {title} | {about} | {name} | {cells} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
