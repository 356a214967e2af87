"""Edits that save strokes: fill, drop, smooth, grow and shrink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.postprocess import fill_enclosed, remove_small

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORE = 255  # no class: left as it is


def fill_holes(mask: NDArray[np.uint8], point: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Give background that objects enclose to their class.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
    point : tuple of int, optional
        Row and column of one object, whose holes alone are filled.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8. Holes with another class or ignored pixels in them are filled around those.
    """
    if point is None:
        filled = fill_enclosed(np.where(mask == IGNORE, 0, mask).astype(np.uint8))
        return np.where(mask == IGNORE, mask, filled).astype(np.uint8)
    from scipy import ndimage

    piece = object_at(mask, point)
    if piece is None:
        return mask.copy()
    hole = ndimage.binary_fill_holes(piece) & (mask == 0)
    return np.where(hole, mask[point], mask).astype(np.uint8)


def drop_small(mask: NDArray[np.uint8], minimum_size: int) -> NDArray[np.uint8]:
    """Turn objects with fewer pixels into background.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
    minimum_size : int
        In pixels; objects hang together over edges and corners.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8.
    """
    cleaned = remove_small(np.where(mask == IGNORE, 0, mask).astype(np.uint8), minimum_size)
    return np.where(mask == IGNORE, mask, cleaned).astype(np.uint8)


def smooth(mask: NDArray[np.uint8], radius: int = 1) -> NDArray[np.uint8]:
    """Give each pixel the class that most pixels around it have.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
    radius : int
        The square around a pixel has 2 radius + 1 pixels a side, at least 1; beyond the border the
        mask is mirrored.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8. Of equally many, the class that the pixel has stays, else the lowest is taken.
    """
    import cv2

    if radius < 1:
        raise ValueError(f"a radius of at least 1, not {radius}")
    side = 2 * radius + 1
    best = np.zeros(mask.shape, np.float32)
    result = mask.copy()
    for label in np.unique(mask[mask != IGNORE]):
        votes = cv2.boxFilter(
            (mask == label).astype(np.float32),
            -1,
            (side, side),
            normalize=False,
            borderType=cv2.BORDER_REFLECT,
        )
        votes = np.round(votes) + np.where(mask == label, np.float32(0.5), np.float32(0))
        wins = (votes > best) & (mask != IGNORE)
        result[wins] = label
        best = np.maximum(best, votes)
    return result


def grow(mask: NDArray[np.uint8], point: tuple[int, int], pixels: int = 1) -> NDArray[np.uint8]:
    """Make the object under a point larger, over background alone.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
    point : tuple of int
        Row and column; on background nothing happens.
    pixels : int
        How far, in the distance from pixel centre to pixel centre.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8. Other objects keep their pixels, and may be touched.
    """
    piece = object_at(mask, point)
    if piece is None:
        return mask.copy()
    near = _distance(~piece) <= pixels
    return np.where(near & (mask == 0), mask[point], mask).astype(np.uint8)


def shrink(mask: NDArray[np.uint8], point: tuple[int, int], pixels: int = 1) -> NDArray[np.uint8]:
    """Make the object under a point smaller; one that is thinner than that disappears.

    Parameters are those of ``grow``, and so is the result; the image's border does not gnaw at the object.
    """
    piece = object_at(mask, point)
    if piece is None:
        return mask.copy()
    rim = piece & (_distance(piece) <= pixels)
    return np.where(rim, 0, mask).astype(np.uint8)


def object_at(mask: NDArray[np.uint8], point: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The connected piece (over edges and corners) of a class under a point.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K classes, 255 ignore.
    point : tuple of int
        Row and column.

    Returns
    -------
    numpy.ndarray or None
        (Y, X) bool; None on background, on ignored pixels, and outside of the mask.
    """
    import cv2

    row, column = point
    inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
    if not inside or mask[row, column] in (0, IGNORE):
        return None
    _, pieces = cv2.connectedComponents((mask == mask[row, column]).astype(np.uint8), connectivity=8)
    return np.asarray(pieces == pieces[row, column])


def _distance(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each pixel to the nearest that is False; infinite where there is none."""
    from scipy import ndimage

    if inside.all():
        return np.full(inside.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(inside))
