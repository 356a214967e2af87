"""Score a shipped model, or any other, on the images that were held out when it was trained.

    python benchmarks/score_shipped.py nuclei --data DSB2018
    python benchmarks/score_shipped.py nerve-and-vessel --data USGRA_SEG
    python benchmarks/score_shipped.py membranes-3d --data FIB_MEDULLA

Images are told by their pixels; those that the model was trained or chosen on are left out.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli.shared.running import start_backend
from napari_unet.data.catalog import open_dataset
from napari_unet.metrics.volumes import score_volume
from volumes import BODIES, best_join, cells, rand_error, read_bodies, segmented

if TYPE_CHECKING:
    from napari_unet.data.dataset import Dataset
    from napari_unet.evaluation.score import Evaluation
    from napari_unet.models.model import Model
    from napari_unet.settings import InferenceSettings


def evaluate(model: Model, dataset: Dataset, settings: InferenceSettings | None = None) -> Evaluation:
    """Scores on every image of a data set, objects too where the reference has them."""
    from napari_unet.evaluation.leakage import TrainingMembership
    from napari_unet.evaluation.score import Evaluation
    from napari_unet.workflow.segment.segment_samples import segment_samples

    seen = TrainingMembership(model.provenance)
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


def choose_cells(model: Model, dataset: Dataset, data: Path) -> tuple[InferenceSettings, dict[str, Any]]:
    """Threshold and join of a model of membranes with the least error on its validation slices."""
    settings, ids = model.recipe.inference, model.provenance["split"]["validation"]
    slices, probabilities = segmented(dataset, ids, model, settings)
    bodies = read_bodies(data)[slices]
    threshold, join = best_join(bodies, probabilities)
    error = rand_error(bodies, probabilities, threshold, join)
    chosen = settings.model_copy(update={"threshold": threshold, "join": join})
    return chosen, {"score": "adapted_rand_error", "value": round(error, 3), "images": len(slices)}


def cell_figures(model: Model, dataset: Dataset, data: Path) -> dict[str, Any]:
    """Adapted Rand error of the cells in the held-out slices: in three dimensions, and slice by slice."""
    settings, ids = model.recipe.inference, model.provenance["split"]["held_out"]
    slices, probabilities = segmented(dataset, ids, model, settings)
    found = score_volume(read_bodies(data)[slices], cells(probabilities, settings.threshold, settings.join))
    by_slice = [one.adapted_rand_error for one in found.slices]
    return {
        "adapted_rand_error": {"mean": round(found.volume.adapted_rand_error, 3)},
        "adapted_rand_error_by_slice": {"mean": round(sum(by_slice) / len(by_slice), 3)},
    }


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
    if (options.data / BODIES).is_dir():
        for name, found in cell_figures(model, open_dataset(options.data), options.data).items():
            print(f"{name} {found['mean']:.3f}")
    for score in sorted(evaluation.scores, key=lambda s: s.iou)[:5]:
        print(f"worst: {score.image[:16]} IoU {score.iou:.3f}")


if __name__ == "__main__":
    main()
