"""Masks and probabilities to files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path, write_bytes
from napari_unet.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.masks.numbered_objects import NumberedObjects

TIFF = (".tif", ".tiff")


def write_mask(path: Path, mask: NDArray[np.integer], classes: int = 1) -> Path:
    """Write a mask as PNG or TIFF, by the suffix.

    With one class the foreground is 255, as most programs show and Kaggle keeps it; with several the values
    are the classes 0..K: 8 bits, or 16 where K is above 255.

    Parameters
    ----------
    path : pathlib.Path
        .png, .tif or .tiff.
    mask : numpy.ndarray
        (Y, X) of integers or bool, 0 background, 1..K.
    classes : int
        K.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written; nothing is left behind.
    ValueError
        If a label is below 0 or above K.
    """
    values = stored_values(mask, classes)
    _check_suffix(path, (".png", *TIFF))
    if path.suffix.lower() == ".png":
        write_bytes(path, png_bytes(values))
        return path
    import tifffile

    with atomic_path(path) as partial:
        tifffile.imwrite(partial, values, compression="deflate", photometric="minisblack")
    return path


def png_bytes(values: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode (Y, X) grey values as PNG.

    Runs are counted and rows not filtered, because masks have long runs of one value. With thousands of small
    masks this takes half the time of an encoder that chooses a filter for each row.
    """
    import imagecodecs

    png = imagecodecs.PNG
    return bytes(imagecodecs.png_encode(values, level=1, strategy=png.STRATEGY.RLE, filter=png.FILTER.NO))


def stored_values(mask: NDArray[np.integer], classes: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """(Y, X): what ``write_mask`` writes of a mask; errors as there."""
    if mask.ndim != 2:
        raise ValueError(f"a mask is (Y, X), not {mask.shape}")
    lowest, highest = int(mask.min(initial=0)), int(mask.max(initial=0))
    if lowest < 0 or highest > classes:
        raise ValueError(f"labels {lowest} to {highest} are not all within 0 to {classes}")
    if classes == 1:
        return np.asarray(mask > 0, np.uint8) * np.uint8(255)
    return mask.astype(np.uint8) if classes <= 255 else mask.astype(np.uint16)


def _check_suffix(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        raise OutputError(
            f"{path} cannot be written",
            code="output.name.ending",
            expected=f"a name that ends in {', '.join(known)}",
            got=path.suffix or "no suffix",
            remedy="choose another name",
        )


def write_objects(path: Path, objects: NDArray[np.int32], numbered: NumberedObjects | None = None) -> Path:
    """Write the numbers of objects as a deflated TIFF.

    Parameters
    ----------
    path : pathlib.Path
        .tif or .tiff.
    objects : numpy.ndarray
        (Y, X) int32, 0 background, 1..N.
    numbered : NumberedObjects, optional
        Their classes, and which of them are ties; in the description of the file.

    Returns
    -------
    pathlib.Path
        The same path; the file holds uint16, or uint32 with more than 65,535 objects.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    fits = int(objects.max(initial=0)) <= np.iinfo(np.uint16).max
    about = {} if numbered is None else {"numbers": "objects", **numbered.to_json()}
    return _write_tiff(path, np.ascontiguousarray(objects, np.uint16 if fits else np.uint32), about)


def write_probabilities(path: Path, probabilities: NDArray[np.float32]) -> Path:
    """Write probabilities as a deflated TIFF.

    Parameters
    ----------
    path : pathlib.Path
        .tif or .tiff.
    probabilities : numpy.ndarray
        (Y, X, K) float32.

    Returns
    -------
    pathlib.Path
        The same path; the file holds (Y, X) for one class, (K, Y, X) for several.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    planes = np.moveaxis(probabilities, -1, 0)
    return _write_tiff(path, np.ascontiguousarray(planes[0] if len(planes) == 1 else planes, np.float32))


def _write_tiff(path: Path, planes: NDArray[Any], about: Mapping[str, Any] | None = None) -> Path:
    """Write (Y, X) or (C, Y, X) as a deflated TIFF."""
    import tifffile

    _check_suffix(path, TIFF)
    axes = "YX" if planes.ndim == 2 else "CYX"
    with atomic_path(path) as partial:
        tifffile.imwrite(
            partial,
            planes,
            compression="deflate",
            photometric="minisblack",
            metadata={"axes": axes, **(about or {})},
        )
    return path
