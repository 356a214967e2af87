"""What of a whole image its intensities are fixed by, measured part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.models.normalization import (
    BY_TYPE,
    EXTREMES,
    LOOKED_AT,
    Normalization,
    Span,
    divisor,
    known_pixels,
    limits_of,
    resize,
    scaled_shape,
    to_float,
)
from napari_unet.models.value_tables import percentiles
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
        Of the finite pixels, once scaled; stands for those that are not.
    offset, size : float
        Values from `offset` to `offset + size` are scaled to 0 to 1; size 0: by the range of the dtype.
    low, high : tuple of float
        What is darker or brighter is cut, by channel; empty: nothing is.
    mean, deviation : tuple of float
        Taken off, and divided by; empty: neither.
    constant : bool
        Whether all pixels that hold data are equal, so that there is nothing to see.
    """

    lowest: float = 0.0
    offset: int | float = 0.0  # whole for integers: a float cannot hold all 64 bits
    size: float = 0.0
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    constant: bool = False

    @property
    def span(self) -> Span | None:
        """What is scaled from, as ``to_float`` takes it."""
        return Span(self.offset, self.size) if self.size else None


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
    constant = _are_constant(parts())
    scaled = Intensities(constant=constant)
    first = next(iter(parts()))[2]
    if first.dtype.name not in BY_TYPE:
        found = [_limits(values) for _, _, values in parts()]
        least, most = min(a for a, _ in found), max(b for _, b in found)
        limits = (least, most) if least <= most else (0.0, 0.0)
        span = normalization.span_of(limits)
        assert span is not None
        lowest = (limits[0] - span.offset) / span.size
        scaled = Intensities(lowest=lowest, offset=span.offset, size=span.size, constant=constant)
    if normalization.intensities == "range":
        return scaled
    if normalization.intensities == "dataset":
        of_all = {"mean": normalization.mean, "deviation": normalization.deviation}
        return scaled.model_copy(update=of_all)
    unscaled = scaled
    if normalization.intensities == "robust":
        low, high = _extremes(normalization, parts(), shape, scaled)
        unscaled = scaled.model_copy(update={"low": low, "high": high})
    count, total, squares = 0, np.zeros(normalization.channels), np.zeros(normalization.channels)
    for _, _, values in parts():
        cut, known = _cut(normalization, values, unscaled), known_pixels(values)
        flat = cut.reshape(-1, normalization.channels) if known is None else cut[known]
        count += len(flat)
        total += flat.sum(axis=0, dtype=np.float64)
        squares += np.einsum("nc,nc->c", flat, flat, dtype=np.float64)
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
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
    deviation = np.asarray(intensities.deviation, np.float32)
    np.subtract(cut, mean, out=cut)
    return np.divide(cut, divisor(mean, deviation), out=cut)


def prepare_image(
    normalization: Normalization,
    image: NDArray[np.generic],
    name: str,
    whole: Callable[[Normalization], Intensities] | None = None,
) -> NDArray[np.float32]:
    """Bring an image into the form the network was trained on.

    Parameters
    ----------
    normalization : Normalization
        Of the model.
    image : numpy.ndarray
        (Y, X, C), the stored dtype.
    name : str
        For the error.
    whole : callable, optional
        (Normalization) -> Intensities of the large image that this is a part of.

    Returns
    -------
    numpy.ndarray
        (Y * scale, X * scale, channels) float32.

    Raises
    ------
    ModelError
        If the channels cannot be matched.
    """
    if whole is None:
        return normalization.prepare(image, name)
    values = prepare_part(normalization, image, whole(normalization), name)
    return resize(values, scaled_shape(values.shape[:2], normalization.scale))


def _cut(
    normalization: Normalization,
    values: NDArray[np.generic],
    intensities: Intensities,
    name: str = "the image",
) -> NDArray[np.float32]:
    """Channels matched, what is too dark or too bright cut; an array of its own."""
    found = normalization.match_channels(to_float(values, intensities.span, intensities.lowest), name)
    if intensities.low:
        low, high = (np.asarray(side, np.float32) for side in (intensities.low, intensities.high))
        return np.clip(found, low, high)
    return found if found.flags.writeable and found.flags.owndata else found.copy()


def _are_constant(parts: Parts) -> bool:
    """As ``is_constant`` of the whole; stops at the first part that is not."""
    first = None
    for _, _, values in parts:
        known = known_pixels(values)
        flat = values.reshape(-1, values.shape[2]) if known is None else values[known]
        if first is None and len(flat):
            first = flat[0]
        if first is not None and bool((flat != first).any()):
            return False
    return True


def _limits(values: NDArray[np.generic]) -> tuple[float, float]:
    """Smallest and largest finite value of a part; infinite where it has none."""
    if values.dtype.kind == "f" and not np.isfinite(values).any():
        return float("inf"), float("-inf")
    limits = limits_of(values)
    assert limits is not None
    return limits


def _extremes(
    normalization: Normalization, parts: Parts, shape: tuple[int, int], scaled: Intensities
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Percentiles of the very pixels that are looked at where the whole image is there."""
    step = max(1, shape[0] * shape[1] // LOOKED_AT)
    looked_at = []
    for rows, columns, values in parts:
        # Of each row every step-th pixel, counted from the first pixel of the image.
        before = np.arange(rows.start, rows.stop) * shape[1] + columns.start
        width = columns.stop - columns.start
        at = (-before % step)[:, None] + np.arange(0, width, step)
        inside = at < width
        if inside.any():
            chosen = values[np.nonzero(inside)[0], at[inside]][:, None]
            known = known_pixels(chosen)
            chosen = chosen if known is None else chosen[known[:, 0]]
            looked_at.append(normalization.match_channels(to_float(chosen, scaled.span, scaled.lowest))[:, 0])
    if not any(map(len, looked_at)):
        return (), ()
    low, high = percentiles(np.concatenate(looked_at), EXTREMES)
    return tuple(map(float, low)), tuple(map(float, high))
