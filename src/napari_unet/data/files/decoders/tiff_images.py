"""The images in a TIFF file: all series and pages, their channels, and the picture that viewers show."""

from __future__ import annotations

import math
import struct
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.decoded_image import DecodedImage
from napari_unet.data.files.decoders.orientation import ORIENTATION, orientation_in, upright, upright_shape
from napari_unet.data.files.decoders.tiff_colours import StoredColours, colours_of
from napari_unet.data.files.reading import PLAIN, ImageReading, check_axes
from napari_unet.data.lzw import careful_tifffile
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CHANNELS = "CS"
REDUCED, MASK = 1, 4  # bits of the tag NewSubfileType
GDAL_NODATA = 42113
SLIDES = {"svs", "ndpi", "ndpis", "scn", "bif", "qpi", "philips", "avs", "indica", "sis", "ventana"}
BESIDES = ("label", "macro", "thumbnail", "overview")  # what slide scanners call their other pictures
THIN = 8  # pages less wide than that, and many of them, are rows of an image with its channels last
FEW = 5  # pages that nothing is said of might be channels
MOST_META = 2**24  # characters of OME-XML


@dataclass(frozen=True, eq=False)
class TiffPart:
    """An array in a TIFF file: one series, or several that a person's axes make one array of.

    Attributes
    ----------
    series : tuple
        Of tifffile, all of one shape.
    axes : str
        A letter an axis.
    shape : tuple of int
        Of the array.
    """

    series: tuple[Any, ...]
    axes: str
    shape: tuple[int, ...]

    @property
    def keyframe(self) -> Any:
        """The first page, which speaks for the others."""
        return self.series[0].keyframe

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values."""
        dtype: np.dtype[Any] = np.dtype(self.series[0].dtype)
        return dtype

    def size(self, axis: str) -> int:
        """Of an axis; 1 where there is none."""
        return int(self.shape[self.axes.index(axis)]) if axis in self.axes else 1

    @property
    def leading(self) -> list[int]:
        """Numbers of the axes along which there are images of their own."""
        return [n for n, axis in enumerate(self.axes) if axis not in "YX" + CHANNELS]

    @property
    def images(self) -> int:
        """How many images there are."""
        return math.prod(self.shape[n] for n in self.leading)

    @property
    def channels(self) -> int:
        """Of one image."""
        return self.size("C") * self.size("S")

    @property
    def orientation(self) -> int:
        """As the file says."""
        tag = self.keyframe.tags.get(ORIENTATION)
        return orientation_in(tag.value if tag is not None else 1)

    @property
    def upright_shape(self) -> tuple[int, int]:
        """(Y, X) of the picture that viewers show."""
        return upright_shape(self.size("Y"), self.size("X"), self.orientation)

    @property
    def colour(self) -> bool:
        """Whether the samples of a pixel are, or become, red, green and blue."""
        # Channels along an axis of their own were measured one by one, whatever the pages' tags say.
        return "C" not in self.axes and self.keyframe.photometric.name in COLOURS and self.samples >= 3

    @property
    def samples(self) -> int:
        """Of a pixel, without extra ones and transparency; a palette's three."""
        page = self.keyframe
        if page.photometric.name == "PALETTE":
            return 3
        return int(page.samplesperpixel) - len(page.extrasamples)

    @property
    def alpha(self) -> int | None:
        """Number of the sample that the file calls transparency."""
        page = self.keyframe
        first = int(page.samplesperpixel) - len(page.extrasamples)
        if "C" in self.axes or self.size("S") != page.samplesperpixel:
            return None
        return next((first + n for n, kind in enumerate(page.extrasamples) if int(kind) in (1, 2)), None)

    @property
    def by_page(self) -> bool:
        """Whether an image can be read without the others."""
        inner = len(self.keyframe.axes)
        shape = tuple(self.series[0].shape)
        if inner > len(shape) or shape[len(shape) - inner :] != tuple(self.keyframe.shape):
            return False
        return len(self.series[0].pages) == math.prod(shape[: len(shape) - inner]) or (
            self.series[0].dataoffset is not None
        )

    def stored(self, number: int) -> NDArray[np.generic]:
        """One image as it is stored: (Y, X, C)."""
        where = dict(zip(self.leading, np.unravel_index(number, self._leading_shape), strict=True))
        inner = len(self.keyframe.axes)
        outer = len(self.shape) - inner
        per_series = math.prod(self.series[0].shape[: len(self.series[0].shape) - inner])
        if outer < 0 or tuple(self.shape[outer:]) != tuple(self.keyframe.shape):
            whole = np.stack([one.asarray() for one in self.series]).reshape(self.shape)
            planes = whole[tuple(where.get(n, slice(None)) for n in range(len(self.shape)))]
        else:
            free = [n for n in range(outer) if n not in where]
            shape = self.shape[:outer]
            found = []
            for some in np.ndindex(*(shape[n] for n in free)):
                index = {**where, **dict(zip(free, some, strict=True))}
                plane = int(np.ravel_multi_index([index[n] for n in range(outer)], shape)) if outer else 0
                found.append(self._plane(plane // per_series, plane % per_series, per_series))
            planes = np.stack(found).reshape(*(shape[n] for n in free), *self.shape[outer:])
            inside = tuple(where.get(n, slice(None)) for n in range(outer, len(self.shape)))
            planes = planes[(*(slice(None) for _ in free), *inside)]
        axes = "".join(axis for n, axis in enumerate(self.axes) if n not in where)
        order = [axes.index(axis) for axis in ("Y", "X", *(a for a in axes if a in CHANNELS))]
        moved = np.transpose(planes, order)
        return moved.reshape(*moved.shape[:2], -1)

    @property
    def _leading_shape(self) -> tuple[int, ...]:
        return tuple(self.shape[n] for n in self.leading)

    def _plane(self, member: int, plane: int, per_series: int) -> NDArray[np.generic]:
        """What one page holds."""
        series = self.series[member]
        page = self.keyframe
        if len(series.pages) == per_series:
            one = series.pages[plane]
            if one is None:  # OME-TIFF may leave out planes
                check_alone(page.parent)
                return np.zeros(page.shape, self.dtype)
            _check_pieces(one)
            with _kept_open(one.parent.filehandle):
                return np.asarray(one.asarray()).reshape(page.shape)
        if series.dataoffset is not None:
            count = math.prod(page.shape)
            handle = page.parent.filehandle
            offset = series.dataoffset + plane * count * self.dtype.itemsize
            dtype = self.dtype.newbyteorder(page.parent.byteorder)
            return np.asarray(handle.read_array(dtype, count=count, offset=offset)).reshape(page.shape)
        return np.asarray(series.asarray().reshape(-1, *page.shape)[plane])

    @property
    def stored_colours(self) -> StoredColours:
        """How stored values become those that viewers show."""
        return colours_of(self.keyframe, self.alpha, self.channels, self.dtype, apart="C" in self.axes)

    def shown(self, number: int, *, palette_indices: bool = False) -> DecodedImage:
        """One image as viewers show it."""
        colours = self.stored_colours
        pixels = self.stored(number)
        if not pixels.dtype.isnative:
            pixels = pixels.astype(pixels.dtype.newbyteorder("="))
        indices = palette_indices and colours.palette is not None
        pixels = upright(pixels if indices else colours.shown(pixels), self.orientation)
        return DecodedImage(
            np.ascontiguousarray(pixels), self.names(pixels.shape[2]),
            self.alpha if indices else colours.shown_alpha, self.colour,
            indices, colours.palette, nodata_of(self.keyframe), colours.kind == "white is 0",
        )  # fmt: skip

    def names(self, count: int) -> tuple[str, ...]:
        """Of the channels, where the file has one for each."""
        return channel_names(self.keyframe.parent, self, count)


COLOURS = {"RGB", "YCBCR", "SEPARATED", "CIELAB", "PALETTE"}


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
    kept, left_out = _image_series(tiff)
    told = (tiff.imagej_metadata or {}).get("images", 1)
    first = kept[0]
    # Without the rest of its pixels an ImageJ stack would pass for a single image.
    if told > int(np.prod(first.shape[:-2], dtype=np.int64)) and len(tiff.pages) < told:
        raise ValueError(f"cut off: it should have {told} images")
    if np.dtype(first.dtype).kind == "c":
        raise DataError(
            f"{name} has complex numbers",
            code="data.image.numbers",
            expected="real ones",
            got=np.dtype(first.dtype).name,
            remedy="save their magnitude, or real and imaginary part as two channels",
        )
    if reading.axes:
        return TiffImages(_as_told(kept, reading.axes, name), left_out)
    parts = tuple(TiffPart((one,), one.axes, tuple(map(int, one.shape))) for one in kept)
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
        _check_pieces(part.keyframe)
    return TiffImages(parts, left_out)


def _as_told(kept: Sequence[Any], axes: str, name: str) -> tuple[TiffPart, ...]:
    """Parts by the axes that a person named."""
    shape = tuple(map(int, kept[0].shape))
    alike = all(one.shape == kept[0].shape and one.dtype == kept[0].dtype for one in kept)
    if len(kept) > 1 and alike and len(axes) == len(shape) + 1:
        return (TiffPart(tuple(kept), axes, (len(kept), *shape)),)
    for one in kept:
        check_axes(axes, one.shape, name)
    return tuple(TiffPart((one,), axes, tuple(map(int, one.shape))) for one in kept)


@contextmanager
def _kept_open(handle: Any) -> Iterator[None]:
    """Open a file, maybe one beside the first, which tifffile closed after a look."""
    closed = handle.closed
    if closed:
        handle.open()
    try:
        yield
    finally:
        if closed:
            handle.close()


def check_alone(tiff: Any) -> None:
    """Refuse an OME-TIFF of several files of which one is not there: its planes would be black."""
    if "FileName=" in (tiff.ome_metadata or ""):
        raise DataError(
            f"{tiff.filename or 'the OME-TIFF'} belongs to an image in several files, and one is missing",
            code="data.image.parts",
            expected="all of its files in one folder",
            remedy="put them there, unpack the zip, or save the image as one OME-TIFF",
        )


def _check_pieces(page: Any) -> None:
    """Refuse a page that lacks strips or tiles: tifffile leaves it at a log line, and black pixels."""
    wanted, there = math.prod(page.chunked), len(page.dataoffsets)
    if not page.is_contiguous and there < wanted and not page.parent.is_ndpi:
        raise ValueError(f"cut off: it has {there} of {wanted} strips or tiles")


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
        kept = series[:1]
    else:
        kept = [one for one in series if not _is_beside(one)] or series[:1]
    left = [one for one in series if one not in kept]
    if not left:
        return kept, ""
    named = ", ".join(one.name.lower() or "x".join(map(str, one.shape)) for one in left[:4])
    return kept, f"{len(left)} smaller copies, labels or masks left aside ({named})"


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


def nodata_of(page: Any) -> float | None:
    """The value of pixels without data, where the file names one (GDAL)."""
    tag = page.tags.get(GDAL_NODATA)
    if tag is None:
        return None
    try:
        return float(str(tag.value).strip("\x00 ").split()[0])
    except (ValueError, IndexError):
        return None


def channel_names(tiff: Any, part: TiffPart, count: int) -> tuple[str, ...]:
    """Names of the channels in OME or ImageJ metadata; empty where there is not one for each."""
    if "C" not in part.axes and not (part.size("S") > 1 and tiff.is_ome):
        return ()
    names: list[str] = []
    if tiff.is_ome and tiff.ome_metadata:
        number = next((n for n, one in enumerate(tiff.series) if one is part.series[0]), 0)
        names = _names_in_ome(tiff.ome_metadata, number)
    elif tiff.imagej_metadata:
        labels = tiff.imagej_metadata.get("Labels")
        names = [str(label) for label in labels] if isinstance(labels, list) else []
        if len(names) == part.images * count and part.images > 1:
            names = names[:count]  # one for each plane: those of the first image
    names = [name.strip() for name in names]
    return tuple(names) if len(names) == count and any(names) else ()


def _names_in_ome(text: str, series: int) -> list[str]:
    if len(text) > MOST_META or "<!DOCTYPE" in text[:2000]:  # nothing of the kind belongs there
        return []
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return []
    images = [e for e in root.iter() if e.tag.rsplit("}", 1)[-1] == "Image"]
    if not images:
        return []
    image = images[series] if 0 <= series < len(images) else images[0]
    return [e.attrib.get("Name", "") for e in image.iter() if e.tag.rsplit("}", 1)[-1] == "Channel"]
