"""Image files to arrays, through Pillow, tifffile and imagecodecs."""

from __future__ import annotations

import io
import math
import struct
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.decoded_image import DecodedImage
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from PIL import Image

TIFF_SUFFIXES = {".tif", ".tiff"}
SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp", ".gif"}
LOSSY_SUFFIXES = {".jpg", ".jpeg"}
MAX_DECODED_BYTES = 2**31  # of one image
PLAUSIBLE_BYTES = 2**28  # smaller images are not held against the size of their file
MAX_RATIO = 5000  # of decoded to stored size; LZW and Deflate stay below it
HEAD_BYTES = 32  # are enough for the header of a PNG
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# What Pillow, tifffile and imagecodecs raise on damaged files; imagecodecs' own are RuntimeErrors,
# tifffile's ValueErrors.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, IndexError, KeyError, TypeError,
    AttributeError, AssertionError, OverflowError, MemoryError, ZeroDivisionError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class ImageHeader:
    """What a file says about its image before any pixel is decoded.

    Attributes
    ----------
    height, width, channels : int
        Of one page; a palette counts as one channel.
    dtype : str
        Of the stored values ("uint8", "uint16", "float32", "bool").
    pages : int
        1 but for stacks.
    """

    height: int
    width: int
    channels: int
    dtype: str
    pages: int = 1

    @property
    def page_bytes(self) -> int:
        """Bytes that one decoded page takes."""
        return self.height * self.width * self.channels * np.dtype(self.dtype).itemsize


def suffix_of(name: str) -> str:
    """The suffix, in lower case."""
    return PurePosixPath(name).suffix.lower()


def is_image_name(name: str) -> bool:
    """Whether the suffix is one we read."""
    return suffix_of(name) in SUFFIXES


def decode_pixels(
    data: bytes | IO[bytes], name: str, page: int | None = None, *, palette_indices: bool = False
) -> DecodedImage:
    """Decode an image file, with what it says about its channels.

    Parameters
    ----------
    data : bytes or binary file
        The file; what it is, its first bytes say.
    name : str
        Of the file, for errors.
    page : int, optional
        Of a file with several pages; without it the file must have one.
    palette_indices : bool
        Whether the pixels of a palette stay its numbers (not those of GIFs).

    Returns
    -------
    DecodedImage
        All its channels.

    Raises
    ------
    DataError
        If the file is damaged, too large, or has several pages and none was asked for.
    """
    pixels = _decode(data, name, page, indices=palette_indices)
    return DecodedImage(pixels, alpha=pixels.shape[2] - 1 if pixels.shape[2] in (2, 4) else None)


def decode_image(data: bytes | IO[bytes], name: str, page: int | None = None) -> NDArray[np.generic]:
    """Decode an image file.

    Parameters
    ----------
    data : bytes or binary file
        The file; what it is, its first bytes say.
    name : str
        Of the file, for errors.
    page : int, optional
        Of a file with several pages; without it the file must have one.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) in the stored dtype: bool, 8 or 16 bit, 32 bit integers, floats. Palettes become
        RGB; an alpha channel that is opaque throughout is left out.

    Raises
    ------
    DataError
        If the file is damaged, too large, or has several pages and none was asked for.
    """
    return _without_opaque_alpha(_decode(data, name, page, indices=False))


def decode_labels(data: bytes | IO[bytes], name: str, page: int | None = None) -> NDArray[np.generic]:
    """Decode a mask file: like ``decode_image``, but palettes stay indices (not of GIFs), without alpha.

    Returns
    -------
    numpy.ndarray
        (Y, X) numbers, or (Y, X, 3) colours if they are not grey.

    Raises
    ------
    DataError
        As ``decode_image``.
    """
    pixels = _decode(data, name, page, indices=True)
    if pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    if pixels.shape[2] == 1 or (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def read_pages(data: bytes | IO[bytes], name: str) -> NDArray[np.generic]:
    """Decode every page of a file.

    Returns
    -------
    numpy.ndarray
        (N, Y, X, C) in the stored dtype.

    Raises
    ------
    DataError
        As ``decode_image``; the bound holds for all pages together.
    """
    header = image_header(data, name)
    _check_bytes(header.pages * header.page_bytes, name, f"{header.pages} pages")
    if header.pages == 1:
        return decode_image(data, name)[None]
    return np.stack([decode_image(data, name, page) for page in range(header.pages)])


def image_header(data: bytes | IO[bytes], name: str) -> ImageHeader:
    """Read size, type and number of pages without decoding.

    Parameters
    ----------
    data : bytes or binary file
        The file; for a PNG its first ``HEAD_BYTES`` will do.
    name : str
        Of the file, for errors.

    Raises
    ------
    DataError
        If it is not an image that can be read.
    """
    file = _as_file(data, name)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    kind = kind_of(head)
    if kind == "PNG":
        return _png_header(head, name)
    if kind == "TIFF":
        with _opened_tiff(file, name) as (tiff, series, pages):
            height, width, channels = _page_shape(series)
            dtype = "bool" if tiff.pages[0].bitspersample == 1 else np.dtype(series.dtype).name
            return ImageHeader(height, width, channels, dtype, pages)
    with _opened_picture(file, head, name) as picture:
        dtype = {"1": "bool", "F": "float32", "I": "int32", "I;16": "uint16"}.get(picture.mode, "uint8")
        pages = getattr(picture, "n_frames", 1)
        return ImageHeader(picture.height, picture.width, len(picture.getbands()), dtype, pages)


def kind_of(head: bytes) -> str:
    """What a file is by its first bytes: "PNG", "TIFF", ...; "" if it is no image that we know."""
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), "")


