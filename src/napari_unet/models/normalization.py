"""From stored pixels to what a network is fed: channels, resolution, intensities."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field

from napari_unet.errors import ModelError
from napari_unet.models.value_tables import (
    has_few_values,
    looked_up,
    moments_by_count,
    percentiles,
    percentiles_by_count,
    value_counts,
)
from napari_unet.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

log = logging.getLogger(__name__)
Pixel = TypeVar("Pixel", bound=np.generic)

# ITU-R BT.601 luma, what "grey" means for a colour photograph.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Below this share of the mean a deviation is the rounding of float32: a constant image.
FLAT = 1e-7
BY_TYPE = {"bool", "uint8", "uint16", "int8", "int16"}  # of which the range says how bright a value is
EXTREMES = (0.1, 99.9)  # percentiles beyond which "robust" cuts
LOOKED_AT = 2**20  # pixels that the percentiles are taken of


class Normalization(Settings):
    """How images are prepared, stored with the model so that training and use agree.

    Attributes
    ----------
    channels : int
        Channels of the network's input.
    intensities : str
        "image": each image to mean 0 and deviation 1. "robust": the same after its 0.1 % darkest and
        brightest pixels were cut, so that a few hot ones do not count. "dataset": by the mean and
        deviation of the training images. "range": by the range of the dtype to 0 to 1. For floats and
        longer integers, the range is that of the smallest type of a picture that holds the values.
    mean, deviation : tuple of float
        Of the training images, per channel, of intensities scaled to the range of their dtype.
    scale : float
        Images are resized by this before they enter the network.
    channel_names : tuple of str
        Names, or numbers, of the channels that it was trained on; empty for grey and colour images.
    """

    channels: int = Field(1, ge=1, le=1024)
    intensities: Literal["image", "robust", "dataset", "range"] = "image"
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    scale: float = Field(1.0, gt=0.0, le=4.0)
    channel_names: tuple[str, ...] = ()

    def prepare(self, image: NDArray[np.generic], name: str = "the image") -> NDArray[np.float32]:
        """Bring an image into the form the network was trained on.

        Parameters
        ----------
        image : numpy.ndarray
            (Y, X, C) or (Y, X), any real dtype. NaN and infinities hold no data: they are left out of mean
            and deviation, and become the image's minimum.
        name : str
            For the error.

        Returns
        -------
        numpy.ndarray
            (Y * scale, X * scale, channels) float32, at least 1 pixel either way.

        Raises
        ------
        ModelError
            If the channels cannot be matched.
        """
        image = image[..., None] if image.ndim == 2 else image
        by_image = self.intensities in {"image", "robust"}
        if by_image and image.shape[2] in {1, self.channels} and has_few_values(image):
            values = self.match_channels(looked_up(self._table(image), image), name)
        else:
            limits = limits_of(image)
            values = self.match_channels(to_float(image, self.span_of(limits)), name)
            values = self._intensities(values, known_pixels(image))
        if self.scale == 1.0:
            return values
        return resize(values, scaled_shape(values.shape[:2], self.scale))

    def _table(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """(N, C): what ``prepare`` makes of the values 0 to N - 1 in each channel of an image."""
        counts = value_counts(image)
        levels = to_float(np.arange(len(counts), dtype=image.dtype)[:, None])[..., 0]
        values = np.repeat(levels, image.shape[2], axis=1)
        if self.intensities == "robust":
            step = max(1, image.shape[0] * image.shape[1] // LOOKED_AT)
            seen = counts if step == 1 else value_counts(image.reshape(-1, image.shape[2])[::step])
            low, high = percentiles_by_count(seen, levels[:, 0], EXTREMES)
            values = np.clip(values, low, high)
        return _standardized(values, *moments_by_count(counts, values))

    def span_of(self, limits: tuple[float, float] | None) -> Span | None:
        """What intensities are scaled from, for images between these limits; None: the range of the dtype.

        Images that are brought to mean 0 and deviation 1 anyway are scaled by their own range, so that no
        type is too fine or too coarse. Where brightness itself counts, values above 1 are scaled by the
        range of the smallest type of a picture that holds them.
        """
        if limits is None:
            return None
        low, high = limits
        if self.intensities in {"image", "robust"}:
            return Span(low, high - low if high > low else 1.0)
        most = max(abs(low), abs(high))
        if self.intensities == "dataset" and (max(self.mean, default=0.0) > 1 or most <= 2):
            return Span(0.0, 1.0)
        return Span(0.0, next((top for top in USUAL_TOPS if most <= top), most))

    def takes(self, channels: int, colour: bool | None = None) -> bool:
        """Whether images with so many channels, which may be those of a colour, fit the network's."""
        if channels == self.channels or channels == 1:
            return True
        return channels == 3 and self.channels == 1 and colour is not False

    def pick(
        self,
        image: NDArray[Pixel],
        names: tuple[str, ...] = (),
        colour: bool | None = None,
        name: str = "the image",
    ) -> NDArray[Pixel]:
        """The channels of an image that the model was trained on, in its order.

        Parameters
        ----------
        image : numpy.ndarray
            (Y, X, C).
        names : tuple of str
            Of its channels, where they have names.
        colour : bool or None
            Whether they are red, green and blue; None where nobody says so.
        name : str
            Of the image, for the error.

        Returns
        -------
        numpy.ndarray
            (Y, X, C), which ``prepare`` takes.

        Raises
        ------
        ModelError
            If there are several channels, and which are meant is not clear: they are never averaged, unless
            they are those of a colour.
        """
        have = image.shape[2]
        wanted = self.channel_names
        if wanted and len(names) == have:
            if all(names.count(one) == 1 for one in wanted):
                return image if names == wanted else image[..., [names.index(one) for one in wanted]]
            if have == self.channels and not all(one.isdecimal() for one in wanted):
                log.warning(
                    "%s has the channels %s; the model was trained on %s",
                    name,
                    ", ".join(names),
                    ", ".join(wanted),
                )
        if have == self.channels or have == 1:
            return image
        if have == 3 and self.channels == 1 and colour is not False:
            return image
        named = (
            ", ".join(f"{n} ({one})" if one else str(n) for n, one in enumerate(names)) or f"0 to {have - 1}"
        )
        trained = f" ({', '.join(wanted)})" if wanted else ""
        raise ModelError(
            f"{name} does not fit the model",
            code="model.channels.count",
            expected=f"{self.channels} channel{'s' * (self.channels > 1)}{trained}",
            got=f"{have}: {named}",
            remedy="choose with --channel" if have > self.channels else "take another model",
        )

    def match_channels(self, values: NDArray[np.float32], name: str = "the image") -> NDArray[np.float32]:
        """Bring (Y, X, C) to the network's channels; errors as ``prepare``."""
        have = values.shape[2]
        if have == self.channels:
            return values
        if have == 1:
            return np.repeat(values, self.channels, axis=2)
        if have == 3 and self.channels == 1:
            return np.asarray(values @ LUMA, np.float32)[..., None]
        raise ModelError(
            f"{name} does not fit the model",
            code="model.channels.count",
            expected=f"{self.channels} channel{'s' * (self.channels > 1)}",
            got=f"{have}",
            remedy="choose with --channel the channels the model was trained on, or take another model",
        )

    def _intensities(
        self, values: NDArray[np.float32], known: NDArray[np.bool_] | None
    ) -> NDArray[np.float32]:
        if self.intensities == "range":
            return values
        if self.intensities == "dataset":
            return _standardized(values, self.mean, self.deviation)
        flat = values.reshape(-1, values.shape[2]) if known is None else values[known]
        if not len(flat):
            return np.zeros_like(values)
        if self.intensities == "robust":
            # A part of a large image tells enough, and every pixel of a small one is looked at.
            low, high = percentiles(flat[:: max(1, len(flat) // LOOKED_AT)], EXTREMES)
            values = np.clip(values, low, high)
            flat = values.reshape(-1, values.shape[2]) if known is None else values[known]
        mean, deviation = flat.mean(axis=0, dtype=np.float64), flat.std(axis=0, dtype=np.float64)
        return _standardized(values, mean, deviation)


def _standardized(values: NDArray[np.float32], mean: Any, deviation: Any) -> NDArray[np.float32]:
    mean, deviation = np.asarray(mean, np.float32), np.asarray(deviation, np.float32)
    return np.asarray((values - mean) / divisor(mean, deviation), np.float32)


class Span(NamedTuple):
    """Values from `offset` to `offset + size` are scaled to 0 to 1."""

    offset: float
    size: float


USUAL_TOPS = (1.0, 255.0, 65535.0)


def divisor(mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> NDArray[np.float32]:
    """The deviation, and 1 where that is nothing but rounding."""
    flat = deviation <= np.maximum(np.abs(mean) * np.float32(FLAT), np.float32(np.finfo(np.float32).tiny))
    return np.where(flat, np.float32(1), deviation)


def limits_of(image: NDArray[np.generic]) -> tuple[float, float] | None:
    """Smallest and largest finite value of an image whose dtype says nothing of them; None if it does."""
    if image.dtype.name in BY_TYPE:
        return None
    values: Any = image
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    exact = int if values.dtype.kind in "iu" else float  # a float cannot hold all 64 bits
    return exact(values.min()), exact(values.max())


def known_pixels(image: NDArray[np.generic]) -> NDArray[np.bool_] | None:
    """(Y, X): whether every channel of a pixel is a number; None if all are.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X) or (Y, X, C), bool, integers or floats.
    """
    if image.dtype.kind != "f":
        return None
    finite = np.isfinite(image)
    if finite.all():
        return None
    return np.asarray(finite if image.ndim == 2 else finite.all(axis=2))


def is_constant(image: NDArray[np.generic]) -> bool:
    """Whether all pixels that hold data are equal, channel by channel, so that there is nothing to see."""
    known = known_pixels(image)
    channels = 1 if image.ndim == 2 else image.shape[2]
    flat = image.reshape(-1, channels) if known is None else image.reshape(*known.shape, channels)[known]
    return len(flat) == 0 or bool((flat == flat[0]).all())


def to_float(
    image: NDArray[np.generic], span: Span | None = None, lowest: float | None = None
) -> NDArray[np.float32]:
    """Scale intensities to 0 to 1 and make every pixel finite.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X) or (Y, X, C), bool, integers or floats.
    span : Span, optional
        What is scaled from; without it integers are by the range of their dtype, and floats keep their
        values, unless float32 cannot hold them.
    lowest : float, optional
        Stands for pixels that are not finite, once scaled; without it the image's own minimum does.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) float32.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.dtype == np.bool_:
        return image.astype(np.float32)
    if span is None and np.issubdtype(image.dtype, np.integer):
        integers: Any = image.dtype
        top = float(np.iinfo(integers).max)
        return image.astype(np.float32) / np.float32(top)
    with np.errstate(over="ignore", invalid="ignore"):
        exact: Any = image
        if span is not None and span != (0.0, 1.0):
            exact = _above(image, span.offset) / span.size
        values = exact.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        if lowest is None:
            lowest = float(values[finite].min()) if finite.any() else 0.0
        values = np.where(finite, values, np.float32(lowest))
    return np.asarray(values, np.float32)


def _above(image: NDArray[np.generic], offset: float) -> NDArray[np.float64]:
    """How far values lie above an offset; exact for long integers, which never lie below a whole one."""
    if image.dtype.kind in "iu" and image.dtype.itemsize == 8 and isinstance(offset, int):
        # In unsigned arithmetic the difference is right whatever the signs are.
        return (image.astype(np.uint64) - np.uint64(offset % 2**64)).astype(np.float64)
    return np.asarray(image.astype(np.float64) - offset)


def scaled_shape(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    """(Y, X) after resizing, at least one pixel either way."""
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def resize(values: NDArray[Pixel], shape: tuple[int, int], *, nearest: bool = False) -> NDArray[Pixel]:
    """Resize (Y, X, C): area averages when shrinking, linear when growing, or nearest neighbours.

    Parameters
    ----------
    values : numpy.ndarray
        (Y, X, C) float32 or uint8.
    shape : tuple of int
        (Y, X) wanted.
    nearest : bool
        For labels.

    Returns
    -------
    numpy.ndarray
        (*shape, C), of the same dtype.
    """
    import cv2

    if values.shape[:2] == shape:
        return values
    shrinking = shape[0] * shape[1] < values.shape[0] * values.shape[1]
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    if nearest:
        how = cv2.INTER_NEAREST_EXACT
    # OpenCV resizes at most four channels at once for every method.
    parts = [
        cv2.resize(np.ascontiguousarray(values[..., c : c + 4]), shape[::-1], interpolation=how)
        for c in range(0, values.shape[2], 4)
    ]
    return np.concatenate([p.reshape(*shape, -1) for p in parts], axis=2)


class IntensitySums(NamedTuple):
    """Sums over the known pixels of an image, scaled by ``to_float``: (C,) float64 each."""

    pixels: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]


def intensity_sums(image: NDArray[np.generic], channels: int) -> IntensitySums:
    """Sum up the intensities of an image (Y, X, C), as a network with so many channels is given it."""
    # Floats and long integers as they are: their scale must not change from image to image.
    span = None if image.dtype.name in BY_TYPE else Span(0.0, 1.0)
    matcher = Normalization(channels=channels, intensities="range")
    values, known = matcher.match_channels(to_float(image, span)), known_pixels(image)
    flat = (values.reshape(-1, channels) if known is None else values[known]).astype(np.float64)
    return IntensitySums(len(flat), flat.sum(axis=0), (flat**2).sum(axis=0))


def measure_intensities(
    sums: Iterable[IntensitySums], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel over images, for ``intensities="dataset"``.

    Parameters
    ----------
    sums : iterable of IntensitySums
        Of each image; one with a single channel counts for all.
    channels : int
        Of the network.

    Returns
    -------
    mean, deviation : tuple of float
        Of intensities scaled by ``to_float``.
    """
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for one in sums:
        count += one.pixels
        total += one.total
        squares += one.squares
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return tuple(map(float, mean)), tuple(map(float, deviation))
