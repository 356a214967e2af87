"""What joined and cut objects teach: where objects are one, and where they are two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.sample import ReferenceMask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.project.corrections.correction import Correction

NEAR = 6  # pixels from a join or a cut in which a person looked at the objects
AROUND = np.ones((3, 3), bool)


def taught_objects(correction: Correction, marks: Sequence[NDArray[np.bool_]]) -> ReferenceMask:
    """The reference mask of a correction in which objects were joined or cut apart.

    Parameters
    ----------
    correction : Correction
        Mask and what is verified of it.
    marks : sequence of numpy.ndarray
        (Y, X) bool each, at least one: pixels in which objects were joined, or along which they were cut.

    Returns
    -------
    ReferenceMask
        Objects are the connected pieces of each class. Their numbers are positive within 6 pixels of a mark,
        where labels have weight 1 as well, and negative elsewhere: there they may be several that touch.
    """
    from scipy import ndimage

    plain = correction.reference()
    marked = np.logical_or.reduce(list(marks))
    objects = np.zeros(plain.labels.shape, np.int32)
    count = 0
    for label in np.unique(plain.labels[plain.labels > 0]):
        pieces, found = ndimage.label(plain.labels == label, AROUND)
        objects += np.where(pieces > 0, pieces + count, 0).astype(np.int32)
        count += found
    near = ndimage.distance_transform_edt(~marked) <= NEAR
    # Background near a cut says nothing that nobody painted: only the cut itself is known to be none.
    known = near & ((objects > 0) | marked)
    weights = plain.weights
    if weights is not None:
        weights = np.maximum(weights, known).astype(np.float32)
    return ReferenceMask(plain.labels, np.where(near, objects, -objects).astype(np.int32), weights)
