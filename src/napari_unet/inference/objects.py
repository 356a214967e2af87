"""From masks to objects: connected pieces, or pieces that are cut where objects touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.agglomeration import agglomerate
from napari_unet.inference.postprocess import connected_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.settings import InferenceSettings, Separation

    Cores = tuple[NDArray[np.float32], NDArray[np.bool_]]  # height, and what grows downhill from where

SMOOTH = 1.0  # pixels; noise must not make two peaks of one
RISE_OF_SHAPE = 1.0  # pixels that a neck is narrower than the objects on both its sides
RISE_OF_PROBABILITY = 0.1
SMALLEST_CORE = 4  # pixels; what is smaller is noise in the network's output


def find_objects(
    mask: NDArray[np.uint8],
    settings: InferenceSettings,
    probabilities: NDArray[np.float32] | None = None,
    separation: NDArray[np.float32] | None = None,
    separation_kind: Separation = "none",
) -> NDArray[np.int32]:
    """Number the objects of a mask as the settings say.

    Every pixel of the mask belongs to exactly one object, and objects never cross from one class to
    another. So the mask may as well be one that a person corrected.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    settings : InferenceSettings
        ``objects`` says how touching objects are separated, ``core`` from which depth on a pixel is of an
        object's core.
    probabilities : numpy.ndarray, optional
        (Y, X, K) float32 in [0, 1]; without them "probability" goes by the shape.
    separation : numpy.ndarray, optional
        (Y, X) float32 in [0, 1], the network's own output for it; without it "learned" cuts nothing.
    separation_kind : str
        What that output was trained to be, "distance" or "border".

    Returns
    -------
    numpy.ndarray
        (Y, X) int32, 0 background, 1..N: those of class 1 first.

    Notes
    -----
    Cores are found and grown to the mask's edge by the watershed transform, controlled by markers
    (Meyer, Beucher 1990, doi:10.1016/1047-3203(90)90014-M). Cores are

    - learned distance: connected pixels above ``core``;
    - learned border: connected pixels whose probability times (1 - border) is above ``core``;
    - probability, shape, agglomerate: regional maxima of the smoothed probability, or of the distance to the
      mask's edge, that rise 0.1, or one pixel, above the saddle to a higher one.

    A piece of the mask without a core is an object of its own. Those of "agglomerate" are joined afterwards,
    see ``agglomeration.agglomerate``.
    """
    how = way_of(settings, probabilities, separation, separation_kind)
    if how == "connected" or not mask.any():
        return connected_objects(mask)

    def cores_of(inside: NDArray[np.bool_], probability: NDArray[np.float32] | None) -> Cores:
        if how == "learned":
            assert separation is not None
            return _learned(inside, probability, separation, separation_kind, settings.core)
        return _peaks(inside, probability if how == "probability" else None)

    found = grown_from_cores(mask, probabilities, cores_of)
    if how == "agglomerate" and probabilities is not None:
        return agglomerate(found, mask, probabilities, settings.join)
    return found


def way_of(
    settings: InferenceSettings,
    probabilities: NDArray[np.float32] | None,
    separation: NDArray[np.float32] | None,
    separation_kind: Separation,
) -> str:
    """What the settings come to with what there is; never "auto"."""
    how = settings.objects
    if how == "auto":
        how = "connected" if separation is None else "learned"
    if how == "learned" and (separation is None or separation_kind == "none"):
        how = "connected"
    if how in {"probability", "agglomerate"} and probabilities is None:
        how = "shape"
    return how


def grown_from_cores(
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.float32] | None,
    cores_of: Callable[[NDArray[np.bool_], NDArray[np.float32] | None], Cores],
) -> NDArray[np.int32]:
    """Find the cores of each class, and let them grow to the edge of the mask.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) or (Z, Y, X) uint8, 0 background, 1..K.
    probabilities : numpy.ndarray, optional
        Of each class, in a last axis.
    cores_of : callable
        (inside, probability) -> (height, cores), all of the mask's shape. Cores grow downhill.

    Returns
    -------
    numpy.ndarray
        int32 of the mask's shape, 0 background, 1..N: those of class 1 first.
    """
    objects = np.zeros(mask.shape, np.int32)
    count = 0
    for label in np.unique(mask[mask > 0]):
        inside = mask == label
        probability = None
        if probabilities is not None:
            probability = probabilities[..., min(int(label), probabilities.shape[-1]) - 1]
        grown = _grow(inside, *cores_of(inside, probability))
        objects[inside] = grown[inside] + count
        count += int(grown.max(initial=0))
    return objects


def split_outputs(
    outputs: NDArray[np.float32], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Part what a network says of classes from what it says of objects.

    Parameters
    ----------
    outputs : numpy.ndarray
        (Y, X, K) or (Y, X, K + 1).
    classes : int
        K.

    Returns
    -------
    probabilities : numpy.ndarray
        (Y, X, K), a view.
    separation : numpy.ndarray or None
        (Y, X), a view; None if there is none.
    """
    return outputs[..., :classes], outputs[..., classes] if outputs.shape[-1] > classes else None


def _smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(values, np.float32), (0, 0), SMOOTH))


def _learned(
    inside: NDArray[np.bool_],
    probability: NDArray[np.float32] | None,
    separation: NDArray[np.float32],
    separation_kind: Separation,
    core: float,
) -> Cores:
    """How deep inside objects pixels lie, by the network, and which are deep enough to be cores."""
    import cv2

    height = np.asarray(separation, np.float32)
    if separation_kind == "border":
        certain = inside.astype(np.float32) if probability is None else probability
        height = np.asarray(certain * (1 - separation), np.float32)
    else:
        height = _smoothed(height)
    cores = (height > core) & inside
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(cores.astype(np.uint8), connectivity=4)
    tiny = statistics[:, cv2.CC_STAT_AREA] < SMALLEST_CORE
    tiny[0] = False
    cores[tiny[pieces]] = False
    return height, cores


def _peaks(inside: NDArray[np.bool_], probability: NDArray[np.float32] | None) -> Cores:
    """Probability, or distance to the mask's edge, and its maxima."""
    import cv2

    if probability is None:
        padded = np.pad(inside.astype(np.uint8), 1, mode="edge")
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        height, rise = _smoothed(distance), RISE_OF_SHAPE
    else:
        height, rise = _smoothed(probability), RISE_OF_PROBABILITY
    return maxima(inside, height, rise)


def maxima(inside: NDArray[np.bool_], height: NDArray[np.float32], rise: float) -> Cores:
    """A height where the mask is, and its maxima that rise above the saddle to a higher one by so much."""
    from skimage.morphology import h_maxima

    height = np.where(inside, height, 0).astype(np.float32)
    return height, h_maxima(height, rise).astype(bool) & inside


def _grow(
    inside: NDArray[np.bool_], height: NDArray[np.float32], cores: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Number cores and let them grow downhill until they meet; what has no core is whole."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    around = np.ones((3,) * inside.ndim, bool)
    markers, count = ndimage.label(cores)  # not over corners, so that a thin border parts
    grown = np.asarray(watershed(-height, markers, mask=inside, connectivity=around), np.int32)
    rest, _ = ndimage.label(inside & (grown == 0), structure=around)
    return np.where(rest > 0, rest + count, grown).astype(np.int32)
