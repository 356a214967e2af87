"""Slices as one block (Z, Y, X, C), with their masks: what a network in three dimensions learns from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import ArrayCache
from napari_unet.data.file_names import composed
from napari_unet.data.files.loaders import LabelMaskLoader
from napari_unet.data.masks.mask_checks import FittingMask
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.volumes.slices import Place, known_place
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset

LONGEST_BRIDGE = 16  # slices without a mask between two that have one, in one block


@dataclass(frozen=True)
class VolumeLoader:
    """Reads slices as one block: () -> (Z, Y, X, C)."""

    slices: tuple[Callable[[], NDArray[np.generic]], ...]
    name: str

    def __call__(self) -> NDArray[np.generic]:
        """Read all slices."""
        return stacked([load() for load in self.slices], self.name)


def stacked(slices: Sequence[NDArray[np.generic]], name: str) -> NDArray[np.generic]:
    """(Z, Y, X, C) of slices (Y, X, C).

    Raises
    ------
    DataError
        If they differ in size.
    """
    shapes = {one.shape for one in slices}
    if len(shapes) > 1:
        raise DataError(
            f"the slices of {name} differ in size",
            code="data.volume.size",
            expected="slices of one size, with as many channels",
            got=" and ".join(sorted(" x ".join(map(str, shape)) for shape in shapes)[:2]),
            remedy="give volumes of which all slices are alike",
        )
    return np.stack(slices)


@dataclass(frozen=True)
class VolumeMaskLoader:
    """Reads the masks of slices as one mask, (Z, Y, X); slices without one weigh nothing.

    Attributes
    ----------
    masks : tuple of callable or None
        Of each slice.
    one_numbering : bool
        Whether an object has one number in all slices.
    """

    masks: tuple[Callable[[], ReferenceMask] | None, ...]
    one_numbering: bool

    def __call__(self) -> ReferenceMask:
        """Read all masks."""
        read = [None if load is None else load() for load in self.masks]
        like = next(mask for mask in read if mask is not None).labels
        known = np.ones(like.shape, np.float32)
        labels = [np.zeros_like(like) if mask is None else mask.labels for mask in read]
        weights = [
            np.zeros_like(known) if mask is None else known if mask.weights is None else mask.weights
            for mask in read
        ]
        objects = None
        if self.one_numbering and all(mask is None or mask.objects is not None for mask in read):
            empty = np.zeros(like.shape, np.int32)
            objects = np.stack(
                [empty if mask is None or mask.objects is None else mask.objects for mask in read]
            )
        whole = np.stack(weights)
        return ReferenceMask(np.stack(labels), objects, None if (whole == 1).all() else whole)


def as_volumes(dataset: Dataset, taken: Collection[tuple[object, int]] = (), depth: int = 1) -> Dataset:
    """The images with masks of a data set as blocks of slices.

    Slices without a mask between two that have one belong to the block and weigh nothing. So do slices
    before and behind a block that is thinner than what a network sees.

    Parameters
    ----------
    dataset : Dataset
        Of slices.
    taken : collection of tuple
        Places (``Place.file``, z) that no block may bridge: slices that are for validation or held out.
    depth : int
        Slices that a block should have at least, as far as the volume goes.

    Returns
    -------
    Dataset
        Its samples are (Z, Y, X, C), with masks (Z, Y, X), called VOLUME[z from first to last slice].

    Raises
    ------
    DataError
        If an image is no slice of a volume, or its file is damaged.
    """
    annotated: dict[object, dict[int, Sample]] = {}
    places = {}
    for sample in dataset.samples:
        place = known_place(sample)
        places[place.file] = place
        annotated.setdefault(place.file, {})[place.z] = sample
    volumes = []
    for file, place in places.items():
        block: list[tuple[int, Sample | None]] = []
        for z, sample in sorted(annotated[file].items()):
            between = range(block[-1][0] + 1, z) if block else range(0)
            free = all(n in place.slices and (file, n) not in taken for n in between)
            if len(between) > max(LONGEST_BRIDGE, depth) or not free:
                volumes.append(_volume(place, _thicker(block, place, taken, depth)))
                block = []
            else:
                block += [(n, None) for n in between]
            block.append((z, sample))
        volumes.append(_volume(place, _thicker(block, place, taken, depth)))
    return replace(
        dataset,
        samples=tuple(volumes),
        unlabelled=(),
        find_groups=None,
        cache=ArrayCache(dataset.cache.max_bytes),
    )


def _thicker(
    block: list[tuple[int, Sample | None]],
    place: Place,
    taken: Collection[tuple[object, int]],
    depth: int,
) -> list[tuple[int, Sample | None]]:
    """A block with slices before and behind it, by turns, until it is `depth` thick or no more are free."""

    def free(z: int) -> bool:
        return z in place.slices and (place.file, z) not in taken

    block = list(block)
    while len(block) < depth:
        before, behind = block[0][0] - 1, block[-1][0] + 1
        if not free(before) and not free(behind):
            break
        if free(before):
            block.insert(0, (before, None))
        if free(behind) and len(block) < depth:
            block.append((behind, None))
    return block


def _volume(place: Place, block: Sequence[tuple[int, Sample | None]]) -> Sample:
    first, last = block[0][0], block[-1][0]
    masks = tuple(None if sample is None else sample.load_mask for _, sample in block)
    return Sample(
        composed(f"{place.file[1]}[z{first}-{last}]"),
        VolumeLoader(tuple(place.slices[z] for z, _ in block), place.volume),
        VolumeMaskLoader(masks, all(mask is None or is_of_numbers(mask) for mask in masks)),
        image_name=place.volume,
        original=place.slices[first],
    )


def is_of_numbers(load: Callable[[], ReferenceMask]) -> bool:
    """Whether the numbers of a mask are those of its file, and not given slice by slice.

    What reads a mask that is in no file may say so by an attribute ``one_numbering``.
    """
    own = load.load if isinstance(load, FittingMask) else load
    return isinstance(own, LabelMaskLoader) or bool(getattr(own, "one_numbering", False))
