"""Give a model of an earlier version the confidence of its objects, fitted on its validation images.

    python benchmarks/add_object_confidence.py MODEL DATA

Changes settings.json of a model folder; only figures go in. DATA is the data set that the model was trained
on: its validation images are told by their pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from napari_unet.atomic import write_text
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.metrics.object_confidence import KEY
from napari_unet.models.model import Model
from napari_unet.workflow.train.fit_object_confidence import fit_object_confidence


def main() -> int:
    """Add it and say on how many objects it was fitted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    model = Model.load(options.model, default_precision())
    dataset = open_dataset(options.data)
    seen = TrainingMembership(model.provenance)
    chosen = [s.id for s in dataset.samples if seen.part(dataset.image(s)) == "validation"]
    found = fit_object_confidence(model, dataset.subset(chosen))
    if found is None:
        print("too few objects on the validation images, or too few wrong ones", file=sys.stderr)
        return 1
    file = options.model / "settings.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["provenance"][KEY] = found.to_json()
    write_text(file, json.dumps(settings, indent=1))
    print(f"fitted on {found.objects:,} objects of {found.images} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
