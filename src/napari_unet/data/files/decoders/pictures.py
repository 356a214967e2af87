"""PNG, JPEG, WebP, JPEG 2000, BMP, GIF and PNM (.pgm, .ppm, .pbm), as viewers show them."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.decoded_image import DecodedImage
from napari_unet.data.files.decoders.orientation import ORIENTATION, orientation_in, upright, upright_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL import Image

PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PNG_ALPHA = {4, 6}  # colour types
PLAIN_PNGS = {(8, 0), (16, 0), (8, 2)}  # depth and colour type
CHANGING = {
    b"PLTE",
    b"tRNS",
    b"eXIf",
    b"acTL",
    b"tEXt",
    b"zTXt",
    b"iTXt",
}  # chunks that may change what is shown
MODES = {"1": "bool", "F": "float32", "I": "int32", "I;16": "uint16"}
SIZ = b"\xff\x51"  # the marker in a JPEG 2000 codestream that is followed by its size
SEARCHED = 2**20  # bytes of a JPEG 2000 file in which that must lie
UPRIGHT = {"GIF", "BMP", "PNM"}  # kinds that cannot say that they are to be turned
GREY_WORDS = {"PNG", "PNM"}  # kinds whose grey values have 16 bits at most, which Pillow gives in 32
OPACITY = {1, 2}  # types of channels in the box cdef


@dataclass(frozen=True)
class PictureHeader:
    """What a file says before any pixel is decoded.

    Attributes
    ----------
    height, width : int
        Of the picture that viewers show.
    channels : int
        Without transparency; a palette is one.
    dtype : str
        Of the stored values.
    alpha : bool
        Whether there is transparency.
    palette : bool
        Whether the pixels are numbers of a palette.
    pages : int
        Frames.
    """

    height: int
    width: int
    channels: int
    dtype: str
    alpha: bool = False
    palette: bool = False
    pages: int = 1

    @property
    def decoded_bytes(self) -> int:
        """That one page takes, its palette spread."""
        channels = 3 if self.palette else self.channels
        return self.height * self.width * (channels + self.alpha) * np.dtype(self.dtype).itemsize


def png_header(head: bytes) -> PictureHeader:
    """By the beginning of a file, of which the first 32 bytes are enough unless it says how to turn it.

    Raises
    ------
    ValueError
        If there is none.
    """
    if len(head) < 26 or head[12:16] != b"IHDR" or head[25] not in PNG_CHANNELS:
        raise ValueError("a PNG without a header")
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
    depth, kind = head[24], head[25]
    dtype = {1: "bool", 16: "uint16"}.get(depth, "uint8") if kind != 3 else "uint8"
    shape = upright_shape(height, width, _png_orientation(head))
    alpha = kind in PNG_ALPHA
    return PictureHeader(*shape, PNG_CHANNELS[kind] - alpha, dtype, alpha, kind == 3)


def _png_orientation(head: bytes) -> int:
    """By the chunk eXIf, where it lies in these first bytes."""
    place = 8
    while place + 8 <= len(head):
        length, kind = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8]
        if kind == b"eXIf":
            return _exif_orientation(head[place + 8 : place + 8 + length])
        if kind in {b"IDAT", b"IEND"}:
            break
        place += 12 + length
    return 1


def _exif_orientation(data: bytes) -> int:
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(data)
        return orientation_in(exif.get(ORIENTATION))
    except (SyntaxError, ValueError, OSError, KeyError, TypeError):
        return 1


def jpeg2000_header(head: bytes) -> PictureHeader:
    """By the beginning of a file.

    Raises
    ------
    ValueError
        If there is no size in it.
    """
    found = head.find(SIZ)
    if found < 0 or len(head) < found + 43:
        raise ValueError("a JPEG 2000 without a size")
    fields = head[found + 6 : found + 43]
    right, bottom, left, top = (int.from_bytes(fields[i : i + 4], "big") for i in (0, 4, 8, 12))
    channels = int.from_bytes(fields[32:34], "big")
    depth = fields[34]
    bits, signed = (depth & 0x7F) + 1, bool(depth & 0x80)
    dtype = f"{'' if signed else 'u'}int{8 if bits <= 8 else 16 if bits <= 16 else 32}"
    alpha = jpeg2000_alpha(head[:found], channels) is not None
    if right <= left or bottom <= top or not channels:
        raise ValueError("a JPEG 2000 without pixels")
    return PictureHeader(bottom - top, right - left, channels - alpha, dtype, alpha)


def jpeg2000_alpha(boxes: bytes, channels: int) -> int | None:
    """Number of the channel that the box cdef calls opacity."""
    found = boxes.find(b"cdef")
    if found < 0:
        return None
    count = int.from_bytes(boxes[found + 4 : found + 6], "big")
    for number in range(min(count, channels)):
        entry = boxes[found + 6 + 6 * number : found + 12 + 6 * number]
        if int.from_bytes(entry[2:4], "big") in OPACITY:
            channel = int.from_bytes(entry[:2], "big")
            return channel if channel < channels else None
    return None


@contextmanager
def opened_picture(file: IO[bytes], kind: str) -> Iterator[Image.Image]:
    """A picture opened by the plugin of its kind alone, so that Pillow's bound on the size is not asked."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        WebPImagePlugin,
    )

    plugins: dict[str, Callable[[IO[bytes]], Image.Image]] = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "PNM": PpmImagePlugin.PpmImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
    }
    with plugins[kind](file) as picture:
        yield picture


