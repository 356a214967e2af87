"""Scores of stored probabilities with another threshold or minimum size, without the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.progress import Progress
from napari_unet.workflow.segment.prediction import count_against

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.inference.postprocess import Activation
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.image_reference import ImageReference
from napari_unet.workflow.segment.predict_task import find_sample


@dataclass(frozen=True, eq=False)
class RescoreTask:
    """Score stored probabilities with another threshold or minimum size, without the network.

    Every image comes as the piece of a Progress: (id, OverlapCounts).

    Attributes
    ----------
    images : tuple of ImageReference
        With a reference mask.
    files : tuple of pathlib.Path
        Their probabilities.
    classes : int
        K.
    activation : str
        Of the network.
    settings : InferenceSettings
        Threshold and minimum size.
    """

    images: tuple[ImageReference, ...]
    files: tuple[Path, ...]
    classes: int
    activation: Activation
    settings: InferenceSettings

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        """Score."""
        pairs = list(zip(self.images, self.files, strict=True))
        for number, (reference, file) in enumerate(pairs):
            cancel.check()
            try:
                probabilities = np.load(file)[..., : self.classes].astype(np.float32)
            except (OSError, ValueError):
                continue  # gone from the disk, which is reported where the mask is wanted
            mask = mask_from_probabilities(
                probabilities,
                self.settings.threshold,
                self.settings.minimum_size,
                activation=self.activation,
            )
            counts, _ = count_against(find_sample(reference), mask, self.classes)
            on_progress(Progress(number + 1, len(pairs), "Scoring again", piece=(reference.id, counts)))
