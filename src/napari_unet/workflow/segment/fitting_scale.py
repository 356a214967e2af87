"""The scale at which a model sees an image: another where objects are far smaller or larger than it knows."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.atomic import some_names
from napari_unet.inference.postprocess import connected_objects, expected_iou, mask_from_probabilities
from napari_unet.inference.predict import predict_probabilities
from napari_unet.models.intensities import prepare_image
from napari_unet.models.normalization import resize, scaled_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings

LARGER, SMALLER = (2.0, 4.0), (0.5, 0.25)  # scales, the nearest first
SMALL, LARGE = 10.0, 40.0  # sides of objects, in pixels of the network, between which it knows them well
SURE = 0.9  # expected IoU from which objects of such sizes need no other scale
BETTER = 0.02  # of expected IoU that another scale has to promise more
PART = 256  # pixels of the network: the side of the part of an image that scales are tried on
LEAST = 32  # pixels of the shorter side of what is tried
MOST = 2**25  # pixels of the network: no image is made larger than this
log = logging.getLogger(__name__)


@dataclass
class FittingScale:
    """Finds the scale for each image, and segments it again at that scale if it is another one.

    An image is segmented as it is first. It stays so if the median object is 10 to 40 pixels wide and the
    probabilities promise an IoU of 0.9. Otherwise other scales are tried on the part with the most contrast.
    Where objects are small or there are none, these are twice and four times the size, until objects are 10
    pixels wide. Else they are a half and a quarter, because large objects fall into pieces that are as small.
    The scale that promises most is taken, if it promises more.

    Attributes
    ----------
    model : Model
        In two dimensions.
    settings : InferenceSettings
        Threshold, tiles, flips.
    read : callable
        (sample) -> (Y, X, C), the channels that the model takes.
    cancel : CancelToken or None
        Checked before every batch.
    chosen : dict
        Scale of each image that was segmented again, by its id.
    """

    model: Model
    settings: InferenceSettings
    read: Callable[[Sample], NDArray[np.generic]]
    cancel: CancelToken | None = None
    chosen: dict[str, float] = field(default_factory=dict)

    def improve(self, sample: Sample, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs (Y, X, K) of an image as they are, or at a scale that promises more."""
        side = self._side(outputs) * self.model.normalization.scale
        if self._is_known(side, self._promise(outputs)):
            return outputs
        prepared = prepare_image(self.model.normalization, self.read(sample), sample.id, sample.whole)
        part = busiest(prepared, PART)
        pixels = prepared.shape[0] * prepared.shape[1]
        best = self._best(part, side, self._promise(self._seen(part, 1.0)), pixels)
        if best == 1.0:
            return outputs
        self.chosen[sample.id] = best
        return resize(self._seen(prepared, best), outputs.shape[:2])

    def of_part(self, part: NDArray[np.float32], pixels: int) -> float:
        """The scale for an image that is never in memory as a whole, by a part of it.

        Parameters
        ----------
        part : numpy.ndarray
            (Y, X, C) float32, prepared for the network: that with the most contrast.
        pixels : int
            Of the network, of the whole image.
        """
        seen = self._seen(part, 1.0)
        side, promise = self._side(seen), self._promise(seen)
        return 1.0 if self._is_known(side, promise) else self._best(part, side, promise, pixels)

    def _best(self, part: NDArray[np.float32], side: float, promise: float, pixels: int) -> float:
        """The scale that promises most of a part; 1 if none promises clearly more than `promise`."""
        promised = {1.0: promise}
        for scale in LARGER if side < SMALL else SMALLER:
            if min(part.shape[:2]) * scale < LEAST or pixels * scale**2 > MOST:
                break
            seen = self._seen(part, scale)
            promised[scale] = self._promise(seen)
            if scale > 1 and self._side(seen) >= SMALL:
                break  # still larger takes four times as long
        best = max(promised, key=lambda scale: promised[scale])
        return 1.0 if promised[best] < promise + BETTER else best

    @staticmethod
    def _is_known(side: float, promise: float) -> bool:
        return SMALL <= side <= LARGE and promise >= SURE

    def tell(self) -> None:
        """Log which images were segmented at another scale."""
        for scale in sorted(set(self.chosen.values())):
            names = [name for name, chosen in self.chosen.items() if chosen == scale]
            log.warning(
                "%s segmented at %g times the size, because the model knows objects of that size better: %s",
                f"{len(names)} images were" if len(names) > 1 else "1 image was",
                scale,
                some_names(names),
            )

    def _side(self, outputs: NDArray[np.float32]) -> float:
        """Of the median object, in pixels; 0 without any."""
        areas = np.bincount(connected_objects(self._mask(outputs)).ravel())[1:]
        return float(np.sqrt(np.median(areas))) if len(areas) else 0.0

    def _mask(self, outputs: NDArray[np.float32]) -> NDArray[np.uint8]:
        probabilities = outputs[..., : len(self.model.classes)]
        activation = self.model.recipe.network.activation
        return mask_from_probabilities(probabilities, self.settings.threshold, activation=activation)

    def _promise(self, outputs: NDArray[np.float32]) -> float:
        mask = self._mask(outputs)
        return expected_iou(outputs[..., : len(self.model.classes)], mask) if mask.any() else 0.0

    def _seen(self, prepared: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
        image = resize(prepared, scaled_shape(prepared.shape[:2], scale))
        (outputs,) = predict_probabilities(
            [image], self.model.outputs, self.model.sizes, self.settings, self.cancel
        )
        return outputs


def busiest(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The part with the most contrast, at most `side` pixels either way, of (Y, X, C) float32."""
    parts = [
        image[y : y + side, x : x + side]
        for y in _starts(image.shape[0], side)
        for x in _starts(image.shape[1], side)
    ]
    return max(parts, key=lambda part: float(part.std()))


def _starts(length: int, side: int) -> list[int]:
    """Where parts begin, so that they cover a line and none is shorter than it could be."""
    count = -(-length // side)
    return [0] if count == 1 else [round(n * (length - side) / (count - 1)) for n in range(count)]
