"""Mask files to stored values: numbers, colours or channels, and what is drawn in transparency."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from napari_unet.data.files.decoders.image_kinds import LOSSY_SUFFIXES, SEVERAL, TIFF_SUFFIXES, suffix_of
from napari_unet.data.files.image_files import count_pages, decode_pixels
from napari_unet.data.masks.numbered_objects import NumberedObjects, find_numbered
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.data.files.source import Source

MAY_BE_LOSSY = {".webp", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"}
SEARCHED = 4096  # bytes at the front of a file that say how it was compressed
CODING_STYLE = b"\xff\x52"  # marker of JPEG 2000
LOSSY_TIFF = {6, 7, 33007, 34892, 50001}  # codes of JPEG and WebP; WebP may be lossless


@dataclass(frozen=True, eq=False)
class MaskInFile:
    """What is stored in a mask file.

    Attributes
    ----------
    pixels : numpy.ndarray
        (Y, X) numbers, indices of a palette included; (Y, X, 3) colours, or (Y, X, C) channels.
    channels : bool
        Whether the last axis are channels of their own, not colours.
    alpha : numpy.ndarray or None
        (Y, X) transparency, where the file says that it has one; 0 is transparent.
    inverted : bool
        Whether the file says that 0 is white, so that its values were turned.
    numbered : NumberedObjects or None
        The classes of the objects that its numbers are, where the file says them.
    """

    pixels: NDArray[np.generic]
    channels: bool = False
    alpha: NDArray[np.generic] | None = None
    inverted: bool = False
    numbered: NumberedObjects | None = None

    @property
    def is_drawn_in_alpha(self) -> bool:
        """Whether transparency alone tells pixels apart."""
        if self.alpha is None or bool((self.alpha == self.alpha.flat[0]).all()):
            return False
        return bool((self.pixels == self.pixels[:1, :1]).all())

    @property
    def numbers(self) -> NDArray[np.generic]:
        """(Y, X) or (Y, X, C): transparency where that alone tells pixels apart; a clear image is empty."""
        if self.alpha is not None:
            if self.is_drawn_in_alpha:
                return self.alpha
            if not self.alpha.any() and bool((self.pixels == self.pixels[:1, :1]).all()):
                return self.alpha
        return self.pixels


def decode_stored(data: bytes | IO[bytes], name: str, page: int | None = None) -> MaskInFile:
    """Decode a mask file.

    Parameters
    ----------
    data : bytes or binary file
        The file.
    name : str
        Of the file, for errors.
    page : int, optional
        Of a file with several; without it several pages are channels.

    Raises
    ------
    DataError
        As ``image_files.decode_image``; if pages that are to be channels differ in size.
    """
    if page is None and suffix_of(name) in SEVERAL:
        count = count_pages(data, name)
        if count > 1:
            pages = [decode_stored(data, name, number).numbers for number in range(count)]
            if len({p.shape for p in pages}) > 1 or pages[0].ndim != 2:
                raise DataError(
                    f"the pages of {name} differ in size",
                    code="data.image.pages",
                    expected="one mask a class",
                )
            return MaskInFile(np.stack(pages, axis=-1), channels=True)
    found = decode_pixels(data, name, page, palette_indices=True)
    pixels, alpha, inverted = found.pixels, None, found.inverted
    palette = found.palette if found.indices else None
    if palette is not None and _white_then_black(palette) and pixels.max(initial=0) <= 1:
        pixels, inverted = palette[pixels[..., 0], :1], True
    if found.alpha is not None and pixels.shape[2] > 1:
        alpha = np.ascontiguousarray(pixels[..., found.alpha])
        pixels = np.delete(pixels, found.alpha, axis=2)
    count = pixels.shape[2]
    if count == 1 or (pixels == pixels[..., :1]).all():
        numbered = find_numbered(data, name)
        return MaskInFile(np.ascontiguousarray(pixels[..., 0]), False, alpha, inverted, numbered)
    return MaskInFile(pixels, not found.colour or count != 3, alpha, inverted)


def _white_then_black(palette: NDArray[np.uint8]) -> bool:
    """Whether 0 is white and 1 is black, as in a file that says "white is 0": its picture counts."""
    return len(palette) > 1 and bool((palette[0] == 255).all() and (palette[1] == 0).all())


def decode_labels(data: bytes | IO[bytes], name: str, page: int | None = None) -> NDArray[np.generic]:
    """Decode a mask file whose values are taken as they are.

    Returns
    -------
    numpy.ndarray
        (Y, X) numbers, or (Y, X, C) colours or channels if they are not all equal.

    Raises
    ------
    DataError
        As ``decode_stored``.
    """
    return decode_stored(data, name, page).numbers


def stored_pages(data: bytes | IO[bytes], name: str) -> Iterator[MaskInFile]:
    """Decode the masks in a file one by one; of most there is one."""
    for page in range(count_pages(data, name)):
        yield decode_stored(data, name, page)


def is_lossy(source: Source, name: str) -> bool:
    """Whether a file was compressed with loss, so that its values are not quite those that were saved.

    Parameters
    ----------
    source : Source
        Where it is.
    name : str
        Of the file.
    """
    suffix = suffix_of(name)
    if suffix in LOSSY_SUFFIXES:
        return True
    if suffix in MAY_BE_LOSSY:
        head = source.head(name, SEARCHED)
        if head[:4] == b"RIFF":
            return b"VP8 " in head[12:]
        style = head.find(CODING_STYLE)
        # The wavelet is the last byte of the marker's fixed part: 0 is the one that rounds.
        return 0 <= style < len(head) - 14 and head[style + 13] == 0
    return False


def is_lossy_tiff(data: bytes, name: str) -> bool:
    """Whether a TIFF holds JPEG or the like."""
    if suffix_of(name) not in TIFF_SUFFIXES:
        return False
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return int(file.pages.first.compression) in LOSSY_TIFF
    except (tifffile.TiffFileError, ValueError, KeyError, AttributeError):
        return False  # whoever decodes it says what is wrong
