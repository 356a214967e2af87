"""How deep pixels lie in objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def distance_map(
    objects: NDArray[np.int32], sampling: tuple[float, ...] | None = None
) -> NDArray[np.float32]:
    """How deep inside its object each pixel lies, whatever the object's size.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) or (Z, Y, X) int32, 0 background, one number an object.
    sampling : tuple of float, optional
        Length of a pixel along each axis; 1 along all without it.

    Returns
    -------
    numpy.ndarray
        As large, float32 in [0, 1]: the distance to what is not the object, over the largest such
        distance in it; 0 on the background. Objects continue beyond the image's border, as they do where
        tiles are mirrored.
    """
    from scipy import ndimage

    depth = np.zeros(objects.shape, np.float32)
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if box is None:
            continue
        around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        inside = objects[around] == number
        if inside.all():
            depth[around] = 1
            continue
        distance = ndimage.distance_transform_edt(inside, sampling).astype(np.float32)
        view = depth[around]
        np.maximum(view, distance / distance.max(), out=view)
    return depth
