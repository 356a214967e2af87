"""One number for an object in all slices of a large stack where it overlaps itself from slice to slice.

Slices may be images of a time series, also in several files. Then it is noted what becomes of objects.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.pages import page_id
from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.export.label_store import OBJECTS
from napari_unet.inference.linked_objects import matched
from napari_unet.metrics.objects_over_time import ObjectInTime, ObjectsOverTime
from napari_unet.progress import tracked
from napari_unet.workflow.large_images.finish import halve
from napari_unet.workflow.large_images.parts import PART, one_by_one, parts_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.export.label_store import Index, LabelStore
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.large_images.parts import Spread


@dataclass(eq=False)
class _LinkedSlice:
    """Objects of a slice: numbers, in order, areas, sums of rows and columns, and classes."""

    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    areas: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    classes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    def renumbered(self, table: NDArray[np.int64]) -> _LinkedSlice:
        """The same with other numbers."""
        numbers = table[self.numbers]
        order = np.argsort(numbers)
        return _LinkedSlice(numbers[order], self.areas[order], self.sums[order], self.classes[order])

    def rows(self, image: str, frame: int) -> list[ObjectInTime]:
        """As objects in one image of a series."""
        return [
            ObjectInTime(number, frame, image, label, area, (y / area, x / area))
            for number, area, (y, x), label in zip(
                self.numbers.tolist(), self.areas.tolist(), self.sums.tolist(), self.classes.tolist(),
                strict=True,
            )
        ]  # fmt: skip


@dataclass(eq=False)
class LargeSeries:
    """A time series of large images, through one stack or several files.

    Attributes
    ----------
    frames : int
        Images that are in it.
    last : int
        The highest number of an object.
    of_object : list of numpy.ndarray
        Classes of the objects by their numbers, in pieces.
    before : tuple or None
        The last image: its store, its index there, and its objects.
    over_time : ObjectsOverTime or None
        What becomes of objects; None where that is not wanted.
    """

    frames: int = 0
    last: int = 0
    of_object: list[NDArray[np.uint8]] = field(default_factory=lambda: [np.zeros(1, np.uint8)])
    before: tuple[LabelStore, Index, _LinkedSlice] | None = None
    over_time: ObjectsOverTime | None = None
    _spent: Path | None = None

    def moved_to(self, store: LabelStore) -> None:
        """Say where the last image is now."""
        if self.before is not None:
            self.before = store, *self.before[1:]

    def remove_later(self, path: Path) -> None:
        """Have a store removed when the next image is linked, or all are."""
        self.close()
        self._spent = path

    def close(self) -> None:
        """Remove what the next image would have been linked to."""
        if self._spent is not None:
            shutil.rmtree(self._spent, ignore_errors=True)
        self._spent = None

    def link(self, store: LabelStore, index: Index, name: str) -> None:
        """Give the objects of the next image, which have numbers of their own, those of the series."""
        before = self.before
        size = store.array(0).shape[-2:]
        if before is not None and before[0].array(0).shape[-2:] != size:
            before = None
        earlier = None if before is None else (before[0], before[1])
        now, pairs = _look(store, index, earlier, store.read_numbered(index))
        table = np.zeros(int(now.numbers.max(initial=0)) + 1, np.int64)
        shared: dict[tuple[int, int], int] | None = None
        if before is not None:
            pairs = _of_one_class(pairs, before[2], now)
            for ours, theirs in _partners(pairs, before[2], now):
                table[theirs] = ours
        fresh = now.numbers[table[now.numbers] == 0]
        table[fresh] = self.last + np.arange(1, len(fresh) + 1)
        self.last += len(fresh)
        self.of_object.append(now.classes[np.searchsorted(now.numbers, fresh)])
        for part in parts_of(store, "0", 0, PART, index):
            numbers = np.asarray(store.array(0)[part.place_in])
            store.write(0, index, part.rows, part.columns, table[numbers].astype(numbers.dtype))
        linked = now.renumbered(table)
        self.before = store, index, linked
        self.frames += 1
        if self.over_time is not None:
            if before is not None:
                both, pixels = pairs
                codes = np.stack([both[:, 0], table[both[:, 1]]], axis=1).tolist()
                shared = {(a, b): count for (a, b), count in zip(codes, pixels.tolist(), strict=True)}
            self.over_time.add_measured(linked.rows(name, self.frames), shared)


def link_slices(
    store: LabelStore,
    classes: tuple[str, ...],
    on_progress: OnProgress,
    cancel: CancelToken,
    spread: Spread = one_by_one,
    *,
    series: LargeSeries | None = None,
    name: str = "",
) -> None:
    """Link the objects of slices along the last axis of a stack, as ``StackNumbers`` does in memory.

    Parameters
    ----------
    store : LabelStore
        Whose slices have numbers of objects, each its own from 1.
    classes : tuple of str
        Names of the classes 1..K.
    on_progress, cancel
        As everywhere.
    spread : callable
        Who builds the coarser levels.
    series : LargeSeries, optional
        That the images continue.
    name : str
        Of the image, for a series.
    """
    slices: tuple[int, ...] = store.array(0).shape[:-2]
    *leads, last = slices or (1,)
    number = 0
    for lead in np.ndindex(*leads):
        own = series or LargeSeries()
        if lead != (0,) * len(leads):
            own.before = None  # along the last axis alone
        for z in tracked(list(range(last)), last, "Linking objects", on_progress, cancel):
            own.link(store, (*lead, z) if slices else (), page_id(name, number) if slices else name)
            number += 1
        if len(classes) > 1:
            # One table for all slices, as an object has one class in all of them.
            shutil.rmtree(store.path.joinpath(OBJECTS, *map(str, lead)), ignore_errors=True)
            store.write_numbered(lead, NumberedObjects(classes, np.concatenate(own.of_object)))
    for level in range(1, len(store.levels)):
        parts = list(parts_of(store, str(level), level, PART // 2))
        found = spread(halve, parts)
        for _ in tracked(found, len(parts), "Building coarser levels", on_progress, cancel):
            pass


def _look(
    store: LabelStore, index: Index, before: tuple[LabelStore, Index] | None, said: NumberedObjects | None
) -> tuple[_LinkedSlice, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The objects of a slice, and pairs of one before and one of it with the pixels that both have."""
    found: dict[int, NDArray[np.float64]] = {}
    shared: dict[tuple[int, int], int] = {}
    for part in parts_of(store, "0", 0, PART, index):
        now = np.asarray(store.array(0)[part.place_in]).astype(np.int64)
        for number, sums in zip(*_sums(now, part.rows.start, part.columns.start), strict=True):
            found[number] = found.get(number, np.zeros(3)) + sums
        if before is None:
            continue
        place = (*before[1], part.rows, part.columns)
        earlier = np.asarray(before[0].array(0)[place]).astype(np.int64)
        both = (now > 0) & (earlier > 0)
        if both.any():
            codes = np.unique(np.stack([earlier[both], now[both]]), axis=1, return_counts=True)
            for a, b, count in zip(*codes[0].tolist(), codes[1].tolist(), strict=True):
                shared[a, b] = shared.get((a, b), 0) + count
    numbers = np.array(sorted(found), np.int64)
    sums = np.array([found[n] for n in numbers.tolist()]).reshape(-1, 3)
    kinds = np.ones(len(numbers), np.uint8) if said is None else said.classes[numbers]
    slice_now = _LinkedSlice(numbers, sums[:, 0].astype(np.int64), sums[:, 1:], kinds)
    pairs = np.array(list(shared), np.int64).reshape(-1, 2)
    return slice_now, (pairs, np.array(list(shared.values()), np.int64))


