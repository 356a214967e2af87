"""A first model from a few strokes, while a person paints on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.atomic import check_model
from napari_unet.data.sample import Sample
from napari_unet.models.model_folder import check_place
from napari_unet.models.normalization import Normalization
from napari_unet.training.feeding.stroke_patches import StrokedImage
from napari_unet.training.forecast import PeakMemory
from napari_unet.training.warm import warm_model
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.strokes.stroke_recipe import STROKES, for_images, fresh_model, training_of
from napari_unet.workflow.strokes.stroke_request import StrokeRequest
from napari_unet.workflow.strokes.stroke_rounds import LearnedFromStrokes, StrokeRounds

if TYPE_CHECKING:
    from napari_unet.progress import CancelToken, OnProgress


@dataclass(frozen=True, eq=False)
class LearnFromStrokesTask(StrokeRequest):
    """Learn from strokes in rounds until the time is up and nobody paints any more, or until it is stopped.

    After each round a Preview of the image that `preview` names comes as the piece of a Progress.

    Attributes as ``StrokeRequest``.
    """

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> LearnedFromStrokes:
        """Learn, and write the model.

        Raises
        ------
        TrainingError
            If nothing is painted, or one class alone.
        DataError
            If an image cannot be read.
        OutputError
            If the model cannot be written.
        Cancelled
            When the token was set; what was learned is lost then.
        """
        check_place(self.out)
        check_model(self.out)
        with PeakMemory() as memory:
            result = StrokeRounds(self, on_progress, cancel).run()
        return replace(result, memory=memory.most)


@dataclass(frozen=True)
class WarmStrokesTask:
    """Build the network for strokes and its training step, which takes seconds, while a person paints.

    Attributes
    ----------
    shape : tuple of int
        (Y, X, C) of the image that is painted, with the channels that a network needs for it.
    classes : int
        K.
    """

    shape: tuple[int, int, int]
    classes: int

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        """Learn one step from nothing, answer once, and keep it warm."""
        height, width, channels = self.shape
        recipe = for_images(STROKES, channels, self.classes, [(height, width)])
        names = tuple(str(number) for number in range(1, self.classes + 1))
        scale = recipe.training.scale
        model = fresh_model(recipe, Normalization(channels=channels, scale=scale), names)
        cancel.check()
        side = recipe.training.patch
        labels = np.zeros((side, side), np.uint8)
        labels[: side // 2] = 1
        values = np.zeros((side, side, channels), np.float32)
        training = training_of(model)
        training.patches.images["warm"] = StrokedImage.of(values, labels, np.ones(labels.shape, bool))
        training.learn(lambda: True)
        cancel.check()
        image = np.random.default_rng(0).integers(0, 255, self.shape, np.uint8)  # one colour is not asked for
        for _ in segment_samples([Sample("warm", lambda: image)], model, cancel=cancel):
            pass
        warm_model().keep(model)
