"""The demo: a made-up data set, a minute of training, masks and scores of images never trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.data.synthetic import write_synthetic
from napari_unet.engine.hardware import default_precision
from napari_unet.evaluation.report import write_report
from napari_unet.evaluation.score import Evaluation
from napari_unet.export.masks import safe_stem, write_mask
from napari_unet.models.model import load_model
from napari_unet.workflow.recipes import recipe
from napari_unet.workflow.segment import segment_samples
from napari_unet.workflow.train import OnEpoch, TrainTask

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.progress import CancelToken, OnProgress

KIND = "salt"
IMAGES = 240


@dataclass(frozen=True)
class DemoTask:
    """Make a data set, train on it, segment and score its held-out images.

    Attributes
    ----------
    out : pathlib.Path
        Gets data/, model/, masks/ and report/.
    minutes : float
        Of training.
    images : int
        In the data set.
    on_epoch : callable, optional
        See ``TrainTask``.
    """

    out: Path
    minutes: float = 1.0
    images: int = IMAGES
    on_epoch: OnEpoch | None = None

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Evaluation:
        """Do all of it; give back the scores of the held-out images."""
        data = write_synthetic(KIND, self.out / "data", self.images)
        cancel.check()
        chosen = recipe("fast", [f"minutes={self.minutes}", "steps_per_epoch=40", "held_out=0.2"])
        task = TrainTask(data, self.out / "model", chosen, on_epoch=self.on_epoch)
        split = Split.from_json(task.run(on_progress, cancel).provenance["split"], "the demo's split")
        model = load_model(self.out / "model", default_precision())
        held = open_dataset(data).subset(split.held_out)
        evaluation = Evaluation(held.classes, competition=held.format)
        for result in segment_samples(held.samples, model, cancel=cancel):
            identifier = result.sample.id
            mask = held.mask(result.sample)
            evaluation.add(identifier, split.groups[identifier], "held-out", mask, result.mask)
            write_mask(self.out / "masks" / f"{safe_stem(identifier)}.png", result.mask)
        write_report(
            self.out / "report",
            evaluation,
            model={"path": "model", "recipe": chosen.model_dump(mode="json")},
            data={"name": f"synthetic {KIND}", "format": held.format, "images": self.images},
            settings=evaluation.settings.model_dump(mode="json"),
        )
        return evaluation
