"""Large files as lazy stacks: OME-Zarr, Zarr arrays, and TIFF read by tile or strip."""

from __future__ import annotations

import logging
import math
import weakref
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.image_files import (
    DAMAGE,
    HEAD_BYTES,
    MAX_DECODED_BYTES,
    MAX_RATIO,
    PLAUSIBLE_BYTES,
    TIFF_SUFFIXES,
    kind_of,
)
from napari_unet.data.files.lazy_stack import LazyStack, usual_axes
from napari_unet.data.files.pixel_size import PixelSize, read_pixel_size, unit_name
from napari_unet.data.files.reading import check_axes, current_reading
from napari_unet.data.files.tiff_images import TiffPart, images_of, nodata_of
from napari_unet.data.lzw import careful_tifffile
from napari_unet.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)
MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
MOST_CHANNELS = 1024  # that a network takes
RGB = ["FF0000", "00FF00", "0000FF"]
WIDE = 4  # strips this much wider than high are read whole and kept: blocks beside each other share them
KEPT_BYTES = 2**27  # of such strips


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def open_lazy(path: Path | str, level: int | None = None, target: float | None = None) -> LazyStack:
    """Open a large image without reading it.

    Parameters
    ----------
    path : path or str
        OME-Zarr, a Zarr array, or a TIFF file.
    level : int, optional
        Of an image that is there at several resolutions, 0 the finest.
    target : float, optional
        Metres; without `level` the coarsest resolution is taken whose pixels are not larger than that, if
        their size is known; else the finest.

    Returns
    -------
    LazyStack
        Named after the file.

    Raises
    ------
    DataError
        If it is none of these, or damaged.
    SettingsError
        If there is no such level.
    """
    path = Path(path).expanduser().resolve()
    if is_zarr(path):
        return _open_zarr(path, level, target)
    if path.is_file() and path.suffix.lower() in TIFF_SUFFIXES:
        return _open_tiff(path, level, target)
    raise DataError(
        f"{path} cannot be read by region",
        code="data.image.format",
        expected="OME-Zarr, a Zarr array, or TIFF",
        got="nothing there"
        if not path.exists()
        else f"a {'folder' if path.is_dir() else 'file'} of another kind",
        remedy="convert it, for example with bioformats2raw",
    )


