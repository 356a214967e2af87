"""Score a shipped model, or any other, on the images that were held out when it was trained.

    python benchmarks/score_shipped.py nuclei --data DSB2018
    python benchmarks/score_shipped.py nerve-and-vessel --data USGRA_SEG

Images are told by their pixels; those that the model was trained or chosen on are left out.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.cli.running import start_backend
from napari_unet.data.catalog import open_dataset
from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.objects import tally_objects
from napari_unet.metrics.overlap import image_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.evaluation.score import Evaluation
    from napari_unet.models.model import Model
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.segment import Segmentation

THRESHOLDS = (0.4, 0.5, 0.6)
CORES = (0.3, 0.4, 0.5, 0.6)
SIZES = (0, 15, 30)


def evaluate(model: Model, dataset: Dataset, settings: InferenceSettings | None = None) -> Evaluation:
    """Scores on every image of a data set, objects too where the reference has them."""
    from napari_unet.evaluation.score import Evaluation
    from napari_unet.workflow.seen import SeenImages
    from napari_unet.workflow.segment import segment_samples

    seen = SeenImages(model.provenance)
    evaluation = Evaluation(dataset.classes, competition=dataset.format)
    for result in segment_samples(dataset.samples, model, settings):
        reference = dataset.mask(result.sample)
        objects = (reference.objects, result.objects) if reference.objects is not None else None
        part = seen.part(dataset.image(result.sample))
        identifier = result.sample.id
        evaluation.add(identifier, identifier, part, reference, result.mask, objects)
    return evaluation


def held_out(model: Model, dataset: Dataset) -> Dataset:
    """The images that were held out when a model was trained."""
    return dataset.subset(model.provenance["split"]["held_out"])


def tune(model: Model, dataset: Dataset, *, objects: bool) -> tuple[InferenceSettings, dict[str, Any]]:
    """Threshold, smallest size and, for objects, depth of cores with the best validation score.

    The score is the average precision of objects (Data Science Bowl), or Dice, mean over the images.
    """
    from napari_unet.workflow.segment import segment_samples

    plain = model.recipe.inference.model_copy(update={"flips": "none"})
    results = list(segment_samples(dataset.samples, model, plain))
    best, top = plain, -1.0
    names = ("threshold", "core") if objects else ("threshold",)
    grids = (THRESHOLDS, CORES) if objects else (THRESHOLDS,)
    for values in itertools.product(*grids):
        tried = best.model_copy(update=dict(zip(names, values, strict=True)))
        score = mean_score(results, dataset, tried, model)
        if score > top:
            best, top = tried, score
    for size in SIZES:
        tried = best.model_copy(update={"minimum_size": size})
        score = mean_score(results, dataset, tried, model)
        if score > top + 1e-4:
            best, top = tried, score
    chosen = f"threshold {best.threshold}, core {best.core}, minimum size {best.minimum_size}"
    print(f"validation {'AP' if objects else 'Dice'} {top:.4f} with {chosen}", flush=True)
    settings = best.model_copy(update={"flips": model.recipe.inference.flips})
    return settings, {"images": len(dataset), "ap" if objects else "dice": round(top, 3)}


def mean_score(
    results: Sequence[Segmentation], dataset: Dataset, settings: InferenceSettings, model: Model
) -> float:
    """Mean over images of average precision where there are objects, else of Dice."""
    scores = []
    for result in results:
        reference = dataset.mask(result.sample)
        mask = mask_from_probabilities(
            result.probabilities,
            settings.threshold,
            settings.minimum_size,
            activation=model.recipe.network.activation,
        )
        if reference.objects is not None:
            found = find_objects(mask, settings, result.probabilities, result.separation, result.kind)
            scores.append(tally_objects(reference.objects, found).average_precision())
        else:
            scores.append(image_scores(reference.labels, mask, len(model.classes)).dice)
    return float(np.mean(scores))


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """The scores a card has, with their intervals."""
    overall = evaluation.summary(evaluation.scores)
    wanted = ("iou", "dice", "f1_50", "ap") if "ap" in overall["scores"] else ("iou", "dice")
    out: dict[str, Any] = {"images": overall["images"]}
    for name in wanted:
        score = overall["scores"][name]
        out[name] = {"mean": round(score["mean"], 3), "interval": [round(v, 3) for v in score["interval"]]}
        if score["pooled"] is not None:
            out[name]["pooled"] = round(score["pooled"], 3)
    return out


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--flips", default="", help="instead of the model's own")
    options = parser.parse_args()
    start_backend()
    from napari_unet.models.model import Model

    model = Model.load(options.model)
    dataset = held_out(model, open_dataset(options.data))
    settings = model.recipe.inference
    if options.flips:
        settings = settings.model_copy(update={"flips": options.flips})
    started = time.monotonic()
    evaluation = evaluate(model, dataset, settings)
    print(f"{options.model}: {len(dataset)} held-out images, {time.monotonic() - started:.0f} s")
    for name, score in figures(evaluation).items():
        if name != "images":
            low, high = score["interval"]
            pooled = f"  pooled {score['pooled']:.3f}" if "pooled" in score else ""
            print(f"{name:8} {score['mean']:.3f} ({low:.3f} to {high:.3f}){pooled}")
    for score in sorted(evaluation.scores, key=lambda s: s.iou)[:5]:
        print(f"worst: {score.image[:16]} IoU {score.iou:.3f}")


if __name__ == "__main__":
    main()
