"""Changes of single objects: delete one, cut one in two, join several; and which objects are joined."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEYOND = 2  # pixels by which a cut is longer than the stroke, at both ends
SMALLEST_PIECE = 4  # pixels; what a cut leaves must be more than that
BRIDGE = 1  # pixels to either side of a stroke that fill the gap between two objects
AROUND = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class ObjectEdit:
    """A changed mask.

    Attributes
    ----------
    mask : numpy.ndarray
        (Y, X) uint8.
    joined : numpy.ndarray or None
        (Y, X) bool, pixels through which objects are one, see ``join_numbers``; None unless some were joined.
    cut : numpy.ndarray or None
        (Y, X) bool, pixels along which objects were cut apart; None unless some were.
    """

    mask: NDArray[np.uint8]
    joined: NDArray[np.bool_] | None = None
    cut: NDArray[np.bool_] | None = None


def delete_object(mask: NDArray[np.uint8], objects: NDArray[np.integer], number: int) -> ObjectEdit:
    """Turn one object into background.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0..K, 255 ignore.
    objects : numpy.ndarray
        (Y, X) integers, its objects; they may touch.
    number : int
        Of the object.

    Raises
    ------
    DataError
        If there is no such object.
    """
    inside = objects == number
    if number <= 0 or not inside.any():
        raise DataError(
            "there is no object to delete under the pointer",
            code="data.object.missing",
            remedy="point at an object on the canvas",
        )
    return ObjectEdit(np.where(inside, 0, mask).astype(np.uint8))


def split_objects(
    mask: NDArray[np.uint8], objects: NDArray[np.integer], path: NDArray[np.float64]
) -> ObjectEdit:
    """Cut every object in two that a stroke goes through, along a line of background.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0..K, 255 ignore.
    objects : numpy.ndarray
        (Y, X) integers, its objects; they may touch.
    path : numpy.ndarray
        (P, 2) rows and columns of the stroke, in order. It is made two pixels longer at both ends.

    Raises
    ------
    DataError
        If the stroke cuts no object through.
    """
    from scipy import ndimage

    line = np.zeros(mask.shape, bool)
    line[tuple(_pixels(_longer(path), mask.shape).T)] = True
    cut = np.zeros(mask.shape, bool)
    for number in np.unique(objects[line]):
        if number <= 0:
            continue
        inside = objects == number
        pieces, count = ndimage.label(inside & ~line, AROUND)
        before = ndimage.label(inside, AROUND)[1]
        sizes = np.bincount(pieces.ravel())[1:]
        if count > before and np.count_nonzero(sizes >= SMALLEST_PIECE) >= 2:
            cut |= inside & line
    if not cut.any():
        raise DataError(
            "the stroke cuts no object in two",
            code="data.object.uncut",
            expected="a stroke from one side of an object to the other",
            remedy="begin and end the stroke outside of the object",
        )
    return ObjectEdit(np.where(cut, 0, mask).astype(np.uint8), cut=cut)


def merge_objects(
    mask: NDArray[np.uint8], objects: NDArray[np.integer], path: NDArray[np.float64]
) -> ObjectEdit:
    """Make one object of all that a stroke goes through; background between them becomes part of it.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0..K, 255 ignore.
    objects : numpy.ndarray
        (Y, X) integers, its objects; they may touch.
    path : numpy.ndarray
        (P, 2) rows and columns of the stroke, in order.

    Raises
    ------
    DataError
        If the stroke touches fewer than two objects, or objects of several classes.
    """
    from scipy import ndimage

    pixels = _pixels(path, mask.shape)
    along = objects[tuple(pixels.T)]
    places = np.flatnonzero(along > 0)
    numbers = np.unique(along[places])
    if len(numbers) < 2:
        raise DataError(
            "the stroke touches fewer than two objects",
            code="data.object.single",
            expected="a stroke from one object into another",
            remedy="draw from the inside of one object to the inside of the other",
        )
    labels = np.unique(mask[tuple(pixels[places].T)])
    if len(labels) > 1:
        raise DataError(
            "objects of different classes cannot become one object",
            code="data.object.classes",
            expected="objects of one class",
            remedy="paint one of them with the class of the other first",
        )
    between = pixels[places[0] : places[-1] + 1]
    line = np.zeros(mask.shape, bool)
    line[tuple(between.T)] = True
    # Not beyond the objects themselves: the ends of the bridge lie in them.
    bridge = ndimage.binary_dilation(line, AROUND, iterations=BRIDGE) & (mask == 0)
    bridge &= ndimage.binary_dilation(line & (mask == 0), AROUND, iterations=BRIDGE)
    changed = np.where(bridge, labels[0], mask).astype(np.uint8)
    return ObjectEdit(changed, line & (changed == labels[0]))


def join_numbers(
    objects: NDArray[np.int32], joined: NDArray[np.bool_] | None, mask: NDArray[np.uint8]
) -> NDArray[np.int32]:
    """Give objects one number that a person joined.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) int32, 0 background, 1..N; or (Z, Y, X), and all that follows as well.
    joined : numpy.ndarray or None
        (Y, X) bool: all objects of one class with pixels of one connected piece of it are one object.
    mask : numpy.ndarray
        (Y, X) uint8, the class of every pixel.

    Returns
    -------
    numpy.ndarray
        (Y, X) int32, 0 background, 1..M without gaps, in the order of before.
    """
    from scipy import ndimage
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if joined is None:
        return objects
    there = joined & (objects > 0)
    if not there.any():
        return objects
    pieces, count = ndimage.label(there, np.ones((3,) * there.ndim))
    where = np.nonzero(there)
    highest = int(objects.max())
    # A piece of each class is a node of its own: objects never cross from one class to another.
    nodes = highest + 1 + pieces[where] + (count + 1) * mask[where].astype(np.int64)
    numbers = objects[where]
    size = int(nodes.max()) + 1
    graph = coo_array((np.ones(len(numbers), bool), (numbers, nodes)), shape=(size, size))
    group = connected_components(graph, directed=False)[1][: highest + 1]
    _, first = np.unique(group, return_index=True)
    leader = np.zeros(group.max() + 1, np.int64)
    leader[group[np.sort(first)[::-1]]] = np.sort(first)[::-1]
    new = leader[group]
    new[0] = 0
    present = np.unique(new)
    return np.asarray(np.searchsorted(present, new).astype(np.int32)[objects])


def _longer(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """A path with a piece more at both ends, in the direction that it has there."""
    path = np.asarray(path, np.float64)
    if len(path) < 2:
        return path
    ends = []
    for end, rest in ((path[0], path[1:]), (path[-1], path[-2::-1])):
        # The hand is not steady: the direction is that over some pixels.
        far = np.hypot(*(rest - end).T)
        inner = rest[int(np.argmax(far >= min(3.0, far.max())))]
        length = float(np.hypot(*(end - inner)))
        ends.append(end + (end - inner) / length * BEYOND if length else end)
    return np.vstack([ends[0], path, ends[1]])


def _pixels(path: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(N, 2) rows and columns of the pixels under a path, each next to the one before over an edge."""
    points = np.floor(np.asarray(path, np.float64) + 0.5).astype(np.int64)
    found = [points[:1]]
    for (y0, x0), (y1, x1) in pairwise(points):
        steps = int(abs(y1 - y0) + abs(x1 - x0))  # one axis at a time: no gap over a corner
        y, x, run = int(y0), int(x0), []
        down, right = abs(int(y1 - y0)), abs(int(x1 - x0))
        error = down - right
        for _ in range(steps):
            if error > 0 or (error == 0 and down >= right):
                y += 1 if y1 > y else -1
                error -= 2 * right
            else:
                x += 1 if x1 > x else -1
                error += 2 * down
            run.append((y, x))
        found.append(np.array(run, np.int64).reshape(-1, 2))
    every = np.concatenate(found)
    inside = (every >= 0).all(axis=1) & (every < np.array(shape[:2])).all(axis=1)
    return every[inside]
