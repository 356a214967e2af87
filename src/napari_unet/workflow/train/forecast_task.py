"""What a training will be, before it starts: the split, the cost, and samples of what it will see."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.networks.registry import build_network
from napari_unet.progress import Progress
from napari_unet.training.feeding.batches import PREPARED_BYTES
from napari_unet.training.forecast import StepCost, expected_bytes, measure_steps
from napari_unet.training.learner import learner_for
from napari_unet.training.losses import make_loss
from napari_unet.workflow.train.training_data import prepare_training

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.split import Split
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe
    from napari_unet.training.feeding.augmentation import Patch
    from napari_unet.training.feeding.batches import TrainingBatches
    from napari_unet.workflow.inputs.labelled_images import GivenData

PICTURES = 12  # augmented samples that are shown
PICTURE = 128  # pixels either way, at most
VALIDATIONS, FEW_VALIDATIONS = (
    20,
    8,
)  # of a training by time, and of one of a large network, whose state is large
LARGE_NETWORK = 5_000_000  # weights
FEWEST_STEPS = 5  # between two looks


@dataclass(frozen=True, eq=False)
class Plan:
    """What a training will be.

    Attributes
    ----------
    data : str
        Name of what is trained on.
    split : Split
        That it will be trained with.
    recipe : Recipe
        Without automatic settings.
    batch : int
        Patches a step.
    patch : tuple of int
        (Y, X) of a patch, in pixels, or (Z, Y, X).
    parameters : int
        Weights of the network.
    step : StepCost or None
        Measured; None where there is not enough memory to try.
    memory : int
        Bytes that the computing process will hold, about.
    free : int
        Bytes free on this machine.
    reading : float
        Seconds it took to open and prepare the data.
    pictures : numpy.ndarray
        (N, Y, X, 3) uint8: augmented samples, the outline of what is annotated drawn in.
    """

    data: str
    split: Split
    recipe: Recipe
    batch: int
    patch: tuple[int, ...]
    parameters: int
    step: StepCost | None
    memory: int
    free: int
    reading: float
    pictures: NDArray[np.uint8]

    @property
    def split_words(self) -> str:
        """The split for a person: how many images are for what, and what stays together."""
        split = self.split
        count = len(split.train) + len(split.validation) + len(split.held_out)
        words = (
            f"{count} image{'s' * (count != 1)} of {self.data}: {len(split.train)} to train on, "
            f"{len(split.validation)} for validation, {len(split.held_out)} held out for the test"
        )
        groups = len({split.groups.get(i, i) for i in (*split.train, *split.validation, *split.held_out)})
        if split.group_rule != "image" and groups != count:
            words += f"; {groups} groups, by {split.group_rule}, each whole in one part"
        return words + (f" ({split.note})" if split.note else "") + "."

    def steps(self, minutes: float) -> int:
        """Steps that will be made in a time."""
        if self.step is None:
            return 0
        return max(0, round((60 * minutes - self.step.building) / self.step.seconds))

    def forecast_words(self, minutes: float) -> str:
        """What it will cost, for a person."""
        patch = " x ".join(map(str, self.patch))
        memory = f"about {self.memory / 2**30:.1f} GB of memory, {self.free / 2**30:.1f} GB are free"
        if self.step is None:
            return f"This network needs {memory}: take a smaller batch, patch, or fewer filters."
        steps = self.steps(minutes)
        passes = steps * self.batch / max(len(self.split.train), 1)
        words = (
            f"About {steps:,} steps of {self.batch} patches of {patch} ({self.step.seconds:.2g} s each), "
            f"{passes:,.0f} for every image; {memory}."
        )
        return f"{words} {self.warning(minutes)}".rstrip()

    def warning(self, minutes: float) -> str:
        """What speaks against it: too little memory, or too short a time; empty if nothing does."""
        if self.step is None:
            return "There is not enough memory: take a smaller batch, patch, or fewer filters."
        words = []
        if self.memory > self.free:
            words.append("That may not be enough: take a smaller batch or patch.")
        a_step = math.prod(self.patch) * self.batch
        wanted = self.recipe.training.megapixels * 1e6 / a_step * self.step.seconds / 60
        if not self.recipe.training.epochs and minutes < wanted / 2:
            words.append(f"The whole course of this recipe would take {wanted:,.0f} min.")
        return " ".join(words)

    def recipe_for(self, minutes: float) -> Recipe:
        """The recipe with this time budget, and looks at a rate that makes a curve."""
        looks = FEW_VALIDATIONS if self.parameters > LARGE_NETWORK else VALIDATIONS
        steps = max(self.steps(minutes) // looks, FEWEST_STEPS)
        training = self.recipe.training.model_copy(update={"minutes": minutes, "steps_per_epoch": steps})
        return self.recipe.model_copy(update={"training": training})


@dataclass(frozen=True, eq=False)
class PlanTask:
    """Look at the data, try a few steps, and say what a training will be.

    Attributes
    ----------
    data : pathlib.Path or GivenData
        To train on.
    recipe : Recipe
        Possibly with automatic settings.
    format : str, optional
        Layout of the data.
    split : Split, optional
        To train with; drawn if not given.
    """

    data: Path | GivenData
    recipe: Recipe
    format: str | None = None
    split: Split | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Plan:
        """Look and try; errors as ``TrainTask.run``."""
        import psutil

        begun = time.monotonic()
        on_progress(Progress(0, 1, "Looking at the data"))
        data = prepare_training(self.data, self.format, self.recipe, self.split, on_progress, cancel)
        data.check_foreground()
        recipe, shapes = data.recipe, [one.shape for one in data.facts]
        batches = data.batches()
        patches = [batches.patch(*batches.drawn(n)) for n in range(PICTURES)]
        reading = time.monotonic() - begun
        on_progress(Progress(0.5, 1, "Trying a few steps"))
        network = build_network(recipe.network, recipe.training.seed, recipe.training.precision)
        free = int(psutil.virtual_memory().available)
        expected = expected_bytes(network, batches)
        cost = None
        if expected < free:
            loss = make_loss(recipe.network, recipe.training)
            learner, prepare_batch = learner_for(network, recipe.network)
            cost = measure_steps(learner, batches, loss, recipe.training, cancel, prepare_batch)
        memory = expected if cost is None else cost.memory + _still_to_come(batches, shapes)
        return Plan(
            data.dataset.name,
            data.split,
            recipe,
            batches.batch_size,
            batches.shape,
            int(network.count_params()),
            cost,
            memory,
            free,
            reading,
            np.stack([picture(p) for p in patches]),
        )


def _still_to_come(batches: TrainingBatches, shapes: list[tuple[int, int]]) -> int:
    """Bytes of prepared samples that are not there yet, as far as they stay in memory."""
    channels, scale = batches.normalization.channels, batches.normalization.scale
    pixels = sum(y * x for y, x in shapes) * scale**2
    whole = pixels * (4 * channels + 1 + 4)
    return max(0, int(min(whole, PREPARED_BYTES)) - batches.cache.bytes)


def picture(patch: Patch) -> NDArray[np.uint8]:
    """A sample as a person looks at it.

    Parameters
    ----------
    patch : Patch
        As the network sees it; of a volume the slice in the middle.

    Returns
    -------
    numpy.ndarray
        (Y, X, 3) uint8, at most 128 pixels either way; annotated borders orange, what counts for
        nothing darkened.
    """
    image, labels, weights = patch.image, patch.labels, patch.weights
    if labels.ndim == 3:
        middle = len(labels) // 2
        image, labels, weights = image[middle], labels[middle], weights[middle]
    step = max(1, -(-max(labels.shape) // PICTURE))
    image = image[::step, ::step, :3]
    labels, weights = labels[::step, ::step], weights[::step, ::step]
    if image.shape[2] < 3:
        image = np.repeat(image[..., :1], 3, axis=2)
    low, high = (float(v) for v in np.percentile(image, (1, 99)))
    shown = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    shown = np.where((weights > 0)[..., None], shown, 0.3 * shown)
    border = np.zeros(labels.shape, bool)
    border[:-1] |= labels[:-1] != labels[1:]
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    shown = np.where(border[..., None], np.array([0.9, 0.62, 0.0]), shown)
    return np.asarray(255 * shown, np.uint8)
