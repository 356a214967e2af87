"""Masks and probabilities to files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

UNSAFE = re.compile(r"[^\w\-. ()+=@]")
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}


def safe_stem(identifier: str) -> str:
    """A file name, without suffix, for an image id: no separators, nothing hidden or reserved.

    Parameters
    ----------
    identifier : str
        Any text.

    Returns
    -------
    str
        The same text if it is safe already.
    """
    stem = UNSAFE.sub("_", identifier).strip(" ")
    stem = stem.lstrip(".").rstrip(". ") or "image"
    return f"{stem}_" if stem.lower() in RESERVED else stem[:200]


def write_mask(path: Path, mask: NDArray[np.uint8], classes: int = 1) -> Path:
    """Write a mask as PNG or TIFF, by the suffix.

    With one class the foreground is 255, as most programs show and Kaggle keeps it; with several
    the values are the classes 1..K.

    Parameters
    ----------
    path : pathlib.Path
        .png, .tif or .tiff.
    mask : numpy.ndarray
        (Y, X) uint8, 0 background.
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
    """
    values = np.where(mask > 0, 255, 0).astype(np.uint8) if classes == 1 else mask
    with atomic_path(path) as partial:
        if path.suffix.lower() == ".png":
            from PIL import Image

            Image.fromarray(values).save(partial, format="PNG", compress_level=1)
        else:
            import tifffile

            tifffile.imwrite(partial, values, compression="deflate")
    return path


def write_probabilities(path: Path, probabilities: NDArray[np.float32]) -> Path:
    """Write probabilities as a deflated float32 TIFF.

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
    import tifffile

    planes = np.moveaxis(probabilities, -1, 0)
    with atomic_path(path) as partial:
        tifffile.imwrite(
            partial,
            np.ascontiguousarray(planes[0] if len(planes) == 1 else planes),
            compression="deflate",
            photometric="minisblack",
        )
    return path
