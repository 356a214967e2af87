"""One data set, one seed: who starts, who is offered, who judges; models and scores of it, kept on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from economy.orders import features
from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split, make_split
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.inline import run_inline
from napari_unet.metrics.overlap import image_scores
from napari_unet.models.model import Model, load_model
from napari_unet.models.shipped import locate
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.finetune.fine_tune_task import FineTuned, FineTuneTask
from napari_unet.workflow.inputs.image_reference import FileReference
from napari_unet.workflow.inputs.labelled_images import LabelledImage
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample

HIDDEN = {"scores", "corrected", "light", "dark", "history"}  # of a row, when it is printed
LONG = 300.0  # megapixels from which weights are averaged over longer


@dataclass(frozen=True)
class Plan:
    """How much of a data set is used, and how long it is trained on; set for two slow cores.

    Attributes
    ----------
    scale : float
        Of the images; 0 as the recipe chooses.
    largest : int
        Longest side of the images taken, in pixels; 0 is all.
    images, test : int
        Training images and test images, at most.
    start, round, all : float
        Megapixels of patches seen in training the start model, in a round, and in training on everything.
    """

    scale: float
    largest: int
    images: int
    test: int
    start: float
    round: float
    all: float


PLANS = {
    "dsb2018": Plan(0.5, 400, 100_000, 48, start=6.0, round=3.0, all=24.0),
    "usgra-seg": Plan(0.25, 0, 100_000, 46, start=6.0, round=3.0, all=24.0),
    "tgs-salt": Plan(1.0, 0, 300, 120, start=6.0, round=1.5, all=24.0),
}


class Log:
    """Rows of one arm on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def add(self, **row: Any) -> None:
        """Keep and print a row."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows))
        partial.replace(self.path)
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items() if k not in HIDDEN}
        print(f"{self.path.parent.name} {self.path.stem}: {shown}", flush=True)


@dataclass
class Case:
    """One data set, one seed."""

    options: argparse.Namespace
    name: str
    seed: int

    @cached_property
    def plan(self) -> Plan:
        """Of the set, changed as the command line says."""
        asked = {key: getattr(self.options, f"plan_{key}") for key in Plan.__dataclass_fields__}
        known = PLANS.get(self.name, PLANS["dsb2018"])
        return Plan(**{k: getattr(known, k) if v is None else v for k, v in asked.items()})

    @cached_property
    def dataset(self) -> Dataset:
        """All images that are not too large."""
        whole = open_dataset(self.options.data / self.name)
        if not self.plan.largest:
            return whole
        small = [s.id for s in whole.samples if max(whole.image(s).shape[:2]) <= self.plan.largest]
        return whole.subset(small)

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """Ids: "test" by group; "start" and "pool" at random from the rest."""
        dataset, plan = self.dataset, self.plan
        split = make_split(dataset, validation=0.0, held_out=0.25, max_held_out=plan.test, seed=self.seed)
        rest = list(np.random.default_rng(self.seed).permutation(split.train)[: plan.images])
        start = max(4, round(self.options.start_share * len(rest)))
        return {
            "test": list(split.held_out)[: plan.test],
            "start": [str(i) for i in rest[:start]],
            "pool": [str(i) for i in rest[start:]],
        }

    @property
    def folder(self) -> Path:
        """Of this set and seed."""
        return Path(self.options.work) / f"{self.name}-{self.seed}"

    @property
    def most(self) -> int:
        """Corrections in all."""
        every = len(self.parts["pool"]) + len(self.parts["start"])
        return int(self.options.most * every)

    def samples(self, ids: Sequence[str]) -> list[Sample]:
        """With these ids, in order."""
        return list(self.dataset.subset(ids).samples)

    def load(self, path: Path) -> Model:
        """A model, in this machine's precision."""
        return load_model(path, default_precision())

    def train(self, name: str, ids: Sequence[str], megapixels: float) -> Path:
        """A model trained on these images alone; kept. The start model may be given instead."""
        if name == "start" and self.options.model:
            return locate(self.options.model)
        out = self.folder / name
        if (out / "settings.json").exists():
            return out
        split = self.folder / f"{name}-split.json"
        Split(train=tuple(ids), data=self.name).save(split)
        changes = [
            f"megapixels={megapixels}",
            f"training.seed={self.seed}",
            *self.options.learn,
        ]
        changes += ["patch=128", "batch_size=4"] if megapixels < LONG else []
        changes += ["averaging=0.98"] if megapixels < LONG else []
        changes += [f"training.scale={self.plan.scale}"] if self.plan.scale else []
        run_inline(TrainTask(self.dataset.path, out, recipe("fast", changes), split=split))
        return out

    def score(self, model: Model, ids: Sequence[str]) -> list[float]:
        """IoU of each image."""
        return [iou for iou, _ in self.predict(model, ids)]

    def predict(self, model: Model, ids: Sequence[str]) -> list[tuple[float, NDArray[np.uint8]]]:
        """IoU and mask of each image."""
        found = []
        settings = model.recipe.inference
        if self.options.flips != "auto":
            settings = settings.model_copy(update={"flips": self.options.flips})
        for result in segment_samples(self.samples(ids), model, settings):
            truth = self.dataset.mask(result.sample)
            score = image_scores(truth.labels, result.mask, len(model.classes), truth.weights)
            found.append((score.iou, result.mask))
        return found

    def reference(self, identifier: str) -> FileReference:
        """Where an image is."""
        return FileReference(self.dataset.path, self.dataset.format, identifier)

    def correction(self, identifier: str, mask: ReferenceMask | None = None) -> LabelledImage:
        """What the simulated person made of an image: the true mask if nothing else is given."""
        if mask is None:
            return LabelledImage(self.reference(identifier))
        return LabelledImage(self.reference(identifier), mask.labels, mask.weights)

    def fine_tune(
        self,
        parent: Path,
        corrections: Sequence[LabelledImage],
        out: Path,
        *,
        replay: bool = True,
        others: Sequence[str] = (),
    ) -> FineTuned:
        """One round, judged as the window judges it where nothing else is labelled, if that was asked for.

        With `others` their predictions are replayed, not the training data.
        """
        changes = dict(change.split("=", 1) for change in self.options.set)
        settings = FineTuneSettings.model_validate(
            {"megapixels": self.plan.round, "seed": self.seed, **changes}
        )
        if not replay:
            settings = settings.model_copy(update={"replay": 0.0})
        task = FineTuneTask(
            parent,
            tuple(corrections),
            out,
            settings,
            replay=self.dataset.path if replay and not others else None,
            others=tuple(self.reference(i) for i in others),
            reserve=self.options.judges == "corrected",
        )
        return run_inline(task)

    @cached_property
    def features(self) -> dict[str, NDArray[np.float32]]:
        """Of all images that teach or may be offered."""
        return features(self.samples([*self.parts["start"], *self.parts["pool"]]))

    def drawn(self, done: Sequence[str], count: int) -> list[str]:
        """The next images, drawn at random."""
        order = np.random.default_rng((self.seed, 7)).permutation(self.parts["pool"])
        return [str(i) for i in order[len(done) : len(done) + count]]

    def left(self, done: Sequence[str]) -> list[str]:
        """Some of the images that may be offered and are not done, drawn at random."""
        left = [i for i in self.parts["pool"] if i not in set(done)]
        luck = np.random.default_rng((self.seed, len(done)))
        return [left[i] for i in sorted(luck.permutation(len(left))[: self.options.offered_from])]
