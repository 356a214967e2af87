"""Which number a pixel has in the editable layer, and which class that means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.project.corrections.correction import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

CYCLE = 49  # colours of objects, after which they come again
IGNORED_OBJECT = 1_000_000  # number of ignored pixels among objects; a new object never gets it
NEW_OBJECTS = 1000  # numbers kept free for the new objects of each class
BEYOND = 256  # place of all numbers above those of a mask of classes


@dataclass(frozen=True, eq=False)
class LabelNumbering:
    """Numbers of the editable layer: of classes, or an own one for every connected object.

    Ignored pixels are 255 among classes; among objects no other number is painted in their colour.

    Attributes
    ----------
    labels : numpy.ndarray
        (Y, X) uint8 classes or int32 objects, as the layer shows them first.
    class_of : numpy.ndarray
        (N,) uint8: the class of each number; the last one is for all numbers beyond.
    first_new : tuple of int
        Numbers with which something of class 1..K is painted.
    """

    labels: NDArray[Any]
    class_of: NDArray[np.uint8]
    first_new: tuple[int, ...]

    @classmethod
    def of(
        cls, mask: NDArray[np.uint8], classes: int, objects: NDArray[np.int32] | None = None
    ) -> LabelNumbering:
        """Number a mask.

        Parameters
        ----------
        mask : numpy.ndarray
            (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
        classes : int
            K.
        objects : numpy.ndarray, optional
            (Y, X) int32: its objects from 1, which get a number of their own each; 0 where there is none.
        """
        if objects is None:
            class_of = np.minimum(np.arange(BEYOND + 1), classes).astype(np.uint8)
            class_of[IGNORE] = IGNORE
            return cls(mask.copy(), class_of, tuple(range(1, classes + 1)))
        ignored = mask == IGNORE
        numbers = np.concatenate([[0], _object_numbers(int(objects.max(initial=0)))])
        labels = numbers[objects].astype(np.int32)
        top = int(labels.max(initial=0))
        labels[ignored] = IGNORED_OBJECT
        class_of = np.ones(max(top + NEW_OBJECTS * classes, IGNORED_OBJECT) + 2, np.uint8)
        class_of[labels.ravel()] = mask.ravel()
        class_of[0], class_of[IGNORED_OBJECT] = 0, IGNORE
        starts = [top + 1 + NEW_OBJECTS * number for number in range(classes)]
        for number, start in enumerate(starts, start=1):
            class_of[start : start + NEW_OBJECTS] = number
        return cls(labels, class_of, tuple(starts))

    @property
    def as_objects(self) -> bool:
        """Whether every object has a number of its own."""
        return len(self.class_of) > IGNORED_OBJECT

    def classes(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """(Y, X) uint8: the class of every pixel of the layer."""
        if labels.dtype == np.uint8:
            return np.asarray(self.class_of[labels])
        return np.asarray(self.class_of[np.clip(labels, 0, len(self.class_of) - 1)])

    def number_for(self, label: int) -> int:
        """The number to paint a class with: 0 background, 1..K, 255 ignore."""
        if label == IGNORE:
            return IGNORED_OBJECT if self.as_objects else IGNORE
        return self.first_new[label - 1] if label else 0


def _object_numbers(count: int) -> NDArray[np.int64]:
    """As many numbers from 1 that are not painted in the colour of ignored pixels."""
    enough = np.arange(1, count + count // (CYCLE - 1) + 2)
    return np.asarray(enough[(enough - 1) % CYCLE != (IGNORED_OBJECT - 1) % CYCLE][:count])
