"""Pixels without data: the value that a file names for them becomes NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def without_nodata(pixels: NDArray[np.generic], nodata: float | None) -> NDArray[np.generic]:
    """NaN for pixels whose every channel has the value that stands for no data.

    Parameters
    ----------
    pixels : numpy.ndarray
        (Y, X, C).
    nodata : float or None
        That value.

    Returns
    -------
    numpy.ndarray
        The same if there are none; else float32, or float64 where that could not hold all values.
    """
    if nodata is None or np.isnan(nodata) or pixels.dtype.kind == "b":
        return pixels
    if pixels.dtype.kind in "ui":
        limits = np.iinfo(pixels.dtype)  # type: ignore[type-var]
        if nodata != int(nodata) or not limits.min <= nodata <= limits.max:
            return pixels
    if not _equals(pixels, nodata).all(axis=2).any():
        return pixels
    return as_nan(pixels, nodata)


def _equals(pixels: NDArray[np.generic], nodata: float) -> NDArray[np.bool_]:
    # Programs write the value with fewer digits than float32 has.
    stored = np.float32(nodata) if pixels.dtype.itemsize <= 4 and pixels.dtype.kind == "f" else nodata
    return np.asarray(pixels == stored)


def as_nan(pixels: NDArray[np.generic], nodata: float | None) -> NDArray[np.generic]:
    """As ``without_nodata``, but floats wherever a value is named, whether a pixel has it or not."""
    if nodata is None or np.isnan(nodata) or pixels.dtype.kind == "b":
        return pixels
    absent = _equals(pixels, nodata).all(axis=2)
    wide = pixels.dtype.itemsize > (4 if pixels.dtype.kind == "f" else 2)
    shown: NDArray[Any] = pixels.astype(np.float64 if wide else np.float32)
    shown[absent] = np.nan
    return shown
