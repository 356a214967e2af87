"""Images as they lie in a source: their headers, and the pages of stacks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from napari_unet.data.image_files import (
    HEAD_BYTES,
    TIFF_SUFFIXES,
    ImageHeader,
    decode_image,
    image_header,
    kind_of,
    suffix_of,
)
from napari_unet.data.loaders import ImageLoader
from napari_unet.data.sample import Sample
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.source import Source


@dataclass(frozen=True)
class PageLoader:
    """Reads one page of a stack, from a folder without reading the others: () -> (Y, X, C)."""

    source: Source
    name: str
    page: int

    def __call__(self) -> NDArray[np.generic]:
        """Read and decode."""
        with self.source.open(self.name) as file:
            return decode_image(file, self.name, self.page)


def read_header(source: Source, name: str) -> ImageHeader:
    """Size, type and number of pages of an image, read without its pixels where the format allows.

    Raises
    ------
    DataError
        If it is not an image that can be read.
    """
    head = source.head(name, HEAD_BYTES)
    if kind_of(head) == "PNG":
        return image_header(head, name)
    with source.open(name) as file:
        return image_header(file, name)


def page_samples(source: Source, name: str, stem: str | None = None) -> list[Sample]:
    """Samples without masks of a file: one, or one a page with ids STEM_000, STEM_001, ...

    A damaged file is one sample, which cannot be read.
    """
    stem = PurePosixPath(name).stem if stem is None else stem
    pages = 1
    if suffix_of(name) in {*TIFF_SUFFIXES, ".gif"}:
        with suppress(DataError):  # a damaged file costs itself only: reading it says what is wrong
            pages = read_header(source, name).pages
    if pages == 1:
        return [Sample(stem, ImageLoader(source, name), image_name=name)]
    return [
        Sample(f"{stem}_{page:03d}", PageLoader(source, name, page), image_name=f"{name}[{page}]")
        for page in range(pages)
    ]


def plain_samples(source: Source, names: Iterable[str]) -> list[Sample]:
    """Samples without masks of several files."""
    return [sample for name in names for sample in page_samples(source, name)]