def header_of_picture(picture: Image.Image, kind: str) -> PictureHeader:
    """Of a picture that Pillow opened."""
    bands = picture.getbands()
    alpha = bands[-1] in {"A", "a"}
    turned = 1 if kind in UPRIGHT else orientation_in(picture.getexif().get(ORIENTATION))
    shape = upright_shape(picture.height, picture.width, turned)
    dtype = "uint16" if kind in GREY_WORDS and picture.mode == "I" else MODES.get(picture.mode, "uint8")
    channels = 3 if picture.mode == "CMYK" else len(bands) - alpha
    pages = int(getattr(picture, "n_frames", 1))
    return PictureHeader(*shape, channels, dtype, alpha, picture.mode in {"P", "PA"}, pages)


def decode_picture(
    picture: Image.Image, kind: str, page: int, *, palette_indices: bool = False
) -> DecodedImage:
    """Decode one frame of what ``opened_picture`` gives."""
    # Before the pixels are read the file is still there for the last chunks to be looked at.
    palette: NDArray[np.uint8] | None = None
    if int(getattr(picture, "n_frames", 1)) > 1:
        picture.seek(page)
    mode = picture.mode
    shown = picture
    # A GIF orders its palette as it likes, so that indices mean nothing there.
    keep = palette_indices and kind != "GIF" and mode == "P"
    see_through = "transparency" in picture.info
    if mode in {"P", "PA"} and not keep:
        # By way of RGBA, because a transparent colour would be warned about.
        shown = picture.convert("RGBA" if see_through or mode == "PA" else "RGB")
    elif mode in {"CMYK", "YCbCr", "LAB", "HSV"}:
        shown = picture.convert("RGB")
    elif see_through and mode in {"L", "RGB"}:
        shown = picture.convert("LA" if mode == "L" else "RGBA")
    pixels = np.asarray(shown)
    if keep:
        table = picture.getpalette("RGB") or []
        palette = np.asarray(table, np.uint8).reshape(-1, 3)
    if kind in GREY_WORDS and pixels.dtype == np.int32:
        pixels = pixels.astype(np.uint16)
    turned = 1 if kind in UPRIGHT else orientation_in(picture.getexif().get(ORIENTATION))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    bands = shown.getbands()
    return DecodedImage(
        np.ascontiguousarray(upright(pixels, turned)),
        alpha=len(bands) - 1 if bands[-1] == "A" else None,
        colour=bands[:3] == ("R", "G", "B"),
        indices=keep,
        palette=palette,
    )


def decode_deep_png(data: bytes) -> DecodedImage:
    """A PNG with 16 bits and several channels, of which Pillow would halve the depth."""
    import imagecodecs

    header = png_header(data)
    pixels = np.asarray(imagecodecs.png_decode(data))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    count = pixels.shape[2]
    turned = _png_orientation(data)
    return DecodedImage(
        np.ascontiguousarray(upright(pixels, turned)),
        alpha=count - 1 if count in (2, 4) else None,
        colour=header.channels == 3,
    )


def decode_plain_png(data: bytes) -> DecodedImage | None:
    """A PNG of grey values or 8-bit colours that are shown as they are stored, in half the time of Pillow.

    None for any other, and for one that is damaged: Pillow reads it, or says what is wrong with it.
    """
    import imagecodecs

    if not _is_plain_png(data):
        return None
    try:
        pixels = np.asarray(imagecodecs.png_decode(data))
    except (imagecodecs.PngError, ValueError):
        return None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return DecodedImage(np.ascontiguousarray(pixels), colour=pixels.shape[2] == 3)


def _is_plain_png(data: bytes) -> bool:
    """Whether a whole PNG has no transparency, no palette and no frames, and says nothing of turning it."""
    if len(data) < 33 or (data[24], data[25]) not in PLAIN_PNGS:
        return False
    place = 8
    while place + 12 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind in CHANGING:
            return False
        place += 12 + length
        if kind == b"IEND":
            return place <= len(data)
    return False


def decode_jpeg2000(data: bytes) -> DecodedImage:
    """A JPEG 2000: .jp2, .jpx or the bare codestream .j2k."""
    import imagecodecs

    pixels: Any = np.asarray(imagecodecs.jpeg2k_decode(data))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    found = data.find(SIZ, 0, SEARCHED)
    alpha = jpeg2000_alpha(data[: max(found, 0)], pixels.shape[2])
    colour = pixels.shape[2] - (alpha is not None) == 3
    return DecodedImage(np.ascontiguousarray(pixels), alpha=alpha, colour=colour)


def whole(file: IO[bytes]) -> bytes:
    """All bytes of a file."""
    file.seek(0)
    return file.read()


def length(file: IO[bytes]) -> int:
    """Bytes in a file, from its place on; the place stays."""
    place = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(place)
    return end
