"""Which images make one stack: of one size and kind, by their files' headers."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from napari_unet.data.files.image_files import ImageHeader
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader, header_of_loader
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.sample import Sample

SECONDS = 0.8  # for looking at headers; thousands of PNGs take a tenth of it
GOLDEN = 0.618033988749895


def header_of(sample: Sample) -> ImageHeader:
    """Size and type of an image; of images that are not files, from their pixels.

    Raises
    ------
    DataError
        If it is not an image that can be read.
    """
    load = sample.load_image
    if isinstance(load, ImageLoader | PageLoader):
        return replace(header_of_loader(load), pages=1)
    pixels = sample.read_image()
    height, width, channels = pixels.shape
    return ImageHeader(height, width, channels, pixels.dtype.name)


def make_a_stack(samples: Sequence[Sample], seconds: float = SECONDS) -> bool:
    """Whether images have one size, one number of channels and one type.

    Parameters
    ----------
    samples : sequence of Sample
        At least one.
    seconds : float
        When they are over, those that were looked at, evenly spread over the whole, speak for all.

    Returns
    -------
    bool
        False as soon as one differs; files that cannot be read are passed over.

    Raises
    ------
    DataError
        If none is an image that can be read.
    """
    until = perf_counter() + seconds
    # The pages of one file have one header.
    files = list({_file_of(sample): sample for sample in reversed(samples)}.values())[::-1]
    while len(files) > 1 and not _is_readable(files[0]):
        files.pop(0)
    first = header_of(files[0])
    for index in _spread(len(files)):
        try:
            differs = header_of(files[index]) != first
        except DataError:
            continue  # it says so when it is read, and the others can be looked at
        if differs:
            return False
        if perf_counter() > until:
            break
    return True


def _is_readable(sample: Sample) -> bool:
    try:
        header_of(sample)
    except DataError:
        return False
    return True


def _file_of(sample: Sample) -> tuple[object, ...]:
    load = sample.load_image
    if not isinstance(load, ImageLoader | PageLoader):
        return (sample.id,)
    return (id(load.source), load.name)


def _spread(count: int) -> list[int]:
    """The numbers 1 to count - 1, every beginning of which is spread evenly."""
    return sorted(range(1, count), key=lambda number: number * GOLDEN % 1)
