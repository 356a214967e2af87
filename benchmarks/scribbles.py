"""How good a first model from strokes on two images is: on the rest of these images, and on others.

Strokes are drawn from the true masks of two images (`simulated_strokes.py`). A network learns from these
pixels alone, as at "Learn from strokes" in the window. It is scored on all pixels of the two images that
were not painted, and on four other images. Learning is counted in steps of the optimizer, so that other
programs do not matter: on two quiet cores 50 steps take about 10 seconds and 280 about 60. Each trial is
added to a file when it is finished; the same command resumes there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.synthetic import make_pictures
from napari_unet.engine.hardware import available_cores, processor_name
from napari_unet.models.normalization import Normalization
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.settings import NetworkSettings
from napari_unet.training.feeding.stroke_patches import StrokedImage
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.strokes.guesses import guess_if_due
from napari_unet.workflow.strokes.stroke_recipe import STROKES, for_images, fresh_model, training_of
from napari_unet.workflow.train.dataset_scan import needed_channels
from pixel_forest import PixelForest
from running import find_set
from simulated_strokes import simulate_strokes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.settings import Recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
MADE_UP = "made-up"  # nuclei, as in road (d) of `make window`
SETS = (MADE_UP, "dsb2018", "dic-hela", "usgra-seg", "fib-medulla")
TAUGHT, JUDGED = 2, 4  # images
ROUND = 25  # steps between two looks at the strokes in the window
FOREST = "forest"
ARMS: dict[str, NetworkSettings] = {
    "strokes": STROKES.network,
    "no-guesses": STROKES.network,
    "unet": NetworkSettings(normalization="group"),
}


@dataclass(frozen=True)
class Trial:
    """One way of learning on one choice of images.

    Attributes
    ----------
    data, arm : str
        Set of images, way of learning.
    choice : int
        Seed of the choice of images and of the hand.
    painted : float
        Share of the pixels of the two images.
    steps : tuple of int
        Of the optimizer, at each look.
    own, others : tuple of float
        Mean IoU on pixels of the two images that were not painted, and on other images, at each look.
    seconds : float
        Of the processor for a step, divided by the cores.
    """

    data: str
    arm: str
    choice: int
    painted: float
    steps: tuple[int, ...]
    own: tuple[float, ...]
    others: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Material:
    """The images of one trial.

    Attributes
    ----------
    dataset : Dataset
        All images.
    taught, judged : sequence of Sample
        Those with strokes, and the others that are scored.
    strokes : mapping
        Id of each painted image to (Y, X) uint8, 255 where nobody painted.
    """

    dataset: Dataset
    taught: Sequence[Sample]
    judged: Sequence[Sample]
    strokes: dict[str, NDArray[np.uint8]]

    @property
    def channels(self) -> int:
        """That a network needs for the painted images."""
        return max(needed_channels(self.dataset.image(sample)) for sample in self.taught)

    def score(self, masks: dict[str, NDArray[np.uint8]], samples: Sequence[Sample]) -> float:
        """Mean over images of the mean IoU of the classes that are in either mask; not on painted pixels."""
        found = []
        for sample in samples:
            truth, mask = self.dataset.mask(sample).labels, masks[sample.id]
            painted = self.strokes.get(sample.id)
            scored = np.ones(truth.shape, bool) if painted is None else painted == IGNORE
            ious = []
            for label in range(1, len(self.dataset.classes) + 1):
                ours, theirs = (mask == label) & scored, (truth == label) & scored
                union = int((ours | theirs).sum())
                if union:
                    ious.append(int((ours & theirs).sum()) / union)
            found += [float(np.mean(ious))] if ious else []
        return float(np.mean(found))


def made_up_images() -> Dataset:
    """Eight images of nuclei with their true masks."""

    def sample(number: int) -> Sample:
        picture = pictures[number]
        image = picture.image if picture.image.ndim > 2 else picture.image[..., None]
        return Sample(str(number), lambda: image, lambda: ReferenceMask(picture.mask.labels))

    pictures = make_pictures("nuclei", 8, seed=11)
    return as_dataset(MADE_UP, [sample(n) for n in range(len(pictures))], ("object",))


def choose(dataset: Dataset, seed: int) -> Material:
    """Two images to paint on, and four to judge by."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    samples = [dataset.samples[n] for n in order[: TAUGHT + JUDGED]]
    strokes = {}
    for sample in samples[:TAUGHT]:
        truth = dataset.mask(sample)
        strokes[sample.id] = simulate_strokes(truth.labels, truth.objects, seed)
    return Material(dataset, samples[:TAUGHT], samples[TAUGHT:], strokes)


