"""What the decoder of image files gives: pixels, and what the file says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """One image as viewers show it, with all that its file says about its channels.

    Attributes
    ----------
    pixels : numpy.ndarray
        (Y, X, C) in the stored dtype: upright, black is 0, palettes and CMYK as colours.
    channel_names : tuple of str
        One a channel, from OME or ImageJ metadata; empty where the file names none.
    alpha : int or None
        Number of the channel that is transparency; None unless the file says that there is one.
    colour : bool
        Whether the first three channels are red, green and blue.
    indices : bool
        Whether the pixels are numbers of a palette, (Y, X, 1).
    palette : numpy.ndarray or None
        (K, 3) uint8, the colours that indices stand for.
    nodata : float or None
        The value that the file names for pixels without data.
    inverted : bool
        Whether the file says that 0 is white, so that its values were turned.
    """

    pixels: NDArray[np.generic]
    channel_names: tuple[str, ...] = ()
    alpha: int | None = None
    colour: bool = False
    indices: bool = False
    palette: NDArray[np.uint8] | None = None
    nodata: float | None = None
    inverted: bool = False
