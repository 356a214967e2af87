"""One volume as a network sees it: normalized, scaled and weighted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.errors import DataError
from napari_unet.models.normalization import resize, scaled_shape
from napari_unet.models.volumes.normalized_volume import normalized_volume
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.training.feeding.augmentation import Patch
from napari_unet.training.feeding.prepared_sample import UNKNOWN, with_foreground
from napari_unet.training.feeding.weight_maps import border_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.normalization import Normalization
    from napari_unet.settings import Separation
    from napari_unet.training.feeding.prepared_sample import PreparedSample


def prepare_volume(
    dataset: Dataset,
    sample: Sample,
    normalization: Normalization,
    class_weights: NDArray[np.float32] | None = None,
    separation: Separation = "none",
    connected: bool = True,
    anisotropy: float = 1.0,
) -> PreparedSample:
    """Read, normalize and weigh one volume; the rest as ``prepare_sample``.

    Parameters
    ----------
    dataset, sample
        Of ``data.volumes.blocks_of_slices.as_volumes``.
    normalization, class_weights, separation, connected
        As ``prepare_sample``.
    anisotropy : float
        How many times as thick a slice is as a pixel of the network is wide.

    Raises
    ------
    DataError
        If mask and image differ in size.
    """
    volume = dataset.image(sample)
    mask = dataset.mask(sample)
    if volume.shape[:3] != mask.labels.shape:
        raise DataError(
            f"the masks of {sample.id} do not fit its slices",
            code="data.mask.size",
            expected=" x ".join(map(str, volume.shape[:3])),
            got=" x ".join(map(str, mask.labels.shape)),
            remedy="replace the masks or leave the volume out",
        )
    values = normalized_volume(normalization, volume, channels_of(sample), sample.id)
    shape = scaled_shape((volume.shape[1], volume.shape[2]), normalization.scale)
    labels = _nearest(mask.labels, shape)
    weights = np.ones(labels.shape, np.float32) if mask.weights is None else _nearest(mask.weights, shape)
    known = weights > 0
    if class_weights is not None:
        weights = weights * class_weights[labels]
    objects = None if mask.objects is None else _nearest(mask.objects, shape)
    apart = _separation(objects, labels, separation, connected, anisotropy)
    whole = Patch(values, np.ascontiguousarray(labels), np.ascontiguousarray(weights), apart)
    return with_foreground(whole, known)


def _nearest(volume: NDArray, shape: tuple[int, int]) -> NDArray:  # type: ignore[type-arg]
    """(Z, Y, X) of numbers with its slices at another size."""
    if volume.shape[1:] == shape:
        return volume
    if volume.dtype == np.int32:  # OpenCV resizes these as floats, which hold them up to 2 ** 24
        rows, columns = (
            np.minimum((np.arange(n) + 0.5) * have / n, have - 1).astype(int)
            for n, have in zip(shape, volume.shape[1:], strict=True)
        )
        return volume[:, rows[:, None], columns]
    return np.stack([resize(one[..., None], shape, nearest=True)[..., 0] for one in volume])


def _separation(
    objects: NDArray[np.int32] | None,
    labels: NDArray[np.uint8],
    kind: Separation,
    connected: bool,
    anisotropy: float,
) -> NDArray[np.float32] | None:
    """(Z, Y, X) float32 that the network's last output is to become; None for a network without."""
    from scipy import ndimage

    if kind == "none":
        return None
    if objects is None and not connected:
        return np.full(labels.shape, UNKNOWN, np.float32)
    if objects is None:
        objects = ndimage.label(labels > 0)[0].astype(np.int32)
    whole = np.abs(objects)
    apart = distance_map(whole, (anisotropy, 1.0, 1.0)) if kind == "distance" else border_map(whole)
    return np.where(objects < 0, np.float32(UNKNOWN), apart)
