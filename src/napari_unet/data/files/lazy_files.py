"""Large files as lazy stacks: OME-Zarr and Zarr arrays, HDF5, TIFF."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES, split_array_name
from napari_unet.data.files.lazy_tiff import open_tiff_stacks
from napari_unet.data.files.stored.lazy_hdf5 import open_hdf5_image
from napari_unet.data.files.stored.lazy_zarr import is_zarr, open_zarr
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.files.lazy_stack import LazyStack

__all__ = ["is_zarr", "open_lazy", "open_lazy_images"]
log = logging.getLogger(__name__)


def open_lazy(path: Path | str, level: int | None = None, target: float | None = None) -> LazyStack:
    """Open a large image without reading it; of several in a file the first, which a note says.

    Parameters
    ----------
    path : path or str
        OME-Zarr, a Zarr array, HDF5, or a TIFF file; FILE.h5:/NAME names an image in an HDF5 file.
    level : int, optional
        Of an image that is there at several resolutions, 0 the finest.
    target : float, optional
        Metres; without `level` the coarsest resolution is taken whose pixels are not larger than that, if
        their size is known; else the finest.

    Returns
    -------
    LazyStack
        Named after the file.

    Raises
    ------
    DataError
        If it is none of these, or damaged.
    SettingsError
        If there is no such level.
    """
    stacks = open_lazy_images(path, level, target)
    if len(stacks) > 1:
        log.warning("%s: only the first of %d images is opened", Path(path).name, len(stacks))
    return stacks[0]


def open_lazy_images(
    path: Path | str, level: int | None = None, target: float | None = None
) -> list[LazyStack]:
    """As ``open_lazy``, but all images: a TIFF may hold series that differ in size, each a stack."""
    path = Path(path).expanduser().resolve()
    if is_zarr(path):
        return [open_zarr(path, level, target)]
    found = split_array_name(str(path))
    if found is not None and Path(found[0]).is_file():
        return [open_hdf5_image(Path(found[0]), found[1])]
    if path.is_file() and path.suffix.lower() in TIFF_SUFFIXES:
        return open_tiff_stacks(path, level, target)
    raise DataError(
        f"{path} cannot be read by region",
        code="data.image.format",
        expected="OME-Zarr, a Zarr array, HDF5, or TIFF",
        got="nothing there"
        if not path.exists()
        else f"a {'folder' if path.is_dir() else 'file'} of another kind",
        remedy="convert it, for example with bioformats2raw",
    )
