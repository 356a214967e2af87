"""Checks of reference masks: their size on every reading, all else when a whole data set is inspected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Problem
from napari_unet.data.loaders import ImageLoader
from napari_unet.data.pages import PageLoader, read_header
from napari_unet.data.run_length import decode_run_lengths
from napari_unet.engine.task import ignore_progress, tracked
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.data.source import Source
    from napari_unet.engine.task import CancelToken, OnProgress


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
    """

    load: Callable[[], ReferenceMask]
    source: Source
    image_name: str
    mask_name: str

    def __call__(self) -> ReferenceMask:
        """Read and compare."""
        mask = self.load()
        header = read_header(self.source, self.image_name)
        height, width = mask.labels.shape
        if (height, width) != (header.height, header.width):
            raise DataError(
                f"{self.mask_name} is not as large as its image {self.image_name}",
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
        told = decode_run_lengths(self.runs, (height, width), self.name)
        return int((told != (mask.labels > 0)).sum())


def fit_masks(dataset: Dataset) -> Dataset:
    """The same data set, whose masks are held against the size of their images when they are read."""
    return replace(dataset, samples=tuple(map(_fitted, dataset.samples)))


def _fitted(sample: Sample) -> Sample:
    image = sample.load_image
    if sample.load_mask is None or not isinstance(image, ImageLoader | PageLoader):
        return sample
    mask = FittingMask(sample.load_mask, image.source, image.name, sample.mask_name)
    return replace(sample, load_mask=mask)


def check_masks(
    dataset: Dataset, on_progress: OnProgress = ignore_progress, cancel: CancelToken | None = None
) -> tuple[Problem, ...]:
    """Read every image and mask of a data set and tell what is wrong with them.

    Parameters
    ----------
    dataset : Dataset
        To be read; its cache is left alone.
    on_progress, cancel
        While reading.

    Returns
    -------
    tuple of Problem
        "unreadable" (damaged, or of two sizes), "overlap" (pixels of two objects), "disagreement"
        (mask file and table), each with the names of the files.
    """
    problems: list[Problem] = []
    every = (*dataset.samples, *dataset.unlabelled)
    for sample in tracked(every, len(every), "Reading images and masks", on_progress, cancel):
        names = tuple(n for n in (sample.image_name, sample.mask_name) if n)
        try:
            sample.read_image()
            problems += _mask_problems(sample, names)
        except DataError as error:
            problems.append(Problem("unreadable", error.sentence, "replace it or leave it out", names))
    return tuple(problems)


def _mask_problems(sample: Sample, names: tuple[str, ...]) -> list[Problem]:
    if sample.load_mask is None:
        return []
    problems = []
    mask = sample.read_mask()
    if mask.overlap:
        message = f"objects of {sample.id} overlap ({_pixels(mask.overlap)}); the smaller ones are kept whole"
        problems.append(Problem("overlap", message, "mend the masks if it matters", names))
    loader = sample.load_mask.load if isinstance(sample.load_mask, FittingMask) else sample.load_mask
    if isinstance(loader, TabledMask) and (pixels := loader.differing(mask)):
        message = f"{loader.name} and its row in the table differ ({_pixels(pixels)}); the file is used"
        problems.append(Problem("disagreement", message, "mend or remove one of the two", names))
    return problems


def _pixels(count: int) -> str:
    return f"{count} pixel{'s' * (count != 1)}"
