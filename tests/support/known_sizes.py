"""A network that is sure of objects of middle sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.postprocess import connected_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sure_of_middle_sizes(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squares of 9 to 30 pixels with 0.99, others with 0.6; the background with 0."""
    answers = []
    for image in batch:
        bright = image[..., 0] > 0.5
        areas = np.bincount(connected_objects(bright.astype(np.uint8)).ravel())[1:]
        side = np.sqrt(np.median(areas)) if len(areas) else 0.0
        answers.append(np.where(bright, 0.99 if 9 <= side <= 30 else 0.6, 0.0)[..., None])
    return np.asarray(answers, np.float32)
