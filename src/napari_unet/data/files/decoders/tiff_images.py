"""The images in a TIFF file: all series and pages, their channels, and the picture that viewers show."""

from __future__ import annotations

import struct
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.tiff_part import TiffPart, check_pieces
from napari_unet.data.files.reading import PLAIN, ImageReading, check_axes
from napari_unet.data.lzw import careful_tifffile
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


REDUCED, MASK = 1, 4  # bits of the tag NewSubfileType


SLIDES = {"svs", "ndpi", "ndpis", "scn", "bif", "qpi", "philips", "avs", "indica", "sis", "ventana"}
BESIDES = ("label", "macro", "thumbnail", "overview")  # what slide scanners call their other pictures
THIN = 8  # pages less wide than that, and many of them, are rows of an image with its channels last
FEW = 5  # pages that nothing is said of might be channels


@dataclass(frozen=True, eq=False)
class TiffImages:
    """All images in an opened TIFF file.

    Attributes
    ----------
    parts : tuple of TiffPart
        In the order of the file.
    left_out : str
        What was left aside, in words; empty if nothing was.
    """

    parts: tuple[TiffPart, ...]
    left_out: str = ""

    @property
    def count(self) -> int:
        """How many images there are."""
        return sum(part.images for part in self.parts)

    def note(self, name: str) -> str:
        """What a person should know of the way the file is read."""
        part = self.parts[0]
        if self.left_out:
            return f"{name}: {self.left_out}"
        unknown = part.axes[:1] in {"Q", "I"} and len(part.shape) == 3 and len(self.parts) == 1
        if unknown and part.images <= FEW:
            return (
                f"{name} has {part.images} pages and does not say what they are: "
                f"they are read as {part.images} images; if they are channels, give --axes CYX"
            )
        return ""

    def find(self, page: int) -> tuple[TiffPart, int]:
        """The part that an image is in, and its number there."""
        for part in self.parts:
            if page < part.images:
                return part, page
            page -= part.images
        raise IndexError(page)


@contextmanager
def opened_tiff(file: IO[bytes] | Path, name: str, reading: ImageReading = PLAIN) -> Iterator[TiffImages]:
    """The images in a TIFF file.

    Raises
    ------
    DataError
        If axes do not fit, or the numbers are complex. What tifffile raises on damaged files is let through.
    """
    with closing(careful_tifffile().TiffFile(file)) as tiff:
        _check_chain(tiff)
        yield images_of(tiff, name, reading)


def images_of(tiff: Any, name: str, reading: ImageReading = PLAIN) -> TiffImages:
    """The images in a file that tifffile opened; errors as ``opened_tiff``."""
    chosen, left_out = _image_series(tiff)
    declared = (tiff.imagej_metadata or {}).get("images", 1)
    first = chosen[0]
    # Without the rest of its pixels an ImageJ stack would pass for a single image.
    if declared > int(np.prod(first.shape[:-2], dtype=np.int64)) and len(tiff.pages) < declared:
        raise ValueError(f"cut off: it should have {declared} images")
    if np.dtype(first.dtype).kind == "c":
        raise DataError(
            f"{name} has complex numbers",
            code="data.image.numbers",
            expected="real ones",
            got=np.dtype(first.dtype).name,
            remedy="save their magnitude, or real and imaginary part as two channels",
        )
    if reading.axes:
        return TiffImages(_by_axes(chosen, reading.axes, name), left_out)
    parts = tuple(TiffPart((one,), one.axes, tuple(map(int, one.shape))) for one in chosen)
    for part in parts:
        if not {*"YX"} <= {*part.axes}:
            raise DataError(
                f"{name} has no image",
                code="data.image.axes",
                expected="axes Y and X",
                got=part.axes,
                remedy="name its axes with --axes",
            )
        _check_thin(part, name)
        check_pieces(part.keyframe)
    return TiffImages(parts, left_out)


def _by_axes(chosen: Sequence[Any], axes: str, name: str) -> tuple[TiffPart, ...]:
    """Parts by the axes that a person named."""
    shape = tuple(map(int, chosen[0].shape))
    alike = all(one.shape == chosen[0].shape and one.dtype == chosen[0].dtype for one in chosen)
    if len(chosen) > 1 and alike and len(axes) == len(shape) + 1:
        return (TiffPart(tuple(chosen), axes, (len(chosen), *shape)),)
    for one in chosen:
        check_axes(axes, one.shape, name)
    return tuple(TiffPart((one,), axes, tuple(map(int, one.shape))) for one in chosen)


def _check_thin(part: TiffPart, name: str) -> None:
    """Refuse many pages of a few pixels' width: tifffile writes (Y, X, C) so if it does not know the axes."""
    unknown = part.axes[:1] in {"Q", "I"} and len(part.shape) == 3
    if unknown and part.size("X") <= THIN and min(part.shape[:2]) > THIN:
        height, width, channels = part.shape
        raise DataError(
            f"the axes of {name} are not clear",
            code="data.image.axes",
            expected=f"an image of {width} x {height} pixels with {channels} channels, "
            f"or {height} images of {channels} x {width} pixels",
            remedy="name them: --axes YXC or --axes TYX",
        )


def _image_series(tiff: Any) -> tuple[list[Any], str]:
    """The series that are images, and in words those that are not."""
    series = list(tiff.series)
    if not series:
        raise ValueError("a TIFF without an image")
    if len(series) == 1:
        return series, ""
    if series[0].kind in SLIDES or tiff.is_svs or tiff.is_ndpi or tiff.is_scn:
        chosen = series[:1]
    else:
        chosen = [one for one in series if not _is_beside(one)] or series[:1]
    left = [one for one in series if one not in chosen]
    if not left:
        return chosen, ""
    named = ", ".join(one.name.lower() or "x".join(map(str, one.shape)) for one in left[:4])
    return chosen, f"{len(left)} smaller copies, labels or masks left aside ({named})"


def _is_beside(series: Any) -> bool:
    kind = int(series.keyframe.subfiletype)
    named = series.kind == "ome" and any(word in series.name.lower() for word in BESIDES)
    return bool(kind & (REDUCED | MASK)) or named


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
