"""What is replayed against forgetting, and what tells whether anything was forgotten."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.volumes.slices import Place
from napari_unet.errors import WorkbenchError
from napari_unet.evaluation.report.summary_text import count_of
from napari_unet.models.rehearsal import UNKNOWN, read_rehearsal
from napari_unet.workflow.finetune.training_examples import open_replay, own_predictions
from napari_unet.workflow.inputs.labelled_images import as_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.evaluation.leakage import TrainingMembership
    from napari_unet.models.model import Model
    from napari_unet.models.rehearsal import Rehearsal, RehearsalCrop
    from napari_unet.progress import CancelToken
    from napari_unet.workflow.finetune.training_examples import Replay
    from napari_unet.workflow.inputs.left_out import LeftOut

Replayed = Literal["training data", "recorded training data", "rehearsal set", "own predictions", "nothing"]
JUDGING = 2  # one in so many of what is replayed judges, where nothing else does
FEWEST_TO_PART = 6  # below that all of it is replayed


@dataclass(frozen=True, eq=False)
class ReplaySource:
    """What a round replays, and what it asks whether the old kind of images is still known.

    Attributes
    ----------
    kind : str
        "training data" if it was named, "recorded training data" if the model says where it was trained.
        Else the "rehearsal set" inside the model, "own predictions" on images without masks, or "nothing".
    train : Dataset or None
        To replay.
    judges : tuple of Sample
        With reference masks; none of them is in `train`.
    chosen_on : bool
        Whether the old model's weights were chosen on the judges.
    trained_on : bool
        Whether the old model was trained on the judges.
    beyond : frozenset of str
        Ids of images that could have judged, and were not taken as there are enough.
    """

    kind: Replayed
    train: Dataset | None = None
    judges: tuple[Sample, ...] = ()
    chosen_on: bool = False
    trained_on: bool = False
    beyond: frozenset[str] = frozenset()

    @property
    def sentence(self) -> str:
        """What is replayed, for a person."""
        count = 0 if self.train is None else len(self.train)
        images = count_of(count, "image")
        what = {
            "training data": f"training data: {images}",
            "recorded training data": f"training data that the model remembers: {images}, "
            "still where they were",
            "rehearsal set": f"{count_of(count, 'crop')} of the rehearsal set inside the model",
            "own predictions": f"the model's own predictions on {images} without masks",
            "nothing": "nothing: the model may forget what it knew",
        }
        return f"replayed {what[self.kind]}"


def recorded_data(provenance: Mapping[str, Any]) -> Path | None:
    """Where the data set is that a model was trained on, if something is still there."""
    data = provenance.get("data") or {}
    place = data.get("path")
    if not isinstance(place, str) or not place:
        return None
    path = Path(place)
    try:
        return path if path.is_absolute() and path.exists() else None
    except (OSError, ValueError):
        return None


def find_replay(
    named: Path | None,
    named_format: str | None,
    model: Model,
    folder: Path,
    seen: TrainingMembership,
    seed: int,
    on_problem: Callable[[LeftOut], object],
    on_note: Callable[[str], object],
    remembered: Path | None = None,
) -> ReplaySource:
    """The first that there is: data that is named, data that the model remembers, its rehearsal set.

    Parameters
    ----------
    named : pathlib.Path, optional
        The data set that a person named, and its layout.
    named_format : str, optional
        Its layout.
    model : Model
        Before it learns.
    folder : pathlib.Path
        Where it was read from.
    seen : TrainingMembership
        What it has seen: images count as its training data by their pixels.
    seed : int
        Of what is taken of many.
    on_problem : callable
        Takes images that cannot be read.
    on_note : callable
        Takes what a person should know.
    remembered : pathlib.Path, optional
        Where the data is that the model remembers, if not where it says.

    Raises
    ------
    DataError
        If the data that is named is not what the model was trained on.
    """
    data = model.provenance.get("data") or {}
    how = data.get("masks_are", ""), tuple(data.get("channels", ()))
    if named is not None:
        return _of_data(open_replay(named, named_format, seen, seed, *how, on_problem), "training data")
    place = remembered or recorded_data(model.provenance)
    if place is not None:
        try:
            found = open_replay(place, data.get("format"), seen, seed, *how, on_problem)
        except WorkbenchError:
            on_note(f"{place} is not what the model was trained on any more, so it is not replayed")
        else:
            return _of_data(found, "recorded training data")
    try:
        rehearsal = read_rehearsal(folder)
    except WorkbenchError as error:
        on_note(error.sentence)
        rehearsal = None
    if rehearsal is None:
        return ReplaySource("nothing")
    samples = samples_of(rehearsal)
    replayed, judges = part(samples, lambda sample: str(sample.group))
    return ReplaySource(
        "rehearsal set",
        as_dataset("rehearsal", replayed, model.classes),
        tuple(judges),
        trained_on=True,
    )


def replay_own_predictions(
    others: Sequence[Sample],
    model: Model,
    seed: int,
    cancel: CancelToken,
    on_problem: Callable[[LeftOut], object],
) -> ReplaySource:
    """What the model says now of images without masks; it cannot judge, as it only repeats the model."""
    taught = own_predictions(others, model, seed, cancel, on_problem)
    if not taught:
        return ReplaySource("nothing")
    return ReplaySource("own predictions", as_dataset("replay", taught, model.classes))


def part(
    samples: Sequence[Sample], unit: Callable[[Sample], str] = lambda sample: sample.id
) -> tuple[list[Sample], list[Sample]]:
    """Part what is replayed from what judges: one unit in two, by the hash of its name, always the same."""
    units = {unit(s) for s in samples}
    if len(units) < FEWEST_TO_PART:
        return list(samples), []
    order = sorted(units, key=lambda name: hashlib.blake2b(name.encode("utf-8", "replace")).digest())
    judging = set(order[: len(units) // JUDGING])
    return [s for s in samples if unit(s) not in judging], [s for s in samples if unit(s) in judging]


def _of_data(found: Replay, kind: Replayed) -> ReplaySource:
    if len(found.held_out):
        return ReplaySource(
            kind, found.train, tuple(found.held_out.samples), found.chosen_on, beyond=found.beyond
        )
    replayed, judges = part(found.train.samples)
    return ReplaySource(
        kind, found.train.subset(s.id for s in replayed), tuple(judges), trained_on=bool(judges)
    )


def samples_of(rehearsal: Rehearsal) -> list[Sample]:
    """What a model remembers as images with masks; slices of a block know their place in it."""
    blocks: dict[str, dict[int, _SliceOfBlock]] = {}
    samples = []
    for crop in rehearsal.full_size():
        if not crop.volume:
            mask = ReferenceMask(crop.labels, crop.objects)
            samples.append(Sample(crop.id, partial(_same, crop.image), partial(_same, mask), group=crop.id))
            continue
        block = blocks.setdefault(crop.volume, {})
        load = block[crop.z] = _SliceOfBlock(crop, block)
        if (crop.labels != UNKNOWN).any():
            samples.append(Sample(crop.id, load, _MaskOfSlice(crop), group=crop.volume, original=load))
    return samples


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, eq=False)
class _SliceOfBlock:
    """Gives a slice of a block, (Y, X, C), and says where it lies."""

    crop: RehearsalCrop
    block: Mapping[int, _SliceOfBlock]

    def __call__(self) -> NDArray[np.generic]:
        return self.crop.image

    @property
    def place(self) -> Place:
        """Where it lies."""
        name = self.crop.volume
        return Place(name, self.crop.z, self.block, ("rehearsal", name))


@dataclass(frozen=True, eq=False)
class _MaskOfSlice:
    """Gives its mask, in which unknown pixels weigh nothing."""

    crop: RehearsalCrop

    one_numbering = True  # objects of blocks are stored only so

    def __call__(self) -> ReferenceMask:
        unknown = self.crop.labels == UNKNOWN
        labels = np.where(unknown, np.uint8(0), self.crop.labels)
        objects = None if self.crop.objects is None else np.where(unknown, 0, self.crop.objects)
        return ReferenceMask(labels, objects, (~unknown).astype(np.float32) if unknown.any() else None)
