"""Volumes: images that lie one behind another, seen with their neighbours or as one block.

The slices of a volume stay images of their own, with masks, names and hashes. A network that sees more than
one of them gets each with its neighbours as channels, or blocks of them (Z, Y, X, C). Slices are the pages
of a stack along an axis Z, by its metadata or by ``--axes``. Single files are slices by the numbers at the
ends of their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import ArrayCache
from napari_unet.data.file_names import composed
from napari_unet.data.files.decoders.damage import as_damage
from napari_unet.data.files.decoders.image_kinds import (
    TIFF_SUFFIXES,
    is_image_name,
    path_of_image,
    split_array_name,
    suffix_of,
)
from napari_unet.data.files.decoders.tiff_images import opened_tiff
from napari_unet.data.files.loaders import ImageLoader, LabelMaskLoader
from napari_unet.data.files.pages import PageLoader
from napari_unet.data.files.reading import PLAIN
from napari_unet.data.files.stack_axes import mirrored
from napari_unet.data.files.stored.array_files import open_array
from napari_unet.data.masks.mask_checks import FittingMask
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.volumes.voxel_size import VoxelSize, read_voxel_size
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.files.reading import ImageReading
    from napari_unet.data.files.source import Source

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
SLICES_IN_MEMORY = 64  # that were read last: neighbours are read for several slices
LONGEST_BRIDGE = 16  # slices without a mask between two that have one, in one block


@dataclass(frozen=True)
class Place:
    """Where an image lies in its volume.

    Attributes
    ----------
    volume : str
        What the volume is called.
    z : int
        Number of the slice.
    slices : mapping
        Number to what reads the slice, of the whole volume.
    file : tuple
        Source and name, the same for all slices of a volume; for one that is in no file, what it is known by.
    """

    volume: str
    z: int
    slices: Mapping[int, Callable[[], NDArray[np.generic]]]
    file: tuple[object, str]


def place_of(sample: Sample) -> Place | None:
    """Where an image lies in its volume; None for one that is no slice of any, or that cannot be read.

    What reads an image that is in no file, such as a slice of a layer, says so by an attribute ``place``.
    """
    try:
        return _place_in_file(sample)
    except DataError:
        return None  # reading the image says what is wrong with its file


def _place_in_file(sample: Sample) -> Place | None:
    load = sample.original
    if not isinstance(load, ImageLoader | PageLoader):
        said = getattr(load, "place", None)
        return said if isinstance(said, Place) else None
    if load.page is None:
        return _places_by_number(replace(load, name=_pattern(load.name)[0])).get(load.name)
    return _places_of_pages(replace(load, page=0)).get(load.page)


@lru_cache(maxsize=256)
def _places_of_pages(load: ImageLoader | PageLoader) -> dict[int | None, Place]:
    """Page of a file to its place."""
    places: dict[int | None, Place] = {}
    volumes = _volumes_of_file(load.source, load.name, load.reading)
    stem = path_of_image(load.name).stem
    for number, pages in enumerate(volumes):
        slices = {z: replace(load, page=page) for z, page in enumerate(pages)}
        name = stem if len(volumes) == 1 else f"{stem}_{number}"
        file = load.source, load.name if len(volumes) == 1 else f"{load.name}[{number}]"
        places |= {page: Place(name, z, slices, file) for z, page in enumerate(pages)}
    return places


def _volumes_of_file(source: Source, name: str, reading: ImageReading) -> tuple[tuple[int, ...], ...]:
    """Pages of each volume in a file, in the order of their slices; none where no axis is Z."""
    if split_array_name(name) is not None and source.folder is not None:
        leading = open_array(str(source.folder), name, reading).leading
        return _volumes_along([axis.upper() for axis, _ in leading], [size for _, size in leading])
    if suffix_of(name) not in TIFF_SUFFIXES:
        return ()
    with source.open(name) as file, as_damage(name), opened_tiff(file, name, reading) as images:
        if len(images.parts) != 1:
            return ()
        part = images.parts[0]
        letters = [part.axes[n] for n in part.leading]
        lengths = [part.shape[n] for n in part.leading]
    return _volumes_along(letters, lengths)


def _volumes_along(letters: list[str], lengths: list[int]) -> tuple[tuple[int, ...], ...]:
    """Pages of each volume, by the names and lengths of the axes of pages."""
    if "Z" not in letters:
        return ()
    pages = np.arange(int(np.prod(lengths))).reshape(lengths)
    volumes = np.moveaxis(pages, letters.index("Z"), -1).reshape(-1, lengths[letters.index("Z")])
    return tuple(tuple(map(int, volume)) for volume in volumes)


def _pattern(name: str) -> tuple[str, int | None]:
    """What a name is with a star for the last number of its stem, and that number; None without one."""
    folder, slash, file = name.rpartition("/")
    stem, dot, suffix = file.rpartition(".") if "." in file[1:] else (file, "", "")
    found = NUMBERED.fullmatch(stem)
    if found is None:
        return name, None
    return f"{folder}{slash}{found[1]}*{found[3]}{dot}{suffix}", int(found[2])


@lru_cache(maxsize=64)
def _numbered_files(source: Source) -> dict[str, dict[int, str]]:
    """Image files by their pattern, then by their number."""
    groups: dict[str, dict[int, str]] = {}
    for name in source.sizes:
        pattern, number = _pattern(name)
        if number is not None and is_image_name(name):
            groups.setdefault(pattern, {}).setdefault(number, name)
    return groups


@lru_cache(maxsize=256)
def _places_by_number(load: ImageLoader) -> dict[str, Place]:
    """Name of each file to its place, of those whose pattern is ``load.name``."""
    files = _numbered_files(load.source).get(load.name, {})
    if len(files) < 2:
        return {}
    slices: dict[int, ImageLoader | PageLoader] = {z: replace(load, name=name) for z, name in files.items()}
    path = PurePosixPath(load.name)
    volume = path.stem.replace("*", "").strip("_-. ") or path.parent.name or load.source.name
    file = load.source, load.name
    return {name: Place(volume, z, slices, file) for z, name in files.items()}


@dataclass(frozen=True)
class NeighbourLoader:
    """Reads a slice with its neighbours: () -> (Y, X, slices * C), the first slice's channels first.

    Beyond the first and the last slice the volume is mirrored, as tiles are at the borders of an image. So
    is it at a slice that is missing, damaged, or of another size.

    Attributes
    ----------
    middle : callable
        Reads the slice itself.
    before, after : tuple of callable
        Read its neighbours, the nearest first, as far as there are any.
    reach : int
        How many neighbours there are to be on either side.
    fit : callable, optional
        (Y, X, C) of one slice to the channels that are wanted of it.
    """

    middle: Callable[[], NDArray[np.generic]]
    before: tuple[Callable[[], NDArray[np.generic]], ...]
    after: tuple[Callable[[], NDArray[np.generic]], ...]
    reach: int
    fit: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None = None

    def __call__(self) -> NDArray[np.generic]:
        """Read all of them."""
        middle = self.middle()
        upwards, downwards = (self._as_long(side, middle) for side in (self.before, self.after))
        row = [*reversed(upwards), middle, *downwards]
        places = mirrored(len(upwards), self.reach, len(row))
        if self.fit is not None:
            row = [self.fit(image) for image in row]
        return np.concatenate([row[place] for place in places], axis=2)

    @staticmethod
    def _as_long(
        side: tuple[Callable[[], NDArray[np.generic]], ...], middle: NDArray[np.generic]
    ) -> list[NDArray[np.generic]]:
        found = []
        for load in side:
            try:
                image = read_slice(load)
            except DataError:
                break  # the error is said where that slice itself is read
            if image.shape != middle.shape:
                break
            found.append(image.astype(middle.dtype, copy=False))
        return found


@lru_cache(maxsize=SLICES_IN_MEMORY)
def read_slice(load: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """What a loader reads; the last slices stay in memory, as neighbours are read for several others."""
    return load()


def with_neighbours(
    sample: Sample, slices: int, fit: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None = None
) -> Sample:
    """An image with its neighbours as channels.

    Parameters
    ----------
    sample : Sample
        A slice of a volume; an image that is none is its own neighbour.
    slices : int
        How many are seen, an odd number.
    fit : callable, optional
        (Y, X, C) of one slice to the channels that are wanted of it.
    """
    reach = slices // 2
    place = place_of(sample)
    before: tuple[Callable[[], NDArray[np.generic]], ...] = ()
    after: tuple[Callable[[], NDArray[np.generic]], ...] = ()
    if place is not None:
        before, after = neighbours(place, -1, reach), neighbours(place, 1, reach)
    return replace(sample, load_image=NeighbourLoader(sample.load_image, before, after, reach, fit))


def neighbours(place: Place, step: int, most: int) -> tuple[Callable[[], NDArray[np.generic]], ...]:
    """What reads the slices before (step -1) or after (1) a place, the nearest first, up to a missing one."""
    found = []
    for z in range(place.z + step, place.z + step * (most + 1), step):
        if z not in place.slices:
            break
        found.append(place.slices[z])
    return tuple(found)


def volumes_of(samples: Iterable[Sample]) -> dict[str, list[tuple[int, Sample]]]:
    """Name of each volume, no two alike, to the numbers of its slices that are there, in order, and these."""
    found: dict[object, list[tuple[int, Sample]]] = {}
    names: dict[object, str] = {}
    for sample in samples:
        place = place_of(sample)
        if place is None:
            continue
        if place.file not in found:
            name, number = place.volume, 1
            while name in names.values():
                number += 1
                name = f"{place.volume}_{number}"
            names[place.file], found[place.file] = name, []
        found[place.file].append((place.z, sample))
    return {names[file]: sorted(members, key=lambda m: m[0]) for file, members in found.items()}


def runs_of_slices(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Images in runs: slices of one volume, one behind another, in their order; others alone."""
    placed: dict[tuple[object, str], list[tuple[int, Sample]]] = {}
    runs: list[list[Sample]] = []
    for sample in samples:
        place = place_of(sample)
        if place is None:
            runs.append([sample])
        else:
            placed.setdefault(place.file, []).append((place.z, sample))
    for members in placed.values():
        members.sort(key=lambda member: member[0])
        last = None
        for z, sample in members:
            if last is None or z != last + 1:
                runs.append([])
            runs[-1].append(sample)
            last = z
    return runs


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
        place = _known_place(sample)
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


