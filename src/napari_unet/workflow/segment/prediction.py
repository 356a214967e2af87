"""What a model said of one image: probabilities and mask in files, and agreement with the reference."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import WorkbenchError, unwritable
from napari_unet.metrics.overlap import OverlapCounts, count_overlap

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.settings import Separation


@dataclass(frozen=True)
class Region:
    """A rectangle of an image, in pixels; the ends are not part of it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index (Y, X)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model said of one image, and where that is stored.

    Attributes
    ----------
    id : str
        Of the image.
    file : pathlib.Path or None
        .npy with (Y, X, K) float16 probabilities, and one channel more if the network tells objects
        apart; None where something went wrong.
    shape : tuple of int
        (Y, X) of the image.
    part : str
        "train", "validation", "held-out" of the model's split, or "unseen", by the pixels; empty
        where only a part of them was read.
    counts : OverlapCounts or None
        Agreement of the mask with the reference; None without a reference.
    problem : str
        Why there is no prediction; empty if there is one.
    regions : tuple of Region
        What of the image was segmented, one after another.
    separation_kind : str
        What the last channel of the file tells objects apart by: "distance" or "border"; "none": nothing.
    digests : tuple of str
        Of the pixels that the model was put on, one a region, see ``image_hash``; empty for images of a
        data set.
    made_with : tuple of float or None
        Threshold and minimum size of the mask in ``mask_file``; None if none is.
    ties : tuple of (int, int, int)
        Row and column of a pixel, and class, of each object that may as well be of another class.
    """

    id: str
    file: Path | None
    shape: tuple[int, int] = (0, 0)
    part: str = ""
    counts: OverlapCounts | None = None
    problem: str = ""
    regions: tuple[Region, ...] = ()
    separation_kind: Separation = "none"
    digests: tuple[str, ...] = ()
    made_with: tuple[float, int] | None = None
    ties: tuple[tuple[int, int, int], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all of the image was segmented at once."""
        return any((r.bottom - r.top, r.right - r.left) == self.shape for r in self.regions)

    def probabilities(self) -> NDArray[np.float16]:
        """(Y, X, K) float16 in [0, 1], mapped from the file."""
        stored = self._stored()
        return stored if self.separation_kind == "none" else stored[..., :-1]

    def separation(self) -> NDArray[np.float16] | None:
        """(Y, X) float16 in [0, 1], mapped from the file: what tells objects apart, if the network does."""
        return None if self.separation_kind == "none" else self._stored()[..., -1]

    def mask(self, threshold: float, minimum_size: int) -> NDArray[np.uint8] | None:
        """(Y, X) uint8, the mask that was made and scored when the image was segmented.

        None if it was made with another threshold or minimum size, or is gone from the disk.
        """
        if self.file is None or self.made_with != (threshold, minimum_size) or not self.file.exists():
            return None
        try:
            stored = np.load(mask_file(self.file), mmap_mode="r")
        except (OSError, ValueError):
            return None
        mask = np.zeros(stored.shape, np.uint8)
        for region in self.regions:
            mask[region.slices] = stored[region.slices]
        return mask

    def _stored(self) -> NDArray[np.float16]:
        assert self.file is not None
        return np.load(self.file, mmap_mode="r")  # type: ignore[no-any-return]


def tied_numbers(
    points: Iterable[tuple[int, int, int]], objects: NDArray[np.int32], mask: NDArray[np.uint8]
) -> tuple[int, ...]:
    """Numbers of the objects of a mask that are still ties: a person gave them no other class.

    Parameters
    ----------
    points : iterable of (int, int, int)
        As ``Prediction.ties``.
    objects, mask : numpy.ndarray
        (Y, X): numbers, and classes, of the mask as it is now.
    """
    there = [(y, x) for y, x, label in points if mask[y, x] == label and objects[y, x] > 0]
    return tuple(sorted({int(objects[place]) for place in there}))


def file_name(identifier: str) -> str:
    """Name of the file of an image's probabilities, the same in every task."""
    return f"{hashlib.blake2b(identifier.encode(), digest_size=16).hexdigest()}.npy"


def mask_file(probabilities: Path) -> Path:
    """Where the mask lies that was made of the probabilities in a file."""
    return probabilities.with_suffix(".mask.npy")


def count_against(sample: Sample, mask: NDArray[np.uint8], classes: int) -> tuple[OverlapCounts | None, str]:
    """Agreement of a mask with the reference of its image.

    Returns
    -------
    counts : OverlapCounts or None
        None without a reference, or one that does not fit.
    problem : str
        Why there are none; empty if there are, or if there is no reference.
    """
    if not sample.has_mask:
        return None, ""
    try:
        reference = sample.read_mask()
    except WorkbenchError as error:
        return None, error.sentence
    if reference.labels.shape != mask.shape:
        return None, "the reference mask has another size than the image"
    if int(reference.labels.max(initial=0)) > classes:
        return None, "the reference mask has more classes than the model"
    return count_overlap(reference.labels, mask, classes, reference.weights), ""


def store(file: Path, values: NDArray[Any], shape: tuple[int, int], region: Region | None) -> None:
    """Write probabilities or a mask, or those of a region into what is there of the whole image."""
    try:
        if region is None:
            store_array(file, values)
            return
        wanted = (*shape, *values.shape[2:])
        if not file.exists() or np.load(file, mmap_mode="r").shape != wanted:
            np.lib.format.open_memmap(file, "w+", values.dtype, wanted).flush()
        whole = np.load(file, mmap_mode="r+")
        whole[region.slices] = values
        whole.flush()
    except OSError as error:
        raise unwritable(
            f"the probabilities cannot be written in {file.parent}", error, "make room there"
        ) from error


def store_array(file: Path, values: NDArray[Any]) -> None:
    """Write a new file: the one before may be mapped, and one cut short would end who reads it."""
    fresh = file.with_suffix(".partial.npy")
    np.save(fresh, values)
    fresh.replace(file)