def _sums(numbers: NDArray[np.int64], top: int, left: int) -> tuple[list[int], NDArray[np.float64]]:
    """Numbers of the objects in a part, and (N, 3): how many pixels, sums of their rows and columns."""
    y, x = np.nonzero(numbers)
    objects, own = np.unique(numbers[y, x], return_inverse=True)
    weights: tuple[NDArray[Any] | None, ...] = (None, y + top, x + left)
    sums = [np.bincount(own, one, len(objects)).astype(np.float64) for one in weights]
    return objects.tolist(), np.stack(sums, axis=1)


def _of_one_class(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]], before: _LinkedSlice, now: _LinkedSlice
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those pairs of objects that are of one class."""
    both, shared = pairs
    at, place = (np.searchsorted(a.numbers, n) for a, n in ((before, both[:, 0]), (now, both[:, 1])))
    same = before.classes[at] == now.classes[place]
    return both[same], shared[same]


def _partners(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]], before: _LinkedSlice, now: _LinkedSlice
) -> list[tuple[int, int]]:
    """Numbers before and now of objects of one class that are one."""
    both, shared = pairs
    first, second = both.T
    at, place = np.searchsorted(before.numbers, first), np.searchsorted(now.numbers, second)
    return matched(first, second, shared / (before.areas[at] + now.areas[place] - shared))
