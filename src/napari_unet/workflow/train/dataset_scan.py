"""What a training needs to know of all its images and masks, found by reading each of them once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.image_hash import image_hash
from napari_unet.data.inspection.resemblance import fingerprint
from napari_unet.models.normalization import IntensitySums, intensity_sums
from napari_unet.workflow.inputs.left_out import sound_part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.inputs.left_out import LeftOut


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """One image and its mask, without their pixels.

    Attributes
    ----------
    shape : tuple of int
        (Y, X).
    channels : int
        That a network needs: 1 for a grey image, even if it is stored as colour.
    hash, fingerprint : str
        ``image_hash`` and ``fingerprint`` of the image.
    coverage : float
        Share of foreground, 0 to 1.
    thickness : float
        Twice the smaller of foreground and background over the length of the boundary; 0 without one.
    pixels : numpy.ndarray
        (256,) int64: number of known pixels of each class, background first.
    mask_hashes : tuple of str
        Of the parts that the mask has: labels, objects, weights.
    intensities : mapping of int to IntensitySums
        By number of channels that the image may be given to a network with.
    """

    shape: tuple[int, int]
    channels: int
    hash: str
    fingerprint: str
    coverage: float
    thickness: float
    pixels: NDArray[np.int64]
    mask_hashes: tuple[str, ...]
    intensities: dict[int, IntensitySums]


class DatasetScan:
    """The facts of every image of a data set; each image is read when it is first asked for, and not again.

    Parameters
    ----------
    dataset : Dataset
        Images with masks.
    intensities : bool
        Whether mean and deviation over all images will be asked for.
    """

    def __init__(self, dataset: Dataset, *, intensities: bool = False) -> None:
        self.dataset = dataset
        self.intensities = intensities
        self._facts: dict[str, ImageFacts] = {}

    def look(self, sample: Sample, image: NDArray[np.generic], mask: ReferenceMask | None) -> None:
        """Take the facts of an image that was read already."""
        if mask is not None:
            self._facts[sample.id] = facts_of(image, mask, intensities=self.intensities)

    def __getitem__(self, sample: Sample) -> ImageFacts:
        if sample.id not in self._facts:
            self.look(sample, self.dataset.image(sample), self.dataset.mask(sample))
        return self._facts[sample.id]

    def of(self, samples: Iterable[Sample]) -> list[ImageFacts]:
        """Facts of some images, in their order."""
        return [self[sample] for sample in samples]

    def coverages(self) -> dict[str, float]:
        """Share of foreground in every mask, 0 to 1, by id."""
        return {sample.id: self[sample].coverage for sample in self.dataset.samples}


def scan_sound_part(
    dataset: Dataset, intensities: bool, on_progress: OnProgress, cancel: CancelToken
) -> tuple[DatasetScan, tuple[LeftOut, ...]]:
    """Read everything once: the facts of what can be read, and what cannot; errors as ``sound_part``."""
    scan = DatasetScan(dataset, intensities=intensities)
    scan.dataset, left = sound_part(dataset, on_progress, cancel, scan.look)
    return scan, left


def facts_of(image: NDArray[np.generic], mask: ReferenceMask, *, intensities: bool = False) -> ImageFacts:
    """The facts of one image.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C), any real dtype.
    mask : ReferenceMask
        Of the image.
    intensities : bool
        Whether its intensities are summed up, too.
    """
    labels = mask.labels
    known = labels if mask.weights is None else labels[mask.weights > 0]
    y, x, channels = image.shape
    ways = {channels, 1} if channels == 3 else {channels}
    return ImageFacts(
        (y, x),
        needed_channels(image),
        image_hash(image),
        fingerprint(image),
        float((labels > 0).mean()),
        thickness_of(labels),
        np.bincount(known.ravel(), minlength=256),
        tuple(
            hashlib.sha256(part.tobytes()).hexdigest()
            for part in (labels, mask.objects, mask.weights)
            if part is not None
        ),
        {way: intensity_sums(image, way) for way in ways} if intensities else {},
    )


def needed_channels(image: NDArray[np.generic]) -> int:
    """Channels that a network needs for an image (Y, X, C): 1 if it is grey, even if stored as colour."""
    channels = image.shape[2]
    grey = channels == 1 or (channels == 3 and bool((image == image[..., :1]).all()))
    return 1 if grey else channels


def thickness_of(labels: NDArray[np.uint8]) -> float:
    """Width in pixels of what is annotated, or of the background if that is thinner; 0 without a boundary.

    Twice the area over the length of the boundary: the width of a stripe, and 0.4 of the diameter of a disc.

    Parameters
    ----------
    labels : numpy.ndarray
        (Y, X) uint8, 0 background.
    """
    foreground = labels > 0
    edges = int(np.diff(foreground, axis=0).sum() + np.diff(foreground, axis=1).sum())
    area = int(foreground.sum())
    return 2 * min(area, labels.size - area) / edges if edges else 0.0
