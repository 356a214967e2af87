"""Images of few different values: what is done to each pixel is done to each value once, and looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TYPES = {"uint8", "uint16"}


def has_few_values(image: NDArray[np.generic]) -> bool:
    """Whether (Y, X, C) has a type of few values, and fewer of them than pixels."""
    if image.dtype.name not in TYPES:
        return False
    pixels = image.shape[0] * image.shape[1]
    return pixels > np.iinfo(image.dtype.name).max or int(image.max(initial=0)) < pixels


def value_counts(image: NDArray[Any]) -> NDArray[np.intp]:
    """(N, C): how many pixels of (..., C) uint8 or uint16 have the values 0 to N - 1, channel by channel."""
    number = int(image.max(initial=0)) + 1
    channels = range(image.shape[-1])
    return np.stack([np.bincount(image[..., c].ravel(), minlength=number) for c in channels], axis=1)


def percentiles_by_count(
    counts: NDArray[np.intp], values: NDArray[np.float32], percent: tuple[float, ...]
) -> NDArray[np.float32]:
    """As ``percentiles``, by how many pixels have each value.

    Parameters
    ----------
    counts : numpy.ndarray
        (N, C), at least one pixel in each channel.
    values : numpy.ndarray
        (N,) float32, ascending: what the pixels that are counted stand for.
    percent : tuple of float
        In [0, 100].

    Returns
    -------
    numpy.ndarray
        (len(percent), C) float32.
    """
    up_to = counts.cumsum(axis=0)
    first, second, share = _places(int(up_to[-1, 0]), percent)
    found = []
    for channel in up_to.T:
        low, high = (values[np.searchsorted(channel, at, side="right")] for at in (first, second))
        found.append(_between(low, high, share))
    return np.stack(found, axis=1)


def percentiles(values: NDArray[np.float32], percent: tuple[float, ...]) -> NDArray[np.float32]:
    """As ``numpy.percentile`` along the first axis, in a quarter of its time, because sorting is faster.

    Parameters
    ----------
    values : numpy.ndarray
        (N, C) float32, N at least 1.
    percent : tuple of float
        In [0, 100].

    Returns
    -------
    numpy.ndarray
        (len(percent), C) float32.
    """
    ordered = np.sort(np.ascontiguousarray(values.T), axis=1)
    first, second, share = _places(len(values), percent)
    return _between(ordered[:, first], ordered[:, second], share).T


def _places(
    count: int, percent: tuple[float, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Between which of so many values in order percentiles lie, and how far towards the second."""
    place = np.asarray(percent) / 100 * (count - 1)
    first = np.floor(place).astype(np.intp)
    return first, np.minimum(first + 1, count - 1), place - first


def _between(
    low: NDArray[np.float32], high: NDArray[np.float32], share: NDArray[np.float64]
) -> NDArray[np.float32]:
    exact = low.astype(np.float64)
    return (exact + (high - exact) * share).astype(np.float32)


def moments_by_count(
    counts: NDArray[np.intp], values: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of all pixels, (C,) each; ``counts`` (N, C), ``values`` (N, C) float32."""
    total = counts.sum(axis=0)
    exact = values.astype(np.float64)
    mean = (counts * exact).sum(axis=0) / total
    return mean, np.sqrt((counts * (exact - mean) ** 2).sum(axis=0) / total)


def looked_up(table: NDArray[np.float32], image: NDArray[Any]) -> NDArray[np.float32]:
    """(Y, X, C) float32: what each pixel of (Y, X, C) stands for, by a table (N, C) of values 0 to N - 1."""
    if image.shape[-1] == 1:
        return table[:, 0].take(image)
    found = np.empty(image.shape, np.float32)
    for channel in range(image.shape[-1]):
        found[..., channel] = table[:, channel].take(image[..., channel])
    return found
