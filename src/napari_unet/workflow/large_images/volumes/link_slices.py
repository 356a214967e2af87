"""One number for an object in all slices of a large stack where it overlaps itself from slice to slice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.export.label_store import OBJECTS
from napari_unet.inference.linked_objects import matched
from napari_unet.progress import tracked
from napari_unet.workflow.large_images.finish import halve
from napari_unet.workflow.large_images.parts import PART, one_by_one, parts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.export.label_store import Index, LabelStore
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.large_images.parts import Spread


@dataclass(eq=False)
class _LinkedSlice:
    """Objects of a slice: their numbers, in order, their areas and their classes."""

    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    areas: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    classes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))


def link_slices(
    store: LabelStore,
    classes: tuple[str, ...],
    on_progress: OnProgress,
    cancel: CancelToken,
    spread: Spread = one_by_one,
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
    """
    *series, slices = store.array(0).shape[:-2]
    for lead in np.ndindex(*series):
        last, of_object = 0, [np.zeros(1, np.uint8)]
        before: tuple[Index, _LinkedSlice] | None = None
        for z in tracked(list(range(slices)), slices, "Linking objects", on_progress, cancel):
            index = (*lead, z)
            said = store.read_numbered(index)
            now, pairs = _look(store, index, None if before is None else before[0], said)
            table = np.zeros(int(now.numbers.max(initial=0)) + 1, np.int64)
            if before is not None:
                for ours, theirs in _partners(pairs, before[1], now):
                    table[theirs] = ours
            fresh = now.numbers[table[now.numbers] == 0]
            table[fresh] = last + np.arange(1, len(fresh) + 1)
            last += len(fresh)
            of_object.append(now.classes[np.searchsorted(now.numbers, fresh)])
            for part in parts_of(store, "0", 0, PART, index):
                numbers = np.asarray(store.array(0)[part.place_in])
                store.write(0, index, part.rows, part.columns, table[numbers].astype(numbers.dtype))
            numbers_now = table[now.numbers]
            order = np.argsort(numbers_now)
            before = index, _LinkedSlice(numbers_now[order], now.areas[order], now.classes[order])
        if len(classes) > 1:
            # One table for all slices, as an object has one class in all of them.
            shutil.rmtree(store.path.joinpath(OBJECTS, *map(str, lead)), ignore_errors=True)
            store.write_numbered(lead, NumberedObjects(classes, np.concatenate(of_object)))
    for level in range(1, len(store.levels)):
        parts = list(parts_of(store, str(level), level, PART // 2))
        found = spread(halve, parts)
        for _ in tracked(found, len(parts), "Building coarser levels", on_progress, cancel):
            pass


def _look(
    store: LabelStore, index: Index, before: Index | None, said: NumberedObjects | None
) -> tuple[_LinkedSlice, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The objects of a slice, and pairs of one before and one of it with the pixels that both have."""
    areas: dict[int, int] = {}
    shared: dict[tuple[int, int], int] = {}
    for part in parts_of(store, "0", 0, PART, index):
        now = np.asarray(store.array(0)[part.place_in]).astype(np.int64)
        _add(areas, *np.unique(now[now > 0], return_counts=True))
        if before is None:
            continue
        earlier = np.asarray(store.array(0)[(*before, part.rows, part.columns)]).astype(np.int64)
        both = (now > 0) & (earlier > 0)
        if both.any():
            found = np.unique(np.stack([earlier[both], now[both]]), axis=1, return_counts=True)
            for a, b, count in zip(*found[0].tolist(), found[1].tolist(), strict=True):
                shared[a, b] = shared.get((a, b), 0) + count
    numbers = np.array(sorted(areas), np.int64)
    kinds = np.ones(len(numbers), np.uint8) if said is None else said.classes[numbers]
    slice_now = _LinkedSlice(numbers, np.array([areas[n] for n in numbers.tolist()], np.int64), kinds)
    pairs = np.array(list(shared), np.int64).reshape(-1, 2)
    return slice_now, (pairs, np.array(list(shared.values()), np.int64))


def _add(areas: dict[int, int], numbers: NDArray[Any], counts: NDArray[Any]) -> None:
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        areas[number] = areas.get(number, 0) + count


def _partners(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]], before: _LinkedSlice, now: _LinkedSlice
) -> list[tuple[int, int]]:
    """Numbers before and now of objects that are one."""
    both, shared = pairs
    first, second = both.T
    at, place = np.searchsorted(before.numbers, first), np.searchsorted(now.numbers, second)
    same = before.classes[at] == now.classes[place]
    overlap = shared / (before.areas[at] + now.areas[place] - shared)
    return matched(first[same], second[same], overlap[same])
