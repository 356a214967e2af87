"""What is left to do when all blocks of a large mask are there: small pieces, and the coarser levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.export.label_store import RAW
from napari_unet.inference.joined import drop_small, join, look_at_part
from napari_unet.progress import tracked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.export.label_store import Index, LabelStore
    from napari_unet.inference.joined import JoinedPieces, PartPieces
    from napari_unet.progress import CancelToken, OnProgress

PART = 2048  # pixels that are looked at together, about; whole files of the result


def settle(store: LabelStore, minimum_size: int, on_progress: OnProgress, cancel: CancelToken) -> None:
    """Finish a mask whose blocks are all there; may be done again where it was stopped.

    Parameters
    ----------
    store : LabelStore
        With the masks of all blocks.
    minimum_size : int
        Connected pieces with fewer pixels are dropped, wherever blocks part them.
    on_progress, cancel
        As everywhere.
    """
    if RAW in store.group:
        raw = store.array(RAW)
        for index in np.ndindex(*raw.shape[:-2]):
            _drop_small(store, index, minimum_size, on_progress, cancel)
    for level in range(1, len(store.levels)):
        places = list(level_parts(store, level))
        for place in tracked(places, len(places), "Building coarser levels", on_progress, cancel):
            store.halve(level, *place)


def level_parts(store: LabelStore, level: int) -> Iterator[tuple[Index, slice, slice]]:
    """Parts of a level that are written at once: whole files of it, image by image."""
    array = store.array(level)
    for index in np.ndindex(*array.shape[:-2]):
        for row in _parts(array.shape[-2], array.chunks[-2], PART // 2):
            for column in _parts(array.shape[-1], array.chunks[-1], PART // 2):
                yield index, row, column


def _parts(size: int, chunk: int, wanted: int) -> list[slice]:
    side = max(1, wanted // chunk) * chunk
    return [slice(start, min(start + side, size)) for start in range(0, size, side)]


def _drop_small(
    store: LabelStore, index: Index, minimum_size: int, on_progress: OnProgress, cancel: CancelToken
) -> None:
    raw = store.array(RAW)
    rows = _parts(raw.shape[-2], raw.chunks[-2], PART)
    columns = _parts(raw.shape[-1], raw.chunks[-1], PART)
    places = [(row, column) for row in range(len(rows)) for column in range(len(columns))]
    looked: dict[tuple[int, int], PartPieces] = {}
    for row, column in tracked(places, len(places), "Joining pieces", on_progress, cancel):
        looked[row, column] = look_at_part(np.asarray(raw[(*index, rows[row], columns[column])]))
    joined: JoinedPieces = join(looked)
    for row, column in tracked(places, len(places), "Dropping small pieces", on_progress, cancel):
        mask = np.asarray(raw[(*index, rows[row], columns[column])])
        kept = drop_small(mask, joined.areas[row, column], minimum_size)
        store.write(0, index, rows[row], columns[column], kept)