def learn(material: Material, recipe: Recipe, guesses: bool, looks: Sequence[int]) -> tuple[list[float], ...]:
    """Learn, look; gives own and other scores, and the seconds of a step."""
    dataset, taught = material.dataset, material.taught
    images = {sample.id: dataset.image(sample) for sample in taught}
    fitted = for_images(
        recipe, material.channels, len(dataset.classes), [i.shape[:2] for i in images.values()]
    )
    normalization = Normalization(channels=material.channels, scale=fitted.training.scale)
    model = fresh_model(fitted, normalization, dataset.classes)
    training = training_of(model)
    for identifier, image in images.items():
        known = material.strokes[identifier] != IGNORE
        labels = np.where(known, material.strokes[identifier], 0).astype(np.uint8)
        values = normalization.prepare(image, identifier)
        training.patches.images[identifier] = StrokedImage.of(values, labels, known, normalization.scale)
    training.learn(lambda: True)  # which builds the step
    own, others, spent = [], [], 0.0
    for look in looks:
        start = time.process_time()
        while training.step < look:
            end = min(look, training.step + ROUND)
            training.learn(lambda end=end: training.step >= end)  # type: ignore[misc]
            if guesses:
                guess_if_due(model, training)
        spent += time.process_time() - start
        found = {
            result.sample.id: result.mask for result in segment_samples([*taught, *material.judged], model)
        }
        own.append(material.score(found, taught))
        others.append(material.score(found, material.judged))
    return own, others, [spent / looks[-1] / available_cores()]


def grow(material: Material) -> tuple[list[float], ...]:
    """A random forest on filters of the image, which many programs for scribbles use."""
    normalization = Normalization(channels=material.channels)

    def prepared(sample: Sample) -> NDArray[np.float32]:
        return normalization.prepare(material.dataset.image(sample), sample.id)

    start = time.process_time()
    forest = PixelForest([(prepared(s), material.strokes[s.id]) for s in material.taught])
    spent = time.process_time() - start
    found = {s.id: forest.mask(prepared(s)) for s in (*material.taught, *material.judged)}
    own, others = (material.score(found, some) for some in (material.taught, material.judged))
    return [own], [others], [spent / available_cores()]


def run(data: str, arm: str, material: Material, choice: int, looks: Sequence[int]) -> Trial:
    """One trial."""
    if arm == FOREST:
        looks, (own, others, seconds) = (0,), grow(material)
    else:
        recipe = STROKES.model_copy(update={"network": ARMS[arm]})
        own, others, seconds = learn(material, recipe, arm == "strokes", looks)
    painted = float(np.mean([(strokes != IGNORE).mean() for strokes in material.strokes.values()]))
    first, second = (tuple(round(value, 3) for value in values) for values in (own, others))
    return Trial(data, arm, choice, round(painted, 4), tuple(looks), first, second, round(seconds[0], 3))


def table(trials: Sequence[Trial]) -> str:
    """A row for each set and way of learning: means over the choices."""
    lines = ["| set | learned by | steps | rest of the painted images | other images | choices |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for data, arm in dict.fromkeys((trial.data, trial.arm) for trial in trials):
        some = [trial for trial in trials if (trial.data, trial.arm) == (data, arm)]
        steps = ", ".join(map(str, some[0].steps))
        cells = (
            ", ".join(f"{value:.2f}" for value in np.mean([getattr(trial, name) for trial in some], axis=0))
            for name in ("own", "others")
        )
        lines.append(f"| {data} | {arm} | {steps} | {' | '.join(cells)} | {len(some)} |")
    return "\n".join(lines)


def main() -> None:
    """Do what is not in the file yet, and print a table of all that is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with dsb2018, dic-hela, ...")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--arms", nargs="+", default=["strokes"], choices=[*ARMS, FOREST])
    parser.add_argument("--steps", nargs="+", type=int, default=[50, 280], help="at which is looked")
    parser.add_argument("--choices", nargs="+", type=int, default=[0, 1], help="seeds")
    parser.add_argument("--results", type=Path, default=Path("scribbles.jsonl"), help="what is done already")
    wanted = parser.parse_args()
    lines = wanted.results.read_text().splitlines() if wanted.results.exists() else []
    trials = [Trial(**json.loads(line)) for line in lines]
    done = {(trial.data, trial.arm, trial.choice) for trial in trials}
    print(f"{processor_name()}, {available_cores()} cores")
    for data in wanted.sets:
        place = None if data == MADE_UP else find_set(wanted.data, [data])
        if data != MADE_UP and place is None:
            continue
        dataset = made_up_images() if place is None else open_dataset(place)
        for arm in wanted.arms:
            for choice in wanted.choices:
                if (data, arm, choice) in done:
                    continue
                trial = run(data, arm, choose(dataset, choice), choice, wanted.steps)
                trials.append(trial)
                with wanted.results.open("a") as file:
                    file.write(json.dumps(asdict(trial)) + "\n")
    print(table(trials))


if __name__ == "__main__":
    main()
