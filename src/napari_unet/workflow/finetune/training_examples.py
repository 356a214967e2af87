"""What a model learns from and is judged on when it is fine-tuned: corrections, replay, held-out images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.loaders import LabelMaskLoader
from napari_unet.data.files.reading import current_reading, reading_images
from napari_unet.data.masks.mask_checks import FittingMask
from napari_unet.data.masks.mask_pixels import MaskInFile, decode_labels, decode_stored
from napari_unet.data.masks.mask_reading import Choice, MaskReading, current_mask_reading, reading_masks
from napari_unet.data.masks.mask_values import MaskValues
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.task import FromCaller
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.workflow.inputs.image_reference import CallReference, stored_of
from napari_unet.workflow.inputs.labelled_images import LabelledImage
from napari_unet.workflow.inputs.left_out import LeftOut, check_size
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.evaluation.leakage import TrainingMembership
    from napari_unet.inference.postprocess import Activation
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.workflow.inputs.image_reference import ImageReference

EVERY = 5  # one done image in so many is for judging
MOST_REPLAYED = 400
MOST_JUDGED = 200
MOST_SELF_TAUGHT = 24  # images that are replayed with the model's own predictions
UNSURE, SURE = 0.5, 0.9  # probability of the predicted class: below, no evidence; above, all of it
BLACK_AND_WHITE = 255


def is_reserved(identifier: str) -> bool:
    """Whether a done image is for judging, never for training: one in five, by the hash of its id."""
    return _digest(identifier) % EVERY == 0


def _digest(identifier: str) -> int:
    digest = hashlib.blake2b(identifier.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def is_done(mask: ReferenceMask) -> bool:
    """Whether every pixel is verified."""
    return mask.weights is None or bool((mask.weights > 0).all())


def set_aside(
    samples: Sequence[Sample],
    dataset: Dataset,
    seen: TrainingMembership,
    *,
    reserve: bool = True,
    by_group: bool = False,
) -> tuple[list[Sample], list[Sample]]:
    """Part corrections into those to learn from and those to judge by.

    Done images whose id says so are for judging, unless the model has trained on them already. Where those
    are fewer than one in five, done images of the lowest hashes join them.
    Corrections that verify nothing are in neither.

    Parameters
    ----------
    samples : sequence of Sample
        Corrections.
    dataset : Dataset
        Through whose cache they are read.
    seen : TrainingMembership
        What the model has seen.
    reserve : bool
        Whether any is for judging.
    by_group : bool
        Whether the group of an image says so, not its id: blocks of slices judge as a whole.

    Returns
    -------
    learned_from, judges : list of Sample
        In order.
    """
    learned_from, judges = [], []
    for sample in samples:
        mask = dataset.mask(sample)
        kept = reserve and is_reserved(_rank(sample, by_group)) and is_done(mask)
        if kept and seen.part(dataset.image(sample)) != "train":
            judges.append(sample)
        elif mask.weights is None or bool((mask.weights > 0).any()):
            learned_from.append(sample)
    if reserve and len(judges) < (wanted := (len(learned_from) + len(judges)) // EVERY):
        more = _lowest(learned_from, dataset, seen, wanted - len(judges), by_group)
        judges = [s for s in samples if s in judges or s in more]
        learned_from = [s for s in learned_from if s not in more]
    return learned_from, judges


def _rank(sample: Sample, by_group: bool) -> str:
    return (sample.group if by_group else None) or sample.id


def _lowest(
    samples: Sequence[Sample], dataset: Dataset, seen: TrainingMembership, count: int, by_group: bool
) -> list[Sample]:
    """Done images of the lowest hashes that the model does not know: chance may spare too few."""
    able = [s for s in samples if is_done(dataset.mask(s)) and seen.part(dataset.image(s)) != "train"]
    return sorted(able, key=lambda s: _digest(_rank(s, by_group)))[: min(count, len(samples) - 1)]


@dataclass(frozen=True, eq=False)
class Replay:
    """Of the data that a model was trained on: what it trained on, and what was held out.

    Attributes
    ----------
    train, held_out : Dataset
        Parts; either may be empty. Where nothing was held out, the validation part stands in.
    chosen_on : bool
        Whether that is so, and the model's weights were once chosen on those images.
    beyond : frozenset of str
        Ids of images that could have judged, and were not taken as there are enough.
    """

    train: Dataset
    held_out: Dataset
    chosen_on: bool = False
    beyond: frozenset[str] = frozenset()


def open_replay(
    path: Path,
    format: str | None,
    seen: TrainingMembership,
    seed: int,
    masks_are: Choice = "",
    channels: tuple[str, ...] = (),
    on_problem: Callable[[LeftOut], object] | None = None,
) -> Replay:
    """Open the data a model was trained on, and find its parts again by the pixels.

    Of many images a random few hundred are taken, the same for the same seed.

    Parameters
    ----------
    path : pathlib.Path
        Data set.
    format : str, optional
        Its layout, if it is not to be recognized.
    seen : TrainingMembership
        Of the model.
    seed : int
        Of the choice.
    masks_are : str
        How the model's training read the masks, unless a person says otherwise now.
    channels : tuple of str
        Which channels it read, unless a person says otherwise now.
    on_problem : callable, optional
        Takes images that cannot be read; without it the error is raised.

    Raises
    ------
    DataError
        If none of its images was in the model's training part.
    """
    reading = current_reading()
    reading = reading if reading.channels else replace(reading, channels=channels)
    masks = MaskReading(current_mask_reading().masks_are or masks_are)
    with reading_masks(masks), reading_images(reading):
        dataset = open_dataset(path, format)
    split = seen.split
    # Names are looked at first, as reading every image of a large set takes long; pixels decide.
    named = split is not None and any(split.part_of(s.id) for s in dataset.samples)
    shuffled = np.random.default_rng(seed).permutation(len(dataset))
    parts: dict[str, list[Sample]] = {"train": [], "validation": [], "held-out": []}
    most = {"train": MOST_REPLAYED, "validation": MOST_JUDGED, "held-out": MOST_JUDGED}
    beyond: dict[str, set[str]] = {part: set() for part in parts}
    for index in shuffled:
        sample = dataset.samples[index]
        guess = split.part_of(sample.id) if split is not None and named else None
        if named and guess is None:
            continue
        if guess in parts and len(parts[guess]) >= most[guess]:
            beyond[guess].add(sample.id)
            continue
        try:
            part = seen.part(dataset.image(sample))
            if part in parts:
                check_size(sample, dataset.image(sample).shape[:2], dataset.mask(sample).labels.shape)
        except WorkbenchError as error:
            if on_problem is None:
                raise
            on_problem(LeftOut.of(sample, error))
            continue
        if part in parts:
            if len(parts[part]) < most[part]:
                parts[part].append(sample)
            else:
                beyond[part].add(sample.id)
    if not parts["train"]:
        raise DataError(
            f"the model was not trained on {path}",
            code="data.replay.different",
            expected="the data set of its training, to be replayed against forgetting",
            got="no image that it has trained on",
            remedy="give that data set, or none: then its own predictions are replayed",
        )
    held = parts["held-out"] or parts["validation"]
    # Groups are worked out from the whole set, which takes seconds where the layout needs it.
    groups = dataset.groups() if held else [""] * len(dataset)
    names = dict(zip((s.id for s in dataset.samples), groups, strict=True))
    return Replay(
        replace(dataset, samples=tuple(parts["train"]), unlabelled=(), find_groups=None),
        replace(
            dataset,
            samples=tuple(replace(s, group=names[s.id]) for s in held),
            unlabelled=(),
            find_groups=None,
        ),
        chosen_on=bool(held) and not parts["held-out"],
        beyond=frozenset(beyond["held-out" if parts["held-out"] else "validation"]),
    )


def own_predictions(
    samples: Sequence[Sample],
    model: Model,
    seed: int,
    cancel: CancelToken | None = None,
    on_problem: Callable[[LeftOut], object] = lambda item: None,
) -> list[Sample]:
    """Images with what the model says of them now, where it is sure, to be replayed.

    Parameters
    ----------
    samples : sequence of Sample
        Not corrected; a few of them are taken.
    model : Model
        Before it learns.
    seed : int
        Of the choice.
    cancel : CancelToken, optional
        Checked before every batch.
    on_problem : callable, optional
        Takes images that cannot be read.

    Returns
    -------
    list of Sample
        With the predicted mask, and weights from 0 where the model wavers to 1 where it is sure.
    """
    order = np.random.default_rng(seed).permutation(len(samples))[:MOST_SELF_TAUGHT]
    plain = model.recipe.inference.model_copy(update={"flips": "none"})
    chosen = [samples[i] for i in sorted(order)]
    taught = []

    def leave_out(sample: Sample, error: WorkbenchError) -> None:
        on_problem(LeftOut.of(sample, error))

    for result in segment_samples(chosen, model, plain, cancel, leave_out):
        mask = confident_mask(result.probabilities, result.mask, model.recipe.network.activation)
        taught.append(replace(result.sample, load_mask=_ChosenIds(mask)))
    return taught


@dataclass(frozen=True, eq=False)
class _ChosenIds:
    mask: ReferenceMask

    def __call__(self) -> ReferenceMask:
        return self.mask


def confident_mask(
    probabilities: NDArray[np.float32], mask: NDArray[np.uint8], activation: Activation
) -> ReferenceMask:
    """A predicted mask, weighted by how sure the model is.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    mask : numpy.ndarray
        (Y, X) uint8 made from them.
    activation : str
        "sigmoid", or "softmax" without the background.

    Returns
    -------
    ReferenceMask
        Weights 0 where the predicted class has probability 0.5 or less, 1 from 0.9, linear between.
    """
    classes = probabilities.shape[2]
    if activation == "softmax":
        background = 1 - probabilities.sum(axis=2, keepdims=True)
    else:
        background = 1 - probabilities.max(axis=2, keepdims=True)
    every = np.concatenate([background, probabilities], axis=2)
    predicted = np.minimum(mask, classes)[..., None].astype(np.intp)
    sure = np.take_along_axis(every, predicted, axis=2)[..., 0]
    weights = np.clip((sure - UNSURE) / (SURE - UNSURE), 0, 1).astype(np.float32)
    return ReferenceMask(mask, weights=weights)


def read_corrections(
    path: Path, classes: int, format: str | None = None, unverified: int | None = None
) -> tuple[tuple[LabelledImage, ...], tuple[ImageReference, ...], list[str]]:
    """Corrections from a folder, zip or table of images and masks.

    Parameters
    ----------
    path : pathlib.Path
        In any layout that ``open_dataset`` knows.
    classes : int
        K of the model.
    format : str, optional
        Layout, if it is not to be recognized.
    unverified : int, optional
        Value of the pixels in mask files that nobody verifies. Without it that is 255, unless the
        masks have nothing but 0 and 255, which are background and foreground then.

    Returns
    -------
    corrections : tuple of LabelledImage
        One for each image with a mask.
    others : tuple of ImageReference
        Images without a mask.
    notes : list of str
        How the masks were understood, where that is not certain.

    Raises
    ------
    DataError
        If there is no image with a mask, or the masks of the layout have no values to choose.
    """
    dataset = open_dataset(path, format)
    if len(dataset) == 0:
        raise DataError(
            f"{path} has no image with a mask",
            code="data.masks.missing",
            remedy="check it with `napari-unet inspect`",
        )
    notes = [p.message for p in dataset.problems if p.kind == "interpretation"]
    groups = dataset.groups()
    corrections = []
    load: Callable[[], ReferenceMask]
    black_and_white = False
    for sample, group in zip(dataset.samples, groups, strict=True):
        load = sample.read_mask
        loader = sample.load_mask.load if isinstance(sample.load_mask, FittingMask) else sample.load_mask
        if unverified is not None:
            if not isinstance(loader, LabelMaskLoader):
                raise DataError(
                    f"masks of the layout {dataset.format} have no value for pixels that nobody verified",
                    code="data.masks.unverified",
                    expected="folders of images and masks",
                    remedy="leave out --unverified: all pixels are verified",
                )
            load = PartialMaskLoader(loader, unverified, classes)
            if isinstance(sample.load_mask, FittingMask):
                load = replace(sample.load_mask, load=load)
        elif isinstance(loader, LabelMaskLoader) and loader.meaning.kind == "threshold":
            pixels = decode_labels(loader.source.read(loader.name), loader.name, loader.page)
            black_and_white |= bool((pixels == BLACK_AND_WHITE).any())
        read = FromCaller(sample.read_image), FromCaller(load)
        reference = CallReference(sample.id, *read, stored=stored_of(sample))
        corrections.append(LabelledImage(reference, group=group))
    if black_and_white:
        notes.append(
            "masks have nothing but 0 and 255, so 255 is foreground; if it means not verified, "
            "say --unverified 255"
        )
    others = tuple(
        CallReference(s.id, FromCaller(s.read_image), stored=stored_of(s)) for s in dataset.unlabelled
    )
    return tuple(corrections), others, notes


@dataclass(frozen=True, eq=False)
class PartialMaskLoader:
    """Reads a mask in which one value stands for pixels that nobody verified.

    Attributes
    ----------
    whole : LabelMaskLoader
        Where the mask is.
    unverified : int
        That value.
    classes : int
        K; with one class every other value but 0 is foreground.
    """

    whole: LabelMaskLoader
    unverified: int
    classes: int

    def __call__(self) -> ReferenceMask:
        """Read and decode."""
        name = self.whole.name
        stored = decode_stored(self.whole.source.read(name), name, self.whole.page)
        pixels = stored.numbers
        if pixels.ndim == 3:
            pixels = pixels.max(axis=2)
        known = pixels != self.unverified
        rest = MaskInFile(np.where(known, pixels, 0))
        meaning = self._meaning()
        labels = rest.pixels.astype(np.int64) if meaning is None else meaning.read(rest, name).labels
        if int(labels.max(initial=0)) > self.classes or int(labels.min(initial=0)) < 0:
            raise DataError(
                f"{name} has a class that the model does not know",
                code="data.mask.classes",
                expected=f"values 0 to {self.classes}, and {self.unverified} for what is not verified",
                got=str(int(labels.max())),
                remedy="mend the mask, or give another --unverified",
            )
        return ReferenceMask(labels.astype(np.uint8), weights=known.astype(np.float32))

    def _meaning(self) -> MaskValues | None:
        """What the other values stand for, as in any data set; None where they are numbers of classes."""
        meaning = self.whole.meaning
        if self.classes == 1:
            if meaning.kind == "threshold":
                return replace(meaning, alpha=False)
            return MaskValues("objects")
        values = tuple(value for value in meaning.values if value != (self.unverified,))
        if meaning.kind != "values" or len(values) != self.classes:
            return None
        return MaskValues("values", values)
