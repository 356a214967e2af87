"""TIFF files read by tile or strip: one lazy stack for each image series in a file."""

from __future__ import annotations

import logging
import math
import weakref
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.file_names import stem_of
from napari_unet.data.files.decoders.bounds import MAX_DECODED_BYTES, MAX_RATIO, PLAUSIBLE_BYTES
from napari_unet.data.files.decoders.damage import DAMAGE
from napari_unet.data.files.decoders.image_kinds import HEAD_BYTES, TIFF_SUFFIXES, kind_of
from napari_unet.data.files.decoders.orientation import SIDEWAYS
from napari_unet.data.files.decoders.tiff_images import TiffImages, opened_tiff
from napari_unet.data.files.decoders.tiff_part import TiffPart, check_alone, nodata_of
from napari_unet.data.files.lazy_stack import LazyStack, choose_level
from napari_unet.data.files.pages import page_id
from napari_unet.data.files.pixel_size import METRES, PixelSize, read_pixel_size
from napari_unet.data.files.reading import current_reading
from napari_unet.data.files.unreadable import damaged_file
from napari_unet.data.lzw import careful_tifffile
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)
MOST_CHANNELS = 1024  # that a network takes
WIDE = 4  # strips this much wider than high are read whole and cached: neighbouring blocks share them
KEPT_BYTES = 2**27  # of such strips


@dataclass(eq=False)
class TiffPixels:
    """The pixels of a part of a TIFF file, at one resolution; opened when they are first asked for.

    Travels to other processes by its path. Strips much wider than high stay in memory for a while, so that
    blocks side by side do not decode them again and again.

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
    across : tuple of int
        Which axes are y and x.
    series : tuple of int
        Numbers of the series; several of one shape lie along the first axis.
    """

    path: Path
    level: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    mapped: int | None = None
    across: tuple[int, int] = (0, 0)
    series: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        self._lock = RLock()
        self._array: Any = None
        self._cache: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        if self.mapped is not None:
            # Mapped again each time: what was read is given back with it, and does not add up.
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
            sliced = [axis for axis, part in enumerate(key) if isinstance(part, slice)]
            return found[tuple(inside.get(axis, slice(None)) for axis in sliced)]

    def _kept_axis(self, key: tuple[Any, ...]) -> int:
        """The number of y among the axes that are left."""
        return sum(isinstance(part, slice) for part in key[: self.across[0]])

    def _strip(self, key: tuple[Any, ...], number: int) -> Any:
        y, x = self.across
        rest = tuple(str(part) for axis, part in enumerate(key) if axis not in (y, x))
        name = (number, *rest)
        if name not in self._cache:
            rows = slice(number * self.chunks[y], min((number + 1) * self.chunks[y], self.shape[y]))
            whole = tuple(
                rows if axis == y else slice(0, self.shape[x]) if axis == x else part
                for axis, part in enumerate(key)
            )
            self._cache[name] = np.asarray(self._opened()[whole])
            # The strip just read stays, however large it is.
            while len(self._cache) > 1 and sum(s.nbytes for s in self._cache.values()) > KEPT_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(name)
        return self._cache[name]

    def _opened(self) -> Any:
        if self._array is None:
            import zarr

            file = careful_tifffile().TiffFile(self.path)
            weakref.finalize(self, file.close)
            arrays = [zarr.open(file.series[n].aszarr(level=self.level), mode="r") for n in self.series]
            self._array = arrays[0] if len(arrays) == 1 else _Joined(arrays)
        return self._array


class _Joined:
    """Arrays of one shape along a first axis of their own."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = arrays

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        first, *rest = key
        if isinstance(first, slice):
            return np.stack([array[tuple(rest)] for array in self.arrays[first]])
        return self.arrays[first][tuple(rest)]


def open_tiff_stacks(path: Path, level: int | None, target: float | None) -> list[LazyStack]:
    """The images of a TIFF, nothing of them read: those of each series are a stack of their own.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    level, target
        As of ``open_lazy``.

    Returns
    -------
    list of LazyStack
        The one series of most files is named after the file, several STEM_000, STEM_001, ...

    Raises
    ------
    DataError
        If it is no TIFF, or damaged.
    SettingsError
        If there is no such level.
    """
    try:
        with path.open("rb") as file:
            if kind_of(file.read(HEAD_BYTES)) != "TIFF":
                raise DataError(
                    f"{path} is no TIFF",
                    code="data.image.format",
                    got="another kind of file",
                    remedy="give it its own suffix",
                )
        # By its path: an OME-TIFF may refer to other files in its folder.
        with opened_tiff(path, path.name, current_reading()) as found:
            if note := found.note(path.name):
                log.warning("%s", note)
            finest = read_pixel_size(path)
            every = list(found.parts[0].keyframe.parent.series)
            return [
                _stack_of(part, path, stem_of_part(path, n, len(found.parts)), every, level, target, finest)
                for n, part in enumerate(found.parts)
            ]
    except DAMAGE as error:
        raise damaged_file(path, error) from error


def stem_of_part(path: Path, number: int, count: int) -> str:
    """What a part of a file is called: the file's stem, with a number where there are several."""
    return stem_of(path) if count == 1 else page_id(stem_of(path), number)


