"""The size of a voxel that the files of images say."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from napari_unet.data.files.decoders.image_kinds import split_array_name
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader
from napari_unet.data.files.reading import PLAIN
from napari_unet.data.files.stored.array_files import open_array
from napari_unet.data.volumes.voxel_size import VoxelSize, read_voxel_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.data.files.source import Source
    from napari_unet.data.sample import Sample


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
