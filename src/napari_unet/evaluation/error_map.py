"""Where a mask is right and where not, and the colours that say so everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.sample import ReferenceMask

# Agreement in blue, what is too much in vermillion, what is missing in yellow: colours for everybody.
ERROR_COLOURS = {"true positive": "#56B4E9", "false positive": "#D55E00", "false negative": "#F0E442"}


def error_map(reference: ReferenceMask, mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Where a mask agrees with the reference and where not.

    Parameters
    ----------
    reference : ReferenceMask
        Pixels of weight 0 are left out.
    mask : numpy.ndarray
        (Y, X) uint8, 0..K.

    Returns
    -------
    numpy.ndarray or None
        (Y, X) uint8: 1 true positive, 2 false positive (a class where there is none, or another one),
        3 false negative, 0 background; None if the sizes differ.
    """
    truth = reference.labels
    if truth.shape != mask.shape:
        return None
    found = np.zeros(mask.shape, np.uint8)
    found[(mask > 0) & (truth == mask)] = 1
    found[(mask > 0) & (truth != mask)] = 2
    found[(mask == 0) & (truth > 0)] = 3
    if reference.weights is not None:
        found[reference.weights == 0] = 0
    return found
