"""A large mask on disk as one TIFF: tiled, deflated, with levels of falling resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.progress import tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.export.label_store import LabelStore
    from napari_unet.progress import CancelToken, OnProgress

TILE = 512  # pixels of a side
OME_AXES = "tzc"


def write_label_tiff(
    path: Path,
    store: LabelStore,
    leading: Sequence[str],
    name: str,
    classes: Sequence[str],
    pixel_size: PixelSize | None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> Path:
    """Write all levels of labels as a tiled pyramid; memory holds a row of tiles.

    Parameters
    ----------
    path : pathlib.Path
        .ome.tif or .tif; whole or not there.
    store : LabelStore
        All levels are there.
    leading : sequence of str
        Names of the axes of slices.
    name : str
        Of the image.
    classes : sequence of str
        Names of the classes 1..K; empty: labels are numbers of objects.
    pixel_size : PixelSize or None
        None if unknown.
    on_progress, cancel
        As everywhere.

    Returns
    -------
    pathlib.Path
        The same path. It is OME-TIFF if the axes of slices are time, depth and channels at most. The levels
        are SubIFDs, which tifffile, Bio-Formats and QuPath read.

    Raises
    ------
    OutputError
        If it cannot be written.
    Cancelled
        When it was stopped; nothing is left of it.
    """
    import tifffile

    levels = [store.array(number) for number in range(len(store.levels))]
    numbered = store.read_numbered() if not leading else None
    ome = set(leading) <= set(OME_AXES)
    axes = "".join(leading).upper() + "YX" if ome else "Q" * len(leading) + "YX"
    metadata: dict[str, Any] = {"axes": axes}
    if ome:
        metadata |= {"Name": name, "Channel": {"Name": "classes" if classes else "objects"}}
        if pixel_size is not None:
            metadata |= {"PhysicalSizeY": pixel_size.y, "PhysicalSizeYUnit": pixel_size.unit}
            metadata |= {"PhysicalSizeX": pixel_size.x, "PhysicalSizeXUnit": pixel_size.unit}
        said = {} if numbered is None else numbered.to_json()
        names = classes or (() if numbered is None else numbered.names)
        metadata["MapAnnotation"] = {
            "Namespace": "napari-unet-workbench/classes",
            **{str(number): one for number, one in enumerate(names, start=1)},
            **{key: value for key, value in said.items() if isinstance(value, str)},
        }
    bands = [band for level in levels for band in _bands(level)]
    at = iter(tracked(bands, len(bands), "Writing TIFF", on_progress, cancel))
    with atomic_path(path) as partial, tifffile.TiffWriter(partial, bigtiff=True, ome=ome) as file:
        for number, level in enumerate(levels):
            file.write(
                _tiles(level, at),
                shape=level.shape,
                dtype=level.dtype,
                tile=(TILE, TILE),
                compression="deflate",
                photometric="minisblack",
                subifds=len(levels) - 1 if number == 0 else None,
                subfiletype=1 if number else 0,
                metadata=None if number else metadata,
            )
    return path


def _bands(level: Any) -> list[tuple[tuple[int, ...], slice]]:
    """Slice and rows of each row of tiles of an array."""
    rows = [slice(start, start + TILE) for start in range(0, level.shape[-2], TILE)]
    return [(index, one) for index in np.ndindex(*level.shape[:-2]) for one in rows]


def _tiles(level: Any, at: Iterator[tuple[tuple[int, ...], slice]]) -> Iterator[NDArray[Any]]:
    """The tiles of a level, page by page, row by row."""
    width = level.shape[-1]
    for _ in range(len(_bands(level))):
        index, rows = next(at)
        band = np.asarray(level[(*index, rows)])
        band = np.pad(band, ((0, TILE - len(band)), (0, -width % TILE)))
        for start in range(0, width, TILE):
            yield np.ascontiguousarray(band[:, start : start + TILE])