def _known_place(sample: Sample) -> Place:
    place = _place_in_file(sample)
    if place is None:
        raise DataError(
            f"{sample.id} is no slice of a volume, as far as its file says",
            code="data.volume.slices",
            expected="a stack with an axis Z, or files whose names end in the number of the slice",
            remedy="if the pages of the file are slices, add --axes ZYX; else choose dimensions=2d",
        )
    return place


def check_slices(samples: Iterable[Sample]) -> None:
    """Refuse images of which one is no slice of a volume or cannot be read; errors as ``as_volumes``."""
    for sample in samples:
        _known_place(sample)


def voxel_size_of(samples: Iterable[Sample]) -> VoxelSize | None:
    """The size of a voxel that all files tell alike; None if one tells nothing, or another.

    What reads an image that is in no file may say so by an attribute ``voxel_size``.
    """
    samples = list(samples)
    if samples and all(hasattr(sample.original, "voxel_size") for sample in samples):
        said = {getattr(sample.original, "voxel_size") for sample in samples}  # noqa: B009
        return said.pop() if len(said) == 1 else None
    found: VoxelSize | None = None
    for file in {file: None for sample in samples for file in _files_of(sample)}:
        source, name = file
        path = source.file(name)
        size = None
        if split_array_name(name) is not None and source.folder is not None:
            size = _size_of_array(str(source.folder), name)
        elif path is not None:
            size = _read_size(str(path))
        if size is None or (found is not None and size != found):
            return None
        found = size
    return found


def _files_of(sample: Sample) -> list[tuple[Source, str]]:
    load = sample.original
    return [(load.source, load.name)] if isinstance(load, ImageLoader | PageLoader) else []


def _size_of_array(root: str, name: str) -> VoxelSize | None:
    """As an OME-Zarr, or a file of HDF5, tells it."""
    stack = open_array(root, name, PLAIN)
    if stack.pixel_size is None or stack.slice_distance is None:
        return None
    return VoxelSize(stack.slice_distance, stack.pixel_size)


@lru_cache(maxsize=256)
def _read_size(path: str) -> VoxelSize | None:
    from pathlib import Path

    return read_voxel_size(Path(path))
