"""What becomes of objects from image to image of a series: they appear, split, merge and disappear.

Which objects are one is found by ``inference.linked_objects``, by their overlap. This is no tracking.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        In the first image that has the object: "appears", "first image", "split" or "merge". Empty in later
        images. After a split it is a part of an object of the image before. After a merge objects of the
        image before are parts of it.
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
    _begun: bool = False

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
        shared = None
        if self._before is not None and self._before[0].shape == objects.shape:
            before, mask_before = self._before
            shared = _shared(np.where(mask_before == mask, before, 0), objects)
        self.add_measured(_measured(image, frame, objects, mask), shared)
        self._before = objects, mask

    def add_measured(
        self, found: list[ObjectInTime], shared: Mapping[tuple[int, int], int] | None = None
    ) -> None:
        """Take in the objects of the next image, measured.

        Parameters
        ----------
        found : list of ObjectInTime
            With the numbers that objects have in the whole series.
        shared : mapping, optional
            Number in the image before and number in this one to the pixels of one class that both have. None
            where the images cannot be compared.
        """
        now = {row.object: row for row in found}
        fresh = [number for number in now if number not in self._last]
        gone = [number for number in self._last if number not in now]
        if shared is None:
            for row in self._last.values():
                row.ended = "disappears"
            for number in fresh:
                now[number].began = "appears" if self._begun else "first image"
        else:
            self._name(now, fresh, gone, shared)
        self.rows += now.values()
        self._last, self._begun = now, True

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
        shared: Mapping[tuple[int, int], int],
    ) -> None:
        """Say how objects began and ended between the image before and this one."""
        unmatched, lost = set(fresh), set(gone)
        parents = {n: b for (b, n), some in shared.items() if n in unmatched and some > HALF * now[n].area}
        heirs = {b: n for (b, n), some in shared.items() if b in lost and some > HALF * self._last[b].area}
        parts: dict[int, list[int]] = defaultdict(list)
        for number, parent in parents.items():
            parts[parent].append(number)
        merged: dict[int, list[int]] = defaultdict(list)
        for number, heir in heirs.items():
            merged[heir].append(number)
        for number in fresh:
            row = now[number]
            if number in parents and (parents[number] not in lost or len(parts[parents[number]]) > 1):
                row.began, row.came_from = "split", (parents[number],)
            elif len(merged[number]) > 1:
                row.began, row.came_from = "merge", tuple(sorted(merged[number]))
            else:
                row.began = "appears"
        for number in gone:
            row = self._last[number]
            if len(parts[number]) > 1:
                row.ended, row.became = "split", tuple(sorted(parts[number]))
            elif number in heirs and (heirs[number] not in unmatched or len(merged[heirs[number]]) > 1):
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
    rows, columns = np.arange(objects.shape[0])[:, None], np.arange(objects.shape[1])[None]
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


def _shared(before: NDArray[np.int32], now: NDArray[np.int32]) -> dict[tuple[int, int], int]:
    """Number before and number now to the pixels that both have."""
    both = (before > 0) & (now > 0)
    width = int(now.max(initial=0)) + 1
    pairs, pixels = np.unique(before[both].astype(np.int64) * width + now[both], return_counts=True)
    return {
        (pair // width, pair % width): count
        for pair, count in zip(pairs.tolist(), pixels.tolist(), strict=True)
    }
