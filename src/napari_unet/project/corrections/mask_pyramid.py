"""A mask on disk in levels of falling resolution: read by part, painted chunk by chunk on all levels."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.project.corrections.stroke import Box, Stroke

STATE = "napari_unet_mask"  # attribute that says what the mask was made with
PROBABILITIES = "probabilities"


class MaskPyramid:
    """An OME-Zarr of labels; a pixel of a level is every second one, either way, of the level before.

    Parameters
    ----------
    path : pathlib.Path
        Of the OME-Zarr.
    """

    def __init__(self, path: Path) -> None:
        import zarr

        self.path = path
        self.group = zarr.open_group(path, mode="r+")
        datasets = self.group.attrs["ome"]["multiscales"][0]["datasets"]
        self.names = [str(one["path"]) for one in datasets]
        self.levels: list[Any] = [self.group[name] for name in self.names]
        self._touched: set[Path] = set()  # files that were written since ``sync``

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of the finest level."""
        height, width = self.levels[0].shape
        return int(height), int(width)

    @property
    def state(self) -> dict[str, Any]:
        """What the mask was made with: threshold, minimum_size, objects, share, as far as that is known."""
        return dict(self.group.attrs.get(STATE) or {})

    def read(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """(Y, X) uint8: a part of the finest level, a copy."""
        return np.array(self.levels[0][rows, columns])

    def probabilities(self, rows: slice, columns: slice) -> NDArray[np.uint8] | None:
        """(K, Y, X) uint8, 255 is 1; None where none are on disk."""
        if PROBABILITIES not in self.group:
            return None
        return np.asarray(self.group[PROBABILITIES][:, rows, columns])

    def paint(self, strokes: Sequence[Stroke], lock: threading.Lock) -> None:
        """Do strokes, in order, to all levels.

        Parameters
        ----------
        strokes : sequence of Stroke
            Done twice, they leave the same.
        lock : threading.Lock
            Held while a chunk changes.
        """
        height, width = self.levels[0].chunks
        boxes = [stroke.box for stroke in strokes if stroke.pixels]
        places = {
            (row, column)
            for y0, x0, y1, x1 in boxes
            for row in range(y0 // height, -(-y1 // height))
            for column in range(x0 // width, -(-x1 // width))
        }
        for row, column in sorted(places):
            bottom, right = (min(n, m) for n, m in zip(
                ((row + 1) * height, (column + 1) * width), self.shape, strict=True
            ))  # fmt: skip
            chunk = (row * height, column * width, bottom, right)
            inside = [s for s in strokes if s.pixels and common(s.box, chunk) is not None]
            with lock:
                self._paint_chunk(chunk, inside)

    def _paint_chunk(self, chunk: Box, strokes: Sequence[Stroke]) -> None:
        top, left, bottom, right = chunk
        values = self.read(slice(top, bottom), slice(left, right))
        changed: Box | None = None
        for stroke in strokes:
            do_to(values, (top, left), stroke)
            changed = around(changed, common(stroke.box, chunk))
        if changed is None:
            return
        self.levels[0][top:bottom, left:right] = values
        self._touch(0, chunk)
        for number, level in enumerate(self.levels[1:], start=1):
            step = 2**number
            y0, x0, y1, x1 = (-(-side // step) for side in changed)
            if y1 > y0 and x1 > x0:
                part = values[
                    y0 * step - top : changed[2] - top : step, x0 * step - left : changed[3] - left : step
                ]
                level[y0:y1, x0:x1] = part
                self._touch(number, (y0, x0, y1, x1))

    def _touch(self, number: int, box: Box) -> None:
        height, width = self.levels[number].chunks
        folder = self.path / self.names[number] / "c"
        for row in range(box[0] // height, -(-box[2] // height)):
            for column in range(box[1] // width, -(-box[3] // width)):
                self._touched.add(folder / str(row) / str(column))

    def sync(self) -> None:
        """See everything that was painted onto the disk, where a power cut cannot reach it."""
        for path in self._touched:
            with suppress(OSError):  # a chunk without any label has no file
                handle = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        self._touched.clear()


def common(one: Box, other: Box) -> Box | None:
    """What two boxes have in common; None if nothing."""
    y0, x0 = max(one[0], other[0]), max(one[1], other[1])
    y1, x1 = min(one[2], other[2]), min(one[3], other[3])
    return (y0, x0, y1, x1) if y1 > y0 and x1 > x0 else None


def around(one: Box | None, other: Box | None) -> Box | None:
    """The smallest box around two."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def do_to(mask: NDArray[np.uint8], origin: tuple[int, int], stroke: Stroke) -> None:
    """Do to a part of a mask what a stroke does there.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8; written to.
    origin : tuple of int
        Row and column of its first pixel in the whole mask.
    stroke : Stroke
        Anywhere in the whole mask.
    """
    found = part_of(stroke, origin, mask.shape)
    if found is not None:
        place, where, values = found
        mask[place][where] = (values & 255).astype(np.uint8)


def part_of(
    stroke: Stroke, origin: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], NDArray[np.bool_], NDArray[np.uint16]] | None:
    """What of a stroke lies in a part of the mask; None if nothing does.

    Parameters
    ----------
    stroke : Stroke
        Anywhere in the whole mask.
    origin, shape : tuple of int
        Row and column of the first pixel of the part, and its (Y, X).

    Returns
    -------
    place : tuple of slice
        Rows and columns of the part.
    where : numpy.ndarray
        (Y, X) bool of these: what the stroke set.
    values : numpy.ndarray
        (P,) uint16: to what, row by row; plus 256 where the person verified it.
    """
    part = (origin[0], origin[1], origin[0] + shape[0], origin[1] + shape[1])
    inside = common(stroke.box, part)
    if inside is None or not stroke.pixels:
        return None
    y0, x0, y1, x1 = inside
    top, left, bottom, right = stroke.box
    where = stroke.where()
    after = np.zeros((bottom - top, right - left), np.uint16)
    after[where] = stroke.values()[1]
    own = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    place = slice(y0 - origin[0], y1 - origin[0]), slice(x0 - origin[1], x1 - origin[1])
    return place, where[own], after[own][where[own]]
