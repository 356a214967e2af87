"""Validation: the score on images that the network does not train on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.inference.predict import predict_probabilities
from napari_unet.metrics.overlap import count_overlap, image_score

if TYPE_CHECKING:
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.training.feeding.augmentation import Patch


@dataclass(frozen=True)
class Validation:
    """Images that the network does not train on, on which its weights are chosen.

    Attributes
    ----------
    model : Model
        In training.
    patches : list of Patch
        Whole images with labels and weights, at the network's resolution.
    cancel : CancelToken
        Asked before every batch.
    """

    model: Model
    patches: list[Patch]
    cancel: CancelToken

    @property
    def pixels(self) -> int:
        """Of all images together."""
        return sum(math.prod(patch.image.shape[:-1]) for patch in self.patches)

    def __call__(self) -> float:
        """Mean IoU at the model's threshold."""
        settings = self.model.recipe.inference.model_copy(update={"flips": "none"})
        activation = self.model.recipe.network.activation
        results = predict_probabilities(
            (p.image for p in self.patches), self.model.probabilities, self.model.sizes, settings, self.cancel
        )
        scores = []
        for patch, probabilities in zip(self.patches, results, strict=True):
            mask = mask_from_probabilities(probabilities, settings.threshold, activation=activation)
            counted = count_overlap(patch.labels, mask, len(self.model.classes), patch.weights)
            scores.append(image_score(counted.iou(), counted))
        return float(np.mean(scores))
