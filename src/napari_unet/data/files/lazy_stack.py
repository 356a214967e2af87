"""Images that are never held whole: a stack of them, of which any region can be read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_unet.data.files.decoders.nodata import as_nan
from napari_unet.data.files.decoders.orientation import SIDEWAYS, stored_region, upright, upright_shape
from napari_unet.data.files.reading import channel_numbers
from napari_unet.data.files.stack_axes import mirrored
from napari_unet.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.files.decoders.tiff_colours import StoredColours
    from napari_unet.data.files.pixel_size import PixelSize

Index = tuple[int, ...]
LOOKED_AT = 8  # patches along each axis that an image is known again by
PATCH = 64  # pixels, their sides
PART_SIDE = 2**11  # pixels; about what is read at once by who needs every pixel once
USUAL_PIECE = (512, 512)
DIGEST = 16  # bytes
# What zarr, tifffile and their codecs raise on damaged pixels, and on metadata that no array can have.
DAMAGED_PIXELS = (
    OSError, ValueError, RuntimeError, IndexError, KeyError, EOFError, TypeError, AttributeError, SystemError,
    ArithmeticError, MemoryError,
)  # fmt: skip


class Pixels(Protocol):
    """An array on disk or elsewhere: shape, type, and any part of it."""

    shape: tuple[int, ...]
    dtype: Any

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        """Read a part."""
        ...


@dataclass(frozen=True, eq=False)
class LazyStack:
    """One image or many of one size, read by region.

    Attributes
    ----------
    name : str
        What the result is called after.
    pixels : Pixels
        The array: zarr, dask, NumPy or anything that is indexed like them; (..., Y, X) in any order of axes.
    axes : str
        A letter for each axis: y, x, c for channels, s for the samples of a colour; any other is an axis of
        slices (t, z). Each at most once, y and x there.
    pixel_size : PixelSize or None
        Where it is known.
    channels : tuple of str
        Names of the channels; empty where there are none, or they have no names.
    chosen : tuple of int or None
        Channels that are read, in this order; None: all.
    source : str
        More of what it is known again by, such as the size of its file.
    nodata : float or None
        The value of pixels without data.
    coloured : bool
        Whether samples of a pixel are red, green and blue.
    stored : StoredColours or None
        What turns stored values into those that viewers show; None: they are the same.
    orientation : int
        How the stored picture is turned to be upright, 1 to 8; see ``upright``.
    slice_distance : float or None
        From one slice along z to the next, in the unit of `pixel_size`; None where it is not known.
    seen : int
        Slices that are read as channels, an odd number: each image with its neighbours along z.
    """

    name: str
    pixels: Pixels
    axes: str
    pixel_size: PixelSize | None = None
    channels: tuple[str, ...] = ()
    chosen: tuple[int, ...] | None = None
    source: str = ""
    nodata: float | None = None
    coloured: bool = True
    stored: StoredColours | None = None
    orientation: int = 1
    slice_distance: float | None = None
    seen: int = 1

    def __post_init__(self) -> None:
        shape = tuple(self.pixels.shape)
        if len(self.axes) != len(shape) or len(set(self.axes)) != len(shape) or not {*"yx"} <= {*self.axes}:
            raise DataError(
                f"the axes of {self.name} are not clear",
                code="data.image.axes",
                expected="one letter for each, y and x among them",
                got=f"{self.axes!r} for {len(shape)} axes",
            )
        if {*"cs"} <= {*self.axes}:
            raise DataError(
                f"{self.name} has channels as well as colours",
                code="data.image.axes",
                expected="either",
                got=self.axes,
            )
        if np.dtype(self.pixels.dtype).kind not in "buif":
            raise DataError(
                f"{self.name} cannot be segmented",
                code="data.image.numbers",
                expected="real numbers",
                got=f"{self.pixels.dtype}",
            )
        if 0 in shape:
            raise DataError(
                f"{self.name} is empty",
                code="data.image.empty",
                expected="pixels",
                got=" x ".join(map(str, shape)),
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values as they are shown."""
        if self.stored is not None:
            return self.stored.shown_dtype
        native: np.dtype[Any] = np.dtype(self.pixels.dtype).newbyteorder("=")
        return native

    @property
    def may_lack_data(self) -> bool:
        """Whether pixels may hold none: NaN, or the value that stands for no data."""
        return self.dtype.kind == "f" or self.nodata is not None

    def _size(self, axis: str) -> int:
        return int(self.pixels.shape[self.axes.index(axis)]) if axis in self.axes else 1

    @property
    def colour(self) -> bool:
        """Whether the channels are those of a colour, which can be made grey, or of a grey image."""
        return self.shape[2] in (1, 3) and ("c" not in self.axes or self._size("c") == 1) and self.coloured

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(Y, X, C) of one image, of the channels that are read, those of its neighbours included."""
        channels = self._channel_count if self.chosen is None else len(self.chosen)
        return *upright_shape(self._size("y"), self._size("x"), self.orientation), channels * self.seen

    @property
    def is_plain(self) -> bool:
        """Whether values are read as they are stored, so that many slices can be read at once."""
        return self.stored is None and self.orientation == 1 and self.nodata is None

    @property
    def _channel_count(self) -> int:
        """Of all channels, as they are shown."""
        return self._size("c") * self._size("s") if self.stored is None else self.stored.shown_channels

    @cached_property
    def leading(self) -> tuple[tuple[str, int], ...]:
        """Name and size of each axis of slices, in the order in which they are stored."""
        return tuple((a, self._size(a)) for a in self.axes if a not in "yxcs")

    @property
    def indices(self) -> list[Index]:
        """Index of every image over the axes of slices; one empty index where there are none."""
        return list(np.ndindex(*(size for _, size in self.leading)))

    @property
    def megapixels(self) -> float:
        """Of all images together."""
        return len(self.indices) * self.shape[0] * self.shape[1] / 1e6

    def read(self, index: tuple[int | slice, ...], rows: slice, columns: slice) -> NDArray[np.generic]:
        """Read a part of an image.

        Parameters
        ----------
        index : tuple of int
            Over the axes of slices. Of a plain stack, a slice in place of a number reads several at once.
        rows, columns : slice
            Within the image; step 1.

        Returns
        -------
        numpy.ndarray
            (Y, X, C), upright and as viewers show it; (Z, Y, X, C) of several.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        if self.seen > 1:
            return self._with_neighbours(index, rows, columns)
        rows, columns = stored_region(rows, columns, self.shape[:2], self.orientation)
        by_axis: dict[str, Any] = dict(zip((a for a, _ in self.leading), index, strict=True))
        by_axis |= {"y": rows, "x": columns}
        along = self._channel_axis
        # A range is read as a range: not every array takes lists.
        by_axis[along] = slice(None)
        # Shown channels may come from several stored ones.
        ranged = self.stored is None and self.chosen is not None and bool(along)
        if ranged and self.chosen is not None:
            by_axis[along] = slice(min(self.chosen), max(self.chosen) + 1)
        several = [a for (a, _), one in zip(self.leading, index, strict=True) if isinstance(one, slice)]
        axes = [a for a in self.axes if a in {"y", "x", along, *several}]
        try:
            values = np.asarray(self.pixels[tuple(by_axis[a] for a in self.axes)])
            values = np.transpose(values, [axes.index(a) for a in (*several, "y", "x", *along)])
            values = values if along else values[..., None]
            values = values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))
            if self.stored is not None:
                values = self.stored.shown(values)
        except DAMAGED_PIXELS as error:
            where = f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"
            raise DataError(
                f"{self.name} cannot be read at {where}",
                code="data.image.unreadable",
                reason=" ".join(str(error).split())[:200] or type(error).__name__,
                remedy="copy or download it again",
            ) from error
        if self.chosen is not None:
            first = min(self.chosen) if ranged else 0
            values = values[..., [number - first for number in self.chosen]]
        if several:
            return values
        values = upright(values, self.orientation)
        # Every part in one type, whether it has pixels without data or not.
        return as_nan(values, self.nodata)

    def _with_neighbours(
        self, index: tuple[int | slice, ...], rows: slice, columns: slice
    ) -> NDArray[np.generic]:
        """A part of a slice and of those before and behind it, mirrored at the ends of the volume."""
        alone = replace(self, seen=1)
        names = [axis for axis, _ in self.leading]
        if "z" not in names:
            return np.concatenate([alone.read(index, rows, columns)] * self.seen, axis=2)
        at, (_, deep) = names.index("z"), self.leading[names.index("z")]
        place = index[at]
        assert isinstance(place, int)
        reach = self.seen // 2
        row = range(max(place - reach, 0), min(place + reach + 1, deep))
        read = [alone.read((*index[:at], z, *index[at + 1 :]), rows, columns) for z in row]
        places = mirrored(place - row.start, reach, len(row))
        return np.concatenate([read[n] for n in places], axis=2)

    def with_neighbours(self, slices: int) -> LazyStack:
        """The same, each image with its neighbours along z as channels."""
        return replace(self, seen=slices)

    @property
    def _channel_axis(self) -> str:
        return next((a for a in self.axes if a in "cs"), "")

    @cached_property
    def piece(self) -> tuple[int, int]:
        """(Y, X) of what the source reads at once, as far as it tells; parts of such pieces cost as much."""
        chunks = getattr(self.pixels, "chunks", None)
        if chunks is None:
            return USUAL_PIECE
        sizes = [max(c) if isinstance(c, tuple | list) else int(c) for c in chunks]
        height, width = sizes[self.axes.index("y")], sizes[self.axes.index("x")]
        return (width, height) if self.orientation in SIDEWAYS else (height, width)

    def parts(self, index: Index) -> Iterator[tuple[slice, slice, NDArray[np.generic]]]:
        """Every pixel of an image once: rows, columns and (Y', X', C), always in the same parts and order."""
        height, width, _ = self.shape
        across = min(width, _multiple(self.piece[1], PART_SIDE))
        down = min(height, _multiple(self.piece[0], max(1, PART_SIDE**2 // across)))
        for top in range(0, height, down):
            for left in range(0, width, across):
                rows, columns = slice(top, min(top + down, height)), slice(left, min(left + across, width))
                yield rows, columns, self.read(index, rows, columns)

    def choose(self, wanted: Sequence[str | int]) -> LazyStack:
        """The same with some of its channels, in this order.

        Parameters
        ----------
        wanted : sequence
            Names, or numbers from 0; a name that is none of the channels' may be a number as well.

        Raises
        ------
        SettingsError
            If there is no such channel.
        """
        numbers = channel_numbers(wanted, self.channels, self._channel_count, self.name)
        return replace(self, chosen=tuple(numbers))

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that tell these images from others.

        Made of shape, type, axes, the size of the file, and the pixels of 64 patches. The patches are spread
        over the first, the middle and the last image: reading all pixels would take too long.
        """
        digest = hashlib.blake2b(digest_size=DIGEST)
        digest.update(f"{self.shape} {self.leading} {self.dtype.str} {self.chosen} {self.source}".encode())
        if self.nodata is not None or self.stored is not None or self.orientation != 1:
            shown = "" if self.stored is None else f"{self.stored.kind} {self.stored.bits}"
            digest.update(f"{self.nodata} {shown} {self.orientation}".encode())
        if self.seen > 1:
            return replace(self, seen=1).fingerprint  # the image is the same
        indices = self.indices
        for index in sorted({indices[0], indices[len(indices) // 2], indices[-1]}):
            for top in _spread(self.shape[0]):
                for left in _spread(self.shape[1]):
                    patch = self.read(index, _patch(top, self.shape[0]), _patch(left, self.shape[1]))
                    digest.update(np.ascontiguousarray(patch).tobytes())
        return digest.hexdigest()


def in_order_of(wanted: Sequence[str], stack: LazyStack) -> LazyStack:
    """The channels with these names in this order, where the stack has one of each; else the stack itself."""
    if not wanted or not stack.channels:
        return stack
    numbers = tuple(range(len(stack.channels))) if stack.chosen is None else stack.chosen
    names = [stack.channels[n] for n in numbers]
    if names == list(wanted) or any(names.count(one) != 1 for one in wanted):
        return stack
    return replace(stack, chosen=tuple(numbers[names.index(one)] for one in wanted))


def _multiple(piece: int, wanted: int) -> int:
    """The largest multiple of a piece that is not above what is wanted; the piece itself if it is larger."""
    return max(1, wanted // piece) * piece


def _spread(size: int) -> list[int]:
    return sorted({int(x) for x in np.linspace(0, max(size - PATCH, 0), LOOKED_AT)})


def _patch(start: int, size: int) -> slice:
    return slice(start, min(start + PATCH, size))


def usual_axes(shape: Sequence[int]) -> str:
    """Axes of an array that tells nothing of them: 3 or 4 at the end are colours, before y and x are t, z.

    Raises
    ------
    DataError
        If there are fewer than two axes, or more than that explains.
    """
    count = len(shape)
    colours = "s" if count > 2 and shape[-1] in (3, 4) and shape[-3] > 4 else ""
    before = count - 2 - len(colours)
    if not 0 <= before <= 2:
        raise DataError(
            "the axes of an array are not clear",
            code="data.image.axes",
            expected="(Y, X), (Y, X, 3), (Z, Y, X) or (T, Z, Y, X)",
            got=" x ".join(map(str, shape)),
            remedy="say what they are, like tczyx",
        )
    return "tz"[2 - before :] + "yx" + colours


def lazy_stack(
    pixels: Pixels,
    name: str = "image",
    axes: str = "",
    *,
    pixel_size: PixelSize | None = None,
    channels: Sequence[str] = (),
) -> LazyStack:
    """Make images of an array: dask, zarr, NumPy, or anything that is indexed like them.

    Parameters
    ----------
    pixels : array
        Any part of it must be there for the asking; it is never read whole.
    name : str
        What the result is called after.
    axes : str, optional
        Like "tczyx" or "yxs"; see ``usual_axes`` for what is taken without it.
    pixel_size : PixelSize, optional
        Where it is known.
    channels : sequence of str, optional
        Names along the axis c.

    Returns
    -------
    LazyStack
        Nothing was read.

    Raises
    ------
    DataError
        If axes and array do not fit, or the numbers are complex or none at all.
    """
    return LazyStack(
        name, pixels, axes.lower() or usual_axes(pixels.shape), pixel_size, tuple(map(str, channels))
    )


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