def count_pages(data: bytes | IO[bytes], name: str) -> int:
    """Number of images in a file: pages, slices and time points of a TIFF, frames of a GIF."""
    return image_header(data, name).pages


def _as_file(data: bytes | IO[bytes], name: str) -> IO[bytes]:
    if isinstance(data, bytes):
        if not data:
            raise DataError(f"{name} is empty", expected="an image", got="0 bytes", remedy="copy it again")
        return io.BytesIO(data)
    data.seek(0)
    return data


def _decode(data: bytes | IO[bytes], name: str, page: int | None, *, indices: bool) -> NDArray[np.generic]:
    file = _as_file(data, name)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if kind_of(head) == "TIFF":
        pixels = _decode_tiff(file, name, page, indices)
    else:
        pixels = _decode_picture(file, head, name, page, indices)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _check_bytes(count: int, name: str, shape: str, stored: int | None = None) -> None:
    if stored is not None and count > PLAUSIBLE_BYTES and count > MAX_RATIO * stored:
        raise DataError(
            f"{name} declares more than it can hold",
            expected=f"at most {MAX_RATIO} times its {stored} bytes",
            got=f"{count / 2**30:.1f} GB ({shape})",
            remedy="copy or download it again",
        )
    if count > MAX_DECODED_BYTES:
        raise DataError(
            f"{name} is too large to read at once",
            expected=f"at most {MAX_DECODED_BYTES / 2**30:.0f} GB of pixels",
            got=f"{count / 2**30:.1f} GB ({shape})",
            remedy="cut it into smaller images",
        )


def _unreadable(name: str, error: BaseException | str) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{name} cannot be read as an image", got=reason[:200], remedy="copy or download it again"
    )


def _png_header(head: bytes, name: str) -> ImageHeader:
    if len(head) < 26 or head[12:16] != b"IHDR" or head[25] not in PNG_CHANNELS:
        raise _unreadable(name, "a PNG without a header")
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (16, 20))
    channels = PNG_CHANNELS[head[25]]
    dtype = {1: "bool", 16: "uint16"}.get(head[24], "uint8") if head[25] != 3 else "uint8"
    header = ImageHeader(height, width, channels, dtype)
    # Palettes are spread to three channels.
    _check_bytes(header.page_bytes * (3 if head[25] == 3 else 1), name, f"{width} x {height} pixels")
    return header


def _length(file: IO[bytes]) -> int:
    """Bytes in a file; its place is kept."""
    place = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(place)
    return end


@contextmanager
def _opened_picture(file: IO[bytes], head: bytes, name: str) -> Iterator[Image.Image]:
    """A picture opened by its own plugin: our bound on the size takes the place of Pillow's."""
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin

    plugins: dict[str, Callable[[IO[bytes]], Image.Image]] = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "GIF": GifImagePlugin.GifImageFile,
    }
    kind = kind_of(head)
    if kind not in plugins:
        raise _unreadable(name, "neither PNG, TIFF, JPEG, BMP nor GIF")
    try:
        with plugins[kind](file) as picture:
            count = picture.width * picture.height * len(picture.getbands())
            _check_bytes(count, name, f"{picture.width} x {picture.height} pixels", _length(file))
            yield picture
    except DAMAGE as error:
        raise _unreadable(name, error) from error


def _decode_picture(
    file: IO[bytes], head: bytes, name: str, page: int | None, indices: bool
) -> NDArray[np.generic]:
    header = _png_header(head, name) if kind_of(head) == "PNG" else None
    if header is not None and header.dtype == "uint16" and header.channels > 1:
        import imagecodecs  # Pillow halves the depth of 16-bit colour

        _check_bytes(header.page_bytes, name, f"{header.width} x {header.height} pixels", _length(file))
        try:
            return np.asarray(imagecodecs.png_decode(file.read()))
        except DAMAGE as error:
            raise _unreadable(name, error) from error
    with _opened_picture(file, head, name) as picture:
        frames = getattr(picture, "n_frames", 1)
        _check_page(page, frames, name)
        if frames > 1:
            picture.seek(page or 0)
        # A GIF orders its palette as it likes, so that indices mean nothing there.
        if picture.mode in {"P", "PA"} and (not indices or kind_of(head) == "GIF"):
            # By way of RGBA, because a transparent colour would be warned about.
            pixels = np.asarray(picture.convert("RGBA" if "transparency" in picture.info else "RGB"))
            return pixels[..., :3]
        if picture.mode in {"CMYK", "YCbCr", "LAB", "HSV", "PA"}:
            return np.asarray(picture.convert("RGB"))
        pixels = np.asarray(picture)
    if header is not None and header.dtype == "uint16":
        return pixels.astype(np.uint16)  # some versions of Pillow give 32 bits
    return pixels


