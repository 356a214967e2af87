"""Where the members of an ensemble, or one model's answers to the turned image, lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.engine.hardware import default_precision
from napari_unet.errors import unwritable
from napari_unet.progress import CancelToken, OnProgress, Progress
from napari_unet.workflow.segment.predict_task import lazy_sample, warm_models
from napari_unet.workflow.segment.prediction import store_array

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.inputs.image_reference import ImageReference


@dataclass(frozen=True, eq=False)
class DisagreementTask:
    """Ask a model for several opinions of one image and keep how far they lie apart.

    Attributes
    ----------
    model : pathlib.Path
        Folder or zip, of a model or of an ensemble.
    image : ImageReference
        Of which.
    file : pathlib.Path
        .npy that gets (Y, X) float16 in [0, 0.5], see ``Segmentation.disagreement``.
    settings : InferenceSettings
        Tiles, and the symmetry that decides on how one model's image is turned.
    """

    model: Path
    image: ImageReference
    file: Path
    settings: InferenceSettings

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Ask; gives the file.

        Raises
        ------
        DataError, ModelError
            If the image or the model cannot be read, or they do not fit.
        OutputError
            If the file cannot be written.
        Cancelled
            When somebody stopped it.
        """
        from napari_unet.workflow.segment.segment_samples import segment_samples

        on_progress(Progress(0, 1, "Comparing opinions"))
        model = warm_models().load(self.model, default_precision())
        cancel.check()
        sample = lazy_sample(self.image)
        (found,) = segment_samples([sample], model, self.settings, cancel, disagreement=True)
        assert found.disagreement is not None
        try:
            store_array(self.file, found.disagreement.astype(np.float16))
        except OSError as error:
            raise unwritable(
                f"the disagreement cannot be written in {self.file.parent}", error, "make room there"
            ) from error
        on_progress(Progress(1, 1, "Comparing opinions"))
        return self.file
