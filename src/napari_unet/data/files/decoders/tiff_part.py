"""One array in a TIFF file: its axes, its channels, and the picture that viewers show."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.decoded_image import DecodedImage
from napari_unet.data.files.decoders.orientation import ORIENTATION, orientation_in, upright, upright_shape
from napari_unet.data.files.decoders.tiff_colours import StoredColours, colours_of
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


CHANNELS = "CS"
GDAL_NODATA = 42113
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
            check_pieces(one)
            with _opened(one.parent.filehandle):
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


@contextmanager
def _opened(handle: Any) -> Iterator[None]:
    """Open a file, maybe another than the first, which tifffile closed after a look."""
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


def check_pieces(page: Any) -> None:
    """Refuse a page that lacks strips or tiles: tifffile leaves it at a log line, and black pixels."""
    wanted, there = math.prod(page.chunked), len(page.dataoffsets)
    if not page.is_contiguous and there < wanted and not page.parent.is_ndpi:
        raise ValueError(f"cut off: it has {there} of {wanted} strips or tiles")


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
