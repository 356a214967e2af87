"""Measurements of objects: one module for the window, exports, reports and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BAND = 2**22  # pixels that are looked at together, so that a large image needs little memory
ROOM = 2**24  # highest number of an object up to which a table of all numbers is made
BREATH = 256  # objects after which others may have their turn
NEAR = 1e-9  # pixels; a centre this close to the hull lies on it
# In pixels, and of these the ones that have a length or an area in physical units as well.
IN_PIXELS = (
    "area_px", "perimeter_px", "circularity", "feret_diameter_px", "eccentricity", "solidity",
    "centroid_y_px", "centroid_x_px", "top_px", "left_px", "bottom_px", "right_px",
)  # fmt: skip
IN_UNITS = ("area", "perimeter", "feret_diameter", "centroid_y", "centroid_x")
OF_A_CHANNEL = ("mean", "min", "max", "sum")


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """Measurements of the objects of one image.

    Attributes
    ----------
    columns : dict
        Name to (N,) values, N objects by rising number: "object" and "label" (its class, 1..K) are int64,
        all others float64, NaN where a value is not known.
    unit : str
        Of lengths in ``IN_UNITS``; empty where the size of a pixel is not known, and these are missing.
    channels : int
        Of the image whose intensities were measured; 0 without one.
    """

    columns: dict[str, NDArray[np.generic]]
    unit: str = ""
    channels: int = 0

    def __len__(self) -> int:
        return len(self.columns["object"])

    def row_of(self, number: int) -> int:
        """Row of the object with a number; -1 if there is none."""
        numbers = self.columns["object"]
        row = int(np.searchsorted(numbers, number))
        return row if row < len(numbers) and int(numbers[row]) == number else -1


def together(tables: Sequence[ObjectTable]) -> ObjectTable:
    """The objects of several images in one table, with the columns that all of them have."""
    if not tables:
        return measure_objects(np.zeros((0, 0), np.int32), np.zeros((0, 0), np.uint8))
    names = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    units = {table.unit for table in tables}
    if len(units) > 1:
        names = [name for name in names if name not in IN_UNITS]
    columns = {name: np.concatenate([table.columns[name] for table in tables]) for name in names}
    return ObjectTable(columns, units.pop() if len(units) == 1 else "")


def intensity_names(channels: int) -> tuple[str, ...]:
    """Columns of intensities: "intensity_mean" of a single channel, "intensity_mean_1" of several."""
    if channels == 1:
        return tuple(f"intensity_{name}" for name in OF_A_CHANNEL)
    return tuple(f"intensity_{name}_{c}" for c in range(1, channels + 1) for name in OF_A_CHANNEL)


def measure_objects(
    objects: NDArray[np.integer],
    mask: NDArray[np.integer],
    image: NDArray[np.generic] | None = None,
    probabilities: NDArray[np.floating] | None = None,
    spacing: tuple[float, float] | None = None,
    unit: str = "",
    pause: Callable[[], None] = lambda: None,
    height: int = 0,
) -> ObjectTable:
    """Measure every object of an image.

    Everything is read by bands of whole rows. So each of the arrays may be anything that has their shape and
    gives its rows, as long as memory holds a band.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) integers, 0 background, one number an object; objects may touch.
    mask : numpy.ndarray
        (Y, X) integers, the class 1..K of every pixel of an object, the same all over it.
    image : numpy.ndarray, optional
        (Y, X, C), as stored. Values that are no numbers or infinite are left out.
    probabilities : numpy.ndarray, optional
        (Y, X, K) in [0, 1], what the network says of the classes.
    spacing : tuple of float, optional
        Length of the sides of a pixel, (y, x), in `unit`.
    unit : str
        Of the spacing.
    pause : callable
        Is called every now and then, for whoever shares the interpreter.
    height : int
        Rows of a band; 0: as many as make four million pixels.

    Returns
    -------
    ObjectTable
        "confidence" is the mean of the probabilities of the object's class in it. Intensities follow, mean,
        min, max and sum of each channel.

    Notes
    -----
    - ``perimeter`` is that of Crofton in four directions, as ``skimage.measure.perimeter_crofton`` has it,
      with weights of the directions that suit pixels with unequal sides. Pixel by pixel an outline is too
      long by a quarter, through the centres too short by a pixel all round.
    - ``circularity`` is 4 pi area / perimeter ** 2, at most 1, as in ImageJ.
    - ``feret_diameter`` is the largest distance between two corners of its pixels, as in ImageJ.
    - ``eccentricity`` and ``solidity`` are those of ``skimage.measure.regionprops``.
    - Where a pixel's size is known, circularity and eccentricity are those of the physical shape.
    - Centroids count from the centre of the first pixel. A box goes from top and left up to, not including,
      bottom and right.

    References
    ----------
    S. Rigaud, in: Legland et al. 2007, Image Analysis & Stereology 26, 83, doi:10.5566/ias.v26.p83-92
    (the perimeter of Crofton on pixels).
    """
    bands = _bands(objects.shape, height)
    found = _Runs.of(objects, bands)
    if spacing is not None and not unit:
        raise ValueError("a spacing needs its unit")
    sy, sx = spacing or (1.0, 1.0)
    area, centre_y, centre_x, eccentricity = found.moments(sy, sx)
    feret_px, feret, convex = found.hulls(sy, sx, pause)
    crossings = _crossings(objects, found, bands)
    perimeter_px = _crofton(crossings, 1.0, 1.0)
    perimeter = _crofton(crossings, sy, sx) if spacing is not None else perimeter_px
    columns: dict[str, NDArray[np.generic]] = {
        "object": found.numbers.astype(np.int64),
        "label": _at_first_pixels(mask, found, bands),
    }
    sums = _Sums(found, image, probabilities, columns["label"])
    for rows in bands:
        sums.add(objects, image, probabilities, rows)
        pause()
    columns["confidence"] = sums.confidence
    top, bottom, left, right = found.boxes()
    with np.errstate(divide="ignore", invalid="ignore"):
        circularity = np.minimum(1.0, 4 * np.pi * area * sy * sx / perimeter**2)
    in_pixels = (
        area, perimeter_px, circularity, feret_px, eccentricity, area / convex, centre_y, centre_x,
        top, left, bottom, right,
    )  # fmt: skip
    columns |= dict(zip(IN_PIXELS, (np.asarray(v, np.float64) for v in in_pixels), strict=True))
    if spacing is not None:
        in_units = area * sy * sx, perimeter, feret, centre_y * sy, centre_x * sx
        columns |= dict(zip(IN_UNITS, in_units, strict=True))
    columns |= dict(zip(intensity_names(sums.channels), sums.intensities(), strict=True))
    return ObjectTable(columns, unit if spacing is not None else "", sums.channels)


def _at_first_pixels(mask: NDArray[np.integer], found: _Runs, bands: Sequence[slice]) -> NDArray[np.int64]:
    """(N,) int64: what a mask has in a pixel of each object."""
    row, column = found.first_pixels()
    values = np.zeros(len(row), np.int64)
    for rows in bands:
        here = np.flatnonzero((row >= rows.start) & (row < rows.stop))
        if here.size:
            values[here] = np.asarray(mask[rows])[row[here] - rows.start, column[here]]
    return values


def _bands(shape: Sequence[int], height: int = 0) -> list[slice]:
    height = height or max(1, BAND // max(1, shape[1]))
    return [slice(y, min(y + height, shape[0])) for y in range(0, shape[0], height)]


@dataclass(frozen=True, eq=False)
class _Runs:
    """Objects as runs along rows, sorted by object.

    ``numbers`` (N,) of the objects, rising; ``of_object``, ``row``, ``start``, ``end`` (R,) of the runs,
    which end before `end`. ``table`` (highest number + 1,) has the rows of the objects by their numbers, if
    there is room for it.
    """

    numbers: NDArray[np.int64]
    table: NDArray[np.int64] | None
    of_object: NDArray[np.int64]
    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    @classmethod
    def of(cls, objects: NDArray[np.integer], bands: Sequence[slice]) -> _Runs:
        parts = []
        for rows in bands:
            block = np.asarray(objects[rows])
            changes = np.ones((block.shape[0], block.shape[1] + 1), bool)
            changes[:, 1:-1] = block[:, 1:] != block[:, :-1]
            row, start = np.nonzero(changes[:, :-1])
            end = np.nonzero(changes[:, 1:])[1] + 1
            number = block[row, start].astype(np.int64)
            inside = number > 0
            parts.append(np.stack([number, row + rows.start, start, end])[:, inside])
        number, row, start, end = np.concatenate(parts, axis=1) if parts else np.zeros((4, 0), np.int64)
        numbers = np.unique(number)
        table: NDArray[np.int64] | None = None
        highest = int(numbers.max(initial=0))
        if highest <= ROOM:  # else numbers have large gaps, or are identifiers of another program
            table = np.full(highest + 1, -1, np.int64)
            table[numbers] = np.arange(len(numbers))
        order = np.argsort(number, kind="stable")
        owner = np.searchsorted(numbers, number[order])
        return cls(numbers, table, owner, row[order], start[order], end[order])

    def place(self, numbers: NDArray[np.integer]) -> NDArray[np.int64]:
        """Rows of the table of objects with these numbers."""
        return np.searchsorted(self.numbers, numbers) if self.table is None else self.table[numbers]

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Index of the first run of each object, and behind them the number of runs."""
        return np.searchsorted(self.of_object, np.arange(len(self.numbers) + 1))

    def first_pixels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of a pixel of each object."""
        first = self.firsts[:-1]
        return self.row[first], self.start[first]

    def total(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Sum of values of the runs of each object."""
        return np.asarray(np.bincount(self.of_object, values, minlength=len(self.numbers)), np.float64)

    def moments(self, sy: float, sx: float) -> tuple[NDArray[np.float64], ...]:
        """Area, centroid (y, x) in pixels, eccentricity of the shape with this spacing."""
        length = (self.end - self.start).astype(np.float64)
        middle = (self.start + self.end - 1) / 2
        area = self.total(length)
        centre_y, centre_x = self.total(length * self.row) / area, self.total(length * middle) / area
        dy, dx = self.row - centre_y[self.of_object], middle - centre_x[self.of_object]
        yy = self.total(length * dy**2) * sy * sy / area
        xx = self.total(length * (dx**2 + (length**2 - 1) / 12)) * sx * sx / area
        xy = self.total(length * dy * dx) * sy * sx / area
        spread = np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
        long, short = (yy + xx) / 2 + spread, np.maximum((yy + xx) / 2 - spread, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            eccentricity = np.where(long > 0, np.sqrt(np.maximum(1 - short / long, 0)), 0.0)
        return area, centre_y, centre_x, eccentricity

    def boxes(self) -> tuple[NDArray[np.int64], ...]:
        """Top, bottom, left, right; bottom and right are behind the last."""
        if not len(self.numbers):
            return (np.zeros(0, np.int64),) * 4
        first = self.firsts[:-1]
        return (
            np.minimum.reduceat(self.row, first), np.maximum.reduceat(self.row, first) + 1,
            np.minimum.reduceat(self.start, first), np.maximum.reduceat(self.end, first),
        )  # fmt: skip

    def hulls(
        self, sy: float, sx: float, pause: Callable[[], None]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Feret diameter in pixels and in units, and how many pixels the convex hull has."""
        import cv2

        feret_px, feret = np.zeros(len(self.numbers)), np.zeros(len(self.numbers))
        y, x0, x1 = self.row, self.start, self.end
        corners = np.stack([x0, y, x1, y, x0, y + 1, x1, y + 1], axis=1).reshape(-1, 2).astype(np.int32)
        # Of the middles of a pixel's sides, times two: whole numbers.
        last = x1 - 1
        middles = np.stack(
            [2 * x0 - 1, 2 * y, 2 * last + 1, 2 * y, 2 * x0, 2 * y - 1, 2 * x0, 2 * y + 1,
             2 * last, 2 * y - 1, 2 * last, 2 * y + 1], axis=1,
        ).reshape(-1, 2).astype(np.int32)  # fmt: skip
        firsts = self.firsts
        edges: list[NDArray[np.int32]] = []
        for n in range(len(self.numbers)):
            if n % BREATH == BREATH - 1:
                pause()
            a, b = int(firsts[n]), int(firsts[n + 1])
            hull = cv2.convexHull(corners[4 * a : 4 * b])[:, 0].astype(np.float64)
            apart = hull[:, None] - hull
            squares = apart * apart
            feret_px[n] = squares.sum(axis=2).max() ** 0.5
            feret[n] = (squares[..., 0] * sx * sx + squares[..., 1] * sy * sy).max() ** 0.5
            edges.append(cv2.convexHull(middles[6 * a : 6 * b])[:, 0])
        return feret_px, feret, _pixels_in(edges, len(self.numbers))


def _pixels_in(polygons: list[NDArray[np.int32]], count: int) -> NDArray[np.float64]:
    """How many pixel centres lie in or on convex polygons of doubled coordinates (x, y)."""
    if not polygons:
        return np.zeros(0)
    corners = np.concatenate(polygons).astype(np.int64)
    lengths = np.array([len(p) for p in polygons])
    owner = np.repeat(np.arange(count), lengths)
    following = np.arange(1, len(corners) + 1)
    ends = np.cumsum(lengths)
    following[ends - 1] = ends - lengths
    start, stop = corners, corners[following]
    low, high = np.minimum(start[:, 1], stop[:, 1]), np.maximum(start[:, 1], stop[:, 1])
    first, last = -(-low // 2), high // 2  # rows of pixel centres that an edge crosses
    rows = np.where(start[:, 1] == stop[:, 1], 0, np.maximum(last - first + 1, 0))
    edge = np.repeat(np.arange(len(corners)), rows)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    share = (2 * row - start[edge, 1]) / (stop[edge, 1] - start[edge, 1])
    x = (start[edge, 0] + share * (stop[edge, 0] - start[edge, 0])) / 2
    order = np.lexsort((row, owner[edge]))
    owner_of, row, x = owner[edge][order], row[order], x[order]
    new = np.flatnonzero(np.diff(owner_of, prepend=-1) | np.diff(row, prepend=np.iinfo(np.int64).min // 2))
    left, right = np.minimum.reduceat(x, new), np.maximum.reduceat(x, new)
    pixels = np.floor(right + NEAR) - np.ceil(left - NEAR) + 1
    return np.asarray(np.bincount(owner_of[new], pixels, minlength=count), np.float64)


def _crossings(objects: NDArray[np.integer], found: _Runs, bands: Sequence[slice]) -> NDArray[np.float64]:
    """(4, N): how often lines along rows, columns and both diagonals enter each object."""
    result = np.zeros((4, len(found.numbers)))
    if not len(found.numbers):
        return result
    result[0] = np.bincount(found.of_object, minlength=len(found.numbers))
    last: NDArray[np.integer] | None = None  # row of the band before
    for rows in bands:
        block = np.asarray(objects[rows])
        above = np.zeros((block.shape[0], block.shape[1] + 2), block.dtype)
        above[1:, 1:-1] = block[:-1]
        if last is not None:
            above[0, 1:-1] = last
        last = block[-1].copy()
        for direction, shift in enumerate((slice(1, -1), slice(0, -2), slice(2, None)), start=1):
            entered = block[(block != above[:, shift]) & (block > 0)]
            result[direction] += np.bincount(found.place(entered), minlength=len(found.numbers))
    return result


def _crofton(crossings: NDArray[np.float64], sy: float, sx: float) -> NDArray[np.float64]:
    """Perimeter by how often lines enter; each direction counts for the angles that it is nearest to."""
    slant = np.arctan2(sy, sx)
    across = sy * sx / np.hypot(sy, sx)  # from one diagonal to the next
    weights = slant * sy, (np.pi / 2 - slant) * sx, np.pi / 4 * across, np.pi / 4 * across
    return np.asarray(np.asarray(weights) @ crossings)


class _Sums:
    """Intensities and probabilities of objects, added up band by band."""

    def __init__(
        self,
        found: _Runs,
        image: NDArray[np.generic] | None,
        probabilities: NDArray[np.floating] | None,
        labels: NDArray[np.generic],
    ) -> None:
        self.found = found
        self.count = len(found.numbers)
        self.channels = 0 if image is None else image.shape[2]
        self._labels = labels
        shape = self.channels, self.count
        self._pixels, self._sum = np.zeros(shape), np.zeros(shape)
        self._least, self._most = np.full(shape, np.inf), np.full(shape, -np.inf)
        self._sure = np.zeros(self.count)
        self._known = probabilities is not None

    def add(
        self,
        objects: NDArray[np.integer],
        image: NDArray[np.generic] | None,
        probabilities: NDArray[np.floating] | None,
        rows: slice,
    ) -> None:
        if (image is None and probabilities is None) or not self.count:
            return
        block = np.asarray(objects[rows])
        where = np.flatnonzero(block > 0)
        place = self.found.place(block.ravel()[where])
        if probabilities is not None:
            classes = probabilities.shape[-1]
            label = np.minimum(np.asarray(self._labels)[place], classes) - 1
            values = np.asarray(probabilities[rows]).reshape(-1, classes)[where, label]
            self._sure += np.bincount(place, values.astype(np.float64), minlength=self.count)
        if image is None:
            return
        order = np.argsort(place, kind="stable")
        where, place = where[order], place[order]
        pixels = np.asarray(image[rows]).reshape(-1, self.channels)
        for channel in range(self.channels):
            self._add_channel(channel, place, pixels[where, channel].astype(np.float64))

    def _add_channel(self, channel: int, place: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        known = np.isfinite(values)
        if not known.all():
            place, values = place[known], values[known]
        if not len(place):
            return
        self._pixels[channel] += np.bincount(place, minlength=self.count)
        self._sum[channel] += np.bincount(place, values, minlength=self.count)
        first = np.flatnonzero(np.diff(place, prepend=-1))
        these = place[first]
        self._least[channel, these] = np.minimum(
            self._least[channel, these], np.minimum.reduceat(values, first)
        )
        self._most[channel, these] = np.maximum(
            self._most[channel, these], np.maximum.reduceat(values, first)
        )

    @property
    def confidence(self) -> NDArray[np.float64]:
        if not self._known:
            return np.full(self.count, np.nan)
        length = (self.found.end - self.found.start).astype(np.float64)
        return self._sure / self.found.total(length)

    def intensities(self) -> list[NDArray[np.float64]]:
        """Mean, min, max, sum of one channel after another."""
        result = []
        for channel in range(self.channels):
            none = self._pixels[channel] == 0
            mean = self._sum[channel] / np.where(none, 1, self._pixels[channel])
            four = mean, self._least[channel], self._most[channel], self._sum[channel]
            result += [np.where(none, np.nan, values) for values in four]
        return result
