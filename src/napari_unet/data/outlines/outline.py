"""One outlined object: polygons, run lengths or a small picture, as a file of any program has it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FEWEST_CORNERS = 3
SMALLEST_TURN = 64  # corners of a polygon that stands for an ellipse
MOST_CORNERS = 4096
OFF_BY = 0.02  # pixels by which such a polygon may differ from the ellipse


@dataclass(frozen=True, eq=False)
class Polygon:
    """One piece of an object, with its holes.

    Attributes
    ----------
    rings : tuple of numpy.ndarray
        (N, 2) float64 each, x before y, in pixels from the upper left corner of the image's first pixel.
        The first is the outer edge, the others are holes.
    parity : bool
        Whether they are loops in any order instead, as ImageJ has them: what an odd number of them encloses.
    """

    rings: tuple[NDArray[np.float64], ...]
    parity: bool = False


@dataclass(frozen=True, eq=False)
class Runs:
    """Run lengths of COCO: background and object by turns, down the columns of the whole image.

    Attributes
    ----------
    size : (int, int)
        (Y, X) of the image that they were made for.
    counts : numpy.ndarray
        (N,) int64, at least 0.
    """

    size: tuple[int, int]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Box:
    """A place of the image.

    Attributes
    ----------
    top, left, height, width : int
        In pixels.
    """

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class BoxRuns:
    """Run lengths of CVAT: background and object by turns, along the rows of a box.

    Attributes
    ----------
    box : Box
        The place; background follows the last run.
    counts : numpy.ndarray
        (N,) int64, at least 0.
    """

    box: Box
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Picture:
    """A small picture of a mask, as labelme has it; it is decoded when it is filled.

    Attributes
    ----------
    box : Box
        The place, as large as the picture.
    data : bytes
        Of the picture's file.
    """

    box: Box
    data: bytes


Piece = Polygon | Runs | BoxRuns | Picture


@dataclass(frozen=True, eq=False)
class DrawnOutline:
    """What somebody outlined.

    Attributes
    ----------
    label : str
        Name of its class; "" where it has none.
    pieces : tuple of Polygon, Runs, BoxRuns or Picture
        The object is all of them together.
    number : int
        Its place in the file, from 1: how errors name it.
    page : int
        Page of a stack that it lies on, from 1; 0 where it is on all pages, or the file does not say.
    only_box : bool
        Whether the file has its box alone: where the object lies in the box is not known.
    """

    label: str
    pieces: tuple[Piece, ...]
    number: int
    page: int = 0
    only_box: bool = False


@dataclass(frozen=True, eq=False)
class OutlinedImage:
    """All outlines that one file has of one image.

    Attributes
    ----------
    file : str
        Name of the file of outlines.
    names : tuple of str
        What the file calls the image, the most certain first; empty where it does not say.
    outlines : tuple of DrawnOutline
        In the order of the file.
    size : (int, int) or None
        (Y, X) of the image, as the file says.
    not_areas : mapping
        Number of marks that outline nothing (points, lines), by kind.
    crowds : int
        Number of outlines that the file says stand for several objects.
    classes : tuple of str
        The classes in the order of their numbers, where the file says; else empty.
    error : DataError or None
        Why its outlines cannot be used.
    """

    file: str
    names: tuple[str, ...] = ()
    outlines: tuple[DrawnOutline, ...] = ()
    size: tuple[int, int] | None = None
    not_areas: Mapping[str, int] = field(default_factory=dict)
    crowds: int = 0
    classes: tuple[str, ...] = ()
    error: DataError | None = None


def ring(points: Sequence[object] | NDArray[np.generic], what: str) -> NDArray[np.float64]:
    """Corners as an array.

    Parameters
    ----------
    points : sequence
        (N, 2) or flat x, y, x, y, ...
    what : str
        For the error: "outline 3 of a.json".

    Raises
    ------
    DataError
        If they are no finite numbers, or fewer than three corners.
    """
    try:
        corners = np.asarray(points, np.float64)
        corners = corners.reshape(-1, 2) if corners.ndim == 1 else corners[:, :2]
        if corners.shape != (len(corners), 2):
            raise ValueError(f"lists within one another, of shape {corners.shape}")
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise malformed(what, "pairs of numbers x, y", str(error)[:100]) from error
    if not np.isfinite(corners).all():
        raise DataError(
            f"{what} has a corner that is no place",
            code="data.outlines.number",
            expected="finite numbers",
            got="NaN or infinity",
            remedy="draw it again, or remove it from the file",
        )
    if len(corners) < FEWEST_CORNERS:
        raise malformed(what, "three corners or more", f"{len(corners)}")
    return corners


def malformed(what: str, expected: str, got: str) -> DataError:
    """The error for an outline that is not of the form it should be."""
    return DataError(
        f"{what} is no outline",
        code="data.outlines.malformed",
        expected=expected,
        got=got,
        remedy="draw it again, or remove it from the file",
    )


def box_ring(left: float, top: float, right: float, bottom: float, what: str) -> NDArray[np.float64]:
    """The corners of a rectangle; errors as ``ring``."""
    return ring([left, top, right, top, right, bottom, left, bottom], what)


def ellipse_ring(
    x: float, y: float, across: float, down: float, what: str, turned: float = 0.0
) -> NDArray[np.float64]:
    """Corners of a polygon that is an ellipse to within a fiftieth of a pixel.

    Parameters
    ----------
    x, y : float
        Its centre.
    across, down : float
        Half axes, in pixels, at least 0.
    what : str
        For errors, see ``ring``.
    turned : float
        Degrees, clockwise as seen on the screen.
    """
    longest = max(abs(across), abs(down))
    if not math.isfinite(longest):
        return ring([math.nan] * 6, what)
    count = min(MOST_CORNERS, max(SMALLEST_TURN, math.ceil(math.pi * math.sqrt(longest / (2 * OFF_BY)))))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    points = np.stack([across * np.cos(angles), down * np.sin(angles)], axis=1)
    return ring(turn(points, turned) + np.array([x, y]), what)


def turn(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """(N, 2) points turned about the origin, clockwise as seen on the screen."""
    angle = math.radians(degrees)
    sine, cosine = math.sin(angle), math.cos(angle)
    return np.asarray(points @ np.array([[cosine, sine], [-sine, cosine]]))
