"""Image files to arrays: one reader for every command and the window."""

from __future__ import annotations

import io
import math
import struct
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders import pictures
from napari_unet.data.files.decoders.microscope_files import (
    PLUGINS,
    MicroscopeImages,
    is_installed,
    opened_microscope_file,
)
from napari_unet.data.files.decoders.tiff_images import TiffImages, TiffPart, opened_tiff
from napari_unet.data.files.reading import PLAIN, ImageReading, channel_numbers
from napari_unet.errors import DataError, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.data.files.decoders.decoded_image import DecodedImage

TIFF_SUFFIXES = {".tif", ".tiff"}
SUFFIXES = TIFF_SUFFIXES | {
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc",
}  # fmt: skip
LOSSY_SUFFIXES = {".jpg", ".jpeg"}
SEVERAL = TIFF_SUFFIXES | {".gif", ".webp"} | PLUGINS.keys()  # files that may hold more than one image
MAX_DECODED_BYTES = 2**31  # of one image
PLAUSIBLE_BYTES = 2**28  # smaller images are not held against the size of their file
MAX_RATIO = 5000  # of decoded to stored size; LZW and Deflate stay below it
HEAD_BYTES = 32  # are enough to know a file by, and for the size of a PNG
LONG_HEAD_BYTES = 2**16  # for what a PNG says of the way it is turned
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
KINDS = "PNG, TIFF, JPEG, WebP, JPEG 2000, BMP or GIF"
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
        Of one page, as ``decode_image`` gives it; a palette counts as one channel.
    dtype : str
        Of the stored values ("uint8", "uint16", "float32", "bool").
    pages : int
        1 but for stacks.
    alike : bool
        Whether all pages have this size, these channels and this type.
    channel_names : tuple of str
        Empty where the file names none.
    colour : bool
        Whether the channels are red, green and blue.
    note : str
        What a person should know of the way the file is read; empty mostly.
    """

    height: int
    width: int
    channels: int
    dtype: str
    pages: int = 1
    alike: bool = field(default=True, compare=False)
    channel_names: tuple[str, ...] = field(default=(), compare=False)
    colour: bool = field(default=False, compare=False)
    note: str = field(default="", compare=False)

    @property
    def page_bytes(self) -> int:
        """Bytes that one decoded page takes."""
        return self.height * self.width * self.channels * np.dtype(self.dtype).itemsize


def suffix_of(name: str) -> str:
    """The suffix, in lower case."""
    return PurePosixPath(name).suffix.lower()


def is_image_name(name: str) -> bool:
    """Whether the suffix is one we read; those of microscopes are where bioio is installed."""
    suffix = suffix_of(name)
    return suffix in SUFFIXES or is_installed(suffix)


def kind_of(head: bytes) -> str:
    """What a file is by its first bytes: "PNG", "TIFF", ...; "" if it is no image that we know."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), "")


