"""Slices: images that lie one behind another in a volume, and where.

The slices of a volume stay images of their own, with masks, names and hashes. Slices are the pages of a stack
along an axis Z, by its metadata or by ``--axes``. Single files are slices by the numbers at the ends of
their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.decoders.damage import as_damage
from napari_unet.data.files.decoders.image_kinds import (
    TIFF_SUFFIXES,
    is_image_name,
    path_of_image,
    split_array_name,
    suffix_of,
)
from napari_unet.data.files.decoders.tiff_images import opened_tiff
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader
from napari_unet.data.files.stored.array_files import open_array
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from napari_unet.data.files.reading import ImageReading
    from napari_unet.data.files.source import Source
    from napari_unet.data.sample import Sample

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


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


def known_place(sample: Sample) -> Place:
    """Where an image lies in its volume.

    Raises
    ------
    DataError
        If it is no slice of a volume, or its file is damaged.
    """
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
    """Refuse images of which one is no slice of a volume or cannot be read; errors as ``known_place``."""
    for sample in samples:
        known_place(sample)
