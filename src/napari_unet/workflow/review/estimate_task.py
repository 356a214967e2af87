"""How good the masks of images without a reference probably are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.engine.hardware import default_precision
from napari_unet.workflow.review.quality_estimate import agreement_of_members
from napari_unet.workflow.segment.predict_task import lazy_sample, warm_models

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.image_reference import ImageReference


@dataclass(frozen=True, eq=False)
class EstimateTask:
    """Measure how far a model's predictions of each image agree under flips.

    Every image comes as the piece of a Progress, a MemberAgreement.

    Attributes
    ----------
    model : pathlib.Path
        Folder or zip.
    images : tuple of ImageReference
        In the order in which they are wanted.
    settings : InferenceSettings
        Threshold, tiles, and the symmetry that decides on the flips.
    """

    model: Path
    images: tuple[ImageReference, ...]
    settings: InferenceSettings

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> int:
        """Measure; gives the number of images that could be.

        Raises
        ------
        ModelError
            If the model cannot be loaded.
        Cancelled
            When the person stopped it.
        """
        model = warm_models().load(self.model, default_precision())
        samples = [lazy_sample(reference) for reference in self.images]
        return len(agreement_of_members(samples, model, cancel, on_progress, self.settings))
