"""What becomes of objects from image to image of a series: they appear, split, merge and disappear.

Which objects are one is found by ``inference.linked_objects``, by their overlap. This is no tracking.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF = 0.5  # of an object's pixels that lie in another one, of which it is a part then


@dataclass
class ObjectInTime:
    """One object in one image of a series.

    Attributes
    ----------
    object : int
        Its number in the whole series.
    frame : int
        Of the image, from 1.
    image : str
        Id of the image.
    label : int
        Class, 1..K.
    area : int
        In pixels.
    centroid : tuple of float
        Row and column, from the centre of the first pixel.
    began : str
        In the first image that has the object: "appears", "split", "merge", or "first image". Empty in later
        ones. Split: it is a part of an object of the image before. Merge: such objects are parts of it.
    came_from : tuple of int
        Those objects.
    ended : str
        In the last image that has it: "disappears", "split", "merge" or "last image". Empty in earlier ones.
    became : tuple of int
        The objects of the next image that it is split into, or the one that it is merged into.
    """

    object: int
    frame: int
    image: str
    label: int
    area: int
    centroid: tuple[float, float]
    began: str = ""
    came_from: tuple[int, ...] = ()
    ended: str = ""
    became: tuple[int, ...] = ()


@dataclass
class ObjectsOverTime:
    """Collects the objects of a series, image after image.

    An object that has no partner in the image before is a part of the object that holds more than half of
    its pixels there: that one splits. An object that has no partner in the next image is a part of the one
    that holds more than half of its pixels there: these merge.

    Attributes
    ----------
    rows : list of ObjectInTime
        So far, by image and number.
    """

    rows: list[ObjectInTime] = field(default_factory=list)
    _before: tuple[NDArray[np.int32], NDArray[np.uint8]] | None = None
    _last: dict[int, ObjectInTime] = field(default_factory=dict)

    def add(self, image: str, frame: int, objects: NDArray[np.int32], mask: NDArray[np.uint8]) -> None:
        """Take in the next image.

        Parameters
        ----------
        image : str
            Its id.
        frame : int
            Its number in the series, from 1. Images may be missing between.
        objects : numpy.ndarray
            (Y, X) int32, 0 background, with the numbers that objects have in the whole series.
        mask : numpy.ndarray
            (Y, X) uint8: the class of every pixel.
        """
        now = {row.object: row for row in _measured(image, frame, objects, mask)}
        fresh = [number for number in now if number not in self._last]
        gone = [number for number in self._last if number not in now]
        if self._before is None or self._before[0].shape != objects.shape:
            for row in self._last.values():
                row.ended = "disappears"
            for number in fresh:
                now[number].began = "first image" if self._before is None else "appears"
        else:
            self._name(now, fresh, gone, objects, mask)
        self.rows += now.values()
        self._last, self._before = now, (objects, mask)

    def finish(self) -> list[ObjectInTime]:
        """All rows; objects of the last image end with it."""
        for row in self._last.values():
            row.ended = "last image"
        return self.rows

    def _name(
        self,
        now: dict[int, ObjectInTime],
        fresh: list[int],
        gone: list[int],
        objects: NDArray[np.int32],
        mask: NDArray[np.uint8],
    ) -> None:
        """Say how objects began and ended between the image before and this one."""
        assert self._before is not None
        before, mask_before = self._before
        same = mask_before == mask
        parents = _holders(objects, np.where(same, before, 0), fresh)
        heirs = _holders(before, np.where(same, objects, 0), gone)
        parts: dict[int, list[int]] = defaultdict(list)
        for number, parent in parents.items():
            parts[parent].append(number)
        merged: dict[int, list[int]] = defaultdict(list)
        for number, heir in heirs.items():
            merged[heir].append(number)
        for number in fresh:
            row = now[number]
            if number in parents and (parents[number] not in gone or len(parts[parents[number]]) > 1):
                row.began, row.came_from = "split", (parents[number],)
            elif len(merged[number]) > 1:
                row.began, row.came_from = "merge", tuple(sorted(merged[number]))
            else:
                row.began = "appears"
        for number in gone:
            row = self._last[number]
            if len(parts[number]) > 1:
                row.ended, row.became = "split", tuple(sorted(parts[number]))
            elif number in heirs and (heirs[number] not in fresh or len(merged[heirs[number]]) > 1):
                row.ended, row.became = "merge", (heirs[number],)
            else:
                row.ended = "disappears"


def _measured(
    image: str, frame: int, objects: NDArray[np.int32], mask: NDArray[np.uint8]
) -> list[ObjectInTime]:
    places = objects.ravel()
    areas = np.bincount(places)
    present = np.flatnonzero(areas)
    present = present[present > 0]
    rows, columns = np.indices(objects.shape, sparse=True)
    sums = [
        np.bincount(places, np.broadcast_to(values, objects.shape).ravel(), len(areas))
        for values in (rows, columns)
    ]
    label = np.zeros(len(areas), np.uint8)
    label[places] = mask.ravel()
    return [
        ObjectInTime(
            int(n), frame, image, int(label[n]), int(areas[n]),
            (float(sums[0][n] / areas[n]), float(sums[1][n] / areas[n])),
        )
        for n in present
    ]  # fmt: skip


def _holders(objects: NDArray[np.int32], others: NDArray[np.int32], wanted: list[int]) -> dict[int, int]:
    """For each of these objects the other one that holds more than half of its pixels, if one does."""
    if not wanted:
        return {}
    chosen = np.zeros(int(objects.max(initial=0)) + 1, bool)
    chosen[wanted] = True
    both = chosen[objects] & (others > 0)
    width = int(others.max(initial=0)) + 1
    pairs, shared = np.unique(objects[both].astype(np.int64) * width + others[both], return_counts=True)
    areas = np.bincount(objects.ravel())
    held = shared > HALF * areas[pairs // width]
    return {int(pair // width): int(pair % width) for pair in pairs[held]}
