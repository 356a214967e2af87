"""Numbers of the objects of stacks, of which one slice comes after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.linked_objects import StackNumbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_unet.export.stacks import StackSlice


class StackObjects:
    """Numbers the objects of several stacks through all their slices.

    Parameters
    ----------
    linked : bool
        Whether an object has one number in all slices; else every slice has its own numbers.
    """

    def __init__(self, linked: bool) -> None:
        self.linked = linked
        self._numbers: dict[str, StackNumbers] = {}
        self._last: dict[str, int] = {}

    def number(
        self, objects: NDArray[np.int32], mask: NDArray[np.uint8], place: StackSlice
    ) -> NDArray[np.int32]:
        """(Y, X) int32: the objects of the next slice with their numbers in the stack.

        A slice is linked to the one just before it, if that came last.
        """
        numbers = self._numbers.setdefault(place.stack, StackNumbers(self.linked))
        if place.first or self._last.get(place.stack) != place.place - 1:
            numbers.start_again()
        self._last[place.stack] = place.place
        return numbers.number(objects, mask)


def renumbered(
    numbers: Iterable[int], before: NDArray[np.int32], after: NDArray[np.int32]
) -> tuple[int, ...]:
    """What numbers of objects have become.

    Parameters
    ----------
    numbers : iterable of int
        Of objects.
    before, after : numpy.ndarray
        (Y, X) int32: the same objects with their old and their new numbers.
    """
    wanted = tuple(numbers)
    if not wanted:
        return ()
    table = np.zeros(int(before.max()) + 1, np.int32)
    table[before.ravel()] = after.ravel()
    return tuple(sorted(int(number) for number in table[list(wanted)]))
