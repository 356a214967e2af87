"""What a star-convex network is to say: how deep each pixel lies, and 32 distances to the border."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.networks.layers.star_shape import UNIT, directions
from napari_unet.settings import RAYS

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLLOWED = 2000  # pixels whose rays are followed in a patch; more teach little and take time
UNKNOWN = -1.0


def star_distances(
    objects: NDArray[np.int32], chosen: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """How far it is from each pixel of an object to its border, along 32 rays.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) int32, 0 background, one number an object.
    chosen : numpy.ndarray, optional
        (Y, X) bool, the pixels that are looked at; all if not given.

    Returns
    -------
    numpy.ndarray
        (Y, X, 32) float32, pixels: steps of one pixel until the ray is on another number, less a half.
        -1 where that is not known: on the background, on pixels that were not looked at, along rays that
        leave the image inside the object.
    """
    height, width = objects.shape
    found = np.full((height, width, RAYS), UNKNOWN, np.float32)
    y, x = np.nonzero(objects > 0 if chosen is None else chosen & (objects > 0))
    number = objects[y, x]
    dy, dx = directions().astype(np.float32).T
    # All rays of all pixels at once, and in each step those that have not ended.
    pixel, ray = (a.ravel() for a in np.meshgrid(np.arange(len(y)), np.arange(RAYS), indexing="ij"))
    step = 0
    while len(pixel):
        step += 1
        at_y = np.rint(y[pixel] + step * dy[ray]).astype(np.intp)
        at_x = np.rint(x[pixel] + step * dx[ray]).astype(np.intp)
        inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
        pixel, ray, at_y, at_x = pixel[inside], ray[inside], at_y[inside], at_x[inside]
        ended = objects[at_y, at_x] != number[pixel]
        found[y[pixel[ended]], x[pixel[ended]], ray[ended]] = step - 0.5
        pixel, ray = pixel[~ended], ray[~ended]
    return found


def star_targets(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth and distances of a patch.

    Parameters
    ----------
    numbers : numpy.ndarray
        (Y, X) float32 of whole numbers, one an object, 0 background; -1 where objects are not known.

    Returns
    -------
    numpy.ndarray
        (Y, X, 33) float32: depth in [0, 1], and distances in units of 16 pixels. -1 where they are not known:
        they are measured at 2000 pixels at most, drawn by the patch's own content. (On a grid a network
        with poolings would learn them for the pixels of the grid alone.)
    """
    objects = np.maximum(numbers, 0).astype(np.int32)
    out = np.empty((*numbers.shape, 1 + RAYS), np.float32)
    out[..., 0] = np.where(numbers < 0, UNKNOWN, _depth(objects))
    inside = np.flatnonzero(objects)
    luck = np.random.default_rng(int(objects.sum(dtype=np.int64)))
    chosen = np.zeros(objects.size, np.bool_)
    chosen[luck.choice(inside, min(FOLLOWED, len(inside)), replace=False)] = True
    distances = star_distances(objects, chosen.reshape(objects.shape))
    out[..., 1:] = np.where(distances < 0, UNKNOWN, distances / np.float32(UNIT))
    return out


def _depth(objects: NDArray[np.int32]) -> NDArray[np.float32]:
    """As ``distance_map``, for numbers of which a patch has but a few."""
    _, numbers = np.unique(objects, return_inverse=True)
    compact = np.asarray(numbers.reshape(objects.shape), np.int32)
    return distance_map(compact if (objects == 0).any() else compact + 1)
