"""Saving a Labels layer as exports are: OME-TIFF, OME-Zarr, GeoJSON, COCO, ImageJ ROIs, measurements."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.file_names import unique_stems
from napari_unet.errors import OutputError
from napari_unet.export.formats import export_format
from napari_unet.export.label_files import write_ome_stack
from napari_unet.export.segmented import StackPosition
from napari_unet.plugin.layer_masks import (
    depth_of,
    finest,
    image_names,
    masks_of,
    stack_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_unet.export.segmented import Numbers, SegmentedImage

MOST_AXES = 4  # T, Z, Y, X


def write_ome_tiff(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as OME-TIFF: the numbers as they are, a stack in one file.

    Parameters
    ----------
    path : str
        .ome.tif or .ome.tiff; .ome.tif is put at the end of any other name.
    data : array
        (Y, X), (Z, Y, X) or (T, Z, Y, X) integers, lazy or not; a list of them where the layer has
        several scales.
    about : mapping
        The layer's arguments. Its name and, where they are lengths, its scale and units are written,
        and the names and colours of classes where the layer tells them.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    OutputError
        If there are more dimensions, a label is below 0 or above 16,777,215, or the file cannot be written.
    """
    target = _named(path, ".ome.tif", ".ome.tiff")
    labels = finest(data, about)
    if not 2 <= labels.ndim <= MOST_AXES:
        raise OutputError(
            f"{target} cannot be written",
            code="output.mask.dimensions",
            expected=f"2 to {MOST_AXES} dimensions",
            got=str(labels.ndim),
            remedy="save as .npy",
        )
    masks = masks_of(data, about, str(target))
    first = next(masks.images)
    dtype = np.min_scalar_type(max(masks.highest, 1))
    depth = depth_of(about)
    return [str(write_ome_stack(target, masks.pages, labels.shape, dtype, first, masks.numbers, depth))]


def write_ome_zarr(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as OME-Zarr 0.5, with their image where the layer knows it.

    Parameters
    ----------
    path : str
        Folder, .zarr; for a stack the folder of that name without suffix, with an OME-Zarr for each image.
    data : array
        (Y, X) or (N, Y, X) integers, lazy or not.
    about : mapping
        As for ``write_ome_tiff``; its metadata may tell the names of the images.

    Returns
    -------
    list of str
        The folders.

    Raises
    ------
    OutputError
        If there are more dimensions, a label is below 0 or above 16,777,215, the folder has files in it,
        or something cannot be written.
    """
    return _one_each("ome-zarr", _named(path, ".ome.zarr", ".zarr"), data, about)


def write_geojson(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write objects as GeoJSON for QuPath: .geojson, a folder for a stack; as ``write_ome_zarr`` else."""
    return _one_each("geojson", _named(path, ".geojson"), data, about)


def write_imagej_rois(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write objects as a zip of ImageJ regions: .zip, a folder for a stack; as ``write_ome_zarr`` else."""
    return _one_each("imagej-roi", _named(path, ".zip"), data, about)


def write_coco(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write the objects of all images of a layer as COCO JSON: one .json; as ``write_ome_zarr`` else."""
    return _together("coco", _named(path, ".json"), data, about)


def write_measurements(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write a table of the objects of all images of a layer: one .csv; as ``write_ome_zarr`` else.

    Intensities are measured where the layer knows its image: the mask of the workbench, or the
    reference masks of a data set.
    """
    return _together("measurements", _named(path, ".csv"), data, about)


def _named(path: str, *suffixes: str) -> Path:
    """The path with the first of these suffixes, if it has none of them."""
    return Path(path if path.lower().endswith(suffixes) else path + suffixes[0])


def _write(name: str, path: Path, image: SegmentedImage, numbers: Numbers) -> Path:
    write = export_format(name).write
    assert write is not None
    return write(path, image, numbers)


def _together(name: str, path: Path, data: Any, about: Mapping[str, Any]) -> list[str]:
    """One file for all planes."""
    stack_of(data, about, str(path))
    images = masks_of(data, about, str(path)).images
    gather = export_format(name).gather
    assert gather is not None
    with gather(path, "objects") as add:
        for image in images:
            add(image)
    return [str(path)]


def _one_each(name: str, path: Path, data: Any, about: Mapping[str, Any]) -> list[str]:
    """A file for one plane; a folder of files for a stack, whole or not at all."""
    labels = stack_of(data, about, str(path))
    masks = masks_of(data, about, str(path))
    if labels.ndim == 2:
        _check_new(path)
        return [str(_write(name, path, next(masks.images), masks.numbers))]
    suffix = export_format(name).suffix
    folder = path.with_name(path.name[: -len(suffix)] if path.name.endswith(suffix) else path.stem)
    _check_new(folder)
    there = folder.exists()
    stems = unique_stems(image_names(about, len(labels)))
    written: list[Path] = []
    try:
        for page, image in enumerate(masks.images, start=1):
            image = replace(image, position=StackPosition(page))
            file = folder / f"{stems[image.name]}{suffix}"
            written.append(_write(name, file, image, masks.numbers))
    except BaseException:
        for made in written:
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        if not there:
            with suppress(OSError):  # it may not have been made, or somebody else put something in
                folder.rmdir()
        raise
    return [str(made) for made in written]


def _check_new(folder: Path) -> None:
    """Refuse to replace a folder: no dialog asked about that."""
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(
            f"{folder} cannot be written",
            code="output.exists",
            expected="a new folder",
            remedy="choose another name, or empty it",
        )
