"""Image files to arrays, through Pillow, tifffile and imagecodecs."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIFF_SUFFIXES = {".tif", ".tiff"}
SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp", ".gif"}
LOSSY_SUFFIXES = {".jpg", ".jpeg"}
MAX_DECODED_BYTES = 4 * 1024**3
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def suffix_of(name: str) -> str:
    """The suffix, in lower case."""
    return PurePosixPath(name).suffix.lower()


def is_image_name(name: str) -> bool:
    """Whether the suffix is one we read."""
    return suffix_of(name) in SUFFIXES


def decode_image(data: bytes, name: str, page: int | None = None) -> NDArray[np.generic]:
    """Decode an image file.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Of the file: its suffix says what it is.
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


def decode_labels(data: bytes, name: str, page: int | None = None) -> NDArray[np.generic]:
    """Decode a mask file: like ``decode_image``, but palettes stay indices and alpha stays out.

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
        return pixels[..., 0]
    return pixels


def count_pages(data: bytes, name: str) -> int:
    """Number of images in a file: pages, slices and time points of a TIFF; 1 for all others."""
    if suffix_of(name) not in TIFF_SUFFIXES:
        return 1
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return int(np.prod(_leading_shape(file.series[0]), dtype=np.int64))
    except (tifffile.TiffFileError, ValueError, IndexError, KeyError, OSError) as error:
        raise _unreadable(name, error) from error


def _decode(data: bytes, name: str, page: int | None, *, indices: bool) -> NDArray[np.generic]:
    if not data:
        raise DataError(f"{name} is empty", expected="an image", got="0 bytes", remedy="copy it again")
    decode = _decode_tiff if suffix_of(name) in TIFF_SUFFIXES else _decode_with_pillow
    pixels = decode(data, name, page, indices)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _check_bytes(count: int, name: str, shape: object) -> None:
    if count > MAX_DECODED_BYTES:
        raise DataError(
            f"{name} is too large to read at once",
            expected=f"at most {MAX_DECODED_BYTES >> 30} GB of pixels",
            got=f"{count / 2**30:.1f} GB ({shape})",
        )


def _unreadable(name: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{name} cannot be read as an image", got=reason[:200], remedy="copy or download it again"
    )


def _decode_with_pillow(data: bytes, name: str, page: int | None, indices: bool) -> NDArray[np.generic]:
    from PIL import Image, PngImagePlugin

    stream = io.BytesIO(data)
    try:
        if data.startswith(PNG_SIGNATURE):
            # Opened by its plugin, as our own bound on the size takes the place of Pillow's.
            width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
            _check_bytes(width * height * 4, name, f"{width} x {height}")
            if data[24:25] == b"\x10" and data[25:26] in (b"\x02", b"\x04", b"\x06"):
                import imagecodecs  # Pillow halves the depth of 16-bit colour

                return np.asarray(imagecodecs.png_decode(data))
            picture: Image.Image = PngImagePlugin.PngImageFile(stream)
        else:
            picture = Image.open(stream)
            _check_bytes(picture.width * picture.height * 4, name, picture.size)
        with picture:
            if getattr(picture, "n_frames", 1) > 1:
                if page is None:
                    raise DataError(f"{name} has several frames", expected="one image a file")
                picture.seek(page)
            if picture.mode == "P" and not indices:
                return np.asarray(picture.convert("RGB"))
            if picture.mode in {"CMYK", "YCbCr", "LAB", "HSV", "PA"}:
                return np.asarray(picture.convert("RGB"))
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, RuntimeError) as error:
        raise _unreadable(name, error) from error


def _leading_shape(series: Any) -> tuple[int, ...]:
    """Sizes of the axes of a TIFF series besides Y, X, samples and channels."""
    return tuple(n for n, axis in zip(series.shape, series.axes, strict=True) if axis not in "YXSC")


def _decode_tiff(data: bytes, name: str, page: int | None, indices: bool) -> NDArray[np.generic]:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            series = file.series[0]
            pages = int(np.prod(_leading_shape(series), dtype=np.int64))
            if page is None and pages > 1:
                raise DataError(f"{name} is a stack of {pages} images", expected="one image a file")
            _check_bytes(series.nbytes // max(1, pages), name, series.shape)
            if pages > 1 and len(series.pages) == pages:
                assert page is not None
                keyframe = series.pages[page]
                return np.asarray(_channels_last(keyframe.asarray(), keyframe.axes))
            _check_bytes(series.nbytes, name, series.shape)
            pixels, axes = series.asarray(), series.axes
            palette = file.pages[0].photometric == tifffile.PHOTOMETRIC.PALETTE
            colours = file.pages[0].colormap if palette and not indices else None
    except (
        tifffile.TiffFileError,
        ValueError,
        IndexError,
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
    ) as error:
        raise _unreadable(name, error) from error
    order = [i for i, a in enumerate(axes) if a not in "YXSC"]
    order += [axes.index(a) for a in "YX"] + [i for i, a in enumerate(axes) if a in "SC"]
    pixels = np.transpose(pixels, order)
    tail = pixels.shape[len(_lead(axes)) :]
    pixels = pixels.reshape(pages, *tail[:2], -1)[page or 0]
    if colours is not None:
        return np.asarray(np.moveaxis(colours, 0, -1)[pixels[..., 0]] >> 8, np.uint8)
    return np.asarray(pixels)


def _lead(axes: str) -> str:
    return "".join(a for a in axes if a not in "YXSC")


def _channels_last(pixels: NDArray[np.generic], axes: str) -> NDArray[np.generic]:
    if "S" in axes and axes.index("S") < axes.index("Y"):
        return np.moveaxis(pixels, axes.index("S"), -1)
    return pixels


def _without_opaque_alpha(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    if pixels.shape[2] in (2, 4) and np.issubdtype(pixels.dtype, np.unsignedinteger):
        opaque: Any = np.iinfo(pixels.dtype).max  # type: ignore[type-var]
        if bool((pixels[..., -1] == opaque).all()):
            return pixels[..., :-1]
    return pixels
