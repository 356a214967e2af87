"""Saving a Labels layer as masks: TIFF, .npy, PNG, or a table of run lengths."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path, write_text
from napari_unet.data.file_names import unique_stems
from napari_unet.data.files.pixel_size import pixel_size_of_layer
from napari_unet.data.masks.run_length import encode_run_lengths
from napari_unet.errors import OutputError
from napari_unet.export.label_files import resolution_tags
from napari_unet.export.masks import write_mask
from napari_unet.plugin.export_writer import write_ome_tiff
from napari_unet.plugin.layer_masks import finest, highest_label, image_names, planes, ready, stack_of

if TYPE_CHECKING:
    from collections.abc import Mapping

HIGHEST_IN_PNG = 65535


def write_tiff(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as a TIFF, one page a slice; the numbers stay as they are, and the size of a pixel.

    Parameters
    ----------
    path : str
        .tif or .tiff.
    data : array
        (..., Y, X) integers, lazy or not; a list of them where the layer has several scales.
    about : mapping
        The layer's arguments.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    OutputError
        If a label is below 0, or the file cannot be written.
    """
    import tifffile

    if path.lower().endswith((".ome.tif", ".ome.tiff")):  # older napari looks at the last suffix alone
        return write_ome_tiff(path, data, about)
    ready(about)
    labels = finest(data, about)
    dtype = np.min_scalar_type(max(highest_label(labels, path), 1))
    if dtype.itemsize > 4:
        raise OutputError(
            f"{path} cannot be written",
            code="output.mask.objects",
            expected=f"labels up to {2**32 - 1}",
            got="a higher one",
            remedy="number the objects again, or save as .npy",
        )
    size = pixel_size_of_layer(about.get("scale", ()), about.get("units") or ())
    resolution = resolution_tags(size) if size is not None else {}
    axes = "TZYX"[-labels.ndim :] if labels.ndim <= 4 else "Q" * (labels.ndim - 2) + "YX"
    with atomic_path(Path(path)) as partial:
        tifffile.imwrite(
            partial,
            (page.astype(dtype) for page in planes(labels)),
            shape=labels.shape,
            dtype=dtype,
            compression="deflate",
            photometric="minisblack",
            metadata={"axes": axes},
            **resolution,
        )
    return [path]


def write_npy(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as they are, in NumPy's format; arguments and errors as ``write_tiff``."""
    ready(about)
    labels = finest(data, about)
    with atomic_path(Path(path)) as partial, partial.open("wb") as file:
        np.save(file, np.asarray(labels), allow_pickle=False)
    return [path]


def write_png(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as PNG: one image as a file, a stack as a folder with a file an image.

    With the labels 0 and 1 alone the foreground is 255, as programs show it and Kaggle keeps it; else
    the numbers stay as they are.

    Parameters
    ----------
    path : str
        .png; for a stack the folder of that name, without suffix.
    data : array
        (Y, X) or (N, Y, X) integers, lazy or not.
    about : mapping
        The layer's arguments; its metadata may tell the names of the images.

    Returns
    -------
    list of str
        The files.

    Raises
    ------
    OutputError
        If there are more dimensions, a label is below 0 or above 65535, the folder has files in it,
        or something cannot be written.
    """
    ready(about)
    labels = stack_of(data, about, path)
    highest = highest_label(labels, path)
    if highest > HIGHEST_IN_PNG:
        raise OutputError(
            f"{path} cannot be written",
            code="output.mask.objects",
            expected=f"labels up to {HIGHEST_IN_PNG}",
            got=str(highest),
            remedy="save as .tif or .npy",
        )
    classes = max(highest, 1)
    target = Path(path)
    if labels.ndim == 2:
        return [str(write_mask(target, np.asarray(labels), classes))]
    folder = target.with_suffix("")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            f"{folder} cannot be written",
            code="output.exists",
            expected="a new folder",
            remedy="choose another name, or empty it",
        )
    stems = unique_stems(image_names(about, len(labels)))
    return [
        str(write_mask(folder / f"{stem}.png", page, classes))
        for stem, page in zip(stems.values(), planes(labels), strict=True)
    ]


def write_run_lengths(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as a table of run lengths with the columns id and rle_mask, as Kaggle's are.

    One row a slice; where a slice has several numbers, one row a number, in rising order.

    Parameters
    ----------
    path : str
        .csv.
    data : array
        (Y, X) or (N, Y, X) integers, lazy or not.
    about : mapping
        The layer's arguments; its metadata may tell the names of the images.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    OutputError
        If there are more dimensions, a label is below 0, or the file cannot be written.
    """
    ready(about)
    labels = stack_of(data, about, path)
    highest_label(labels, path)
    names = image_names(about, 1 if labels.ndim == 2 else len(labels))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "rle_mask"])
    for name, page in zip(names, planes(labels), strict=True):
        numbers = np.unique(page[page > 0])
        if len(numbers) <= 1:
            rows.writerow([name, encode_run_lengths(page)])
        else:
            rows.writerows([name, encode_run_lengths(page == number)] for number in numbers)
    write_text(Path(path), text.getvalue())
    return [path]
