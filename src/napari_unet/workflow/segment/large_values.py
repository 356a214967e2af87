"""Probabilities and other numbers of large images, as OME-Zarr or tiled TIFF with several levels."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.export.label_files import write_levels_as_tiff
from napari_unet.export.label_store import disk, unfinished
from napari_unet.export.ome_zarr import SMALLEST, describe, mean_of_four
from napari_unet.progress import tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.progress import CancelToken, OnProgress

SIDE = 1024  # pixels either way that are written at once
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


class LargeValues(NamedTuple):
    """Numbers on disk, and what is known of them.

    Attributes
    ----------
    array : array
        (..., K, Y, X), or (..., Y, X) without `channels`; read by region.
    leading : tuple of str
        Names of the axes of slices.
    channels : tuple of str
        Names of K channels; empty: there is no axis of channels.
    name : str
        Of the image.
    pixel_size : PixelSize or None
        None if unknown.
    slice_distance : float or None
        From one slice to the next, in the unit of the pixel; None if unknown.
    """

    array: Any
    leading: tuple[str, ...]
    channels: tuple[str, ...]
    name: str
    pixel_size: PixelSize | None
    slice_distance: float | None

    @property
    def axes(self) -> str:
        """Of what is written: time, other axes, channels, depth, rows, columns. One channel has no axis."""
        many = "c" if len(self.channels) > 1 else ""
        others = "".join(axis for axis in self.leading if axis not in "tz")
        return (
            "".join(a for a in "t" if a in self.leading) + others + many + "z" * ("z" in self.leading) + "yx"
        )

    def read(self, index: tuple[int, ...], rows: slice, columns: slice) -> Any:
        """(Y, X) float32, at an index over the axes of what is written."""
        at = dict(zip(self.axes, index, strict=False))
        place: list[Any] = [at[axis] for axis in self.leading]
        place += [at.get("c", 0)] if self.channels else []
        return np.asarray(self.array[(*place, rows, columns)]).astype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is written."""
        sizes = dict(zip(self.leading, self.array.shape, strict=False))
        sizes |= {"c": len(self.channels), "y": self.array.shape[-2], "x": self.array.shape[-1]}
        return tuple(int(sizes[axis]) for axis in self.axes)


def write_large_values(
    path: Path, values: LargeValues, on_progress: OnProgress, cancel: CancelToken, *, tiff: bool = False
) -> Path:
    """Write numbers of a large image; memory holds a part.

    Parameters
    ----------
    path : pathlib.Path
        .ome.zarr, or .ome.tif with `tiff`; whole or not there. What is there is replaced.
    values : LargeValues
        Written as float32, with levels that are means of 2 x 2 pixels.
    on_progress, cancel
        As everywhere.
    tiff : bool
        Whether it becomes a tiled OME-TIFF.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written.
    Cancelled
        When it was stopped.
    """
    import zarr

    partial = unfinished(path)
    levels: list[Any] = []
    with disk(path):
        shutil.rmtree(partial, ignore_errors=True)
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        shape = values.shape
        while True:
            chunks = (*(1,) * (len(shape) - 2), *(min(SIDE, side) for side in shape[-2:]))
            levels.append(group.create_array(str(len(levels)), shape=shape, dtype="float32", chunks=chunks))
            if max(shape[-2:]) <= SMALLEST:
                break
            shape = (*shape[:-2], *(-(-side // 2) for side in shape[-2:]))
        describe(group, {"multiscales": [_described(values, len(levels))]}, "0.5")
    todo = [(number, *part) for number, level in enumerate(levels) for part in _parts(level.shape)]
    for number, index, rows, columns in tracked(
        todo, len(todo), "Writing probabilities", on_progress, cancel
    ):
        if number == 0:
            part = values.read(index, rows, columns)
        else:
            twice = (slice(2 * one.start, 2 * one.stop) for one in (rows, columns))
            part = mean_of_four(np.asarray(levels[number - 1][(*index, *twice)]))
        with disk(path):
            levels[number][(*index, rows, columns)] = part
    if tiff:
        write_levels_as_tiff(
            path, levels, values.axes, values.name, values.channels or (path.stem,), values.pixel_size, {},
            on_progress, cancel,
        )  # fmt: skip
        shutil.rmtree(partial, ignore_errors=True)
        return path
    with disk(path):
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    return path


def _parts(shape: Sequence[int]) -> Iterator[tuple[tuple[int, ...], slice, slice]]:
    for index in np.ndindex(*shape[:-2]):
        for top in range(0, shape[-2], SIDE):
            for left in range(0, shape[-1], SIDE):
                yield (
                    index, slice(top, min(top + SIDE, shape[-2])), slice(left, min(left + SIDE, shape[-1])),
                )  # fmt: skip


def _described(values: LargeValues, levels: int) -> dict[str, Any]:
    size, depth = values.pixel_size, values.slice_distance
    axes = []
    for name in values.axes:
        known = size is not None and (name in "yx" or (name == "z" and depth is not None))
        unit = {"unit": size.long_unit} if size is not None and known else {}
        kind = {"type": KINDS[name]} if name in KINDS else {}
        axes.append({"name": name, **kind, **unit})
    sides = {"y": 1.0, "x": 1.0} if size is None else {"y": size.y, "x": size.x}
    datasets = []
    for number in range(levels):
        scale = [
            sides[name] * 2**number if name in sides else (depth or 1.0) if name == "z" else 1.0
            for name in values.axes
        ]
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    return {"name": values.name, "axes": axes, "datasets": datasets}
