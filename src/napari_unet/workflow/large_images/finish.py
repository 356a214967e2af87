"""What is left to do when all blocks of a large mask are there: small pieces, and the coarser levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.export.label_store import PROBABILITIES, RAW, Index, LabelStore
from napari_unet.inference.joined import (
    PartPieces,
    drop_small,
    join,
    label_pieces,
    look_at_any_class,
    look_at_part,
    number_objects,
)
from napari_unet.progress import tracked
from napari_unet.workflow.large_images.parts import PART, Part, Work, one_by_one, parts_of
from napari_unet.workflow.large_images.told_apart import ObjectRules, finish_told_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.inference.joined import JoinedPieces
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.large_images.parts import Spread


@dataclass(frozen=True, eq=False)
class _Drop:
    """A part, with the areas that its pieces have as wholes; or what they are labelled with.

    ``numbers`` are those of objects, of pieces of one class; ``labels`` numbers or classes of pieces of any.
    """

    part: Part
    areas: NDArray[np.int64]
    minimum_size: int
    numbers: NDArray[np.uint32] | None = None
    labels: NDArray[Any] | None = None


def finish_labels(
    store: LabelStore,
    minimum_size: int,
    on_progress: OnProgress,
    cancel: CancelToken,
    spread: Spread = one_by_one,
    *,
    objects: bool = False,
    classes: tuple[str, ...] = (),
    rules: ObjectRules | None = None,
) -> None:
    """Finish a mask whose blocks are all there; may be done again where it was stopped.

    Parameters
    ----------
    store : LabelStore
        With the masks of all blocks.
    minimum_size : int
        Connected pieces with fewer pixels are dropped, wherever blocks part them.
    on_progress, cancel
        As everywhere.
    spread : callable
        Who does it.
    objects : bool
        Whether every connected piece gets a number of its own, in place of its class.
    classes : tuple of str
        Names of the classes 1..K; with them the classes of numbered objects are written, too.
    rules : ObjectRules, optional
        What decides the objects, where they are no connected pieces and the store has answers.

    Notes
    -----
    Where the store has probabilities, pieces are of any class, and each has the class that its pixels speak
    for most.
    """
    if rules is not None:
        finish_told_apart(store, rules, Work(spread, on_progress, cancel))
    elif RAW in store.group:
        raw = store.array(RAW)
        for index in np.ndindex(*raw.shape[:-2]):
            joined = _join(store, index, on_progress, cancel, spread)
            _label(store, index, joined, minimum_size, on_progress, cancel, spread, objects)
            if objects and len(classes) > 1:
                kept = joined.large(minimum_size)
                ties = np.cumsum(kept)[kept & joined.tied]
                of_object = np.concatenate([[0], joined.classes[kept]]).astype(np.uint8)
                store.write_numbered(index, NumberedObjects(classes, of_object, tuple(ties.tolist())))
    for level in range(1, len(store.levels)):
        parts = list(parts_of(store, str(level), level, PART // 2))
        found = spread(halve, parts)
        for _ in tracked(found, len(parts), "Building coarser levels", on_progress, cancel):
            pass


def _join(
    store: LabelStore, index: Index, on_progress: OnProgress, cancel: CancelToken, spread: Spread
) -> JoinedPieces:
    """Look at all parts of an image, and join their pieces."""
    parts = list(parts_of(store, RAW, 0, PART, index))
    found = tracked(spread(_look, parts), len(parts), "Joining pieces", on_progress, cancel)
    return join({part.place: pieces for part, pieces in found})


def _label(
    store: LabelStore,
    index: Index,
    joined: JoinedPieces,
    minimum_size: int,
    on_progress: OnProgress,
    cancel: CancelToken,
    spread: Spread,
    objects: bool,
) -> None:
    """Write the mask of an image: what is left without small pieces, or numbers of objects."""
    parts = list(parts_of(store, RAW, 0, PART, index))
    whole = store.has_probabilities
    numbers = joined.kept_numbers(minimum_size) if objects or whole else {}

    def labels(place: tuple[int, int]) -> NDArray[Any] | None:
        if not whole or objects:
            return numbers[place] if whole else None
        return np.where(numbers[place] > 0, joined.classes_in(place), 0).astype(np.uint8)

    drops = (
        _Drop(
            part,
            joined.areas[part.place],
            minimum_size,
            numbers.get(part.place) if objects else None,
            labels(part.place),
        )
        for part in parts
    )
    words = "Numbering objects" if objects else "Dropping small pieces"
    for _ in tracked(spread(_drop, drops), len(parts), words, on_progress, cancel):
        pass


def _raw(part: Part) -> tuple[LabelStore, NDArray[np.uint8]]:
    store = LabelStore.open(part.store)
    return store, np.asarray(store.array(RAW)[(*part.index, part.rows, part.columns)])


def _look(part: Part) -> PartPieces:
    store, mask = _raw(part)
    if not store.has_probabilities:
        return look_at_part(mask)
    place = (*part.index, slice(None), part.rows, part.columns)
    return look_at_any_class(mask, np.asarray(store.array(PROBABILITIES)[place]))


def _drop(drop: _Drop) -> None:
    part = drop.part
    store, mask = _raw(part)
    kept: NDArray[Any]
    if drop.labels is not None:
        kept = label_pieces(mask, drop.labels)
    elif drop.numbers is None:
        kept = drop_small(mask, drop.areas, drop.minimum_size)
    else:
        kept = number_objects(mask, drop.numbers)
    store.write(0, part.index, part.rows, part.columns, kept)


def halve(part: Part) -> None:
    """Make a part of a level of the level below."""
    LabelStore.open(part.store).halve(part.level, part.index, part.rows, part.columns)
