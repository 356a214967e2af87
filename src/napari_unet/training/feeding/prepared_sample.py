"""One sample as a network sees it: normalized, scaled and weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.errors import DataError
from napari_unet.models.intensities import prepare_image
from napari_unet.models.normalization import resize, scaled_shape
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.training.feeding.augmentation import Patch
from napari_unet.training.feeding.weight_maps import border_map, border_weights, separate_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.models.normalization import Normalization
    from napari_unet.settings import Separation, TrainingSettings

    Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


UNKNOWN = -1  # separation of pixels of which nobody knows it
FOREGROUND_POINTS = 512
SPARSE = 0.5  # share of an image known below which patches are centred on what is


@dataclass(frozen=True, eq=False)
class PreparedSample:
    """A sample as the network will see it, and where to look.

    Attributes
    ----------
    whole : Patch
        The image.
    foreground : numpy.ndarray
        (N, 2) or, of a volume, (N, 3) int32: indices of some pixels of the foreground. Of a sparse sample, of
        any that are known.
    sparse : bool
        Whether little of the image is annotated, so that no patch is cut without looking.
    """

    whole: Patch
    foreground: NDArray[np.int32]
    sparse: bool = False

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        whole = self.whole
        return whole.image.nbytes + whole.labels.nbytes + whole.weights.nbytes + self.foreground.nbytes


def prepare_sample(
    dataset: Dataset,
    sample: Sample,
    normalization: Normalization,
    training: TrainingSettings,
    class_weights: NDArray[np.float32] | None = None,
    separation: Separation = "none",
    connected: bool = True,
) -> PreparedSample:
    """Read, normalize and weigh one sample.

    Parameters
    ----------
    dataset : Dataset
        Whose cache is used.
    sample : Sample
        With a reference mask.
    normalization : Normalization
        Of the model in training.
    training : TrainingSettings
        Border weights count.
    class_weights : numpy.ndarray, optional
        (K + 1,) float32, background first.
    separation : str
        What the network learns besides the classes.
    connected : bool
        Whether connected foreground is an object where the mask does not tell objects apart;
        otherwise the separation is unknown there.

    Returns
    -------
    PreparedSample
        At the model's scale.

    Raises
    ------
    DataError
        If mask and image differ in size.
    """
    image = dataset.image(sample)
    mask = dataset.mask(sample)
    if image.shape[:2] != mask.labels.shape:
        raise DataError(
            f"the mask of {sample.id} does not fit its image",
            code="data.mask.size",
            expected=f"{image.shape[1]} x {image.shape[0]} pixels",
            got=f"{mask.labels.shape[1]} x {mask.labels.shape[0]}",
            remedy="replace the mask or leave the image out",
        )
    if image.shape[2] > 1:
        image = normalization.pick(image, *channels_of(sample), sample.id)
    values = prepare_image(normalization, image, sample.id, sample.whole)
    shape = scaled_shape(image.shape[:2], normalization.scale)
    labels = resize(mask.labels[..., None], shape, nearest=True)[..., 0]
    weights = np.ones(shape, np.float32)
    if mask.weights is not None:
        weights = resize(mask.weights[..., None], shape, nearest=True)[..., 0]
    known = weights > 0
    if class_weights is not None:
        weights = weights * class_weights[labels]
    if training.border_weight > 0:
        objects = np.abs(_objects(mask.objects, labels, shape))
        labels = np.where(separate_objects(objects), labels, 0).astype(np.uint8)
        border = border_weights(
            np.where(labels > 0, objects, 0), training.border_weight, training.border_sigma
        )
        weights = weights + border * known
    apart = _separation(mask.objects, labels, shape, separation, connected)
    whole = Patch(values, np.ascontiguousarray(labels), np.ascontiguousarray(weights), apart)
    return with_foreground(whole, known)


def with_foreground(whole: Patch, known: NDArray[np.bool_]) -> PreparedSample:
    """A sample with places to cut patches around.

    Parameters
    ----------
    whole : Patch
        The image or volume.
    known : numpy.ndarray
        Of its shape: where the mask says something.
    """
    sparse = bool(known.any()) and float(known.mean()) < SPARSE
    places = np.flatnonzero(known if sparse else (whole.labels > 0) & known)
    if len(places) > FOREGROUND_POINTS:
        places = np.random.default_rng(len(known)).choice(places, FOREGROUND_POINTS, replace=False)
    foreground = np.stack(np.unravel_index(places, known.shape), axis=1).astype(np.int32)
    return PreparedSample(whole, foreground, sparse)


def _objects(
    objects: NDArray[np.int32] | None, labels: NDArray[np.uint8], shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Object numbers at the network's resolution; connected foreground where none are given."""
    import cv2

    if objects is None:
        return np.asarray(cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=4)[1])
    if objects.shape == shape:
        return objects
    resized = cv2.resize(objects, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized)


def _separation(
    objects: NDArray[np.int32] | None,
    labels: NDArray[np.uint8],
    shape: tuple[int, int],
    separation_kind: Separation,
    connected: bool,
) -> NDArray[np.float32] | None:
    """(Y, X) float32 that the network's last output is to become; None for a network without."""
    if separation_kind == "none":
        return None
    if objects is None and not connected:
        return np.full(shape, UNKNOWN, np.float32)
    numbered = _objects(objects, labels, shape)
    if separation_kind in {"star", "objects"}:  # looked at in each patch, after it was turned and warped
        return np.maximum(numbered, UNKNOWN).astype(np.float32)
    whole = np.abs(numbered)
    apart = distance_map(whole) if separation_kind == "distance" else border_map(whole)
    return np.where(numbered < 0, np.float32(UNKNOWN), apart)
