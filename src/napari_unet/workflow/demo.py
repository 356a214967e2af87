"""The demo: a made-up data set, a minute of training, masks and scores of images never trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet import PROGRAM
from napari_unet.data.catalog import open_dataset
from napari_unet.data.file_names import safe_stem
from napari_unet.data.split import Split
from napari_unet.data.synthetic import write_synthetic
from napari_unet.engine.hardware import default_precision
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.report.report_files import write_report
from napari_unet.evaluation.report.report_page import Background
from napari_unet.evaluation.score import Evaluation
from napari_unet.export.masks import write_mask, write_objects
from napari_unet.models.model import load_model
from napari_unet.progress import tracked
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import OnEpoch, TrainTask
from napari_unet.workflow.versions import versions

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.progress import CancelToken, OnProgress

KIND = "salt"
IMAGES = 240
FIRST_IMAGES = 10


@dataclass(frozen=True)
class FirstMasksTask:
    """Segment made-up nuclei with the model that comes with the program: masks in seconds.

    Attributes
    ----------
    out : pathlib.Path
        Gets nuclei/data/ and, in nuclei/masks/, a TIFF with numbered objects for each image.
    """

    out: Path

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Evaluation:
        """Segment, number the objects, score them."""
        data = write_synthetic("nuclei", self.out / "nuclei" / "data", FIRST_IMAGES)
        dataset = open_dataset(data)
        model = load_model("nuclei", default_precision())
        evaluation = Evaluation(dataset.classes, competition=dataset.format)
        results = segment_samples(dataset.samples, model, cancel=cancel)
        for result in tracked(results, len(dataset), "Segmenting", on_progress, cancel):
            identifier = result.sample.id
            reference = dataset.mask(result.sample)
            objects = None if reference.objects is None else (reference.objects, result.objects)
            evaluation.add(identifier, identifier, "unseen", reference, result.mask, objects)
            file = self.out / "nuclei" / "masks" / f"{safe_stem(identifier)}.tif"
            write_objects(file, result.objects)
        return evaluation


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
        task = TrainTask(data, self.out / "model", chosen, on_epoch=self.on_epoch, overwrite=True)
        split = Split.from_json(task.run(on_progress, cancel).provenance["split"], "the demo's split")
        model = load_model(self.out / "model", default_precision())
        held = open_dataset(data).subset(split.held_out)
        activation = model.recipe.network.activation
        findings = ReportData(Evaluation(held.classes, competition=held.format), activation)
        for result in segment_samples(held.samples, model, cancel=cancel):
            identifier = result.sample.id
            mask = held.mask(result.sample)
            group = split.groups[identifier]
            findings.add(identifier, group, "held-out", mask, result.mask, result.probabilities)
            write_mask(self.out / "masks" / f"{safe_stem(identifier)}.png", result.mask)
        evaluation = findings.evaluation
        by_id = {s.id: s for s in held.samples}
        name = f"synthetic {KIND}"
        write_report(
            self.out / "report",
            evaluation,
            model={"path": "model", "recipe": chosen.model_dump(mode="json")},
            data={"name": name, "format": held.format, "images": self.images},
            settings=evaluation.settings.model_dump(mode="json"),
            background=Background(
                f"A U-Net on {name} tiles",
                PROGRAM,
                curve=findings.threshold_curve(),
                reliable=findings.reliability(),
                threshold=model.recipe.inference.threshold,
                galleries=findings.galleries(lambda i: (held.image(by_id[i]), held.mask(by_id[i]))),
                recipe=model.recipe,
                provenance=model.provenance,
                versions=versions(),
            ),
        )
        return evaluation
