"""What of a whole image its intensities are fixed by, measured part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.models.normalization import EXTREMES, FLAT, LOOKED_AT, Normalization, to_float
from napari_unet.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Parts = Iterable[tuple[slice, slice, NDArray[np.generic]]]


class Intensities(Settings):
    """The numbers by which every part of an image is prepared as the whole would be.

    Attributes
    ----------
    lowest : float
        Of the finite pixels; stands for those that are not.
    low, high : tuple of float
        What is darker or brighter is cut, by channel; empty: nothing is.
    mean, deviation : tuple of float
        Taken off, and divided by; empty: neither.
    """

    lowest: float = 0.0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


def measure(normalization: Normalization, parts: Callable[[], Parts], shape: tuple[int, int]) -> Intensities:
    """Look at a whole image part by part, as often as need be.

    Parameters
    ----------
    normalization : Normalization
        Of the model.
    parts : callable
        () -> every pixel of the image once: rows, columns, (Y', X', C) in the stored dtype.
    shape : tuple of int
        (Y, X) of the image.

    Returns
    -------
    Intensities
        With which ``prepare_part`` gives what ``Normalization.prepare`` gives of the whole, but for the
        rounding of sums.

    Raises
    ------
    ModelError
        If the channels cannot be matched.
    """
    lowest = 0.0
    first = next(iter(parts()))[2]
    if first.dtype.kind == "f":
        lowest = min((_lowest(values) for _, _, values in parts()), default=np.inf)
        lowest = lowest if np.isfinite(lowest) else 0.0
    if normalization.intensities == "range":
        return Intensities(lowest=lowest)
    if normalization.intensities == "dataset":
        return Intensities(lowest=lowest, mean=normalization.mean, deviation=normalization.deviation)
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    if normalization.intensities == "robust":
        low, high = _extremes(normalization, parts(), shape, lowest)
    unscaled = Intensities(lowest=lowest, low=low, high=high)
    count, total, squares = 0, np.zeros(normalization.channels), np.zeros(normalization.channels)
    for _, _, values in parts():
        flat = _cut(normalization, values, unscaled).reshape(-1, normalization.channels)
        count += len(flat)
        total += flat.sum(axis=0, dtype=np.float64)
        squares += np.einsum("nc,nc->c", flat, flat, dtype=np.float64)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return unscaled.model_copy(
        update={"mean": tuple(map(float, mean)), "deviation": tuple(map(float, deviation))}
    )


def prepare_part(
    normalization: Normalization,
    values: NDArray[np.generic],
    intensities: Intensities,
    name: str = "the image",
) -> NDArray[np.float32]:
    """Bring a part of an image into the form the network was trained on, not yet resized.

    Parameters
    ----------
    normalization : Normalization
        Of the model.
    values : numpy.ndarray
        (Y, X, C), the stored dtype.
    intensities : Intensities
        Of the whole image.
    name : str
        For the error.

    Returns
    -------
    numpy.ndarray
        (Y, X, channels) float32.

    Raises
    ------
    ModelError
        If the channels cannot be matched.
    """
    cut = _cut(normalization, values, intensities, name)
    if not intensities.mean:
        return cut
    mean = np.asarray(intensities.mean, np.float32)
    deviation = np.maximum(np.asarray(intensities.deviation, np.float32), np.float32(FLAT))
    np.subtract(cut, mean, out=cut)
    return np.divide(cut, deviation, out=cut)


def _cut(
    normalization: Normalization,
    values: NDArray[np.generic],
    intensities: Intensities,
    name: str = "the image",
) -> NDArray[np.float32]:
    """Channels matched, what is too dark or too bright cut; an array of its own."""
    found = normalization.match_channels(to_float(values, intensities.lowest), name)
    if intensities.low:
        low, high = (np.asarray(side, np.float32) for side in (intensities.low, intensities.high))
        return np.clip(found, low, high)
    return found if found.flags.writeable and found.flags.owndata else found.copy()


def _lowest(values: NDArray[np.generic]) -> float:
    """Of the pixels that float32 holds."""
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    finite = small[np.isfinite(small)]
    return float(finite.min()) if finite.size else float("inf")


def _extremes(
    normalization: Normalization, parts: Parts, shape: tuple[int, int], lowest: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Percentiles of the very pixels that are looked at where the whole image is at hand."""
    step = max(1, shape[0] * shape[1] // LOOKED_AT)
    looked_at = []
    for rows, columns, values in parts:
        # Of each row every step-th pixel, counted from the first pixel of the image.
        before = np.arange(rows.start, rows.stop) * shape[1] + columns.start
        width = columns.stop - columns.start
        at = (-before % step)[:, None] + np.arange(0, width, step)
        inside = at < width
        if inside.any():
            chosen = values[np.nonzero(inside)[0], at[inside]]
            looked_at.append(normalization.match_channels(to_float(chosen[:, None], lowest))[:, 0])
    low, high = np.percentile(np.concatenate(looked_at), EXTREMES, axis=0).astype(np.float32)
    return tuple(map(float, low)), tuple(map(float, high))
