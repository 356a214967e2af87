"""The array with the masks of all slices of a stack, and what is in each of them."""

from __future__ import annotations

import tempfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.inference.linked_objects import StackNumbers
from napari_unet.widgets.canvas.label_numbering import IGNORED_OBJECT, is_free

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.widgets.canvas.label_numbering import LabelNumbering

    Index = tuple[int, ...]
    Key = tuple[Any, ...] | None  # what a slice is filled with: another one after each change

IN_MEMORY = 2**30  # bytes of a stack of masks; a larger one lies in a temporary file


class MaskStack:
    """The array of one stack, and what is in each of its slices.

    Parameters
    ----------
    shape : tuple of int
        (..., Y, X).
    as_objects : bool
        Whether every object has a number of its own; else the numbers are classes.

    Attributes
    ----------
    labels : numpy.ndarray
        (..., Y, X) uint8 classes or int32 objects; 0 in slices without a mask.
    numbering : LabelNumbering or None
        Of the objects of all slices; None before the first.
    """

    def __init__(self, shape: tuple[int, ...], as_objects: bool) -> None:
        self.as_objects = as_objects
        self.labels = room_for(shape, np.int32 if as_objects else np.uint8)
        self.numbering: LabelNumbering | None = None
        self.changes = 0
        self.numbered_at: int | None = None  # its changes when its objects were numbered through all slices
        self._filled: dict[Index, Key] = {}
        self._sums: dict[Index, int] = {}
        self._tables: dict[Index, NDArray[np.int32]] = {}  # numbers that a slice gets when it is its turn

    def __len__(self) -> int:
        """How many slices have a mask."""
        return len(self._filled)

    def key(self, index: Index) -> Key:
        """What a slice is filled with."""
        return self._filled.get(index)

    @property
    def filled(self) -> list[Index]:
        """The slices that have a mask, in order."""
        return sorted(self._filled)

    def put(self, index: Index, key: Key, labels: NDArray[Any] | None) -> bool:
        """Fill a slice, or empty it with None; says whether its pixels are others now."""
        self._tables.pop(index, None)
        self.changes += 1
        if labels is None:
            changed = index in self._filled
            self.labels[index] = 0
            self._filled.pop(index, None)
            self._sums.pop(index, None)
            return changed
        changed = not np.array_equal(self.labels[index], labels)
        if changed:
            self.labels[index] = labels
        self.note(index, key)
        return changed

    def note(self, index: Index, key: Key) -> None:
        """A slice is what it should be: whatever becomes of its pixels from now on, another program did."""
        self._filled[index] = key
        self._sums[index] = _sum_of(self.labels[index])

    def changed_by_others(self) -> list[Index]:
        """Slices whose pixels are not those that were put there."""
        found = []
        for index in np.ndindex(*self.labels.shape[:-2]):
            part = self.labels[index]
            if index in self._sums:
                if _sum_of(part) != self._sums[index]:
                    found.append(index)
            elif part.any():
                found.append(index)
        return found

    def is_changed(self, index: Index) -> bool:
        """Whether another program changed a slice that has a mask."""
        return index in self._sums and _sum_of(self.labels[index]) != self._sums[index]

    def is_written(self, index: Index) -> bool:
        """Whether a slice, with a mask or without, holds other pixels than were put there."""
        return self.is_changed(index) or (index not in self._sums and bool(self.labels[index].any()))

    # objects through all slices

    def use_tables(self, tables: dict[Index, NDArray[np.int32]], numbering: LabelNumbering) -> None:
        """Give objects other numbers: a slice at once if it is asked for, else when it is its turn.

        Parameters
        ----------
        tables : dict
            Index of a slice to what its numbers become, (N + 1,) int32, or to its labels, (Y, X) int32.
        numbering : LabelNumbering
            Of the new numbers.
        """
        self._tables = tables
        self.numbering = numbering

    @property
    def waiting(self) -> bool:
        """Whether there are slices whose objects get other numbers still."""
        return bool(self._tables)

    def settle(self, index: Index | None = None) -> bool:
        """Give the objects of a slice, or of the next one, their numbers; says whether any is another."""
        index = next(iter(self._tables)) if index is None else index
        table = self._tables.pop(index, None)
        if table is None:
            return False
        labels = self.labels[index]
        fresh = table
        if table.ndim == 1:
            ignored = labels == IGNORED_OBJECT
            fresh = table[np.where(ignored, 0, labels)]
            fresh[ignored] = IGNORED_OBJECT
        if np.array_equal(fresh, labels):
            return False
        self.labels[index] = fresh
        self._sums[index] = _sum_of(fresh)
        return True

    def settle_all(self) -> None:
        """Give all objects their numbers, for whoever is about to read the whole."""
        while self._tables:
            self.settle()


def number_through(
    labels: NDArray[np.int32], indices: list[Index], numbering: LabelNumbering, linked: bool
) -> tuple[dict[Index, NDArray[np.int32]], NDArray[np.uint8]]:
    """Number the objects of a stack from the first slice to the last.

    Parameters
    ----------
    labels : numpy.ndarray
        (..., Y, X) int32, no number twice in it but for one object.
    indices : list of tuple
        Of the slices that have a mask, in order.
    numbering : LabelNumbering
        Of `labels`.
    linked : bool
        Whether an object has one number in all slices.

    Returns
    -------
    tables : dict
        Index of a slice to what its numbers become, see ``StackNumbers.table``.
    class_of : numpy.ndarray
        (N + 1,) uint8: the class of each new number.
    """
    numbers, tables = StackNumbers(linked, is_free), {}
    classes = {0: 0}
    before: Index | None = None
    for index in indices:
        part = labels[index]
        part = np.where(part == IGNORED_OBJECT, 0, part)
        mask = numbering.classes(part)
        if before is None or (*before[:-1], before[-1] + 1) != index:
            numbers.start_again()
        table = tables[index] = numbers.table(part, mask)
        old = np.flatnonzero(table)
        classes.update(zip(table[old].tolist(), numbering.classes(old).tolist(), strict=True))
        before = index
    class_of = np.ones(max(classes) + 1, np.uint8)
    class_of[list(classes)] = list(classes.values())
    return tables, class_of


def room_for(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros of a shape: in memory, or, where that is much, in a file that goes when nobody uses it."""
    if int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize <= IN_MEMORY:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="napari-unet-masks-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _sum_of(labels: NDArray[Any]) -> int:
    return zlib.adler32(np.ascontiguousarray(labels).data)
