"""Numbering the objects of a large image part by part, from what is on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.export.label_store import ANSWERS, HEIGHT, Index, LabelStore, Place
from napari_unet.inference.agglomeration import Contacts, inside_of
from napari_unet.inference.object_classes import foreground_of
from napari_unet.inference.parted_objects import (
    ObjectWay,
    PartCores,
    PartedObjects,
    join_objects,
    look_for_cores,
    number_parted,
)
from napari_unet.workflow.large_images.parts import PART, Part, Work, side_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.inference.joined import PieceNumber
    from napari_unet.inference.parted_objects import Read, ReadCores
    from napari_unet.inference.postprocess import Activation

CORES, FRAGMENTS = "cores", "fragments"
FULL = 255  # how a probability of 1 is stored in 8 bits
UNKNOWN_LABEL = 255  # in masks that people paint


@dataclass(frozen=True)
class ObjectSource:
    """Where mask, probabilities and separation of an image are read from.

    Attributes
    ----------
    mask, answers, separation : str
        Keys of arrays; no separation: the channel behind the classes.
    classes : int
        Channels of the answers that are probabilities.
    way : ObjectWay
        Says what is needed.
    foreground : str, optional
        Of which activation the classes are made one; None: they stay.
    """

    mask: str
    answers: str
    separation: str
    classes: int
    way: ObjectWay
    foreground: Activation | None = None

    def reader(self, store: LabelStore, index: Index) -> Read:
        """What reads a region, as ``look_for_cores`` wants it."""
        learned = self.way.how == "learned"
        asks_classes = self.way.how in {"probability", "agglomerate"}
        wants_classes = asks_classes or (learned and self.way.kind == "border")

        def read(
            rows: slice, columns: slice
        ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None, NDArray[np.float32] | None]:
            mask = labels_of(store, self.mask, (*index, rows, columns))
            probabilities = separation = None
            if wants_classes:
                probabilities = self.probabilities(store, index, rows, columns)
            if learned:
                key, channel = (self.separation, 0) if self.separation else (ANSWERS, self.classes)
                stored = store.array(key)[(*index, channel, rows, columns)]
                separation = np.asarray(stored).astype(np.float32)
            return mask, probabilities, separation

        return read

    def probabilities(
        self, store: LabelStore, index: Index, rows: slice, columns: slice
    ) -> NDArray[np.float32]:
        """(Y, X, K) float32: probabilities of a region."""
        found = read_classes(store, self.answers, index, rows, columns, self.classes)
        return foreground_of(found, self.foreground)[..., None] if self.foreground else found

    def grown_into(self, store: LabelStore, index: Index, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """(Y, X) uint8: what cores grow into in a region."""
        top, left = max(rows.start - 1, 0), max(columns.start - 1, 0)
        more: Place = (*index, slice(top, rows.stop + 1), slice(left, columns.stop + 1))
        wide = self.way.grown_into(labels_of(store, self.mask, more))
        return wide[rows.start - top :, columns.start - left :][
            : rows.stop - rows.start, : columns.stop - columns.start
        ]


def read_classes(
    store: LabelStore, key: str, index: Index, rows: slice, columns: slice, classes: int
) -> NDArray[np.float32]:
    """(Y, X, K) float32: probabilities of a region."""
    stored = np.asarray(store.array(key)[(*index, slice(0, classes), rows, columns)])
    found = np.ascontiguousarray(np.moveaxis(stored, 0, -1)).astype(np.float32)
    return found / np.float32(FULL) if stored.dtype == np.uint8 else found


def labels_of(store: LabelStore, key: str, place: Place) -> NDArray[np.uint8]:
    """(Y, X) uint8: a region of a mask; what is unknown in a mask that people paint is background."""
    mask = np.asarray(store.array(key)[place])
    return np.where(mask == UNKNOWN_LABEL, 0, mask).astype(np.uint8) if key == "0" else mask


@dataclass(frozen=True, eq=False)
class NumberedImage:
    """What is known of the objects of an image.

    Attributes
    ----------
    count : int
        Of objects.
    classes : numpy.ndarray
        (count + 1,) uint8: class of each; 0 for background.
    """

    count: int
    classes: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Cores:
    part: Part
    source: ObjectSource


def _find_cores(item: _Cores) -> PartCores:
    part, store = item.part, LabelStore.open(item.part.store)
    shape = store.array(store.base).shape[-2:]
    read = item.source.reader(store, part.index)
    found, height, numbers = look_for_cores(
        read, part.rows, part.columns, (shape[0], shape[1]), item.source.way
    )
    store.write(HEIGHT, part.index, part.rows, part.columns, height)
    store.write(CORES, part.index, part.rows, part.columns, numbers.astype(np.uint32))
    return found


@dataclass(frozen=True, eq=False)
class _NumberPart:
    part: Part
    source: ObjectSource
    key: str
    of_pieces: NDArray[np.int32]
    of_cores: dict[PieceNumber, NDArray[np.int32]]  # of the parts around


class _TooNearError(Exception):
    """The tables of the parts around do not reach far enough."""


def _number_part(item: _NumberPart) -> bool:
    """Number the objects of a part; False: tables of more parts are needed."""
    part, store = item.part, LabelStore.open(item.part.store)
    raw = store.array(store.base)
    sides = side_of(raw, PART)

    def read(rows: slice, columns: slice) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
        place: Place = (*part.index, rows, columns)
        local = np.asarray(store.array(CORES)[place])
        cores = np.zeros(local.shape, np.int32)
        for r in range(rows.start // sides[0], -(-rows.stop // sides[0])):
            for c in range(columns.start // sides[1], -(-columns.stop // sides[1])):
                if (r, c) not in item.of_cores:
                    raise _TooNearError
                here = tuple(
                    slice(max(n * side - all_of_it.start, 0), (n + 1) * side - all_of_it.start)
                    for n, side, all_of_it in zip((r, c), sides, (rows, columns), strict=True)
                )
                cores[here] = item.of_cores[r, c][local[here]]
        mask = item.source.grown_into(store, part.index, rows, columns)
        return mask, np.asarray(store.array(HEIGHT)[place]), cores

    reads: ReadCores = read
    shape = raw.shape[-2:]
    try:
        found = number_parted(reads, part.rows, part.columns, (shape[0], shape[1]), item.of_pieces)
    except _TooNearError:
        return False
    array = store.array(item.key)
    store.write(item.key, part.index, part.rows, part.columns, found.astype(array.dtype))
    return True


def find_numbers(
    store: LabelStore, source: ObjectSource, key: str, parts: list[Part], work: Work
) -> NumberedImage:
    """Number the objects of an image into an array.

    Parameters
    ----------
    store : LabelStore
        With mask and answers.
    source : ObjectSource
        Which of them.
    key : str
        Of the array that gets numbers.
    parts : list of Part
        All of the image.
    work : Work
        Who does it.

    Returns
    -------
    NumberedImage
        How many there are, and of which classes.
    """
    if source.way.how != "agglomerate":
        return _grow_cores(store, source, key, parts, work)
    store.scratch(FRAGMENTS, "uint32")
    grown = _grow_cores(store, source, FRAGMENTS, parts, work)
    looked = work.each(_look_at_borders, [_Borders(part, source) for part in parts], "Comparing fragments")
    contacts = Contacts.of_parts(seen for _, seen in looked)
    table = contacts.joined(grown.count, source.way.join)
    items = [_JoinPart(part, source, key, table) for part in parts]
    for _ in work.each(_join_part, items, "Numbering objects"):
        pass
    _, first = np.unique(table, return_index=True)
    return NumberedImage(len(first) - 1, grown.classes[first])


@dataclass(frozen=True, eq=False)
class _Borders:
    part: Part
    source: ObjectSource


def _look_at_borders(item: _Borders) -> Contacts:
    part, store, source = item.part, LabelStore.open(item.part.store), item.source
    fragments = store.array(FRAGMENTS)
    rows, columns = (
        slice(own.start, min(own.stop + 1, size))
        for own, size in zip((part.rows, part.columns), fragments.shape[-2:], strict=True)
    )
    mask = source.grown_into(store, part.index, rows, columns)
    inside = inside_of(mask, source.probabilities(store, part.index, rows, columns))
    shape = part.rows.stop - part.rows.start, part.columns.stop - part.columns.start
    return Contacts.of_part(np.asarray(fragments[(*part.index, rows, columns)]), mask, inside, shape)


@dataclass(frozen=True, eq=False)
class _JoinPart:
    part: Part
    source: ObjectSource
    key: str
    table: NDArray[np.int32]


def _join_part(item: _JoinPart) -> None:
    part, store = item.part, LabelStore.open(item.part.store)
    mask = labels_of(store, item.source.mask, part.place_in)
    found = np.where(mask > 0, item.table[np.asarray(store.array(FRAGMENTS)[part.place_in])], 0)
    store.write(item.key, part.index, part.rows, part.columns, found.astype(store.array(item.key).dtype))


def _grow_cores(
    store: LabelStore, source: ObjectSource, key: str, parts: list[Part], work: Work
) -> NumberedImage:
    """Find cores and let them grow, into an array of numbers."""
    store.scratch(HEIGHT, "float32")
    store.scratch(CORES, "uint32")
    items = [_Cores(part, source) for part in parts]
    looked = {i.part.place: found for i, found in work.each(_find_cores, items, "Finding objects")}
    joined = join_objects(looked)
    todo, reach = parts, 1
    while todo:
        numbers = [
            _NumberPart(part, source, key, joined.of_pieces[part.place], _around(joined, part.place, reach))
            for part in todo
        ]
        done = work.each(_number_part, numbers, "Numbering objects")
        todo = [item.part for item, finished in done if not finished]
        reach *= 2
    return NumberedImage(joined.count, joined.classes)


def _around(joined: PartedObjects, place: PieceNumber, reach: int) -> dict[PieceNumber, NDArray[np.int32]]:
    near = {}
    for row in range(place[0] - reach, place[0] + reach + 1):
        for column in range(place[1] - reach, place[1] + reach + 1):
            if (row, column) in joined.of_cores:
                near[row, column] = joined.of_cores[row, column]
    return near


# What follows reads the class of each object off inside it, as ``object_classes.one_class_in_each`` does.
