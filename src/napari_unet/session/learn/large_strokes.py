"""Strokes on large images, cut into parts that training reads as images of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.project.corrections.correction import IGNORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.intensities import Intensities
    from napari_unet.models.normalization import Normalization
    from napari_unet.project.corrections.disk_mask import DiskMask
    from napari_unet.project.corrections.stroke import Box

CELL, MARGIN = 768, 128  # pixels: a part is a cell of a grid, with what a network sees around it
PREVIEW = 1024  # pixels, either way, that a preview shows at most
LOOKED_AT = 2**26  # pixels of a large image that tell its intensities
BLOCK = 512  # pixels, either way, that are read at a time for that


def painted_parts(disk: DiskMask) -> dict[Box, int]:
    """Parts of a large image with painted pixels: first row, first column, row and column behind the last.

    Returns
    -------
    dict
        Box to the number of the last stroke on it.
    """
    height, width = disk.shape
    found = {}
    for (row, column), number in sorted(disk.last_strokes(CELL).items()):
        top, left = max(row * CELL - MARGIN, 0), max(column * CELL - MARGIN, 0)
        bottom, right = min((row + 1) * CELL + MARGIN, height), min((column + 1) * CELL + MARGIN, width)
        found[top, left, bottom, right] = number
    return found


def known_labels(disk: DiskMask, box: Box) -> NDArray[np.uint8]:
    """What a person painted in the cell of a part: (Y, X) uint8, 255 elsewhere, and around the cell."""
    top, left, bottom, right = box
    mask = disk.read_box(box)
    known = disk.verified(slice(top, bottom), slice(left, right))
    first = [MARGIN if start else 0 for start in (top, left)]
    inside = np.zeros(mask.shape, bool)
    inside[first[0] : first[0] + CELL, first[1] : first[1] + CELL] = True
    return np.where(known & inside, mask, IGNORE).astype(np.uint8)


def part_name(identifier: str, box: Box) -> str:
    """Of a part, for people and for the list of what a model learned from."""
    return f"{identifier} [{box[0]}:{box[2]}, {box[1]}:{box[3]}]"


def measure_large(sample: Sample, shape: tuple[int, int], normalization: Normalization) -> Intensities:
    """Look at a large image: at all of it, or at blocks spread evenly over it.

    Parameters
    ----------
    sample : Sample
        Read by region.
    shape : tuple of int
        (Y, X) of it.
    normalization : Normalization
        Of the model that is to see it.
    """
    from napari_unet.models.intensities import measure

    every = [(y, x) for y in range(0, shape[0], BLOCK) for x in range(0, shape[1], BLOCK)]
    step = max(1, round(len(every) * BLOCK**2 / LOOKED_AT))

    def parts() -> Iterator[tuple[slice, slice, NDArray[np.generic]]]:
        for y, x in every[::step]:
            rows, columns = slice(y, min(y + BLOCK, shape[0])), slice(x, min(x + BLOCK, shape[1]))
            yield rows, columns, sample.read_region(rows, columns)

    return measure(normalization, parts, shape)


def middle_of(first: int, end: int, full: int) -> slice:
    """The middle of a view along an axis: as much of it as a preview is made of, within the image."""
    size = min(max(end - first, 1), PREVIEW, full)
    start = min(max((first + end - size) // 2, 0), full - size)
    return slice(start, start + size)
