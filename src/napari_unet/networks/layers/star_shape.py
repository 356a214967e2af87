"""What the outputs of a star-convex network mean: how deep a pixel lies, and how far it is to the border.

From a pixel inside an object 32 rays go out; each ends where the object does. Objects of which some pixel
sees all of the border are star-convex (Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.settings import RAYS

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = 16.0  # pixels of the network that a logit of 1 means, so that logits are of the order of one
LONGEST = 1024.0  # pixels of the image that an output of 1 means


@cache
def directions() -> NDArray[np.float64]:
    """(32, 2) how far each ray goes along Y and X a pixel: the first to the right, then towards larger Y."""
    angles = 2 * np.pi * np.arange(RAYS) / RAYS
    return np.stack([np.sin(angles), np.cos(angles)], axis=1)


@cache
def turned_rays(flip: tuple[bool, bool, bool]) -> NDArray[np.intp]:
    """(32,) which ray of a turned image is which of the image itself.

    Parameters
    ----------
    flip : tuple of bool
        Along Y, along X, and whether the axes were exchanged before, as in ``inference.predict.FLIPS``.
    """
    y, x, transpose = flip
    there = directions()[:, ::-1] if transpose else directions()
    there = there * [-1 if y else 1, -1 if x else 1]
    return np.asarray(np.argmax(there @ directions().T, axis=1), np.intp)


def encode(logits: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Distances in [0, 1] from logits of rays: shares of 1024 pixels of the image.

    Parameters
    ----------
    logits : numpy.ndarray
        (..., 32) float32.
    scale : float
        By which images are resized for the network.
    """
    return np.asarray(np.clip(logits * np.float32(UNIT / (scale * LONGEST)), 0, 1), np.float32)
