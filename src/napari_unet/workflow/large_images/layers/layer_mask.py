"""The mask of a large image of the window: made of probabilities on disk, and its objects counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import DataError
from napari_unet.export.label_store import PROBABILITIES, SEPARATION, LabelStore, unfinished
from napari_unet.inference.joined import (
    drop_small,
    join,
    label_pieces,
    look_at_any_class,
    look_at_part,
)
from napari_unet.inference.parted_objects import ObjectWay
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.progress import tracked
from napari_unet.workflow.large_images.finish import halve
from napari_unet.workflow.large_images.numbering import FULL
from napari_unet.workflow.large_images.parts import PART, Work, one_by_one, parts_of
from napari_unet.workflow.large_images.told_apart import number_mask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.inference.joined import PartPieces
    from napari_unet.inference.postprocess import Activation
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Separation
    from napari_unet.workflow.large_images.parts import Part

IGNORE = 255  # in masks that people painted: nobody knows
OBJECTS_BY = "objects_by"  # what the state of a mask says of how its objects are separated
MOST_ROUNDS = 6  # in which a rounded probability is moved to the right side of the threshold


@dataclass(frozen=True)
class MaskRule:
    """How probabilities become a mask.

    Attributes
    ----------
    threshold : float
        In [0, 1].
    minimum_size : int
        In pixels; connected pieces with fewer are dropped.
    activation : str
        Of the network.
    least_depth : float
        Connected pieces that are nowhere deeper are dropped, by a network that learned depths; 0: none.
    whole_objects : bool
        Whether each object has one class, which is read off inside it once all of it is there. Until then a
        pixel that is of any class is foreground.
    """

    threshold: float
    minimum_size: int
    activation: Activation
    whole_objects: bool = False
    least_depth: float = 0.0

    @property
    def drops(self) -> bool:
        """Whether pieces are dropped when all of the mask is there."""
        return self.minimum_size > 1 or self.least_depth > 0

    def of_probabilities(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(Y, X) uint8, 0..K, of (Y, X, K) float32; small pieces are in it still."""
        if not self.whole_objects:
            return mask_from_probabilities(probabilities, self.threshold, activation=self.activation)
        softmax = self.activation == "softmax"
        any_class = probabilities.sum(axis=-1) if softmax else probabilities.max(axis=-1)
        return np.where(any_class > self.threshold, probabilities.argmax(axis=-1) + 1, 0).astype(np.uint8)

    def mask(self, kept: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(Y, X) uint8, 0..K, of (K, Y, X) uint8; small pieces are in it still."""
        if len(kept) == 1:
            table = (np.arange(FULL + 1, dtype=np.float32) / FULL > self.threshold).astype(np.uint8)
            return np.asarray(table[kept[0]])
        probabilities = np.moveaxis(kept, 0, -1).astype(np.float32) / np.float32(FULL)
        return self.of_probabilities(probabilities)

    def keep(self, probabilities: NDArray[np.float32], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Round probabilities to 8 bits so that they make the same mask.

        Parameters
        ----------
        probabilities : numpy.ndarray
            (Y, X, K) float32 in [0, 1].
        mask : numpy.ndarray
            (Y, X) uint8, 0..K, made of them by this rule.

        Returns
        -------
        numpy.ndarray
            (K, Y, X) uint8.
        """
        kept = np.moveaxis(np.rint(probabilities * FULL), -1, 0).astype(np.int16)
        for _ in range(MOST_ROUNDS):
            rounded = kept.clip(0, FULL).astype(np.uint8)
            rows, columns = np.nonzero(self.mask(rounded) != mask)
            if not len(rows):
                return rounded
            wanted, there = mask[rows, columns].astype(np.int64), kept[:, rows, columns]
            moved = np.where(wanted > 0, wanted - 1, there.argmax(axis=0))
            there[moved, np.arange(len(rows))] += np.where(wanted > 0, 1, -1).astype(np.int16)
            kept[:, rows, columns] = there
        certain = np.arange(len(kept))[:, None] == wanted - 1
        rounded[:, rows, columns] = FULL * certain
        return rounded


@dataclass(frozen=True)
class LayerObjects:
    """How the objects of a mask in the window are separated, as its state says it.

    Attributes
    ----------
    how, kind, core, join
        As ``ObjectWay`` has them.
    classes : int
        Of the model.
    stars : bool
        Whether polygons say how deep pixels lie.
    """

    how: str
    kind: Separation
    core: float
    classes: int
    stars: bool = False
    join: float = 0.6

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> LayerObjects | None:
        """Of the state of a mask; None where objects are connected pieces."""
        said = state.get(OBJECTS_BY)
        return cls(**said) if said else None

    def number(self, store: LabelStore, on_progress: OnProgress, cancel: CancelToken) -> int:
        """Number the objects of the mask as it is, into ``NUMBERS``; says how many there are."""
        way = ObjectWay(self.how, self.kind, self.core, self.join)
        work = Work(one_by_one, on_progress, cancel)
        return number_mask(store, way, self.classes, PROBABILITIES, work, stars=self.stars)


def finish_layer(
    store: LabelStore,
    rule: MaskRule,
    again: bool,
    on_progress: OnProgress,
    cancel: CancelToken,
    objects: LayerObjects | None = None,
) -> int:
    """Finish the mask of a large image, of all of it or of what is segmented so far.

    Parameters
    ----------
    store : LabelStore
        With probabilities.
    rule : MaskRule
        How they become the mask.
    again : bool
        Whether the mask in the store may be of another rule, or painted on: it is made again.
    on_progress, cancel
        As everywhere.
    objects : LayerObjects, optional
        How objects are separated; without it they are connected pieces.

    Returns
    -------
    int
        Objects in the mask.
    """
    makes = again or rule.drops or rule.whole_objects
    parts = list(parts_of(store, "0", 0, PART))

    def mask_of(part: Part) -> NDArray[np.uint8]:
        if not makes:
            return read_part(store, part)
        return rule.mask(np.asarray(store.array(PROBABILITIES)[:, part.rows, part.columns]))

    def look(part: Part) -> PartPieces:
        deep = None
        if rule.least_depth > 0:
            depth = np.asarray(store.array(SEPARATION)[0, part.rows, part.columns])
            deep = depth.astype(np.float32) > rule.least_depth
        if not rule.whole_objects:
            return look_at_part(mask_of(part), deep)
        stored = np.asarray(store.array(PROBABILITIES)[:, part.rows, part.columns])
        return look_at_any_class(rule.mask(stored), stored, deep)

    looked = ((part, look(part)) for part in parts)
    found = tracked(looked, len(parts), "Counting objects", on_progress, cancel)
    joined = join({part.place: pieces for part, pieces in found})
    numbers = joined.kept_numbers(rule.minimum_size)
    if makes:
        for part in tracked(parts, len(parts), "Making the mask", on_progress, cancel):
            mask = mask_of(part)
            if rule.whole_objects:
                kept = np.where(numbers[part.place] > 0, joined.classes_in(part.place), 0).astype(np.uint8)
                mask = label_pieces(mask, kept).astype(np.uint8)
            elif rule.drops:
                mask = drop_small(mask, joined.areas[part.place], rule.minimum_size)
            if not np.array_equal(mask, read_part(store, part)):
                store.write(0, part.index, part.rows, part.columns, mask)
    for level in range(1, len(store.levels)):
        parts = list(parts_of(store, str(level), level, PART // 2))
        for part in tracked(parts, len(parts), "Building coarser levels", on_progress, cancel):
            halve(part)
    if objects is not None:
        return objects.number(store, on_progress, cancel)
    return max((int(own.max(initial=0)) for own in numbers.values()), default=0)


def read_part(store: LabelStore, part: Part) -> NDArray[Any]:
    """(Y, X): the labels of a part as they are in the store."""
    return np.asarray(store.array(part.level)[(*part.index, part.rows, part.columns)])


@dataclass(frozen=True)
class CountObjectsTask:
    """Count the objects of a mask on disk as it is, painting and all.

    Attributes
    ----------
    store : pathlib.Path
        Of the mask.
    """

    store: Path

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> int:
        """Count."""
        store = open_finished_or_not(self.store)
        told_apart = LayerObjects.of(store.state)
        if told_apart is not None:
            return told_apart.number(store, on_progress, cancel)
        parts = list(parts_of(store, "0", 0, PART))
        looked = ((part, look_at_part(known(read_part(store, part)))) for part in parts)
        found = tracked(looked, len(parts), "Counting objects", on_progress, cancel)
        return join({part.place: pieces for part, pieces in found}).count


def known(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask with what is to be ignored as background."""
    return np.where(mask == IGNORE, 0, mask).astype(np.uint8)


def open_finished_or_not(path: Path) -> LabelStore:
    """Open a mask by the name that it has when it is whole, or has already.

    Raises
    ------
    DataError
        If there is none.
    """
    for place in (path, unfinished(path)):
        if place.exists():
            return LabelStore.open(place)
    raise DataError(f"the mask {path} is gone", code="data.store.missing", remedy="segment the image again")
