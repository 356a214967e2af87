"""Fine-tuning: a model and corrections become a new model, and a verdict on it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import check_model
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import ModelError, OutputError
from napari_unet.models.model import load_model
from napari_unet.models.model_folder import check_place
from napari_unet.progress import Progress
from napari_unet.training.warm import warm_model
from napari_unet.workflow.finetune.fine_tuned import FineTuned, FineTuneRequest
from napari_unet.workflow.finetune.fine_tuning_round import FineTuningRound

if TYPE_CHECKING:
    from napari_unet.progress import CancelToken, OnProgress

__all__ = ["FineTuneTask", "FineTuned"]

WRITING = 2.5  # seconds reserved for the last look and for writing the model, on a quiet machine
LOADING = 1.5  # seconds that loading the model takes there


@dataclass(frozen=True, eq=False)
class FineTuneTask(FineTuneRequest):
    """Fine-tune a model on corrections, and compare old and new on images of the new and of the old kind.

    Attributes as ``FineTuneRequest``.
    """

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> FineTuned:
        """Learn, compare, and write the new model.

        Raises
        ------
        OutputError
            If it cannot be written there.
        ModelError
            If the model cannot be read, finds whole objects, or does not fit the images.
        TrainingError
            If there is nothing to learn from, or the loss is not a number any more.
        Cancelled
            When the person stopped it.
        """
        started = time.monotonic()
        self._check_places()
        on_progress(Progress(0, 1, "Loading the model"))
        model = load_model(self.model, default_precision())
        if model.recipe.network.separation == "objects":
            raise ModelError(
                f"{self.model} finds whole objects, which painted pixels cannot teach it",
                code="model.network.objects",
                expected="a network that answers for each pixel",
                got=model.recipe.network.name,
                remedy="train it again with the corrected masks, or fine-tune another network",
            )
        # A machine that is slow to load will be slow to write.
        writing = WRITING * max((time.monotonic() - started) / LOADING, 1.0)
        model = warm_model().take(model)
        try:
            return FineTuningRound(self, model, started, writing, on_progress, cancel).fine_tune()
        finally:
            warm_model().keep(model)

    def _check_places(self) -> None:
        check_place(self.out)
        if self.out.suffix.lower() == ".zip":
            raise OutputError(
                f"fine-tuning writes a folder, and {self.out} looks like an archive",
                code="output.name.archive",
                remedy="give a name without .zip; zip the folder when it is done, it is read as well",
            )
        if self.out.resolve() == Path(self.model).resolve():
            raise OutputError(
                f"{self.out} is the model to start from",
                code="output.input",
                expected="a place of its own for the new model",
                remedy="give another name; the old model stays as it is",
            )
        check_model(self.out, [Path(self.model)], overwrite=self.overwrite)
