"""Star-convex polygons of a large image: those of the whole, drawn part by part as depth on disk.

Rays are needed around the middles of objects alone. So each block stores its depth as a whole, and rays of
those pixels that can be middles, whatever is around the block.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.export.label_store import ANSWERS, STARS, Index, LabelStore, disk
from napari_unet.inference.parted_objects import Window
from napari_unet.inference.shapes.stars import (
    REACH,
    Stars,
    boxes_of,
    drawn_stars,
    find_middles,
    may_be_middles,
    stars_of,
    suppress,
)
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.workflow.large_images.parts import PART, Part, parts_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.workflow.large_images.parts import Work


def _file(store: LabelStore, index: Index, block: int) -> Path:
    return store.path / STARS / "-".join(map(str, (*index, block)))


def keep_middles(
    store: LabelStore,
    index: Index,
    block: int,
    place: tuple[slice, slice],
    depth: NDArray[np.float32],
    rays: NDArray[np.float32],
) -> None:
    """Store rays, (Y, X, 32), of those pixels of a block that may be middles by its depth, (Y, X)."""
    y, x = np.nonzero(may_be_middles(depth))
    places = np.stack([y + place[0].start, x + place[1].start], axis=1).astype(np.int64)
    path = _file(store, index, block)
    with disk(store.path):
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.savez(file, places=places, rays=rays[y, x].clip(0, 1).astype(np.float16))
        partial.replace(path.with_name(f"{path.name}.npz"))


@dataclass(frozen=True)
class _Middles:
    part: Part
    answers: str
    channel: int


def _find_middles(item: _Middles) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(N, 2) middles in a part, row by row, and (N,) their smoothed depth."""
    part, store = item.part, LabelStore.open(item.part.store)
    array = store.array(item.answers)
    window = Window.around(part.rows, part.columns, 2 * REACH, array.shape[-2:])
    depth = np.asarray(array[(*part.index, item.channel, window.rows, window.columns)]).astype(np.float32)
    y, x, smooth = find_middles(depth)
    rows, columns = window.inner
    ours = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
    places = np.stack([y + window.rows.start, x + window.columns.start], axis=1)[ours]
    return places.astype(np.int64), smooth[ours]


@dataclass(frozen=True, eq=False)
class _Draw:
    part: Part
    key: str
    stars: Stars


def _draw(item: _Draw) -> None:
    """Draw polygons that touch a part, the deepest first, and store how deep pixels lie in them."""
    part, store = item.part, LabelStore.open(item.part.store)
    shape = store.array(store.base).shape[-2:]
    depth = np.zeros((part.rows.stop - part.rows.start, part.columns.stop - part.columns.start), np.float32)
    if len(item.stars):
        low, high = boxes_of(item.stars)
        touches = _touch(low, high, part)
        rows, columns = (
            slice(
                max(min(low[touches, axis].min() - 1, place.start), 0),
                min(max(high[touches, axis].max() + 2, place.stop), shape[axis]),
            )
            for axis, place in enumerate((part.rows, part.columns))
        )
        size = rows.stop - rows.start, columns.stop - columns.start
        found = distance_map(drawn_stars(item.stars, size, (rows.start, columns.start)))
        depth = found[
            part.rows.start - rows.start : part.rows.stop - rows.start,
            part.columns.start - columns.start : part.columns.stop - columns.start,
        ]
    store.write_channels(item.key, part.index, part.rows, part.columns, depth[None].astype(np.float16))


def _touch(low: NDArray[np.int_], high: NDArray[np.int_], part: Part) -> NDArray[np.bool_]:
    """Which boxes reach into a part."""
    inside = (low[:, 0] < part.rows.stop) & (high[:, 0] >= part.rows.start)
    return np.asarray(inside & (low[:, 1] < part.columns.stop) & (high[:, 1] >= part.columns.start))


def find_depth(
    store: LabelStore, key: str, index: Index, classes: int, work: Work, answers: str = ANSWERS
) -> None:
    """Find the polygons of an image, and store how deep pixels lie in them.

    Parameters
    ----------
    store : LabelStore
        With the answers of a star-convex network.
    key : str
        Of the array that gets the depth.
    index : tuple of int
        Of the image.
    classes : int
        Channels of the answers before the depth.
    work : Work
        Who does it.
    answers : str
        Key of the array of answers.
    """
    parts = list(parts_of(store, store.base, 0, PART, index))
    looked = work.each(
        _find_middles, [_Middles(part, answers, classes) for part in parts], "Finding polygons"
    )
    found = [said for _, said in looked]
    places = np.concatenate([places for places, _ in found])
    depth = np.concatenate([depth for _, depth in found])
    order = np.lexsort((places[:, 1], places[:, 0], -depth))
    places, depth = places[order], depth[order]
    work.cancel.check()
    stars = suppress(stars_of(places, _rays_at(store, index, places), depth), on_each=work.cancel.check)
    low, high = boxes_of(stars) if len(stars) else (np.zeros((0, 2), int), np.zeros((0, 2), int))
    items = []
    for part in parts:
        touches = _touch(low, high, part)
        if touches.any():
            around = Part(
                part.store, 0, index,
                slice(int(low[touches, 0].min()), int(high[touches, 0].max()) + 1),
                slice(int(low[touches, 1].min()), int(high[touches, 1].max()) + 1),
            )  # fmt: skip
            touches = _touch(low, high, around)  # a deeper one hides a part of one that touches
        items.append(_Draw(part, key, stars.some(np.flatnonzero(touches))))
    for _ in work.each(_draw, items, "Drawing polygons"):
        pass


def _rays_at(store: LabelStore, index: Index, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, 32) float32: the rays of middles (N, 2), from what the blocks stored."""
    width = store.array(store.base).shape[-1]
    wanted = places[:, 0] * width + places[:, 1]
    order = np.argsort(wanted)
    rays = np.zeros((len(places), 32), np.float32)
    prefix = "".join(f"{one}-" for one in index)
    for path in sorted((store.path / STARS).glob(f"{prefix}*.npz")):
        if path.stem.removeprefix(prefix).count("-"):
            continue  # of another image
        with np.load(path) as kept:
            codes = kept["places"][:, 0] * width + kept["places"][:, 1]
            at = np.searchsorted(wanted, codes, sorter=order).clip(max=max(len(wanted) - 1, 0))
            if not len(wanted):
                break
            there = wanted[order[at]] == codes
            rays[order[at[there]]] = kept["rays"][there]
    return rays
