"""Images as they lie in a source: their headers, and the pages of stacks."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.data.files.decoders.bounds import MAX_RATIO, PLAUSIBLE_BYTES
from napari_unet.data.files.decoders.image_kinds import (
    HEAD_BYTES,
    SEVERAL,
    kind_of,
    path_of_image,
    split_array_name,
    suffix_of,
)
from napari_unet.data.files.image_files import LONG_HEAD_BYTES, ImageHeader, decode_image, image_header
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.reading import ImageReading, current_reading
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.source import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageLoader:
    """Reads one page of a stack, from a folder without reading the others: () -> (Y, X, C)."""

    source: Source
    name: str
    page: int
    reading: ImageReading = field(default_factory=current_reading)

    def __call__(self) -> NDArray[np.generic]:
        """Read and decode."""
        with self.source.open(self.name) as file:
            return decode_image(file, self.name, self.page, self.reading)


def read_header(
    source: Source, name: str, page: int | None = None, reading: ImageReading | None = None
) -> ImageHeader:
    """Size, type and number of pages of an image, read without its pixels where the format allows.

    Parameters
    ----------
    source : Source
        Where it lies.
    name : str
        Of the file.
    page : int, optional
        Whose size is wanted; the first's if not given.
    reading : ImageReading, optional
        Axes and channels; those of this moment if not given.

    Raises
    ------
    DataError
        If it is not an image that can be read.
    """
    reading = current_reading() if reading is None else reading
    head = source.head(name, HEAD_BYTES)
    if kind_of(head) == "PNG":
        return image_header(source.head(name, LONG_HEAD_BYTES), name, reading=reading)
    with source.open(name) as file:
        return image_header(file, name, page, reading)


def header_of_loader(load: ImageLoader | PageLoader) -> ImageHeader:
    """Header of the image that a loader reads; errors as ``read_header``."""
    return read_header(load.source, load.name, load.page, load.reading)


def count_pages_in(source: Source, name: str) -> int:
    """How many images a file holds; 1 for kinds that are not looked into.

    What a person should know of the way the file is read is logged.

    Raises
    ------
    DataError
        If it is a TIFF, GIF or WebP that cannot be read.
    """
    if suffix_of(name) not in SEVERAL:
        return 1
    header = read_header(source, name)
    if header.note:
        log.warning("%s", header.note)
    stored = source.sizes[name]
    if split_array_name(name) is not None:
        return header.pages  # read by region, never as a whole
    if header.pages * header.page_bytes > max(PLAUSIBLE_BYTES, MAX_RATIO * stored):
        raise DataError(
            f"{name} declares more than it can hold",
            code="data.image.bomb",
            expected=f"at most {MAX_RATIO} times its {stored} bytes",
            got=f"{header.pages} images of {header.width} x {header.height} pixels",
            remedy="copy or download it again",
        )
    return header.pages


def page_samples(source: Source, name: str, stem: str | None = None) -> list[Sample]:
    """Samples without masks of a file: one, or one a page with ids STEM_000, STEM_001, ...

    A damaged file is one sample, which cannot be read.
    """
    stem = path_of_image(name).stem if stem is None else stem
    pages = 1
    with suppress(DataError):  # a damaged file costs itself only: reading it says what is wrong
        pages = count_pages_in(source, name)
    if pages == 1:
        return [Sample(stem, ImageLoader(source, name), image_name=name)]
    return [
        Sample(page_id(stem, page), PageLoader(source, name, page), image_name=page_name(name, page))
        for page in range(pages)
    ]


def page_id(stem: str, page: int) -> str:
    """Id of a page of a stack: STEM_007."""
    return f"{stem}_{page:03d}"


def page_name(name: str, page: int) -> str:
    """Where a page of a stack stands: images/stack.tif[7]."""
    return f"{name}[{page}]"


def plain_samples(source: Source, names: Iterable[str]) -> list[Sample]:
    """Samples without masks of several files."""
    return [sample for name in names for sample in page_samples(source, name)]
