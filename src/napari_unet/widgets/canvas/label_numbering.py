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
IGNORED_NARROW = 65_521  # the same in a layer of 16 bits, and in the same colour
NEW_OBJECTS = 1000  # numbers left free for the new objects of each class
BACKGROUND_STROKE = 254  # number of background that a person painted, where all else is unknown
BEYOND = 256  # place of all numbers above those of a mask of classes


@dataclass(frozen=True, eq=False)
class LabelNumbering:
    """Numbers of the editable layer: of classes, or an own one for every connected object.

    Ignored pixels are 255 among classes; among objects no other number is painted in their colour.

    Attributes
    ----------
    labels : numpy.ndarray
        (Y, X) uint8 classes, or uint16 or int32 objects, as the layer shows them first.
    class_of : numpy.ndarray
        (N,) uint8: the class of each number; the last one is for all numbers beyond.
    first_new : tuple of int
        Numbers with which something of class 1..K is painted.
    ignored : int
        Number of ignored pixels.
    """

    labels: NDArray[Any]
    class_of: NDArray[np.uint8]
    first_new: tuple[int, ...]
    ignored: int = IGNORE

    @classmethod
    def of(
        cls,
        mask: NDArray[np.uint8],
        classes: int,
        objects: NDArray[np.int32] | None = None,
        others: LabelNumbering | None = None,
        *,
        narrow: bool = False,
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
        others : LabelNumbering, optional
            Of objects in other slices of the same stack: their numbers stay, and are not given again.
        narrow : bool
            Whether objects become uint16 where there are few enough, else int32. napari shows 16 bits as they
            are; of int32 it computes a colour for each pixel, with all cores, whenever something is painted.
        """
        if objects is None:
            class_of = np.minimum(np.arange(BEYOND + 1), classes).astype(np.uint8)
            class_of[IGNORE] = IGNORE
            return cls(mask.copy(), class_of, tuple(range(1, classes + 1)))
        ignored = mask == IGNORE
        taken = 0 if others is None else others.first_new[-1] + NEW_OBJECTS
        numbers = np.concatenate([[0], _object_numbers(int(objects.max(initial=0)), taken)])
        top = max(int(numbers[-1]), taken)
        narrow = narrow and top + NEW_OBJECTS * classes < IGNORED_NARROW
        number = IGNORED_NARROW if narrow else IGNORED_OBJECT
        labels = numbers.astype(np.uint16 if narrow else np.int32)[objects]
        labels[ignored] = number
        known = np.zeros(0, np.uint8) if others is None else others.class_of[:-1]
        class_of, first_new = _room_for_new(known, top, classes, number)
        class_of[labels.ravel()] = mask.ravel()
        class_of[0], class_of[number] = 0, IGNORE
        return cls(labels, class_of, first_new, number)

    @classmethod
    def of_strokes(cls, mask: NDArray[np.uint8], classes: int) -> LabelNumbering:
        """Number a mask of strokes: what nobody painted is 0, so that it is not shown, and erasing means it.

        Parameters
        ----------
        mask : numpy.ndarray
            (Y, X) uint8, 0 background, 1..K classes, 255 unknown.
        classes : int
            K, less than 254.
        """
        class_of = np.minimum(np.arange(BEYOND + 1), classes).astype(np.uint8)
        class_of[[0, IGNORE]] = IGNORE
        class_of[BACKGROUND_STROKE] = 0
        number_of = np.arange(BEYOND, dtype=np.uint8)
        number_of[0], number_of[IGNORE] = BACKGROUND_STROKE, 0
        return cls(number_of[mask], class_of, tuple(range(1, classes + 1)))

    @classmethod
    def of_stack(cls, class_of: NDArray[np.uint8], classes: int) -> LabelNumbering:
        """The numbering of a stack whose objects have the numbers 1, 2, ... through all slices.

        Parameters
        ----------
        class_of : numpy.ndarray
            (N + 1,) uint8: the class of each number up to the highest.
        classes : int
            K.
        """
        room, first_new = _room_for_new(class_of, len(class_of) - 1, classes, IGNORED_OBJECT)
        room[0], room[IGNORED_OBJECT] = 0, IGNORE
        return cls(np.zeros((0, 0), np.int32), room, first_new, IGNORED_OBJECT)

    @property
    def as_objects(self) -> bool:
        """Whether every object has a number of its own."""
        return self.ignored != IGNORE

    @property
    def of_unknown(self) -> bool:
        """Whether 0 in the layer says that nobody knows; else it is the background."""
        return bool(self.class_of[0] == IGNORE)

    def classes(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """(Y, X) uint8: the class of every pixel of the layer."""
        if labels.dtype == np.uint8:
            return np.asarray(self.class_of[labels])
        return np.asarray(self.class_of[np.clip(labels, 0, len(self.class_of) - 1)])

    def number_for(self, label: int) -> int:
        """The number to paint a class with: 0 background, 1..K, 255 ignore."""
        if label == IGNORE and self.of_unknown:
            return 0
        if label == IGNORE:
            return self.ignored
        if not label and self.of_unknown:
            return BACKGROUND_STROKE
        return self.first_new[label - 1] if label else 0


def is_free(number: int) -> bool:
    """Whether an object may have a number: it is not painted in the colour of ignored pixels."""
    return (number - 1) % CYCLE != (IGNORED_OBJECT - 1) % CYCLE


def _room_for_new(
    known: NDArray[np.uint8], top: int, classes: int, ignored: int
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Classes of numbers, with numbers above the highest for what is new; and the first one of each class."""
    class_of = np.ones(max(top + NEW_OBJECTS * classes, ignored, len(known)) + 2, np.uint8)
    class_of[: len(known)] = known
    starts = [top + 1 + NEW_OBJECTS * number for number in range(classes)]
    for number, start in enumerate(starts, start=1):
        class_of[start : start + NEW_OBJECTS] = number
    return class_of, tuple(starts)


def _object_numbers(count: int, taken: int) -> NDArray[np.int64]:
    """As many numbers above `taken` that are not painted in the colour of ignored pixels."""
    enough = np.arange(taken + 1, taken + count + count // (CYCLE - 1) + 3)
    return np.asarray(enough[(enough - 1) % CYCLE != (IGNORED_OBJECT - 1) % CYCLE][:count])
