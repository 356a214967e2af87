"""Strokes on large images, cut into parts that training reads as images of their own."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.data.sample import ReferenceMask
from napari_unet.engine.task import FromCaller
from napari_unet.project.corrections.correction import IGNORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.intensities import Intensities
    from napari_unet.models.normalization import Normalization
    from napari_unet.project.corrections.disk_mask import DiskMask
    from napari_unet.project.corrections.stroke import Box
    from napari_unet.session.images.entry import Entry
    from napari_unet.workflow.inputs.labelled_images import LabelledImage

HELD_OUT = ("validation", "held-out")  # parts of a split that never teach
CELL, MARGIN = 768, 128  # pixels: a part is a cell of a grid, with what a network sees around it
PREVIEW = 1024  # pixels, either way, that a preview shows at most
LOOKED_AT = 2**26  # pixels of a large image that tell its intensities
BLOCK = 512  # pixels, either way, that are read at a time for that


def painted_parts(disk: DiskMask, *, live: bool = False) -> dict[Box, int]:
    """Parts of a large image with painted pixels: first row, first column, row and column behind the last.

    Parameters
    ----------
    disk : DiskMask
        Its mask.
    live : bool
        Whether strokes that were taken back do not count.

    Returns
    -------
    dict
        Box to the number of the last stroke on it.
    """
    height, width = disk.shape
    found = {}
    for (row, column), number in sorted(disk.last_strokes(CELL, live=live).items()):
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


def labelled_parts(entry: Entry) -> list[LabelledImage]:
    """What a person painted on a large image, as images of their own to fine-tune on; nothing is read yet."""
    from napari_unet.workflow.inputs.image_reference import CallReference
    from napari_unet.workflow.inputs.labelled_images import LabelledImage

    disk, sample = entry.disk, entry.sample
    assert disk is not None

    def measured(normalization: Normalization) -> Intensities:
        return measure_large(sample, disk.shape, normalization)

    found = []
    for box in painted_parts(disk, live=True):
        reference = CallReference(
            part_name(sample.id, box),
            FromCaller(partial(sample.read_region, slice(box[0], box[2]), slice(box[1], box[3]))),
            FromCaller(partial(_reference, disk, box)),
            channels=channels_of(sample),
            whole=FromCaller(cache(measured)),
        )
        found.append(LabelledImage(reference, group=sample.id))
    return found


def _reference(disk: DiskMask, box: Box) -> ReferenceMask:
    """What is painted in a part, to learn from."""
    labels = known_labels(disk, box)
    known = labels != IGNORE
    return ReferenceMask(np.where(known, labels, 0).astype(np.uint8), weights=known.astype(np.float32))


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
    if len(every) * BLOCK**2 > LOOKED_AT:  # by chance, as every n-th block could lie in one column
        chosen = np.random.default_rng(0).permutation(len(every))[: LOOKED_AT // BLOCK**2]
        every = [every[n] for n in sorted(chosen)]

    def parts() -> Iterator[tuple[slice, slice, NDArray[np.generic]]]:
        for y, x in every:
            rows, columns = slice(y, min(y + BLOCK, shape[0])), slice(x, min(x + BLOCK, shape[1]))
            yield rows, columns, sample.read_region(rows, columns)

    return measure(normalization, parts, shape)


def middle_of(first: int, end: int, full: int) -> slice:
    """The middle of a view along an axis: as much of it as a preview is made of, within the image."""
    size = min(max(end - first, 1), PREVIEW, full)
    start = min(max((first + end - size) // 2, 0), full - size)
    return slice(start, start + size)
