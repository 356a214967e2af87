"""The open images, with what is known of each: predictions, corrections, scores."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import dataset_with_channels, whole_of, with_channels
from napari_unet.errors import WorkbenchError
from napari_unet.inference.edits.object_edits import join_numbers
from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.overlap import OverlapCounts, count_overlap
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.session.images.entry import Entry
from napari_unet.session.images.image_row import ImageRow
from napari_unet.session.images.volume_rows import volume_row, volumes_among

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.metrics.overlap import EmptyRule
    from napari_unet.models.card import ModelCard
    from napari_unet.settings import InferenceSettings

SEEN = ("train", "validation")
MOST_UNKNOWN = 0.5  # share of a mask above which it has no score


class Collection:
    """Images that are worked through together: a data set, or the images of layers.

    Parameters
    ----------
    name : str
        For people.
    samples : sequence of Sample
        In order; ids differ.
    dataset : Dataset, optional
        Where they come from, if from one.

    Attributes
    ----------
    memory : Corrections
        Where corrections go while no project has them.
    left : list of Entry
        Images that left though they were painted and no project has that yet.
    channels : tuple of str
        Numbers of the channels that are read of each image that has several; empty: all.
    volumes : dict
        Name of each volume to the ids of its slices, in order.
    """

    def __init__(self, name: str, samples: Sequence[Sample], dataset: Dataset | None = None) -> None:
        self.name = name
        self.dataset = dataset
        self.memory = Corrections.in_memory()
        self.left: list[Entry] = []
        self.channels: tuple[str, ...] = () if dataset is None else dataset.channels
        self.entries = self._new_entries(samples)
        self._take_volumes, self._numbered = True, False
        self._find_volumes()
        self.classes: tuple[str, ...] = dataset.classes if dataset is not None else ("foreground",)
        self.activation: str = "sigmoid"
        self.model: ModelCard | None = None  # whose predictions are stored
        self.inspected = False  # whether flaws were looked for
        self.leave_out_flaws = False  # of training and scores
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all images, in order."""
        return tuple(self.entries)

    @property
    def unsaved(self) -> bool:
        """Whether something was painted that no project has."""
        return any(e.is_unsaved for e in (*self.entries.values(), *self.left))

    @property
    def folder(self) -> Path:
        """Where probabilities are stored while the collection is open."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="napari-unet-probabilities-")
        return Path(self._folder.name)

    def close(self) -> None:
        """Remove what was stored on disk."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def update(self, samples: Iterable[Sample], before: Mapping[str, str] | None = None) -> bool:
        """Take other samples; what is known of those that remain stays.

        Parameters
        ----------
        samples : iterable of Sample
            An image is another one if the function that reads all of it is not equal to the one before.
        before : mapping, optional
            Id to the earlier id of the image, where that differs.

        Returns
        -------
        bool
            Whether anything changed.
        """
        fresh = {s.id: s for s in samples}
        old = self.entries
        if list(fresh) == list(old) and all(old[i].sample is s for i, s in fresh.items()):
            return False
        if any(identifier in self.memory for identifier in fresh):
            self.memory = Corrections.in_memory()  # what is there may be of another image of that name
        self.entries = self._new_entries(fresh.values())
        self._find_volumes()
        stay: set[int] = set()
        for identifier, entry in self.entries.items():
            known = old.get((before or {}).get(identifier, identifier))
            if known is None or whole_of(known.sample) != whole_of(entry.sample):
                continue
            if known.sample.load_image != entry.sample.load_image:
                known.forget_prediction()  # of other channels
            if entry.sample.load_mask != known.sample.load_mask:
                known.counts = known.iou = None
            stay.add(id(known))
            entry.__dict__.update(known.__dict__, sample=entry.sample, group=entry.group)
        self.left += [e for e in old.values() if id(e) not in stay and e.is_unsaved]
        return True

    def read_channels(self, numbers: tuple[str, ...]) -> None:
        """Read only these channels from now on; what was predicted of others is forgotten."""
        self.channels = numbers
        if self.dataset is not None:
            self.dataset = dataset_with_channels(self.dataset, numbers)
            self.update((*self.dataset.samples, *self.dataset.unlabelled))
        else:
            self.update([with_channels(entry.sample, numbers) for entry in self.entries.values()])

    def _new_entries(self, samples: Iterable[Sample]) -> dict[str, Entry]:
        return {s.id: Entry(s, group=s.group or "", corrections=self.memory) for s in samples}

    def masks_mean(self, classes: tuple[str, ...]) -> None:
        """Take the classes of reference masks; those of a model that was used go before."""
        if self.model is None:
            self.classes = classes

    # volumes

    def _find_volumes(self) -> None:
        samples = (entry.sample for entry in self.entries.values())
        found = volumes_among(samples, numbered=self._numbered) if self._take_volumes else {}
        self.volumes = found
        self._volume_of = {i: name for name, ids in self.volumes.items() for i in ids}

    def take_volumes(self, wanted: bool, *, numbered: bool = False) -> None:
        """List slices that lie one behind another as one volume, or as images of their own.

        So are single files whose names end in numbers, if `numbered` says that they are slices.
        """
        self._take_volumes, self._numbered = wanted, numbered
        self._find_volumes()

    def volume_of(self, identifier: str) -> str:
        """The volume of which an image is a slice; empty if it is none."""
        return self._volume_of.get(identifier, "")

    def listed(self, identifier: str) -> str:
        """What an image is listed under: its volume, or itself."""
        return self._volume_of.get(identifier, identifier)

    def members(self, listed: str) -> tuple[str, ...]:
        """Ids of the images of a row of the list: the slices of a volume, or the one image."""
        return self.volumes.get(listed, (listed,))

    @property
    def listed_ids(self) -> tuple[str, ...]:
        """What is listed, in order: volumes, and images that are no slices."""
        return tuple(dict.fromkeys(map(self.listed, self.entries)))

    def listed_row(self, listed: str, empty: EmptyRule) -> ImageRow:
        """The row of a volume or of an image."""
        if listed in self.volumes:
            return volume_row(listed, self.entries, self.volumes[listed], empty)
        return self.row(listed)

    def row(self, identifier: str) -> ImageRow:
        """The row of one image."""
        entry = self.entries[identifier]
        return ImageRow(
            identifier,
            entry.group,
            entry.part,
            entry.status,
            entry.iou,
            entry.sample.has_mask,
            entry.problem or entry.flaw or entry.look_alike,
            entry.estimate,
            entry.reason,
        )

    def image(self, identifier: str) -> NDArray[np.generic]:
        """(Y, X, C) in the stored dtype, through the data set's cache; do not write to it.

        Raises
        ------
        WorkbenchError
            If it cannot be read.
        """
        sample = self.entries[identifier].sample
        return self.dataset.image(sample) if self.dataset is not None else sample.read_image()

    def reference(self, identifier: str) -> ReferenceMask | None:
        """The reference mask; None if there is none or it cannot be read."""
        sample = self.entries[identifier].sample
        if not sample.has_mask:
            return None
        try:
            return self.dataset.mask(sample) if self.dataset is not None else sample.read_mask()
        except WorkbenchError as error:
            self.entries[identifier].problem = error.sentence
            return None

    def predicted_mask(self, identifier: str, settings: InferenceSettings) -> NDArray[np.uint8] | None:
        """(Y, X) uint8 as it was segmented, or from the stored probabilities; None without these."""
        prediction = self.entries[identifier].prediction
        if prediction is None or prediction.file is None:
            return None
        made = prediction.mask(settings.threshold, settings.minimum_size)
        if made is not None:
            return made
        try:
            probabilities = prediction.probabilities()
        except (OSError, ValueError):
            entry = self.entries[identifier]
            entry.prediction = None
            entry.problem = "its probabilities are gone from the disk; segment it again"
            return None
        mask = np.zeros(probabilities.shape[:2], np.uint8)
        for region in prediction.regions:
            mask[region.slices] = mask_from_probabilities(
                np.asarray(probabilities[region.slices], np.float32),
                settings.threshold,
                settings.minimum_size,
                activation=self.activation,  # type: ignore[arg-type]
            )
        return mask

    def mask(self, identifier: str, settings: InferenceSettings) -> NDArray[np.uint8] | None:
        """(Y, X) uint8: the corrected mask, else the predicted one; None if there is neither."""
        entry = self.entries[identifier]
        if entry.is_corrected:
            return entry.corrected
        return self.predicted_mask(identifier, settings)

    def objects(
        self, identifier: str, mask: NDArray[np.uint8], settings: InferenceSettings
    ) -> NDArray[np.int32]:
        """Number the objects of a mask of an image, with what the network said of it as a help.

        Parameters
        ----------
        identifier : str
            Of the image.
        mask : numpy.ndarray
            (Y, X) uint8, 0..K, as predicted or corrected.
        settings : InferenceSettings
            How touching objects are separated.

        Returns
        -------
        numpy.ndarray
            (Y, X) int32, 0 background; every pixel of the mask belongs to one object. What a person joined is
            one object.
        """
        joined = self.joined(identifier)
        found = self._told_apart(identifier, mask, settings)
        return found if joined is None or joined.shape != mask.shape else join_numbers(found, joined, mask)

    def joined(self, identifier: str) -> NDArray[np.bool_] | None:
        """(Y, X) bool, the pixels in which a person joined objects of an image; None if there are none."""
        entry = self.entries[identifier]
        if not isinstance(entry.corrections, Corrections) or not entry.is_corrected:
            return None
        return entry.corrections.joined(entry.known_as)

    def _told_apart(
        self, identifier: str, mask: NDArray[np.uint8], settings: InferenceSettings
    ) -> NDArray[np.int32]:
        """The objects of a mask as the model tells them apart."""
        prediction = self.entries[identifier].prediction
        if prediction is None or prediction.file is None or prediction.shape != mask.shape:
            return find_objects(mask, settings)
        try:
            probabilities, separation = prediction.probabilities(), prediction.separation()
        except (OSError, ValueError):
            return find_objects(mask, settings)
        return find_objects(
            mask,
            settings,
            np.asarray(probabilities, np.float32),
            None if separation is None else np.asarray(separation, np.float32),
            prediction.separation_kind,
        )

    def said(self, identifier: str) -> tuple[NDArray[np.float16], NDArray[np.float16] | None] | None:
        """What the model said of an image: probabilities (Y, X, K), and (Y, X) what tells objects apart.

        None if it was not asked, or that is gone from the disk.
        """
        prediction = self.entries[identifier].prediction
        if prediction is None or prediction.file is None:
            return None
        try:
            return prediction.probabilities(), prediction.separation()
        except (OSError, ValueError):
            return None

    def count(
        self,
        identifier: str,
        mask: NDArray[np.uint8],
        empty: EmptyRule,
        scored_with: tuple[float, int] | None = None,
    ) -> None:
        """Score a mask against the reference and remember it; ignored pixels do not count."""
        self.entries[identifier].score(self.overlap(identifier, mask), empty, scored_with)

    def overlap(self, identifier: str, mask: NDArray[np.uint8]) -> OverlapCounts | None:
        """Agreement of a mask (Y, X) uint8 with the reference, ignored pixels aside; None without one."""
        reference = self.reference(identifier)
        ignored = mask == IGNORE
        if ignored.mean() > MOST_UNKNOWN:
            return None  # strokes: a person chose the few pixels, and they say nothing of the rest
        if reference is not None and reference.labels.shape == mask.shape and ignored.any():
            weights = np.ones(mask.shape, np.float32) if reference.weights is None else reference.weights
            reference = replace(reference, weights=np.where(ignored, 0, weights).astype(np.float32))
            mask = np.where(ignored, 0, mask).astype(np.uint8)
        fits = (
            reference is not None
            and reference.labels.shape == mask.shape
            and int(reference.labels.max(initial=0)) <= len(self.classes)
            and int(mask.max(initial=0)) <= len(self.classes)
        )
        if reference is None or not fits:
            return None
        return count_overlap(reference.labels, mask, len(self.classes), reference.weights)

    @property
    def flawed(self) -> list[str]:
        """Ids of the images that `inspect` finds wrong."""
        return [i for i, e in self.entries.items() if e.flaw]

    def is_left_out(self, identifier: str) -> bool:
        """Whether an image is left out of training and scores."""
        return self.leave_out_flaws and bool(self.entries[identifier].flaw)

    def forget_predictions(self) -> None:
        """Forget what another model said; corrections and what was verified stay."""
        for entry in self.entries.values():
            entry.forget_prediction()
        self.close()

    def scored(self) -> tuple[list[str], bool, int]:
        """Images that overall scores are of, and whether the model has seen them in training.

        Returns
        -------
        ids : list of str
            With a score, unseen by the model; all with a score if every one was seen.
        seen : bool
            Whether they were seen.
        left_out : int
            Images with a score that are not among them.
        """
        known = [
            (i, e)
            for i, e in list(self.entries.items())
            if e.iou is not None and e.prediction and not self.is_left_out(i)
        ]
        unseen = [i for i, e in known if e.part not in SEEN]
        if unseen or not known:
            return unseen, False, len(known) - len(unseen)
        return [i for i, _ in known], True, 0
