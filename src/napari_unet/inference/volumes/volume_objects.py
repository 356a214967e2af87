"""From the mask of a volume to objects in three dimensions; as ``inference.objects`` does of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.objects import (
    RISE_OF_PROBABILITY,
    RISE_OF_SHAPE,
    SMOOTH,
    distance_within,
    grown_from_cores,
    joined_from_cores,
    maxima,
    way_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.inference.objects import Cores
    from napari_unet.settings import InferenceSettings, Separation

TRUNCATE = 4.0  # standard deviations that smoothing mixes
SMALLEST_CORE = 8  # voxels; what is smaller is noise in the network's output


def find_volume_objects(
    mask: NDArray[np.uint8],
    settings: InferenceSettings,
    probabilities: NDArray[np.float32] | None = None,
    separation: NDArray[np.float32] | None = None,
    separation_kind: Separation = "none",
    anisotropy: float = 1.0,
) -> NDArray[np.int32]:
    """Number the objects of a volume as the settings say.

    Every voxel of the mask belongs to exactly one object, and objects never cross from one class to
    another.

    Parameters
    ----------
    mask : numpy.ndarray
        (Z, Y, X) uint8, 0 background, 1..K.
    settings, separation_kind
        As ``inference.objects.find_objects`` takes them.
    probabilities : numpy.ndarray, optional
        (Z, Y, X, K) float32 in [0, 1]; without them "probability" goes by the shape.
    separation : numpy.ndarray, optional
        (Z, Y, X) float32 in [0, 1], the network's own output for it; without it "learned" cuts nothing.
    anisotropy : float
        How many times as thick a slice is as a pixel is wide.

    Returns
    -------
    numpy.ndarray
        (Z, Y, X) int32, 0 background, 1..N: those of class 1 first.

    Notes
    -----
    Cores are found, and grown to the mask's edge by the watershed transform, as in images; lengths are in
    pixels of a slice. Pieces without a core are objects of their own.
    """
    how = way_of(settings, probabilities, separation, separation_kind)
    if how == "connected":
        return _connected(mask)

    def cores_of(inside: NDArray[np.bool_], probability: NDArray[np.float32] | None) -> Cores:
        if how == "learned":
            assert separation is not None
            height = _learned(inside, probability, separation, separation_kind, anisotropy)
            return height, _without_specks((height > settings.core) & inside)
        return volume_peaks(inside, probability if how == "probability" else None, anisotropy)

    if how == "agglomerate" and probabilities is not None:
        return joined_from_cores(mask, probabilities, cores_of, settings.join)
    return grown_from_cores(mask, probabilities, cores_of)


def _connected(mask: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Connected pieces of each class, over faces, edges and corners."""
    from scipy import ndimage

    objects = np.zeros(mask.shape, np.int32)
    count = 0
    for label in np.unique(mask[mask > 0]):
        pieces, number = ndimage.label(mask == label, structure=np.ones((3, 3, 3)))
        objects += np.where(pieces > 0, pieces + count, 0).astype(np.int32)
        count += number
    return objects


def smoothing_reach(anisotropy: float) -> tuple[int, int, int]:
    """Voxels that smoothing mixes, either way along Z, Y and X."""
    z, y = (int(TRUNCATE * sigma + 0.5) for sigma in (SMOOTH / anisotropy, SMOOTH))
    return z, y, y


def smoothed_volume(values: NDArray[np.float32], anisotropy: float) -> NDArray[np.float32]:
    """Smooth (Z, Y, X) float32 by a Gaussian, in a part of a volume as in the whole."""
    from scipy import ndimage

    return np.asarray(
        ndimage.gaussian_filter(values, (SMOOTH / anisotropy, SMOOTH, SMOOTH), truncate=TRUNCATE), np.float32
    )


def _learned(
    inside: NDArray[np.bool_],
    probability: NDArray[np.float32] | None,
    separation: NDArray[np.float32],
    separation_kind: Separation,
    anisotropy: float,
) -> NDArray[np.float32]:
    """How deep inside objects voxels lie, by the network."""
    if separation_kind != "border":
        return smoothed_volume(np.asarray(separation, np.float32), anisotropy)
    certain = inside.astype(np.float32) if probability is None else probability
    return np.asarray(certain * (1 - separation), np.float32)


def _without_specks(cores: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    pieces, _ = ndimage.label(cores)
    small = np.bincount(pieces.ravel()) < SMALLEST_CORE
    small[0] = False
    return np.asarray(cores & ~small[pieces])


def volume_peaks(
    inside: NDArray[np.bool_], probability: NDArray[np.float32] | None, anisotropy: float
) -> Cores:
    """Probability, or distance to the mask's edge, and its maxima."""
    if probability is None:
        distance = distance_within(inside, (anisotropy, 1.0, 1.0))
        height, rise = smoothed_volume(distance, anisotropy), RISE_OF_SHAPE
    else:
        height, rise = smoothed_volume(probability, anisotropy), RISE_OF_PROBABILITY
    return maxima(inside, height, rise)
