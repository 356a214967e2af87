"""From the mask of a volume to objects in three dimensions; as ``inference.objects`` does of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.objects import RISE_OF_PROBABILITY, RISE_OF_SHAPE, SMOOTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.settings import InferenceSettings, Separation

AROUND = np.ones((3, 3, 3), bool)
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
    from scipy import ndimage

    how = settings.objects
    if how == "auto":
        how = "connected" if separation is None else "learned"
    if how == "learned" and (separation is None or separation_kind == "none"):
        how = "connected"
    if how == "probability" and probabilities is None:
        how = "shape"
    objects = np.zeros(mask.shape, np.int32)
    count = 0
    for label in np.unique(mask[mask > 0]):
        inside = mask == label
        if how == "connected":
            found, number = ndimage.label(inside, structure=AROUND)
        else:
            probability = None
            if probabilities is not None:
                probability = probabilities[..., min(int(label), probabilities.shape[-1]) - 1]
            if how == "learned":
                assert separation is not None
                height = _learned(inside, probability, separation, separation_kind, anisotropy)
                cores = _without_specks((height > settings.core) & inside)
            else:
                height, cores = _peaks(inside, probability if how == "probability" else None, anisotropy)
            found = _grow(inside, height, cores)
            number = int(found.max(initial=0))
        objects[inside] = found[inside] + count
        count += number
    return objects


def _smoothed(values: NDArray[np.float32], anisotropy: float) -> NDArray[np.float32]:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(values, (SMOOTH / anisotropy, SMOOTH, SMOOTH)), np.float32)


def _learned(
    inside: NDArray[np.bool_],
    probability: NDArray[np.float32] | None,
    separation: NDArray[np.float32],
    separation_kind: Separation,
    anisotropy: float,
) -> NDArray[np.float32]:
    """How deep inside objects voxels lie, by the network."""
    if separation_kind != "border":
        return _smoothed(np.asarray(separation, np.float32), anisotropy)
    certain = inside.astype(np.float32) if probability is None else probability
    return np.asarray(certain * (1 - separation), np.float32)


def _without_specks(cores: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    pieces, _ = ndimage.label(cores)
    small = np.bincount(pieces.ravel()) < SMALLEST_CORE
    small[0] = False
    return np.asarray(cores & ~small[pieces])


def _peaks(
    inside: NDArray[np.bool_], probability: NDArray[np.float32] | None, anisotropy: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probability, or distance to the mask's edge, and its maxima."""
    from scipy import ndimage
    from skimage.morphology import h_maxima

    if probability is None:
        distance = ndimage.distance_transform_edt(inside, (anisotropy, 1.0, 1.0))
        height, rise = _smoothed(np.asarray(distance, np.float32), anisotropy), RISE_OF_SHAPE
    else:
        height, rise = _smoothed(probability, anisotropy), RISE_OF_PROBABILITY
    height = np.where(inside, height, 0).astype(np.float32)
    return height, h_maxima(height, rise).astype(bool) & inside


def _grow(
    inside: NDArray[np.bool_], height: NDArray[np.float32], cores: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Number cores and let them grow downhill until they meet; what has no core is whole."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    markers, count = ndimage.label(cores)  # over faces alone, so that a thin border parts
    grown = np.asarray(watershed(-height, markers, mask=inside, connectivity=AROUND), np.int32)
    rest, _ = ndimage.label(inside & (grown == 0), structure=AROUND)
    return np.where(rest > 0, rest + count, grown).astype(np.int32)
