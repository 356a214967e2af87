"""Bounds on what is decoded: the size of an image, of its pages, and of what a file declares."""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING

from napari_unet.data.files.decoders import pictures
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from napari_unet.data.files.decoders.tiff_images import TiffImages
    from napari_unet.data.files.decoders.tiff_part import TiffPart


MAX_DECODED_BYTES = 2**31  # of one image
PLAUSIBLE_BYTES = 2**28  # smaller images are not compared with the size of their file
MAX_RATIO = 5000  # of decoded to stored size; LZW and Deflate stay below it


def check_bytes(count: int, name: str, shape: str, stored: int | None = None) -> None:
    """Refuse more bytes than fit into memory, or than a file of `stored` bytes can hold.

    Parameters
    ----------
    count : int
        Bytes of the decoded pixels.
    name, shape : str
        Of the file, and how large it says that it is, for the error.
    stored : int, optional
        Bytes of the file.

    Raises
    ------
    DataError
        With both sizes.
    """
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


def check_header(header: pictures.PictureHeader, file: IO[bytes] | None, name: str) -> None:
    """Bound what is decoded for a picture; of the file, if given, its length counts, too."""
    shape = f"{header.width} x {header.height} pixels"
    check_bytes(header.decoded_bytes, name, shape, None if file is None else pictures.length(file))


def check_part(part: TiffPart, images: TiffImages, name: str) -> None:
    """Bound what is decoded for one image of a TIFF."""
    page, stored = part.keyframe, part.keyframe.parent.filehandle.size
    height, width = part.size("Y"), part.size("X")
    per_page = height * width * part.channels * part.dtype.itemsize
    shape = f"{width} x {height} pixels, {part.channels} channels"
    check_bytes(per_page, name, shape, stored)
    # A tile is decoded whole, and may declare to be larger than the image.
    tile = math.prod(map(int, page.chunks)) * page.dtype.itemsize
    check_bytes(tile, name, f"tiles of {page.chunks}", stored)
    if not part.by_page:
        check_bytes(per_page * part.images, name, f"{part.images} pages of {shape} in one piece")


def check_page(page: int | None, pages: int, name: str) -> None:
    """Refuse a page that a file does not have, and a file of several where none was asked for."""
    if page is None and pages > 1:
        raise DataError(
            f"{name} is a stack of {pages} images",
            code="data.image.stack",
            expected="one image a file",
            remedy="save its pages as files of their own",
        )
    if page is not None and not 0 <= page < pages:
        raise DataError(f"{name} has no page {page}", code="data.image.page", expected=f"0 to {pages - 1}")
