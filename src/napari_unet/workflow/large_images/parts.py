"""Parts of arrays on disk that are looked at one after another, or by several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.progress import tracked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from napari_unet.export.label_store import Index, LabelStore
    from napari_unet.progress import CancelToken, OnProgress

    # Calls a function for each of many items, here or elsewhere: pairs of item and result, in any order.
    Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[tuple[Any, Any]]]

PART = 2048  # pixels that are looked at together, about; whole files of the result


def one_by_one(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Spread work over nobody but this thread."""
    for item in items:
        yield item, function(item)


@dataclass(frozen=True)
class Part:
    """A part of an array in a store."""

    store: Path
    level: int
    index: Index
    rows: slice
    columns: slice
    place: tuple[int, int] = (0, 0)

    @property
    def place_in(self) -> tuple[Any, ...]:
        """Where it is in an array of labels."""
        return (*self.index, self.rows, self.columns)


def parts_of(
    store: LabelStore, key: str, level: int, side: int, index: Index | None = None
) -> Iterator[Part]:
    """Parts of an array that are written at once: whole files of it, image by image."""
    array = store.array(key)
    down, across = side_of(array, side)
    for one in np.ndindex(*array.shape[:-2]) if index is None else [index]:
        for r, rows in enumerate(_cut(array.shape[-2], down)):
            for c, columns in enumerate(_cut(array.shape[-1], across)):
                yield Part(store.path, level, one, rows, columns, (r, c))


def side_of(array: Any, wanted: int) -> tuple[int, int]:
    """(Y, X) of the parts of an array: whole files, and about as many pixels as are wanted."""
    down, across = (max(1, wanted // chunk) * chunk for chunk in array.chunks[-2:])
    return down, across


def _cut(size: int, side: int) -> list[slice]:
    return [slice(start, min(start + side, size)) for start in range(0, size, side)]


class Work(NamedTuple):
    """Who does the work, and who hears of it."""

    spread: Spread
    on_progress: OnProgress
    cancel: CancelToken

    def each(self, function: Any, items: list[Any], words: str) -> Iterator[tuple[Any, Any]]:
        """Call a function for each item, here or elsewhere."""
        return tracked(self.spread(function, items), len(items), words, self.on_progress, self.cancel)
