"""Numbers of the objects of stacks and series, of which one image comes after another."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.export.stacks import StackSlice, slices_of_files
from napari_unet.inference.linked_objects import StackNumbers
from napari_unet.metrics.objects_over_time import ObjectsOverTime

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample


class StackObjects:
    """Numbers the objects of several stacks through all their slices.

    Parameters
    ----------
    linked : bool
        Whether an object has one number in all slices; else every slice has its own numbers.
    over_time : bool
        Whether slices are images of a time series. What becomes of objects is noted. Where an image is
        missing, the next one is linked to the last that is there.

    Attributes
    ----------
    series : dict
        Name of each stack to what became of its objects; empty unless over time.
    """

    def __init__(self, linked: bool, over_time: bool = False) -> None:
        self.linked = linked or over_time
        self.over_time = over_time
        self.series: dict[str, ObjectsOverTime] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._numbers: dict[str, StackNumbers] = {}
        self._last: dict[str, int] = {}

    def number(
        self, objects: NDArray[np.int32], mask: NDArray[np.uint8], place: StackSlice
    ) -> NDArray[np.int32]:
        """(Y, X) int32: the objects of the next slice with their numbers in the stack.

        A slice is linked to the one just before it, if that came last and is as large.
        """
        numbers = self._numbers.setdefault(place.stack, StackNumbers(self.linked))
        follows = self.over_time or self._last.get(place.stack) == place.place - 1
        if place.first or not follows or self._shapes.get(place.stack) != objects.shape:
            numbers.start_again()
        self._last[place.stack], self._shapes[place.stack] = place.place, objects.shape
        found = numbers.number(objects, mask)
        if self.over_time:
            self.series.setdefault(place.stack, ObjectsOverTime()).add(
                place.file_name, place.place + 1, found, mask
            )
        return found


def series_of(samples: Iterable[Sample]) -> dict[str, StackSlice]:
    """Id of every image to its place in a series: that of a stack, else among the images of its folder.

    Parameters
    ----------
    samples : iterable of Sample
        In their order.
    """
    every = list(samples)
    slices = slices_of_files(every)
    folders: dict[str, list[str]] = {}
    for sample in every:
        if sample.id not in slices:
            folders.setdefault(str(PurePosixPath(sample.image_name).parent), []).append(sample.id)
    for folder, members in folders.items():
        name = "images" if folder == "." else folder
        for place, identifier in enumerate(members):
            slices[identifier] = StackSlice(name, (place,), (len(members),), identifier)
    return slices


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
