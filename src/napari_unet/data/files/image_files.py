"""Image files to arrays: one reader for every command and the window."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders import pictures
from napari_unet.data.files.decoders.bounds import check_bytes, check_header, check_page, check_part
from napari_unet.data.files.decoders.damage import as_damage
from napari_unet.data.files.decoders.decoded_image import DecodedImage
from napari_unet.data.files.decoders.image_kinds import HEAD_BYTES, KINDS, kind_of, suffix_of
from napari_unet.data.files.decoders.microscope_files import (
    MicroscopeImages,
    is_installed,
    opened_microscope_file,
)
from napari_unet.data.files.decoders.nodata import without_nodata
from napari_unet.data.files.decoders.tiff_images import TiffImages, opened_tiff
from napari_unet.data.files.reading import PLAIN, ImageReading, channel_numbers
from napari_unet.data.files.stored.array_files import is_reference, open_reference, read_page
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.data.files.lazy_stack import LazyStack


LONG_HEAD_BYTES = 2**16  # for what a PNG says of the way it is turned


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
        with as_damage(name), opened_microscope_file(file, name) as stack:
            check_page(page, stack.count, name)
            _microscope_header(stack, page or 0, name, reading)  # bounds the size
            return stack.decode(page or 0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if is_reference(head):
        with as_damage(name):
            array = open_reference(file.read(), reading)
            check_page(page, len(array.indices), name)
            _array_header(array, name, reading)  # bounds the size
            return DecodedImage(read_page(array, page or 0), array.channels, colour=array.shape[2] == 3)
    kind = kind_of(head)
    if kind == "TIFF":
        with as_damage(name), opened_tiff(file, name, reading) as images:
            check_page(page, images.count, name)
            part, number = images.find(page or 0)
            check_part(part, images, name)
            return part.shown(number, palette_indices=palette_indices)
    with as_damage(name):
        if kind == "JPEG 2000":
            start = pictures.whole(file)
            check_header(pictures.jpeg2000_header(start[: pictures.SEARCHED]), file, name)
            check_page(page, 1, name)
            return pictures.decode_jpeg2000(start)
        if kind == "PNG":
            header = pictures.png_header(head)
            check_header(header, file, name)
            if header.dtype == "uint16" and header.channels + header.alpha > 1:
                check_page(page, 1, name)
                return pictures.decode_deep_png(pictures.whole(file))
            plain = pictures.decode_plain_png(pictures.whole(file)) if page in (None, 0) else None
            if plain is not None:
                return plain
            file.seek(0)
        with _picture(file, kind, name) as picture:
            check_page(page, int(getattr(picture, "n_frames", 1)), name)
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
    wanted = data_channels(found.pixels.shape[2], found.alpha, found.channel_names, reading, name)
    pixels = found.pixels if wanted is None else found.pixels[..., wanted]
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
        with as_damage(name), opened_microscope_file(file, name) as stack:
            check_page(page or 0, stack.count, name)
            return _microscope_header(stack, page or 0, name, reading)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if is_reference(head):
        with as_damage(name):
            array = open_reference(file.read(), reading)
            check_page(page or 0, len(array.indices), name)
            return _array_header(array, name, reading)
    kind = kind_of(head)
    if kind == "TIFF":
        with as_damage(name), opened_tiff(file, name, reading) as images:
            check_page(page or 0, images.count, name)
            return _tiff_header(images, page or 0, name, reading)
    with as_damage(name):
        if kind == "JPEG 2000":
            found = pictures.jpeg2000_header(file.read(pictures.SEARCHED))
            check_header(found, file, name)
        elif kind == "PNG":
            found = pictures.png_header(file.read(LONG_HEAD_BYTES))
            check_header(found, None, name)
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
    wanted = data_channels(part.channels, part.alpha, names, reading, name)
    count = part.channels if wanted is None else len(wanted)
    colour = part.colour and (wanted is None or wanted == [0, 1, 2])
    dtype = "bool" if part.keyframe.bitspersample == 1 else part.dtype.name
    alike = len({(p.upright_shape, p.channels, p.dtype) for p in images.parts}) == 1
    names = tuple(names[n] for n in wanted) if names and wanted is not None else names
    return ImageHeader(height, width, count, dtype, images.count, alike, names, colour, images.note(name))


def _array_header(stack: LazyStack, name: str, reading: ImageReading) -> ImageHeader:
    height, width, count = stack.shape
    check_bytes(height * width * count * stack.dtype.itemsize, name, f"{width} x {height} pixels")
    wanted = data_channels(count, None, stack.channels, reading, name)
    names = stack.channels
    if wanted is not None:
        names, count = tuple(names[n] for n in wanted) if names else (), len(wanted)
    colour = count == 3 and wanted is None and stack.colour
    pages = len(stack.indices)
    return ImageHeader(height, width, count, stack.dtype.name, pages, channel_names=names, colour=colour)


def _microscope_header(stack: MicroscopeImages, page: int, name: str, reading: ImageReading) -> ImageHeader:
    scene, _, _ = stack.find(page)
    names = () if scene.colour else scene.channels
    wanted = data_channels(
        len(scene.channels), 3 if len(scene.channels) == 4 and scene.colour else None, names, reading, name
    )
    chosen = tuple(range(len(scene.channels))) if wanted is None else tuple(wanted)
    shape = f"{scene.width} x {scene.height} pixels, {len(scene.channels)} channels"
    check_bytes(scene.height * scene.width * len(scene.channels) * scene.dtype.itemsize, name, shape)
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


@contextmanager
def _picture(file: IO[bytes], kind: str, name: str) -> Iterator[Any]:
    """A picture that Pillow opened, within our bounds."""
    if kind not in {"PNG", "JPEG", "BMP", "GIF", "WebP", "PNM"}:
        raise DataError(
            f"{name} cannot be read as an image",
            code="data.image.unreadable",
            expected=KINDS,
            got="neither",
            remedy="export it as one of them",
        )
    with pictures.opened_picture(file, kind) as picture:
        count = picture.width * picture.height * len(picture.getbands())
        check_bytes(count, name, f"{picture.width} x {picture.height} pixels", pictures.length(file))
        yield picture
