"""The eight ways in which a camera or scanner may have held the picture (EXIF and TIFF tag 274)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ORIENTATION = 0x0112
SIDEWAYS = {5, 6, 7, 8}
FROM_BELOW, FROM_RIGHT = (
    {3, 4, 7, 8},
    {2, 3, 6, 7},
)  # from where rows and columns of the upright picture count
Pixel = TypeVar("Pixel", bound=np.generic)


def upright(pixels: NDArray[Pixel], orientation: int) -> NDArray[Pixel]:
    """Turn (Y, X, C) as it is stored to what viewers show.

    Parameters
    ----------
    pixels : numpy.ndarray
        (Y, X, C).
    orientation : int
        1 to 8, as EXIF counts; any other value counts as 1.
    """
    if orientation == 2:
        return pixels[:, ::-1]
    if orientation == 3:
        return pixels[::-1, ::-1]
    if orientation == 4:
        return pixels[::-1]
    if orientation == 5:
        return pixels.swapaxes(0, 1)
    if orientation == 6:
        return pixels[::-1].swapaxes(0, 1)
    if orientation == 7:
        return pixels[::-1, ::-1].swapaxes(0, 1)
    if orientation == 8:
        return pixels[:, ::-1].swapaxes(0, 1)
    return pixels


def upright_shape(height: int, width: int, orientation: int) -> tuple[int, int]:
    """(Y, X) of what ``upright`` gives."""
    return (width, height) if orientation in SIDEWAYS else (height, width)


def stored_region(
    rows: slice, columns: slice, shape: tuple[int, int], orientation: int
) -> tuple[slice, slice]:
    """Where a region of the upright picture lies in what is stored: ``upright`` of it is that region.

    Parameters
    ----------
    rows, columns : slice
        With start and stop, step 1.
    shape : tuple of int
        (Y, X) of the upright picture.
    orientation : int
        As of ``upright``.
    """
    if orientation in FROM_BELOW:
        rows = slice(shape[0] - rows.stop, shape[0] - rows.start)
    if orientation in FROM_RIGHT:
        columns = slice(shape[1] - columns.stop, shape[1] - columns.start)
    return (columns, rows) if orientation in SIDEWAYS else (rows, columns)


def orientation_in(value: object) -> int:
    """1 to 8 for whatever a file holds; 1 where it is none of them."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
