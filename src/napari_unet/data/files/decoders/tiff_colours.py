"""The ways in which a TIFF stores grey values and colours, and what viewers show for each: pixel by pixel."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

JPEGS = (6, 7, 34892, 33007)  # compressions whose decoder gives red, green and blue


@dataclass(frozen=True, eq=False)
class StoredColours:
    """What turns stored values into those that viewers show; of a whole image or of any part of it.

    Travels to other processes.

    Attributes
    ----------
    kind : str
        "" (shown as stored), "white is 0", "palette", "CMYK", "YCbCr" or "CIELAB".
    channels : int
        As stored.
    dtype : numpy.dtype
        As stored.
    alpha : int or None
        Number of the stored channel that is transparency.
    bits : int
        Of a value.
    palette : numpy.ndarray or None
        (K, 3) uint8.
    """

    kind: str
    channels: int
    dtype: np.dtype[Any]
    alpha: int | None = None
    bits: int = 8
    palette: NDArray[np.uint8] | None = None

    @property
    def mixes(self) -> bool:
        """Whether shown channels are others than the stored ones."""
        return self.kind not in {"", "white is 0"}

    @property
    def shown_alpha(self) -> int | None:
        """Number of the shown channel that is transparency."""
        return 3 if self.mixes and self.alpha is not None else self.alpha

    @property
    def shown_channels(self) -> int:
        """How many there are, with transparency."""
        return 3 + (self.alpha is not None) if self.mixes else self.channels

    @property
    def shown_dtype(self) -> np.dtype[Any]:
        """Of the shown values."""
        return np.dtype(np.uint8) if self.kind == "palette" and self.alpha is None else self.dtype

    def shown(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        """What viewers show.

        Parameters
        ----------
        pixels : numpy.ndarray
            (Y, X, C) as stored, all channels, native byte order.

        Returns
        -------
        numpy.ndarray
            (Y, X, ``shown_channels``).
        """
        if self.kind == "":
            return pixels
        if self.kind == "white is 0":
            return black_is_zero(pixels, self.bits, self.alpha)
        if self.kind == "palette":
            assert self.palette is not None
            colours: NDArray[np.generic] = self.palette[pixels[..., 0].astype(np.intp)].astype(
                self.shown_dtype
            )
        elif self.kind == "CMYK":
            colours = _from_cmyk(pixels[..., :4])
        elif self.kind == "YCbCr":
            colours = _from_ycbcr(pixels[..., :3].astype(np.float64))
        else:
            colours = _from_lab(pixels[..., :3])
        if self.alpha is None:
            return colours
        return np.concatenate([colours, pixels[..., self.alpha : self.alpha + 1]], axis=2)


def colours_of(
    page: Any, alpha: int | None, channels: int, dtype: np.dtype[Any], *, apart: bool
) -> StoredColours:
    """By what a page of a TIFF says.

    Parameters
    ----------
    page : tifffile.TiffPage
        The first one.
    alpha : int or None
        Number of the channel that the file calls transparency.
    channels : int
        Of an image.
    dtype : numpy.dtype
        Of the stored values.
    apart : bool
        Whether channels were measured one by one, so that they are no colours whatever the page says.
    """
    photometric, kind, palette = page.photometric.name, "", None
    together = not apart and channels == page.samplesperpixel
    if photometric == "PALETTE" and page.colormap is not None and not apart:
        kind, palette = "palette", _palette(page.colormap)
    elif photometric == "MINISWHITE" and not page.parent.is_imagej:
        kind = "white is 0"
    elif photometric == "SEPARATED" and together and channels >= 4 and dtype.kind == "u":
        kind = "CMYK"
    elif photometric == "YCBCR" and together and dtype == np.uint8 and int(page.compression) not in JPEGS:
        kind = "YCbCr"
    elif photometric == "CIELAB" and together and dtype == np.uint8:
        kind = "CIELAB"
    bits = int(page.bitspersample) if kind == "white is 0" else 8
    return StoredColours(kind, channels, dtype.newbyteorder("="), alpha, bits, palette)


def black_is_zero(pixels: NDArray[np.generic], bits: int, alpha: int | None = None) -> NDArray[np.generic]:
    """Turn values of which the smallest is white, so that black is 0; alpha stays."""
    values: Any = pixels
    if values.dtype.kind == "b":
        turned = ~values
    elif values.dtype.kind == "u":
        turned = values.dtype.type(2 ** min(bits, 8 * values.dtype.itemsize) - 1) - values
    elif values.dtype.kind == "i":
        turned = ~values
    else:
        turned = values.dtype.type(1) - values
    if alpha is not None:
        turned[..., alpha] = values[..., alpha]
    return np.asarray(turned)


def _palette(colormap: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(K, 3) uint8; programs that write 8-bit colours are known by the lack of larger ones, as in libtiff."""
    table = np.asarray(colormap)
    shift = 8 if table.max(initial=0) > 255 else 0
    return np.ascontiguousarray(np.moveaxis(table >> shift, 0, -1).astype(np.uint8))


def _from_cmyk(inks: NDArray[np.generic]) -> NDArray[np.generic]:
    top = float(np.iinfo(inks.dtype).max)  # type: ignore[type-var]
    shares = inks.astype(np.float64) / top
    shown = (1 - shares[..., :3]) * (1 - shares[..., 3:])
    return np.asarray(np.rint(shown * top).astype(inks.dtype))


def _from_ycbcr(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """ITU-R BT.601, as JPEG has it."""
    y, blue, red = values[..., 0], values[..., 1] - 128, values[..., 2] - 128
    found = np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], axis=-1)
    return np.rint(np.clip(found, 0, 255)).astype(np.uint8)


def _from_lab(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    from skimage.color import lab2rgb

    light = values[..., :1].astype(np.float64) * (100 / 255)
    tints = np.ascontiguousarray(values[..., 1:]).view(np.int8).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tints that no screen shows are clipped
        shown = lab2rgb(np.concatenate([light, tints], axis=-1))
    return np.asarray(np.rint(np.clip(shown, 0, 1) * 255), np.uint8)
