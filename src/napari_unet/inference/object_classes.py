"""The class of each object, read off inside it: the one that its pixels speak for most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import mask_from_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.inference.postprocess import Activation
    from napari_unet.settings import InferenceSettings, Separation

TIE = 0.1  # shares of the first two classes that lie closer are a tie
LEAST = 0.5  # of the threshold: weaker pixels around an object have its class, so that the threshold can move


@dataclass(frozen=True, eq=False)
class ObjectClasses:
    """What was read off inside the objects of an image.

    Attributes
    ----------
    objects : numpy.ndarray
        (Y, X) int32, 0 background, 1..N; without pixels where they are not in memory as a whole.
    shares : numpy.ndarray
        (N, K) float64 in [0, 1], how far the pixels of each object speak for each class; a row adds up to 1.
    """

    objects: NDArray[np.int32]
    shares: NDArray[np.float64]

    @classmethod
    def of_votes(
        cls, votes: NDArray[np.number[Any]], objects: NDArray[np.int32] | None = None
    ) -> ObjectClasses:
        """From (N, K) sums over the pixels of each object; without any, all classes have equal shares."""
        totals = votes.sum(axis=1, keepdims=True)
        even = np.full(votes.shape, 1 / max(votes.shape[1], 1))
        shares = np.divide(votes, totals, out=even, where=totals > 0)
        return cls(np.zeros((0, 0), np.int32) if objects is None else objects, shares)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) class of each object, 1..K; of equal ones the first."""
        found: NDArray[np.int64] = self.shares.argmax(axis=1) + 1
        return found

    @property
    def ties(self) -> NDArray[np.int64]:
        """Numbers of the objects that may as well be of a second class."""
        if self.shares.shape[1] < 2:
            return np.zeros(0, np.int64)
        ordered = np.sort(self.shares, axis=1)
        return np.flatnonzero(ordered[:, -1] - ordered[:, -2] < TIE) + 1

    def ties_in(self, objects: NDArray[np.int32]) -> tuple[int, ...]:
        """Numbers that the ties have in another numbering of the same pixels, (Y, X) int32.

        Each is the object that has most of the pixels of the tie; a tie that is not in it is left out.
        """
        if not len(self.ties):
            return ()
        tied = np.zeros(len(self.shares) + 1, bool)
        tied[self.ties] = True
        there = tied[self.objects] & (objects > 0)
        width = int(objects.max(initial=0)) + 1
        codes, pixels = np.unique(
            self.objects[there].astype(np.int64) * width + objects[there], return_counts=True
        )
        first = np.lexsort((-pixels, codes // width))  # the most pixels of each tie come first
        _, leading = np.unique(codes[first] // width, return_index=True)
        return tuple(sorted({int(code) for code in codes[first][leading] % width}))


def reads_classes(settings: InferenceSettings, classes: int, separation: Separation) -> bool:
    """Whether classes are read off inside objects: on request, or where a network tells objects apart."""
    if classes < 2 or settings.class_of == "pixels":
        return False
    return settings.class_of == "objects" or separation != "none"


def foreground_of(probabilities: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """(Y, X) float32: probability that a pixel is of any class."""
    any_class = probabilities.sum(axis=-1) if activation == "softmax" else probabilities.max(axis=-1)
    return np.asarray(np.minimum(any_class, 1), np.float32)


def raw_mask(
    probabilities: NDArray[np.float32], settings: InferenceSettings, activation: Activation, whole: bool
) -> NDArray[np.uint8]:
    """The mask in which objects are looked for first: (Y, X) uint8 of (Y, X, K) float32."""
    if not whole:
        return mask_from_probabilities(probabilities, settings.threshold, activation=activation)
    return np.asarray(foreground_of(probabilities, activation) > raw_threshold(settings, whole), np.uint8)


def raw_threshold(settings: InferenceSettings, whole: bool) -> float:
    """That of ``raw_mask``."""
    return LEAST * settings.threshold if whole else settings.threshold


def classes_of_objects(probabilities: NDArray[np.float32], objects: NDArray[np.int32]) -> ObjectClasses:
    """Read the class of each object off the probabilities inside it.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    objects : numpy.ndarray
        (Y, X) int32, 0 background, 1..N.
    """
    count, classes = int(objects.max(initial=0)), probabilities.shape[-1]
    places = objects.ravel()
    sums = np.stack(
        [np.bincount(places, probabilities[..., k].ravel(), count + 1)[1:] for k in range(classes)], axis=1
    )
    return ObjectClasses.of_votes(sums, objects)


def one_class_in_each(
    probabilities: NDArray[np.float32],
    separation: NDArray[np.float32] | None,
    separation_kind: Separation,
    settings: InferenceSettings,
    activation: Activation,
) -> tuple[NDArray[np.float32], ObjectClasses]:
    """Find objects of any class, and let each have one.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1].
    separation, separation_kind, settings
        As ``find_objects`` takes them.
    activation : str
        What the probabilities came from.

    Returns
    -------
    probabilities : numpy.ndarray
        (Y, X, K) float32. In each object its class has the probability that a pixel is of any class; the
        others have none. So a mask at any threshold has whole objects.
    ObjectClasses
        What was read off, of the objects at the threshold of the settings.
    """
    foreground = foreground_of(probabilities, activation)
    wide = raw_mask(probabilities, settings, activation, True)
    objects = find_objects(wide, settings, foreground[..., None], separation, separation_kind)
    sure = np.where(foreground > settings.threshold, objects, 0).astype(np.int32)
    # Pixels that are sure speak; an object without one is not in the mask, and all of it speaks.
    count = int(objects.max(initial=0))
    there = np.bincount(sure.ravel(), minlength=count + 1) > 0
    speaking = np.where(there[objects], sure, objects).astype(np.int32)
    found = classes_of_objects(probabilities, speaking)
    labels = np.zeros(count + 1, np.int64)
    labels[1 : len(found.labels) + 1] = found.labels
    label = labels[objects]
    agreed = np.where(
        (label > 0)[..., None],
        np.where(np.arange(1, probabilities.shape[-1] + 1) == label[..., None], foreground[..., None], 0),
        probabilities,
    )
    return agreed.astype(np.float32), _at_threshold(found, sure)


def _at_threshold(found: ObjectClasses, sure: NDArray[np.int32]) -> ObjectClasses:
    """Those objects that the mask has, numbered without gaps."""
    numbers = np.unique(sure[sure > 0])
    closed = np.zeros(int(numbers.max(initial=0)) + 1, np.int32)
    closed[numbers] = np.arange(1, len(numbers) + 1)
    return ObjectClasses(closed[sure], found.shares[numbers - 1])