def stem_of(path: Path) -> str:
    """A file's name without what tells its kind: "a" of a.ome.zarr."""
    name = path.name
    for ending in (".ome.zarr", ".zarr", ".ome.tiff", ".ome.tif", ".tiff", ".tif"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


# Zarr


def _open_zarr(path: Path, level: int | None, target: float | None) -> LazyStack:
    import zarr

    try:
        opened = zarr.open(path, mode="r")
        if isinstance(opened, zarr.Array):
            axes = current_reading().axes.lower() or _axes_of_array(opened)
            return LazyStack(stem_of(path), opened, axes, source=_about(opened))
        found = _multiscales(opened, path)
        names = [str(one["path"]) for one in found["datasets"]]
        sizes = [_pixel_size(found, one) for one in found["datasets"]]
        number = choose_level(sizes, level, target, path.name)
        array = opened[names[number]]
        axes = _axes_of(found, array.ndim)
        channels, colour = _channels(opened, found, axes, array)
    except (*DAMAGE, zarr.errors.BaseZarrError) as error:
        raise _unreadable(path, error) from error
    if colour:
        axes = axes.replace("c", "s")
    return LazyStack(
        stem_of(path), array, axes, sizes[number], channels, source=f"{_about(array)} level {number}"
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read",
        code="data.file.unreadable",
        got=" ".join(str(error).split())[:200] or type(error).__name__,
        remedy="copy or download it again",
    )


def _about(array: Any) -> str:
    return f"{array.shape} {array.chunks} {array.dtype}"


def _axes_of_array(array: Any) -> str:
    """Axes of an array that belongs to no image: as it names them, else the usual ones."""
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    letters = "".join(str(name)[:1].lower() for name in named or ())
    return letters if len(set(letters)) == array.ndim and {*"yx"} <= {*letters} else usual_axes(array.shape)


def _multiscales(group: Any, path: Path) -> dict[str, Any]:
    attributes = dict(group.attrs)
    about = attributes.get("ome", attributes)
    found = about.get("multiscales") if isinstance(about, dict) else None
    if found and found[0].get("datasets"):
        return dict(found[0])
    inside = sorted(name for name, _ in group.members())
    raise DataError(
        f"{path} is no image",
        code="data.image.format",
        expected="an OME-Zarr image with multiscales, or a Zarr array",
        got=f"a group with {', '.join(inside[:5])}" if inside else "an empty group",
        remedy=f"give what is in it, like {path / inside[0]}" if inside else "give another",
    )


def _axes_of(found: dict[str, Any], count: int) -> str:
    axes = found.get("axes")
    if not axes:  # before version 0.3 they were always these
        return "tczyx"[-count:]
    return "".join(str(a["name"] if isinstance(a, dict) else a).lower()[:1] for a in axes)


def _pixel_size(found: dict[str, Any], dataset: dict[str, Any]) -> PixelSize | None:
    """By the scales of the level and of the image as a whole, where the axes have a length as unit."""
    axes = [a for a in found.get("axes") or () if isinstance(a, dict)]
    by_name = {str(a.get("name", "")).lower(): n for n, a in enumerate(axes)}
    if not {"y", "x"} <= by_name.keys():
        return None
    sides = [1.0] * len(axes)
    for transformation in (
        *(dataset.get("coordinateTransformations") or ()),
        *(found.get("coordinateTransformations") or ()),
    ):
        if transformation.get("type") == "scale" and len(transformation.get("scale", ())) == len(axes):
            sides = [a * float(b) for a, b in zip(sides, transformation["scale"], strict=True)]
    units = [unit_name(str(axes[by_name[name]].get("unit", ""))) for name in "yx"]
    if units[0] is None or units[0] != units[1]:
        return None
    try:
        return PixelSize(sides[by_name["y"]], sides[by_name["x"]], units[0])
    except SettingsError:
        return None


def _channels(group: Any, found: dict[str, Any], axes: str, array: Any) -> tuple[tuple[str, ...], bool]:
    """Names of the channels, and whether they are red, green and blue of one colour."""
    if "c" not in axes:
        return (), False
    about = dict(group.attrs)
    told = (about.get("ome", about).get("omero") or {}).get("channels") or []
    count = array.shape[axes.index("c")]
    if len(told) != count:
        return (), False
    colours = [str(channel.get("color", "")).upper() for channel in told]
    colour = colours == RGB and array.dtype == np.uint8
    return tuple(str(channel.get("label", "")) for channel in told), colour


def choose_level(
    sizes: Sequence[PixelSize | None], level: int | None, target: float | None, name: str
) -> int:
    """Number of the resolution to read; see ``open_lazy``.

    Raises
    ------
    SettingsError
        If there is no such level.
    """
    if level is not None:
        if not 0 <= level < len(sizes):
            raise SettingsError(
                f"{name} has no level {level}",
                code="settings.level.unknown",
                expected=f"0 to {len(sizes) - 1}",
                got=str(level),
            )
        return level
    if target is None:
        return 0
    # A hundredth more than wanted is the rounding of who halved an odd number of pixels.
    fine = [n for n, size in enumerate(sizes) if size is not None and max(size.metres()) <= target * 1.01]
    return max(fine, default=0)


# TIFF


@dataclass(eq=False)
class TiffPixels:
    """The pixels of one series of a TIFF file, at one resolution; opened when they are first asked for.

    Travels to other processes by its path. Strips much wider than high are kept for a while, so that blocks
    side by side do not decode them again and again.

    Attributes
    ----------
    path : pathlib.Path
        Of the file.
    level : int
        Of its resolutions.
    shape, dtype, chunks
        Of the array.
    mapped : int or None
        Where the pixels begin if they lie there as they are in one piece.
    """

    path: Path
    level: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    mapped: int | None = None
    across: tuple[int, int] = (0, 0)  # which axes are y and x

    def __post_init__(self) -> None:
        self._lock = RLock()
        self._array: Any = None
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        if self.mapped is not None:
            # Mapped anew each time: what was read is given back with it, and does not add up.
            array = np.memmap(self.path, self.dtype, "r", self.mapped, self.shape)
            return np.array(array[key])
        y, x = self.across
        with self._lock:
            if self.chunks[x] < WIDE * self.chunks[y] or self.chunks[x] < self.shape[x]:
                return self._opened()[key]
            rows = key[y]
            first = rows.start // self.chunks[y]
            last = -(-rows.stop // self.chunks[y])
            strips = [self._strip(key, number) for number in range(first, last)]
            found = np.concatenate(strips, axis=self._kept_axis(key))
            start = rows.start - first * self.chunks[y]
            inside = {y: slice(start, start + rows.stop - rows.start), x: key[x]}
            kept = [axis for axis, part in enumerate(key) if isinstance(part, slice)]
            return found[tuple(inside.get(axis, slice(None)) for axis in kept)]

    def _kept_axis(self, key: tuple[Any, ...]) -> int:
        """The number of y among the axes that are left."""
        return sum(isinstance(part, slice) for part in key[: self.across[0]])

    def _strip(self, key: tuple[Any, ...], number: int) -> Any:
        y, x = self.across
        rest = tuple(str(part) for axis, part in enumerate(key) if axis not in (y, x))
        name = (number, *rest)
        if name not in self._kept:
            rows = slice(number * self.chunks[y], min((number + 1) * self.chunks[y], self.shape[y]))
            whole = tuple(
                rows if axis == y else slice(0, self.shape[x]) if axis == x else part
                for axis, part in enumerate(key)
            )
            self._kept[name] = np.asarray(self._opened()[whole])
            # The strip just read stays, however large it is.
            while len(self._kept) > 1 and sum(s.nbytes for s in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name]

    def _opened(self) -> Any:
        if self._array is None:
            import zarr

            file = careful_tifffile().TiffFile(self.path)
            weakref.finalize(self, file.close)
            self._array = zarr.open(file.series[0].aszarr(level=self.level), mode="r")
        return self._array


def _open_tiff(path: Path, level: int | None, target: float | None) -> LazyStack:
    tifffile = careful_tifffile()
    try:
        with path.open("rb") as file:
            if kind_of(file.read(HEAD_BYTES)) != "TIFF":
                raise DataError(
                    f"{path} is no TIFF",
                    code="data.image.format",
                    got="another kind of file",
                    remedy="give it its own suffix",
                )
        with tifffile.TiffFile(path) as tiff:
            found = images_of(tiff, path.name)
            series = found.parts[0].series[0]
            if found.left_out or len(found.parts) > 1:
                aside = found.left_out or f"only the first of {len(found.parts)} images is read by region"
                log.warning("%s: %s; save another as a file of its own to read it so", path.name, aside)
            part = found.parts[0]
            axes = current_reading().axes.lower() or _tiff_axes(series)
            if len(axes) != len(series.shape):
                check_axes(axes.upper(), series.shape, path.name)
            finest = read_pixel_size(path)
            sizes = [_at(finest, series.levels[0], one) for one in series.levels]
            number = choose_level(sizes, level, target, path.name)
            chosen = series.levels[number]
            across = axes.index("y"), axes.index("x")
            if chosen.keyframe.photometric == tifffile.PHOTOMETRIC.PALETTE:
                raise DataError(
                    f"the TIFF {path} has a palette",
                    code="data.image.palette",
                    expected="grey or colours",
                    remedy="save it as RGB",
                )
            mapped, dtype = _offset(chosen), np.dtype(chosen.dtype)
            if mapped is not None:  # as it lies in the file, not as it is decoded
                dtype = dtype.newbyteorder(tiff.byteorder)
            _check_piece(chosen, path.stat().st_size)
            shape = tuple(map(int, chosen.shape))
            pixels = TiffPixels(
                path.resolve(), number, shape, dtype, _chunks_of(chosen, axes), mapped, across
            )
            channels = _tiff_channels(part, axes, chosen.shape)
            keyframe = chosen.keyframe
            if part.orientation != 1:
                raise DataError(
                    f"the TIFF {path} is stored turned (orientation {part.orientation})",
                    code="data.image.orientation",
                    expected="an upright image",
                    remedy="save it upright, or leave out --stream if it is small",
                )
            if keyframe.photometric.name in {"SEPARATED", "CIELAB"}:
                raise DataError(
                    f"the TIFF {path} has the colours {keyframe.photometric.name}", code="data.image.colours",
                    expected="grey or RGB",
                    remedy="save it as RGB",
                )  # fmt: skip
            white = keyframe.photometric.name == "MINISWHITE" and not tiff.is_imagej
            nodata, alpha, coloured = nodata_of(keyframe), part.alpha, part.colour
            bits = int(keyframe.bitspersample) if white else 0
            measured = "s" in axes and not coloured
    except DAMAGE as error:
        raise _unreadable(path, error) from error
    source = f"{path.stat().st_size} bytes level {number}"
    stack = LazyStack(
        stem_of(path), pixels, axes, sizes[number], channels, source=source,
        nodata=nodata, white_is_zero=bits, coloured=not measured,
    )  # fmt: skip
    if alpha is not None and "s" in axes:
        count = int(shape[axes.index("s")])
        stack = stack.choose([n for n in range(count) if n != alpha])
    return stack


def _tiff_axes(series: Any) -> str:
    """Tifffile's letters, those that mean nothing to us as axes of slices."""
    letters = []
    for axis in series.axes.lower():
        if (axis in "yxcs" and axis not in letters) or (axis in "tz" and axis not in letters):
            letters.append(axis)
        else:
            letters.append(next(a for a in "tzqabdefgh" if a not in letters and a.upper() not in series.axes))
    if "c" in letters and "s" in letters:
        raise DataError(
            f"the TIFF {series.name} has colours in several channels",
            code="data.image.colours",
            got=series.axes,
        )
    return "".join(letters)


def _offset(series: Any) -> int | None:
    """Where the pixels of a series begin if they are one uncompressed piece."""
    offset = series.dataoffset
    return None if offset is None or len(series.levels) > 1 else int(offset)


def _check_piece(series: Any, stored: int) -> None:
    """Refuse strips and tiles without pixels, or far larger than image or file; raises ValueError."""
    sides = [int(side) for side in series.keyframe.chunks]
    size = math.prod(sides) * np.dtype(series.dtype).itemsize
    page = series.keyframe
    if page.samplesperpixel > MOST_CHANNELS:
        raise ValueError(f"{page.samplesperpixel} channels")
    beyond = size > 2**24 and math.prod(sides) > 64 * page.imagelength * page.imagewidth
    most = min(MAX_DECODED_BYTES, max(PLAUSIBLE_BYTES, MAX_RATIO * stored))
    if min(sides) < 1 or beyond or size > most:
        raise ValueError(f"pieces of {' x '.join(map(str, sides))}")


def _chunks_of(series: Any, axes: str) -> tuple[int, ...]:
    page = series.keyframe
    height, width = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    by_axis = {"y": min(height, page.imagelength), "x": min(width, page.imagewidth)}
    return tuple(int(by_axis.get(axis, 1)) for axis in axes)


def _at(finest: PixelSize | None, first: Any, level: Any) -> PixelSize | None:
    """Size of the pixels of a level, by how much fewer it has."""
    if finest is None:
        return None
    y, x = (first.shape[first.axes.index(axis)] / level.shape[level.axes.index(axis)] for axis in ("Y", "X"))
    return replace(finest, y=finest.y * y, x=finest.x * x)


def _tiff_channels(part: TiffPart, axes: str, shape: Sequence[int]) -> tuple[str, ...]:
    """Names of the channels in OME and ImageJ metadata, where there is one for each."""
    if "c" not in axes:
        return ()
    return part.names(shape[axes.index("c")])


def pixels_of_tiff(path: Path) -> int:
    """Pixels of one image of a TIFF, by its header; 0 for anything that is no such file."""
    import tifffile

    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        return 0
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            return math.prod(n for n, axis in zip(series.shape, series.axes, strict=True) if axis in "YX")
    except DAMAGE:
        return 0
