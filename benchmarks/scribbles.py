"""How good a first model from strokes on two images is, on images that it has not seen.

Strokes are drawn from the true masks of two images (`simulated_strokes.py`). A network learns from these
pixels alone, as at "Learn from strokes" in the window, and is scored on ten others after 10 and 60 seconds of
the processor: its time divided by the cores, so that other programs do not count. Building comes before.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import available_cores, processor_name
from napari_unet.models.normalization import Normalization
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.settings import NetworkSettings
from napari_unet.training.feeding.stroke_patches import StrokedImage
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.strokes.stroke_recipe import STROKES, for_images, fresh_model, training_of
from napari_unet.workflow.train.dataset_scan import needed_channels
from running import find_set
from simulated_strokes import simulate_strokes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.model import Model
    from napari_unet.settings import Recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SETS = ("dsb2018", "dic-hela", "usgra-seg", "fib-medulla")
ARMS: dict[str, NetworkSettings] = {
    "strokes": STROKES.network,
    "unet": NetworkSettings(normalization="group"),
}
TAUGHT, JUDGED = 2, 10  # images


@dataclass(frozen=True)
class Trial:
    """One network on one choice of images.

    Attributes
    ----------
    painted : float
        Share of the pixels of the two images.
    steps : list of int
        Of the optimizer, at each look.
    scores : list of float
        Mean IoU of the classes on unseen images, at each look.
    building : float
        Seconds of the processor until the first step was done.
    """

    painted: float
    steps: list[int]
    scores: list[float]
    building: float


def processor_seconds() -> float:
    """Of this process, on all cores at once."""
    return time.process_time() / available_cores()


def mean_iou(model: Model, dataset: Dataset, samples: Sequence[Sample]) -> float:
    """Mean over images of the mean IoU of the classes that are in either mask."""
    found = []
    for result in segment_samples(samples, model):
        truth = dataset.mask(result.sample).labels
        ious = []
        for label in range(1, len(dataset.classes) + 1):
            ours, theirs = result.mask == label, truth == label
            union = int((ours | theirs).sum())
            if union:
                ious.append(int((ours & theirs).sum()) / union)
        found += [float(np.mean(ious))] if ious else []
    return float(np.mean(found))


def learn(dataset: Dataset, recipe: Recipe, seed: int, looks: Sequence[float]) -> Trial:
    """Paint on two images, learn, look."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    samples = [dataset.samples[n] for n in order]
    taught, judged = samples[:TAUGHT], samples[TAUGHT : TAUGHT + JUDGED]
    images = [dataset.image(sample) for sample in taught]
    channels = max(needed_channels(image) for image in images)
    fitted = for_images(recipe, channels, len(dataset.classes), [i.shape[:2] for i in images])
    start = processor_seconds()
    normalization = Normalization(channels=channels, scale=fitted.training.scale)
    model = fresh_model(fitted, normalization, dataset.classes)
    training, painted = training_of(model), 0.0
    for sample, image in zip(taught, images, strict=True):
        truth = dataset.mask(sample)
        strokes = simulate_strokes(truth.labels, truth.objects, seed)
        known = strokes != IGNORE
        painted += float(known.mean()) / len(taught)
        labels = np.where(known, strokes, 0).astype(np.uint8)
        values = normalization.prepare(image, sample.id)
        training.patches.images[sample.id] = StrokedImage.of(values, labels, known, normalization.scale)
    training.learn(lambda: True)
    building, steps, scores, spent = processor_seconds() - start, [], [], 0.0
    for look in looks:
        end = processor_seconds() + look - spent
        training.learn(lambda end=end: processor_seconds() >= end)  # type: ignore[misc]
        spent = look
        steps.append(training.step)
        scores.append(mean_iou(model, dataset, judged))
    return Trial(painted, steps, scores, building)


def main() -> None:
    """Print a row for each set and network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with dsb2018, dic-hela, ...")
    parser.add_argument("--sets", nargs="+", default=SETS[:2], help=f"of {', '.join(SETS)}")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seconds", nargs="+", type=float, default=[10.0, 60.0])
    parser.add_argument("--choices", type=int, default=3, help="of two images, by seed")
    wanted = parser.parse_args()
    print(f"{processor_name()}, {available_cores()} cores")
    looks = " | ".join(f"IoU after {seconds:g} s (steps)" for seconds in wanted.seconds)
    print(f"| set | network | painted | {looks} | built in |")
    print("| --- " * (4 + len(wanted.seconds)) + "|")
    for name in wanted.sets:
        place = find_set(wanted.data, [name])
        if place is None:
            continue
        dataset = open_dataset(place)
        for arm in wanted.arms:
            recipe = STROKES.model_copy(update={"network": ARMS[arm]})
            trials = [learn(dataset, recipe, seed, wanted.seconds) for seed in range(wanted.choices)]
            cells = []
            for n in range(len(wanted.seconds)):
                each = ", ".join(f"{trial.scores[n]:.2f}" for trial in trials)
                mean = float(np.mean([trial.scores[n] for trial in trials]))
                steps = round(float(np.mean([trial.steps[n] for trial in trials])))
                cells.append(f"**{mean:.2f}** ({each}; {steps})")
            painted = 100 * float(np.mean([trial.painted for trial in trials]))
            built = float(np.mean([trial.building for trial in trials]))
            print(f"| {name} | {arm} | {painted:.1f} % | {' | '.join(cells)} | {built:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