def _stack_of(
    part: TiffPart,
    path: Path,
    stem: str,
    every: list[Any],
    level: int | None,
    target: float | None,
    finest: PixelSize | None,
) -> LazyStack:
    series = part.series[0]
    axes = _axes_of(part, path)
    sizes = [_at(finest, series.levels[0], one) for one in series.levels]
    number = choose_level(sizes, level, target, path.name)
    chosen = series.levels[number]
    shape = tuple(map(int, chosen.shape))
    if len(part.series) > 1:
        shape = (len(part.series), *shape)
    _check_piece(chosen, path.stat().st_size)
    if any(page is None for page in chosen.pages):
        check_alone(chosen.keyframe.parent)
    mapped, dtype = _offset(chosen) if len(part.series) == 1 else None, np.dtype(chosen.dtype)
    if mapped is not None:  # as it lies in the file, not as it is decoded
        dtype = dtype.newbyteorder(chosen.keyframe.parent.byteorder)
    numbers = tuple(next(n for n, other in enumerate(every) if other is one) for one in part.series)
    pixels = TiffPixels(
        path.resolve(), number, shape, dtype, _chunks_of(chosen, axes), mapped,
        (axes.index("y"), axes.index("x")), numbers,
    )  # fmt: skip
    stored = part.stored_colours
    size = sizes[number]
    if size is not None and part.orientation in SIDEWAYS:
        size = replace(size, y=size.x, x=size.y)
    source = f"{path.stat().st_size} bytes level {number}"
    stack = LazyStack(
        stem, pixels, axes, size, part.names(part.channels) if "c" in axes else (),
        source=f"{source} series {numbers}" if numbers != (0,) else source,
        nodata=nodata_of(chosen.keyframe), coloured="s" not in axes or part.colour,
        stored=stored if stored.kind else None, orientation=part.orientation,
        slice_distance=_slice_distance(path, size) if "z" in axes else None,
    )  # fmt: skip
    if stored.shown_alpha is not None and "s" in axes:
        stack = stack.choose([n for n in range(stored.shown_channels) if n != stored.shown_alpha])
    return stack


def _slice_distance(path: Path, pixel: PixelSize | None) -> float | None:
    """From one slice to the next, in the unit of the pixels; None if the file does not say it."""
    from napari_unet.data.volumes.voxel_size import read_voxel_size

    voxel = None if pixel is None else read_voxel_size(path)
    return None if voxel is None or pixel is None else voxel.z * METRES[voxel.pixel.unit] / METRES[pixel.unit]


def _axes_of(part: TiffPart, path: Path) -> str:
    """The letters of a part, those that mean nothing to us as axes of slices."""
    letters: list[str] = []
    for axis in part.axes.lower():
        if axis in "yxcstz" and axis not in letters:
            letters.append(axis)
        else:
            free = (a for a in "tzqabdefgh" if a not in letters and a.upper() not in part.axes)
            letters.append(next(free))
    if "c" in letters and "s" in letters:
        raise DataError(
            f"the TIFF {path} has colours in several channels, which are not read by region",
            code="data.image.colours",
            got=part.axes,
            remedy="leave out --stream, or save each channel as a file of its own",
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


def pixels_of_tiff(path: Path) -> int:
    """Pixels of the largest image in a TIFF, by its header; 0 for anything that is no such file."""
    found = _looked_into(path)
    return 0 if found is None else max(part.size("Y") * part.size("X") for part in found.parts)


def count_tiff_stacks(path: Path) -> int:
    """How many stacks ``open_tiff_stacks`` gives, by the header; 1 for anything that is no such file."""
    found = _looked_into(path)
    return 1 if found is None else len(found.parts)


def _looked_into(path: Path) -> TiffImages | None:
    """What a TIFF holds; its file is closed. None for what cannot be read: opening it says what is wrong."""
    try:
        if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
            return None
        with opened_tiff(path, path.name, current_reading()) as found:
            return found
    except (*DAMAGE, DataError):
        return None
