"""How good the confidence of objects is, on images that a model holds out.

    python benchmarks/object_confidence.py MODEL DATA

MODEL has its confidence stored (``add_object_confidence.py``; models trained since have it). DATA is the data
set that it was trained on: images are told by their pixels. An object is right if its IoU with a true object
is at least 0.5. Prints

- the expected calibration error, over ten bins of equal width, with an interval over images;
- the area under the ROC curve for finding wrong objects, beside that of the mean probability alone;
- how many objects must be looked at to find 80 % of the wrong ones: the least certain first; by the mean
  probability; and image by image, the worst image first by the mean of its objects' probabilities, where all
  objects of an image are looked at.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from judging import held_out
from napari_unet.data.catalog import open_dataset
from napari_unet.metrics.object_confidence import EVIDENCE, RIGHT, ObjectConfidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 10
SHARE = 0.8  # of the wrong objects that are to be found
DRAWS = 1000


@dataclass(frozen=True)
class Judged:
    """The objects of all images: their image, confidence, mean probability, and whether they are right."""

    image: NDArray[np.int64]
    confidence: NDArray[np.float64]
    mean: NDArray[np.float64]
    right: NDArray[np.bool_]


def calibration_error(said: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error over bins of equal width."""
    bins = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        here = bins == number
        error += abs(float(said[here].mean()) - float(right[here].mean())) * float(here.mean())
    return error


def area_under_curve(doubt: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Probability that a wrong object is more doubtful than a right one; half of it where they are equal."""
    order = np.sort(doubt)
    rank = (np.searchsorted(order, doubt, "left") + np.searchsorted(order, doubt, "right") + 1) / 2
    bad, good = int(wrong.sum()), int((~wrong).sum())
    return float((rank[wrong].sum() - bad * (bad + 1) / 2) / (bad * good))


def looked_at(order: NDArray[np.int64], wrong: NDArray[np.bool_]) -> int:
    """How many objects are looked at, in this order, until so many of the wrong ones are found."""
    found = np.cumsum(wrong[order])
    return int(np.searchsorted(found, SHARE * found[-1]) + 1)


def image_by_image(judged: Judged) -> NDArray[np.int64]:
    """All objects of the worst image first, by the mean of its objects' probabilities."""
    means = np.array([judged.mean[judged.image == n].mean() for n in range(int(judged.image.max()) + 1)])
    return np.lexsort((judged.image, means[judged.image]))


def judge(model_path: Path, data: Path) -> Judged:
    """Segment the images that are held out, and judge every object."""
    from napari_unet.engine.hardware import default_precision
    from napari_unet.models.model import Model
    from napari_unet.workflow.segment.segment_samples import segment_samples
    from napari_unet.workflow.train.fit_object_confidence import judged_objects

    model = Model.load(model_path, default_precision())
    confidence = ObjectConfidence.of(model.provenance)
    if confidence is None:
        raise SystemExit(f"{model_path} has no confidence of objects: add it by add_object_confidence.py")
    dataset = held_out(open_dataset(data), model)
    parts = []
    for number, result in enumerate(segment_samples(dataset.samples, model)):
        evidence, iou, counts = judged_objects(result, dataset.mask(result.sample))
        said, mean = confidence(evidence), evidence[:, EVIDENCE.index("mean")]
        parts.append((np.full(counts.sum(), number), said[counts], mean[counts], iou[counts] >= RIGHT))
    return Judged(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def figures(judged: Judged) -> dict[str, Any]:
    """All figures."""
    wrong = ~judged.right
    images = int(judged.image.max()) + 1
    chance = np.random.default_rng(0)
    drawn = []
    members = [np.flatnonzero(judged.image == n) for n in range(images)]
    for _ in range(DRAWS):
        some = np.concatenate([members[n] for n in chance.integers(0, images, images)])
        drawn.append(calibration_error(judged.confidence[some], judged.right[some]))
    orders = {
        "least certain object first": np.argsort(judged.confidence, kind="stable"),
        "lowest mean probability first": np.argsort(judged.mean, kind="stable"),
        "image by image": image_by_image(judged),
    }
    return {
        "images": images,
        "objects": len(wrong),
        "wrong objects": int(wrong.sum()),
        "expected calibration error": calibration_error(judged.confidence, judged.right),
        "its 95 % interval": [float(v) for v in np.percentile(drawn, (2.5, 97.5))],
        "that of the mean probability": calibration_error(judged.mean, judged.right),
        "AUROC": area_under_curve(-judged.confidence, wrong),
        "AUROC of the mean probability": area_under_curve(-judged.mean, wrong),
        "objects looked at for 80 % of the wrong ones": {k: looked_at(v, wrong) for k, v in orders.items()},
    }


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    print(json.dumps(figures(judge(options.model, options.data)), indent=1))


if __name__ == "__main__":
    main()
