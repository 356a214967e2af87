"""Saving a Labels layer as masks: TIFF, .npy, PNG, or a table of run lengths."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path, write_text
from napari_unet.data.run_length import encode_run_lengths
from napari_unet.errors import OutputError
from napari_unet.export.masks import safe_stem, unique_stems, write_mask
from napari_unet.workflow.images import METADATA_KEY, OpenedData

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

HIGHEST_IN_PNG = 65535


def write_tiff(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as a TIFF, one page a slice; the numbers stay as they are.

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

    labels = _labels(data, about)
    dtype = np.min_scalar_type(max(_highest(labels, path), 1))
    if dtype.itemsize > 4:
        raise OutputError(
            f"{path} cannot be written",
            expected=f"labels up to {2**32 - 1}",
            got="a higher one",
            remedy="number the objects anew, or save as .npy",
        )
    axes = "TZYX"[-labels.ndim :] if labels.ndim <= 4 else "Q" * (labels.ndim - 2) + "YX"
    with atomic_path(Path(path)) as partial:
        tifffile.imwrite(
            partial,
            (page.astype(dtype) for page in _pages(labels)),
            shape=labels.shape,
            dtype=dtype,
            compression="deflate",
            photometric="minisblack",
            metadata={"axes": axes},
        )
    return [path]


def write_npy(path: str, data: Any, about: Mapping[str, Any]) -> list[str]:
    """Write labels as they are, in NumPy's format; arguments and errors as ``write_tiff``."""
    labels = _labels(data, about)
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
    labels = _stack(data, about, path)
    highest = _highest(labels, path)
    if highest > HIGHEST_IN_PNG:
        raise OutputError(
            f"{path} cannot be written",
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
            f"{folder} cannot be written", expected="a new folder", remedy="choose another name, or empty it"
        )
    stems = unique_stems(_names(about, len(labels)))
    return [
        str(write_mask(folder / f"{stem}.png", page, classes))
        for stem, page in zip(stems.values(), _pages(labels), strict=True)
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
    labels = _stack(data, about, path)
    _highest(labels, path)
    names = _names(about, 1 if labels.ndim == 2 else len(labels))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "rle_mask"])
    for name, page in zip(names, _pages(labels), strict=True):
        numbers = np.unique(page[page > 0])
        if len(numbers) <= 1:
            rows.writerow([name, encode_run_lengths(page)])
        else:
            rows.writerows([name, encode_run_lengths(page == number)] for number in numbers)
    write_text(Path(path), text.getvalue())
    return [path]


def _labels(data: Any, about: Mapping[str, Any]) -> Any:
    """The array, of the finest scale."""
    return data[0] if isinstance(data, list) or about.get("multiscale") else data


def _stack(data: Any, about: Mapping[str, Any], path: str) -> Any:
    labels = _labels(data, about)
    if labels.ndim in (2, 3):
        return labels
    raise OutputError(
        f"{path} cannot be written",
        expected="one mask, or a stack of masks",
        got=f"{labels.ndim} dimensions",
        remedy="save as .tif or .npy",
    )


def _pages(labels: Any) -> Iterator[NDArray[Any]]:
    """Every (Y, X) plane, in order, one at a time."""
    for index in np.ndindex(*labels.shape[:-2]):
        yield np.asarray(labels[index])


def _highest(labels: Any, path: str) -> int:
    """The highest label."""
    highest = 0
    for page in _pages(labels):
        if page.min(initial=0) < 0:
            raise OutputError(
                f"{path} cannot be written",
                expected="labels from 0 upwards",
                got=str(page.min()),
                remedy="save as .npy, or paint over the negative ones",
            )
        highest = max(highest, int(page.max(initial=0)))
    return highest


def _names(about: Mapping[str, Any], count: int) -> list[str]:
    """Ids of the images where the layer knows them; else the layer's name, with numbers."""
    opened = about.get("metadata", {}).get(METADATA_KEY)
    if isinstance(opened, OpenedData) and len(opened.ids) == count:
        return list(opened.ids)
    name = safe_stem(str(about.get("name") or "mask"))
    return [name] if count == 1 else [f"{name}_{index:0{len(str(count - 1))}d}" for index in range(count)]
