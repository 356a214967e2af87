"""Checks of reference masks when they are read: their size, and the table that tells them too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader, read_header
from napari_unet.data.files.reading import PLAIN, ImageReading
from napari_unet.data.masks.run_length import decode_run_lengths
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.files.source import Source
    from napari_unet.data.sample import ReferenceMask, Sample


@dataclass(frozen=True)
class FittingMask:
    """Reads a mask and holds its size against the header of its image.

    Attributes
    ----------
    load : callable
        Reads the mask.
    source, image_name
        The image file.
    mask_name : str
        For the error.
    page, reading
        Of the image, where its file has several, and how it is read.
    """

    load: Callable[[], ReferenceMask]
    source: Source
    image_name: str
    mask_name: str
    page: int | None = None
    reading: ImageReading = PLAIN

    def __call__(self) -> ReferenceMask:
        """Read and compare."""
        mask = self.load()
        header = read_header(self.source, self.image_name, self.page, self.reading)
        height, width = mask.labels.shape
        if (height, width) != (header.height, header.width):
            raise DataError(
                f"{self.mask_name} is not as large as its image {self.image_name}",
                code="data.mask.size",
                expected=f"{header.width} x {header.height} pixels",
                got=f"{width} x {height}",
                remedy="replace one of the two, or leave both out",
            )
        return mask


@dataclass(frozen=True)
class TabledMask:
    """Reads a mask from its file, where a table tells the same mask in run lengths.

    Attributes
    ----------
    load : callable
        Reads the file.
    runs : str
        Run lengths in the table.
    name : str
        Of the mask file, for errors.
    """

    load: Callable[[], ReferenceMask]
    runs: str
    name: str

    def __call__(self) -> ReferenceMask:
        """Read the file and hold it against the table."""
        mask = self.load()
        if pixels := self.differing(mask):
            raise DataError(
                f"{self.name} and its row in the table disagree",
                code="data.mask.contradiction",
                expected="the same mask",
                got=f"{pixels} different pixels",
                remedy="mend or remove one of the two",
            )
        return mask

    def differing(self, mask: ReferenceMask) -> int:
        """Number of pixels in which file and table differ.

        Raises
        ------
        DataError
            If the run lengths make no sense.
        """
        height, width = mask.labels.shape
        by_table = decode_run_lengths(self.runs, (height, width), self.name)
        return int((by_table != (mask.labels > 0)).sum())


def fit_masks(dataset: Dataset) -> Dataset:
    """The same data set, whose masks are compared with the size of their images when they are read."""
    return replace(dataset, samples=tuple(map(_fitted, dataset.samples)))


def _fitted(sample: Sample) -> Sample:
    image, load = sample.load_image, sample.load_mask
    if load is None or not isinstance(image, ImageLoader | PageLoader):
        return sample

    def fitting(load: Callable[[], ReferenceMask]) -> FittingMask:
        return FittingMask(load, image.source, image.name, sample.mask_name, image.page, image.reading)

    if isinstance(load, TabledMask):  # a file of another size is at fault, not the table
        return replace(sample, load_mask=replace(load, load=fitting(load.load)))
    return replace(sample, load_mask=fitting(load))
