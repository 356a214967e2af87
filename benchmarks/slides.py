"""Made-up slides: mosaics of discs on noise, and a mask on disk of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from large_image import PIECE, piece, rows_of
from napari_unet.export.label_store import LabelStore
from napari_unet.export.ome_zarr import LabelShape

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1000  # pixels of a file of the mask


def write_slide(path: Path, side: int) -> None:
    """Write an RGB TIFF of side x side pixels, tiled, as scanners do."""
    import tifffile

    grey = np.concatenate(list(rows_of(side, [piece(seed) for seed in range(16)])))
    tint = np.array([0.9, 0.6, 1.0], np.float32)
    tifffile.imwrite(
        path,
        (grey[..., None] * tint).astype(np.uint8),
        tile=(512, 512),
        compression="zlib",
        photometric="rgb",
    )


def write_pyramid(path: Path, side: int) -> list[Any]:
    """Write a grey image of side x side pixels as Zarr arrays of falling resolution; gives these."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    sides = [side]
    while sides[-1] > PIECE:
        sides.append(-(-sides[-1] // 2))
    levels = [
        group.create_array(str(n), shape=(s, s), dtype="uint8", chunks=(min(PIECE, s),) * 2)
        for n, s in enumerate(sides)
    ]
    for number, rows in enumerate(rows_of(side, [piece(seed) for seed in range(16)])):
        top = number * PIECE
        for n, level in enumerate(levels):
            step = 2**n
            first = -(-top // step)
            part = rows[first * step - top :: step, ::step]
            level[first : first + len(part)] = part
    return levels


def write_mask(path: Path, side: int) -> None:
    """Write the mask of such an image with its probabilities, as the window leaves it."""
    shape = LabelShape((), (side, side), (CHUNK, CHUNK))
    store = LabelStore.create(path, shape, "slide", ("disc",), {}, probabilities=True)
    rows = rows_of(side, [piece(seed) for seed in range(16)])
    for number in range(side // CHUNK):
        grey = np.concatenate([next(rows) for _ in range(CHUNK // PIECE)])
        place = slice(number * CHUNK, (number + 1) * CHUNK), slice(0, side)
        store.write_probabilities((), *place, np.where(grey > 90, 230, 10).astype(np.uint8)[None])
        store.write(0, (), *place, (grey > 90).astype(np.uint8))
        store.preview(0, (), *place)
    store.set_state({"threshold": 0.5, "minimum_size": 0, "objects": 0, "share": 1.0})
