"""A random forest on filters of the image, as other programs learn from strokes, to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_unet.project.corrections.correction import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIGMAS = (1.0, 2.0, 4.0, 8.0)
TREES = 100


class PixelForest:
    """Learns from painted pixels alone; needs scikit-learn, which the program does not.

    Parameters
    ----------
    painted : sequence of (numpy.ndarray, numpy.ndarray)
        Prepared images (Y, X, C) float32 with their strokes (Y, X) uint8, 255 where nobody painted.
    """

    def __init__(self, painted: Sequence[tuple[NDArray[np.float32], NDArray[np.uint8]]]) -> None:
        from sklearn.ensemble import RandomForestClassifier

        features = [filters(image)[strokes != IGNORE] for image, strokes in painted]
        labels = [strokes[strokes != IGNORE] for _, strokes in painted]
        self._forest: Any = RandomForestClassifier(
            TREES, min_samples_leaf=2, class_weight="balanced", n_jobs=-1, random_state=0
        )
        self._forest.fit(np.concatenate(features), np.concatenate(labels))

    def mask(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(Y, X) uint8: the class of every pixel of a prepared image (Y, X, C)."""
        found = filters(image)
        labels = self._forest.predict(found.reshape(-1, found.shape[-1]))
        return np.asarray(labels.reshape(image.shape[:2]), np.uint8)


def filters(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Y, X, N): each channel, and at four scales its mean, edges, blobs, ridges and deviation."""
    found = []
    for values in np.moveaxis(image, -1, 0):
        found.append(values)
        for sigma in SIGMAS:
            mean = ndimage.gaussian_filter(values, sigma)
            squares = ndimage.gaussian_filter(values * values, sigma)
            yy, xx, yx = (
                ndimage.gaussian_filter(values, sigma, order=order) * sigma**2
                for order in ((2, 0), (0, 2), (1, 1))
            )
            root = np.sqrt((yy - xx) ** 2 + 4 * yx**2)
            found += [
                mean,
                ndimage.gaussian_gradient_magnitude(values, sigma),
                (yy + xx + root) / 2,
                (yy + xx - root) / 2,
                np.sqrt(np.maximum(squares - mean**2, 0)),
            ]
    return np.stack(found, axis=-1).astype(np.float32)
