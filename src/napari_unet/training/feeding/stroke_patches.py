"""Patches around the strokes that a person painted, and of what the network is sure of elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.models.normalization import resize, scaled_shape
from napari_unet.training.feeding.augmentation import Patch, cut_patch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.settings import TrainingSettings

    Batch = tuple[NDArray[np.float32], NDArray[np.float32]]

MOST_PLACES = 4096  # pixels of a class in an image on which patches are centred
JITTER = 0.25  # of a patch, either way
# What the network takes for true where nobody painted. Measured in docs/benchmarks/scribbles.md.
SURE, GUESS_WEIGHT = 0.9, 0.3  # probability from which a guess counts, and what it counts, a stroke being 1
ANYWHERE = 0.5  # share of the patches of an image with guesses that are cut anywhere


@dataclass(frozen=True, eq=False)
class StrokedImage:
    """An image as the network sees it, with what was painted on it.

    Attributes
    ----------
    whole : Patch
        Image, labels and weights; the weight of a pixel that nobody painted is 0.
    places : mapping of int to numpy.ndarray
        Class, 0 for the background, to (N, 2) int32: y and x of pixels that are painted with it.
    guessed : Patch or None
        The same with labels where the network is sure of them; None before it was asked.
    """

    whole: Patch
    places: Mapping[int, NDArray[np.int32]]
    guessed: Patch | None = None

    @classmethod
    def of(
        cls,
        values: NDArray[np.float32],
        labels: NDArray[np.uint8],
        known: NDArray[np.bool_],
        scale: float = 1.0,
    ) -> StrokedImage:
        """Bring strokes to the resolution of a prepared image.

        Parameters
        ----------
        values : numpy.ndarray
            (Y * scale, X * scale, C) float32, prepared for the network.
        labels : numpy.ndarray
            (Y, X) uint8, 0 background, 1..K classes.
        known : numpy.ndarray
            (Y, X) bool, what is painted.
        scale : float
            Of the network's resolution.
        """
        shape = scaled_shape(labels.shape, scale)
        labels = resize(labels[..., None], shape, nearest=True)[..., 0]
        known = resize(known.astype(np.uint8)[..., None], shape, nearest=True)[..., 0] > 0
        draw = np.random.default_rng(len(known))
        places = {}
        for label in np.unique(labels[known]):
            found = np.argwhere(known & (labels == label)).astype(np.int32)
            if len(found) > MOST_PLACES:
                found = found[draw.choice(len(found), MOST_PLACES, replace=False)]
            places[int(label)] = found
        return cls(Patch(values, np.ascontiguousarray(labels), known.astype(np.float32)), places)

    def guess(self, probabilities: NDArray[np.float32]) -> StrokedImage:
        """Take what a network is sure of for true, with little weight; painted pixels stay as they are.

        The answers are those to the image as it is. The network learns to answer the same when the image is
        turned, scaled, brighter or darker, and to follow the edges that it has found.

        Parameters
        ----------
        probabilities : numpy.ndarray
            (Y, X, K) float32 in [0, 1], as large as the prepared image.

        Notes
        -----
        Mean teacher with hard pseudo-labels: Tarvainen and Valpola 2017, arXiv:1703.01780.
        """
        background = 1 - probabilities.sum(axis=2, keepdims=True)
        every = np.concatenate([background, probabilities], axis=2)
        painted = self.whole.weights > 0
        labels = np.where(painted, self.whole.labels, every.argmax(axis=2)).astype(np.uint8)
        weights = np.where(painted, 1, GUESS_WEIGHT * (every.max(axis=2) >= SURE)).astype(np.float32)
        return replace(self, guessed=replace(self.whole, labels=labels, weights=weights))


class StrokePatches:
    """Draws batches from images with strokes; a round may bring others, or more on the same.

    Parameters
    ----------
    training : TrainingSettings
        Batch, patch, augmentation, seed; whether classes are balanced.
    classes : int
        K.
    multiple : int
        Sides of patches are multiples of this.

    Attributes
    ----------
    images : dict
        Id to StrokedImage; changed between rounds.
    """

    def __init__(self, training: TrainingSettings, classes: int, multiple: int = 1) -> None:
        self.training, self.classes = training, classes
        self.side = -(-training.patch // multiple) * multiple
        self.images: dict[str, StrokedImage] = {}

    @property
    def counts(self) -> NDArray[np.int64]:
        """(K + 1,) painted pixels of each class, background first."""
        found = np.zeros(self.classes + 1, np.int64)
        for image in self.images.values():
            known = image.whole.weights > 0
            found += np.bincount(image.whole.labels[known], minlength=len(found))[: len(found)]
        return found

    def batch(self, step: int) -> Batch:
        """The batch of a step: the same images and settings give the same one.

        Returns
        -------
        images : numpy.ndarray
            (N, Y, X, C) float32.
        targets : numpy.ndarray
            (N, Y, X, K + 1) float32: one-hot classes 1..K, then weights, 0 where nothing is known.
        """
        every = [(image, label) for image in self.images.values() for label in image.places]
        by_class: dict[int, list[StrokedImage]] = {}
        for image, label in every:
            by_class.setdefault(label, []).append(image)
        labels = sorted(by_class)
        patches = []
        for row in range(self.training.batch_size):
            draw = np.random.default_rng((self.training.seed, step, row))
            label = labels[(step * self.training.batch_size + row) % len(labels)]
            image = by_class[label][draw.integers(len(by_class[label]))]
            patches.append(self._patch(image, label, draw))
        images = np.stack([patch.image for patch in patches])
        targets = np.empty((len(patches), self.side, self.side, self.classes + 1), np.float32)
        for row, patch in enumerate(patches):
            for number in range(self.classes):
                targets[row, ..., number] = patch.labels == number + 1
            targets[row, ..., -1] = patch.weights
        return images, targets

    def _patch(self, image: StrokedImage, label: int, draw: np.random.Generator) -> Patch:
        """A patch around a pixel of a class, or anywhere if the rest of the image is guessed."""
        places, source = image.places[label], image.guessed or image.whole
        place = places[draw.integers(len(places))]
        anywhere = image.guessed is not None and draw.random() < ANYWHERE
        centre = []
        for axis, size in enumerate(source.labels.shape):
            spare = max(size - self.side, 0)
            low = (self.side - 1) / 2
            wanted = place[axis] + draw.uniform(-JITTER, JITTER) * self.side
            if anywhere:
                wanted = draw.uniform(low, low + spare)
            centre.append(float(np.clip(wanted, low, low + spare)) if spare else (size - 1) / 2)
        shape = (self.side, self.side)
        return cut_patch(source, (centre[0], centre[1]), shape, self.training.augmentation, draw)