def decode_pixels(
    data: bytes | IO[bytes],
    name: str,
    page: int | None = None,
    *,
    palette_indices: bool = False,
    reading: ImageReading = PLAIN,
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
    reading : ImageReading
        The axes of a TIFF where a person knows them better; channels are chosen by ``decode_image``.

    Returns
    -------
    DecodedImage
        Upright, black is 0, with all its channels.

    Raises
    ------
    DataError
        If the file is damaged, too large, or has several pages and none was asked for.
    """
    file = _as_file(data, name)
    if is_installed(suffix_of(name)):
        with _read_microscope(file, name) as stack:
            _check_page(page, stack.count, name)
            _microscope_header(stack, page or 0, name, reading)  # bounds the size
            return stack.decode(page or 0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    kind = kind_of(head)
    if kind == "TIFF":
        with _read_tiff(file, name, reading) as images:
            _check_page(page, images.count, name)
            part, number = images.find(page or 0)
            _check_part(part, images, name)
            return part.shown(number, palette_indices=palette_indices)
    with _as_damage(name):
        if kind == "JPEG 2000":
            start = pictures.whole(file)
            _check_header(pictures.jpeg2000_header(start[: pictures.SEARCHED]), file, name)
            _check_page(page, 1, name)
            return pictures.decode_jpeg2000(start)
        if kind == "PNG":
            header = pictures.png_header(head)
            _check_header(header, file, name)
            if header.dtype == "uint16" and header.channels + header.alpha > 1:
                _check_page(page, 1, name)
                return pictures.decode_deep_png(pictures.whole(file))
        with _picture(file, kind, name) as picture:
            _check_page(page, int(getattr(picture, "n_frames", 1)), name)
            return pictures.decode_picture(picture, kind, page or 0, palette_indices=palette_indices)


def decode_image(
    data: bytes | IO[bytes], name: str, page: int | None = None, reading: ImageReading = PLAIN
) -> NDArray[np.generic]:
    """Decode the channels of an image file that hold data.

    Parameters
    ----------
    data : bytes or binary file
        The file; what it is, its first bytes say.
    name : str
        Of the file, for errors.
    page : int, optional
        Of a file with several pages; without it the file must have one.
    reading : ImageReading
        Axes and channels, where a person chose them.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) in the stored dtype: bool, integers, floats. Upright, black is 0; palettes and CMYK become
        RGB. Transparency is no data and left out. Where the file names a value for pixels without data and
        some have it, floats with NaN there.

    Raises
    ------
    DataError
        If the file is damaged, too large, or has several pages and none was asked for.
    SettingsError
        If it has no channel that was chosen.
    """
    found = decode_pixels(data, name, page, reading=reading)
    kept = data_channels(found.pixels.shape[2], found.alpha, found.channel_names, reading, name)
    pixels = found.pixels if kept is None else found.pixels[..., kept]
    return without_nodata(pixels, found.nodata)


def data_channels(
    count: int, alpha: int | None, names: tuple[str, ...], reading: ImageReading, name: str
) -> list[int] | None:
    """Numbers of the channels that are read; None: all.

    Raises
    ------
    SettingsError
        If there is no channel that was chosen.
    """
    if reading.channels:
        return channel_numbers(reading.channels, names, count, name)
    return None if alpha is None else [number for number in range(count) if number != alpha]


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


def read_pages(data: bytes | IO[bytes], name: str) -> NDArray[np.generic]:
    """Decode every page of a file.

    Returns
    -------
    numpy.ndarray
        (N, Y, X, C) in the stored dtype.

    Raises
    ------
    DataError
        As ``decode_image``; the bound holds for all pages together. Also if they differ in size.
    """
    header = image_header(data, name)
    _check_bytes(header.pages * header.page_bytes, name, f"{header.pages} pages")
    if header.pages == 1:
        return decode_image(data, name)[None]
    pages = [decode_image(data, name, page) for page in range(header.pages)]
    if len({page.shape for page in pages}) > 1:
        raise DataError(f"the pages of {name} differ in size", code="data.image.pages", expected="one size")
    return np.stack(pages)


def image_header(
    data: bytes | IO[bytes], name: str, page: int | None = None, reading: ImageReading = PLAIN
) -> ImageHeader:
    """Read size, type and number of pages without decoding.

    Parameters
    ----------
    data : bytes or binary file
        The file; for a PNG its first ``HEAD_BYTES`` will do, ``LONG_HEAD_BYTES`` if it may be turned.
    name : str
        Of the file, for errors.
    page : int, optional
        Whose size and type are wanted; the first's if not given.
    reading : ImageReading
        Axes and channels, where a person chose them.

    Raises
    ------
    DataError
        If it is not an image that can be read.
    """
    file = _as_file(data, name)
    if is_installed(suffix_of(name)):
        with _read_microscope(file, name) as stack:
            _check_page(page or 0, stack.count, name)
            return _microscope_header(stack, page or 0, name, reading)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    kind = kind_of(head)
    if kind == "TIFF":
        with _read_tiff(file, name, reading) as images:
            _check_page(page or 0, images.count, name)
            return _tiff_header(images, page or 0, name, reading)
    with _as_damage(name):
        if kind == "JPEG 2000":
            found = pictures.jpeg2000_header(file.read(pictures.SEARCHED))
            _check_header(found, file, name)
        elif kind == "PNG":
            found = pictures.png_header(file.read(LONG_HEAD_BYTES))
            _check_header(found, None, name)
        else:
            with _picture(file, kind, name) as picture:
                found = pictures.header_of_picture(picture, kind)
    chosen = data_channels(found.channels + found.alpha, None, (), reading, name)
    channels = found.channels if not reading.channels or chosen is None else len(chosen)
    colour = (found.channels == 3 or found.palette) and not reading.channels
    return ImageHeader(found.height, found.width, channels, found.dtype, found.pages, colour=colour)


def count_pages(data: bytes | IO[bytes], name: str) -> int:
    """Number of images in a file: pages, slices and time points of a TIFF, frames of a GIF or WebP."""
    return image_header(data, name).pages


def _tiff_header(images: TiffImages, page: int, name: str, reading: ImageReading) -> ImageHeader:
    part, _ = images.find(page)
    height, width = part.upright_shape
    names = part.names(part.channels)
    kept = data_channels(part.channels, part.alpha, names, reading, name)
    count = part.channels if kept is None else len(kept)
    colour = part.colour and (kept is None or kept == [0, 1, 2])
    dtype = "bool" if part.keyframe.bitspersample == 1 else part.dtype.name
    alike = len({(p.upright_shape, p.channels, p.dtype) for p in images.parts}) == 1
    names = tuple(names[n] for n in kept) if names and kept is not None else names
    return ImageHeader(height, width, count, dtype, images.count, alike, names, colour, images.note(name))


def _microscope_header(stack: MicroscopeImages, page: int, name: str, reading: ImageReading) -> ImageHeader:
    scene, _, _ = stack.find(page)
    names = () if scene.colour else scene.channels
    kept = data_channels(
        len(scene.channels), 3 if len(scene.channels) == 4 and scene.colour else None, names, reading, name
    )
    chosen = tuple(range(len(scene.channels))) if kept is None else tuple(kept)
    shape = f"{scene.width} x {scene.height} pixels, {len(scene.channels)} channels"
    _check_bytes(scene.height * scene.width * len(scene.channels) * scene.dtype.itemsize, name, shape)
    alike = len({(s.height, s.width, s.channels, s.dtype) for s in stack.scenes}) == 1
    return ImageHeader(
        scene.height,
        scene.width,
        len(chosen),
        scene.dtype.name,
        stack.count,
        alike,
        tuple(names[n] for n in chosen) if names else (),
        scene.colour and chosen[:3] == (0, 1, 2),
    )


def _as_file(data: bytes | IO[bytes], name: str) -> IO[bytes]:
    if isinstance(data, bytes):
        if not data:
            raise DataError(
                f"{name} is empty",
                code="data.image.empty",
                expected="an image",
                got="0 bytes",
                remedy="copy it again",
            )
        return io.BytesIO(data)
    data.seek(0)
    return data


def _check_bytes(count: int, name: str, shape: str, stored: int | None = None) -> None:
    if stored is not None and count > PLAUSIBLE_BYTES and count > MAX_RATIO * stored:
        raise DataError(
            f"{name} declares more than it can hold",
            code="data.image.bomb",
            expected=f"at most {MAX_RATIO} times its {stored} bytes",
            got=f"{count / 2**30:.1f} GB ({shape})",
            remedy="copy or download it again",
        )
    if count > MAX_DECODED_BYTES:
        raise DataError(
            f"{name} is too large to read at once",
            code="data.image.large",
            expected=f"at most {MAX_DECODED_BYTES / 2**30:.0f} GB of pixels",
            got=f"{count / 2**30:.1f} GB ({shape})",
            remedy="cut it into smaller images",
        )


def _check_header(header: pictures.PictureHeader, file: IO[bytes] | None, name: str) -> None:
    shape = f"{header.width} x {header.height} pixels"
    _check_bytes(header.decoded_bytes, name, shape, None if file is None else pictures.length(file))


def _check_part(part: TiffPart, images: TiffImages, name: str) -> None:
    """Bound what is decoded for one image of a TIFF."""
    page, stored = part.keyframe, part.keyframe.parent.filehandle.size
    height, width = part.size("Y"), part.size("X")
    per_page = height * width * part.channels * part.dtype.itemsize
    shape = f"{width} x {height} pixels, {part.channels} channels"
    _check_bytes(per_page, name, shape, stored)
    # A tile is decoded whole, and may declare to be larger than the image.
    tile = math.prod(map(int, page.chunks)) * page.dtype.itemsize
    _check_bytes(tile, name, f"tiles of {page.chunks}", stored)
    if not part.by_page:
        _check_bytes(per_page * part.images, name, f"{part.images} pages of {shape} in one piece")


def _check_page(page: int | None, pages: int, name: str) -> None:
    if page is None and pages > 1:
        raise DataError(
            f"{name} is a stack of {pages} images",
            code="data.image.stack",
            expected="one image a file",
            remedy="save its pages as files of their own",
        )
    if page is not None and not 0 <= page < pages:
        raise DataError(f"{name} has no page {page}", code="data.image.page", expected=f"0 to {pages - 1}")


def _unreadable(name: str, error: BaseException | str) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{name} cannot be read as an image",
        code="data.image.unreadable",
        got=reason[:200],
        remedy="copy or download it again",
    )


@contextmanager
def _as_damage(name: str) -> Iterator[None]:
    """Say of a damaged file which it is."""
    try:
        yield
    except WorkbenchError:
        raise
    except DAMAGE as error:
        raise _unreadable(name, error) from error
    except Exception as error:
        # Pillow's is of no such kind: a frame of a GIF that is larger than the first.
        if type(error).__name__ != "DecompressionBombError":
            raise
        raise _unreadable(name, error) from error


@contextmanager
def _picture(file: IO[bytes], kind: str, name: str) -> Iterator[Any]:
    """A picture that Pillow opened, within our bounds."""
    if kind not in {"PNG", "JPEG", "BMP", "GIF", "WebP"}:
        raise DataError(
            f"{name} cannot be read as an image",
            code="data.image.unreadable",
            expected=KINDS,
            got="neither",
            remedy="export it as one of them",
        )
    with pictures.opened_picture(file, kind) as picture:
        count = picture.width * picture.height * len(picture.getbands())
        _check_bytes(count, name, f"{picture.width} x {picture.height} pixels", pictures.length(file))
        yield picture


@contextmanager
def _read_tiff(file: IO[bytes], name: str, reading: ImageReading) -> Iterator[TiffImages]:
    with _as_damage(name), opened_tiff(file, name, reading) as images:
        yield images


@contextmanager
def _read_microscope(file: IO[bytes], name: str) -> Iterator[MicroscopeImages]:
    with _as_damage(name), opened_microscope_file(file, name) as images:
        yield images