def _check_page(page: int | None, pages: int, name: str) -> None:
    if page is None and pages > 1:
        raise DataError(
            f"{name} is a stack of {pages} images",
            expected="one image a file",
            remedy="save its pages as files of their own",
        )
    if page is not None and not 0 <= page < pages:
        raise DataError(f"{name} has no page {page}", expected=f"0 to {pages - 1}")


@contextmanager
def _opened_tiff(file: IO[bytes], name: str) -> Iterator[tuple[Any, Any, int]]:
    """The file, its first series and the number of images in it."""
    import tifffile

    try:
        with closing(tifffile.TiffFile(file)) as tiff:
            _check_chain(tiff)
            series = tiff.series[0]
            pages = int(np.prod(_leading_shape(series), dtype=np.int64))
            told = (tiff.imagej_metadata or {}).get("images", 1)
            # Without the rest of its pixels an ImageJ stack would pass for a single image.
            if told > int(np.prod(series.shape[:-2], dtype=np.int64)) and len(tiff.pages) < told:
                raise ValueError(f"cut off: it should have {told} images")
            yield tiff, series, pages
    except DAMAGE as error:
        raise _unreadable(name, error) from error


def _check_chain(tiff: Any) -> None:
    """Refuse a file whose last page points to one behind its end: tifffile leaves it at a log line."""
    if not tiff.pages:
        raise ValueError("a TIFF without a page")
    kind, handle, offset = tiff.tiff, tiff.filehandle, tiff.pages[-1].offset
    handle.seek(offset)
    (tags,) = struct.unpack(kind.tagnoformat, handle.read(kind.tagnosize))
    handle.seek(offset + kind.tagnosize + tags * kind.tagsize)
    (following,) = struct.unpack(kind.offsetformat, handle.read(kind.offsetsize))
    if following >= handle.size:
        raise ValueError(f"cut off: page {len(tiff.pages)} is missing")


def _leading_shape(series: Any) -> tuple[int, ...]:
    """Sizes of the axes of a TIFF series besides Y, X, samples and channels."""
    return tuple(n for n, axis in zip(series.shape, series.axes, strict=True) if axis not in "YXSC")


def _page_shape(series: Any) -> tuple[int, int, int]:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    return int(sizes["Y"]), int(sizes["X"]), int(sizes.get("S", 1) * sizes.get("C", 1))


def _decode_tiff(file: IO[bytes], name: str, page: int | None, indices: bool) -> NDArray[np.generic]:
    import tifffile

    with _opened_tiff(file, name) as (tiff, series, pages):
        _check_page(page, pages, name)
        height, width, channels = _page_shape(series)
        per_page = height * width * channels * np.dtype(series.dtype).itemsize
        shape = f"{width} x {height} pixels, {channels} channels"
        _check_bytes(per_page, name, shape, tiff.filehandle.size)
        keyframe = tiff.pages[0]
        # A tile is decoded whole, and may declare to be larger than the image.
        tile = math.prod(map(int, keyframe.chunks)) * keyframe.dtype.itemsize
        _check_bytes(tile, name, f"tiles of {keyframe.chunks}", tiff.filehandle.size)
        if pages > 1 and channels == keyframe.samplesperpixel and len(series.pages) == pages:
            one = series.pages[page or 0]
            pixels = _to_pages(one.asarray(), one.axes)[0]
        else:
            _check_bytes(per_page * pages, name, f"{pages} pages of {shape} in one piece")
            pixels = _to_pages(series.asarray(), series.axes)[page or 0]
        if keyframe.photometric == tifffile.PHOTOMETRIC.PALETTE and not indices:
            pixels = np.asarray(np.moveaxis(keyframe.colormap, 0, -1)[pixels[..., 0]] >> 8, np.uint8)
        return np.asarray(pixels)


def _to_pages(pixels: NDArray[np.generic], axes: str) -> NDArray[np.generic]:
    """Reorder to (N, Y, X, C)."""
    lead = [i for i, a in enumerate(axes) if a not in "YXSC"]
    tail = [i for i, a in enumerate(axes) if a in "SC"]
    y, x = axes.index("Y"), axes.index("X")
    moved = np.transpose(pixels, [*lead, y, x, *tail])
    channels = int(np.prod([pixels.shape[i] for i in tail]))
    return moved.reshape(-1, pixels.shape[y], pixels.shape[x], channels)


def _without_opaque_alpha(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    if pixels.shape[2] in (2, 4) and np.issubdtype(pixels.dtype, np.unsignedinteger):
        opaque: Any = np.iinfo(pixels.dtype).max  # type: ignore[type-var]
        if bool((pixels[..., -1] == opaque).all()):
            return pixels[..., :-1]
    return pixels
