"""Labelled images that a task is given: a data set, layers, or the corrections of a project."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_dataset
from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask
from napari_unet.data.split import Split
from napari_unet.errors import DataError, ModelError
from napari_unet.workflow.inputs.image_reference import FileReference, ImageReference, References, refer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.project.project import Project

EVERY = 5  # one done image in so many chooses the weights
FEWEST_DONE = 5  # done images below which none is spared for that


@dataclass(frozen=True, eq=False)
class GivenData:
    """Images with masks, to be trained on wherever the task runs.

    Attributes
    ----------
    name : str
        For people.
    items : tuple of LabelledImage
        Each an image with what is known of its mask.
    classes : tuple of str
        Names of the classes 1..K.
    split : Split or None
        To train with; drawn from the images if None.
    """

    name: str
    items: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    split: Split | None = None

    def open(self) -> Dataset:
        """As a data set, with a cache of its own; errors as ``LabelledImage.sample``."""
        references = References()
        samples = [item.sample(references) for item in self.items]
        said = {item.image.masks_are for item in self.items if isinstance(item.image, FileReference)}
        masks_are = said.pop() if len(said) == 1 else ""
        dataset = as_dataset(self.name, samples, self.classes)
        chosen = {item.image.channels for item in self.items if isinstance(item.image, FileReference)}
        channels = chosen.pop() if len(chosen) == 1 else ()
        return replace(dataset, find_groups=None, masks_are=masks_are, channels=channels)


def labelled_images(
    name: str, samples: Mapping[str, Sample], dataset: Dataset | None, classes: tuple[str, ...]
) -> GivenData:
    """All images that have a reference mask."""
    items = [
        LabelledImage(refer(sample, dataset), group=sample.group or identifier)
        for identifier, sample in samples.items()
        if sample.has_mask
    ]
    return GivenData(name, tuple(items), classes)


def corrected_images(
    project: Project, samples: Mapping[str, Sample], dataset: Dataset | None, groups: Mapping[str, str]
) -> GivenData:
    """What a person corrected, parted as the project parts it.

    What teaches trains; images held out and done judge; of five or more done images that teach one in
    five, by the hash of its group, chooses the weights.

    Parameters
    ----------
    project : Project
        Whose corrections and rule count.
    samples : mapping
        Id to image, of those that are open.
    dataset : Dataset or None
        Where they come from.
    groups : mapping
        Id to group.
    """
    corrections = project.corrections
    items: list[LabelledImage] = []
    parts: dict[str, list[str]] = {"train": [], "validation": [], "held_out": []}
    touched = [i for i in corrections.touched() if i in samples]
    done = [i for i in touched if corrections.stats(i).done and corrections.part(i) == "train"]
    choosing = _choosing(done, groups) if len(done) >= FEWEST_DONE else set()
    for identifier in touched:
        part = corrections.part(identifier)
        if part != "train":
            part = "held_out" if corrections.stats(identifier).done else ""
        elif identifier in choosing:
            part = "validation"
        if part:
            reference = corrections[identifier].reference()
            group = groups.get(identifier) or identifier
            image = refer(samples[identifier], dataset)
            items.append(LabelledImage(image, reference.labels, reference.weights, group))
            parts[part].append(identifier)
    name = f"corrections of {project.name}"
    split = Split(
        tuple(parts["train"]),
        tuple(parts["validation"]),
        tuple(parts["held_out"]),
        groups={i: groups.get(i) or i for ids in parts.values() for i in ids},
        data=name,
        note="" if choosing else "too few images are done to choose the weights by: the last are taken",
    )
    classes = dataset.classes if dataset is not None else project.file.classes
    return GivenData(name, tuple(items), classes, split)


def _choosing(done: list[str], groups: Mapping[str, str]) -> set[str]:
    """Of done images, whole groups that make up one in five, or at least one image; never all groups."""

    def rank(group: str) -> bytes:
        return hashlib.blake2b(b"validation " + group.encode("utf-8", "replace"), digest_size=8).digest()

    members: dict[str, list[str]] = {}
    for identifier in done:
        members.setdefault(groups.get(identifier) or identifier, []).append(identifier)
    chosen: set[str] = set()
    for group in sorted(members, key=rank)[:-1]:
        if len(chosen) >= len(done) // EVERY:
            break
        chosen.update(members[group])
    return chosen


def open_labelled(path: Path | GivenData, layout: str | None) -> Dataset:
    """Open a data set, or images that are given one by one, to score on.

    Raises
    ------
    DataError
        If it cannot be read or has no reference masks.
    """
    dataset = path.open() if isinstance(path, GivenData) else open_dataset(path, layout)
    if len(dataset) == 0:
        raise DataError(
            f"{dataset.name} has no reference masks to score against",
            code="data.masks.missing",
            remedy="give a data set with masks",
        )
    return dataset


def check_classes(model: AnyModel, dataset: Dataset) -> None:
    """Refuse a model with another number of classes than the data set.

    Raises
    ------
    ModelError
        If they differ.
    """
    if len(model.classes) != len(dataset.classes):
        raise ModelError(
            "the model and the data set have different classes",
            code="model.classes.different",
            expected=", ".join(dataset.classes),
            got=", ".join(model.classes),
            remedy="use a model that was trained on such data",
        )


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image with what a person says of it.

    Attributes
    ----------
    image : ImageReference
        Where the image is; its reference mask counts where no labels are given.
    labels : numpy.ndarray or None
        (Y, X) uint8, 0 background, 1..K.
    weights : numpy.ndarray or None
        (Y, X) float32, 1 on pixels that are verified, 0 elsewhere; None: the image is done, all are.
    group : str
        What must not be parted; the image itself if empty.
    objects : numpy.ndarray or None
        (Y, X) int32, where a person joined objects or cut them apart; see ``ReferenceMask``.
    """

    image: ImageReference
    labels: NDArray[np.uint8] | None = None
    weights: NDArray[np.float32] | None = None
    group: str = ""
    objects: NDArray[np.int32] | None = None

    @property
    def id(self) -> str:
        """Of the image."""
        return self.image.id

    def sample(self, references: References) -> Sample:
        """As a sample with pixel weights.

        Raises
        ------
        DataError
            If the image, or a mask for it, is not there.
        """
        try:
            found = references.sample(self.image)
        except (KeyError, FileNotFoundError) as error:
            raise DataError(
                f"{self.id} is not there any more", code="data.file.missing", remedy="open the data again"
            ) from error
        group = self.group or found.group
        if self.labels is not None:
            mask = ReferenceMask(self.labels, self.objects, self.weights)
            return replace(found, load_mask=lambda: mask, group=group)
        if not found.has_mask:
            raise DataError(
                f"{self.id} has no mask",
                code="data.mask.missing",
                remedy="give labels, or an image that has one",
            )
        return replace(found, group=group)


def as_dataset(name: str, samples: Iterable[Sample], classes: tuple[str, ...]) -> Dataset:
    """Samples as a data set of their own, with a cache of its own."""
    return Dataset(name, "corrections", Path(), tuple(samples), classes=classes)
