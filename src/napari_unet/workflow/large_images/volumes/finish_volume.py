"""What is left to do when all voxels of a large mask are there: small pieces, objects, coarser levels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.export.label_store import ANSWERS, HEIGHT, RAW, LabelStore
from napari_unet.inference.joined import drop_small, join, look_at_part
from napari_unet.inference.parted_objects import ObjectWay
from napari_unet.inference.volumes.parted_volumes import PEAKS, PartedVolume
from napari_unet.progress import Progress, tracked
from napari_unet.workflow.large_images.numbering import CORES, ObjectSource
from napari_unet.workflow.large_images.parts import Work, one_by_one
from napari_unet.workflow.large_images.told_apart import SAID, made_as_whole
from napari_unet.workflow.large_images.volumes.volume_run import height_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Separation
    from napari_unet.workflow.large_images.parts import Spread
    from napari_unet.workflow.large_images.told_apart import ObjectRules

    Index = tuple[int, ...]

PIECES = "pieces"  # array of numbers, while objects are joined, as that of cores
PASSES = {"connected": 2, "agglomerate": 5}  # over all parts; of other ways 3
PART = 2**21  # voxels that are looked at together, about; whole files of the result
WIDEST = 1024  # voxels of a part along Y and X, about
BRICK, BRICK_SIDE = 2**24, 512  # the same of parts in which maxima are looked for


@dataclass(frozen=True)
class VolumePart:
    """A part of a volume in a store, whole files of it.

    Attributes
    ----------
    store : pathlib.Path
        Of the labels.
    level : int
        That is written.
    index : tuple of int
        Of the volume.
    box : tuple of slice
        Along Z, Y and X.
    place : tuple of int
        Number of the part along each axis.
    """

    store: Path
    level: int
    index: Index
    box: tuple[slice, slice, slice]
    place: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class ObjectsInVolume:
    """How the objects of volumes are found.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes 1..K.
    how : str
        How touching objects are separated, as ``objects.way_of`` gives it.
    core : float
        Of "learned": height from which on a voxel is of a core.
    join : float
        Of "agglomerate": mean probability along a common border from which on two fragments are one.
    separation : str
        What the network says to tell objects apart.
    anisotropy : float
        How many times as thick a slice is as a pixel is wide.
    """

    classes: tuple[str, ...]
    how: str = "connected"
    core: float = 0.5
    join: float = 0.6
    separation: Separation = "none"
    anisotropy: float = 1.0

    @property
    def learned(self) -> bool:
        """Whether cores are where the network says that voxels lie deep in objects."""
        return self.how == "learned"

    @property
    def wants_classes(self) -> bool:
        """Whether the probabilities of the classes are needed."""
        return self.how in {"probability", "agglomerate"}


def finish_volume(
    store: LabelStore,
    minimum_size: int,
    on_progress: OnProgress,
    cancel: CancelToken,
    spread: Spread = one_by_one,
    objects: ObjectsInVolume | None = None,
    rules: ObjectRules | None = None,
) -> None:
    """Finish the mask of volumes whose voxels are all there; may be done again where it was stopped.

    Parameters
    ----------
    store : LabelStore
        With the masks of all cells or slices.
    minimum_size : int
        Connected pieces of a slice with fewer pixels are dropped, wherever parts of it meet.
    on_progress, cancel
        As everywhere.
    spread : callable
        Who builds levels. Pieces are joined by this thread.
    objects : ObjectsInVolume, optional
        How objects are found, if their numbers are wanted in place of classes.
    rules : ObjectRules, optional
        What of each slice is made when all of it is there: contours, classes of its objects.
    """
    if store.has_array(RAW):
        for index in volumes_in(store):
            said = SAID if store.has_array(SAID) else ANSWERS
            source = ObjectSource(RAW, said, "", len(rules.names) if rules else 0, ObjectWay("connected"))
            if rules is not None and rules.as_whole:
                for z in range(store.array(RAW).shape[-3]):
                    source, _ = made_as_whole(store, (*index, z), rules, Work(spread, on_progress, cancel))
            if minimum_size > 1:
                _drop_small(store, index, source.mask, minimum_size, on_progress, cancel)
            if objects is not None:
                _number(store, index, source, objects, on_progress, cancel)
            else:
                parts = volume_parts(store, RAW, 0, index)
                for part in tracked(parts, len(parts), "Writing the mask", on_progress, cancel):
                    write_box(store, "0", index, part.box, read_box(store, source.mask, index, part.box))
    for level in range(1, len(store.levels)):
        key = str(level)
        parts = [part for index in volumes_in(store) for part in volume_parts(store, key, level, index)]
        for _ in tracked(spread(_halve, parts), len(parts), "Building coarser levels", on_progress, cancel):
            pass


def volumes_in(store: LabelStore) -> Iterator[Index]:
    """Index of every volume."""
    yield from np.ndindex(*store.array(0).shape[:-3])


def volume_parts(
    store: LabelStore, key: str, level: int, index: Index, voxels: int = 0, widest: int = 0
) -> list[VolumePart]:
    """Parts of an array of a volume that are written at once, in the order of their places.

    They have about so many voxels, and are about so wide; else ``PART`` and ``WIDEST``.
    """
    array = store.array(key)
    chunk, size = array.chunks[-3:], array.shape[-3:]
    voxels, widest = voxels or PART, widest or WIDEST
    width = _multiple(chunk[2], min(widest, size[2], voxels // (chunk[0] * chunk[1])))
    height = _multiple(chunk[1], min(widest, size[1], voxels // (chunk[0] * width)))
    depth = _multiple(chunk[0], voxels // (width * height))
    cut = [
        [slice(start, min(start + side, full)) for start in range(0, full, side)]
        for side, full in zip((depth, height, width), size, strict=True)
    ]
    return [
        VolumePart(store.path, level, index, (z, y, x), (k, j, i))
        for (k, z), (j, y), (i, x) in product(*map(enumerate, cut))
    ]


def _multiple(chunk: int, wanted: int) -> int:
    return int(max(1, wanted // chunk) * chunk)


def read_box(store: LabelStore, key: str, index: Index, box: tuple[slice, ...]) -> NDArray[Any]:
    """Read a part of an array of a volume."""
    return np.asarray(store.array(key)[(*index, *box)])


def write_box(store: LabelStore, key: str, index: Index, box: tuple[slice, ...], values: Any) -> None:
    """Write a part of an array of a volume, whole files of it."""
    store.write(key, (*index, box[0]), box[1], box[2], values)


def _drop_small(
    store: LabelStore,
    index: Index,
    key: str,
    minimum_size: int,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> None:
    """Drop small pieces of each slice, in place: where it is done again, nothing more is dropped."""
    slabs: dict[int, list[VolumePart]] = {}
    for part in volume_parts(store, RAW, 0, index):
        slabs.setdefault(part.place[0], []).append(part)
    words = "Dropping small pieces"
    for slab in tracked(list(slabs.values()), len(slabs), words, on_progress, cancel):
        deep = slab[0].box[0].stop - slab[0].box[0].start
        looked: list[dict[tuple[int, int], Any]] = [{} for _ in range(deep)]
        for part in slab:
            for z, mask in enumerate(read_box(store, key, index, part.box)):
                looked[z][part.place[1:]] = look_at_part(mask)
        joined = [join(parts) for parts in looked]
        for part in slab:
            mask = read_box(store, key, index, part.box)
            areas = [one.areas[part.place[1:]] for one in joined]
            kept = np.stack([drop_small(a, b, minimum_size) for a, b in zip(mask, areas, strict=True)])
            write_box(store, key, index, part.box, kept)


@dataclass
class _InVolume:
    """An array of one volume of a store, read and written by boxes."""

    store: LabelStore
    key: str
    index: Index

    def __post_init__(self) -> None:
        self._array = self.store.array(self.key)
        self.shape = self._array.shape[-3:]

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(self._array[(*self.index, *box)])

    def __setitem__(self, box: tuple[slice, ...], values: NDArray[Any]) -> None:
        write_box(self.store, self.key, self.index, box, values)


@dataclass
class _Channels:
    """Channels of what a network said slice by slice, (Z, Y, X, K) float32."""

    store: LabelStore
    key: str
    index: Index
    channels: slice

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[np.float32]:
        z, y, x = box
        stored = np.asarray(self.store.array(self.key)[(*self.index, z, self.channels, y, x)])
        return np.moveaxis(stored, 1, -1).astype(np.float32)


@dataclass
class _Height:
    """How deep in objects voxels lie, by what a network said slice by slice."""

    classes: _Channels
    separation: _Channels
    mask: _InVolume
    kind: Separation

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[np.float32]:
        depth = self.separation[box][..., 0]
        return (
            height_of(self.classes[box], depth, self.mask[box], self.kind) if self.kind == "border" else depth
        )


def _number(
    store: LabelStore,
    index: Index,
    source: ObjectSource,
    wanted: ObjectsInVolume,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> None:
    """Write the number of its object for each voxel of a volume."""
    for key in (PIECES, CORES):
        store.numbers(key)
    boxes = [part.box for part in volume_parts(store, RAW, 0, index)]
    bricks: list[tuple[slice, slice, slice]] = []
    classes = len(wanted.classes)
    said = _Channels(store, source.answers, index, slice(0, classes))
    mask = _InVolume(store, source.mask, index)
    height: _InVolume | _Height | None = None
    if wanted.how in PEAKS:
        store.scratch(HEIGHT, "float32")
        bricks = [part.box for part in volume_parts(store, RAW, 0, index, BRICK, BRICK_SIDE)]
    if wanted.learned and store.has_answers:
        key, first = (source.separation, 0) if source.separation else (ANSWERS, classes)
        height = _Height(said, _Channels(store, key, index, slice(first, first + 1)), mask, wanted.separation)
    elif wanted.how != "connected":
        height = _InVolume(store, HEIGHT, index)
    done, total = 0, PASSES.get(wanted.how, 3) * len(boxes) + len(bricks)

    def on_part(words: str) -> None:
        nonlocal done
        cancel.check()
        done += 1
        on_progress(Progress(done, total, words))

    parted = PartedVolume(
        mask, height, _InVolume(store, PIECES, index), _InVolume(store, CORES, index),
        _InVolume(store, "0", index), boxes, wanted.how, bricks, said, wanted.join, wanted.core,
        wanted.separation != "border", wanted.anisotropy, on_part,
    )  # fmt: skip
    found = parted.number()
    if len(wanted.classes) > 1:
        store.write_numbered(index, NumberedObjects(wanted.classes, found.classes))


def _halve(part: VolumePart) -> None:
    """Make a part of a level of the level below: every second pixel of each slice."""
    store = LabelStore.open(part.store)
    z, y, x = part.box
    below = (z, slice(2 * y.start, 2 * y.stop), slice(2 * x.start, 2 * x.stop))
    values = read_box(store, str(part.level - 1), part.index, below)[:, ::2, ::2]
    write_box(store, str(part.level), part.index, part.box, values)
