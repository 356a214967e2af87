"""Evaluating: reference masks against a model's or against mask files, into a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet import __version__
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import DataError, ModelError
from napari_unet.evaluation.report import write_report
from napari_unet.evaluation.score import Evaluation
from napari_unet.inference.postprocess import connected_objects
from napari_unet.models.model import Model, load_model
from napari_unet.progress import tracked
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.given_masks import read_masks
from napari_unet.workflow.seen import SeenImages
from napari_unet.workflow.segment import segment_samples

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.progress import CancelToken, OnProgress

Predictions = Iterator[tuple["Sample", "NDArray[np.uint8]", "NDArray[np.int32] | None"]]


@dataclass(frozen=True)
class EvaluateTask:
    """Score a model, or masks that are there already, on a data set.

    Attributes
    ----------
    data : pathlib.Path
        With reference masks.
    report : pathlib.Path
        Folder for iou.csv and report.json.
    model : pathlib.Path, optional
        To segment with.
    masks : pathlib.Path, optional
        Folder or zip of masks named after the images, instead of a model.
    format : str, optional
        Layout of the data.
    settings : EvaluationSettings
        Empty rule, intervals.
    """

    data: Path
    report: Path
    model: Path | None = None
    masks: Path | None = None
    format: str | None = None
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Evaluation:
        """Score all images that have a reference mask, and write the report."""
        dataset = open_dataset(self.data, self.format)
        if len(dataset) == 0:
            raise DataError(
                f"{self.data} has no reference masks to score against",
                remedy="give a data set with masks",
            )
        model = load_model(self.model, default_precision()) if self.model is not None else None
        if model is not None:
            _check_classes(model, dataset)
            predictions: Predictions = (
                (s.sample, s.mask, None) for s in segment_samples(dataset.samples, model, cancel=cancel)
            )
        elif self.masks is not None:
            predictions = read_masks(dataset, self.masks)
        else:
            raise DataError("there is nothing to score", expected="a model or a folder of masks")
        parts = _parts(dataset, model)
        groups = dict(zip((s.id for s in dataset.samples), dataset.groups(), strict=True))
        evaluation = Evaluation(dataset.classes, self.settings, dataset.format)
        for sample, mask, numbered in tracked(predictions, len(dataset), "Scoring", on_progress, cancel):
            reference = dataset.mask(sample)
            if reference.labels.shape != mask.shape:
                raise DataError(
                    f"the mask of {sample.id} does not fit its image",
                    expected=f"{mask.shape[1]} x {mask.shape[0]} pixels",
                    got=f"{reference.labels.shape[1]} x {reference.labels.shape[0]}",
                    remedy="replace the mask or leave the image out",
                )
            objects = None
            if reference.objects is not None:
                objects = reference.objects, connected_objects(mask) if numbered is None else numbered
            evaluation.add(sample.id, groups[sample.id], parts[sample.id], reference, mask, objects)
        write_report(
            self.report,
            evaluation,
            model=self._about_model(model),
            data={
                "path": str(self.data),
                "name": dataset.name,
                "format": dataset.format,
                "group_rule": dataset.group_rule,
                "problems": [p.message for p in dataset.problems],
            },
            settings={
                **self.settings.model_dump(mode="json"),
                "inference": model.recipe.inference.model_dump(mode="json") if model else None,
                "program": f"napari-unet-workbench {__version__}",
            },
        )
        return evaluation

    def _about_model(self, model: Model | None) -> dict[str, Any]:
        if model is None:
            return {"masks": str(self.masks)}
        kept = {k: v for k, v in model.provenance.items() if k not in {"image_hashes", "split"}}
        return {
            "path": str(self.model),
            "recipe": model.recipe.model_dump(mode="json"),
            "classes": list(model.classes),
            "provenance": kept,
        }


def _check_classes(model: Model, dataset: Dataset) -> None:
    if len(model.classes) != len(dataset.classes):
        raise ModelError(
            "the model and the data set have different classes",
            expected=", ".join(dataset.classes),
            got=", ".join(model.classes),
            remedy="use a model that was trained on such data",
        )


def _parts(dataset: Dataset, model: Model | None) -> dict[str, str]:
    """Which part of the model's split each image was in, told by its pixels, not by its name."""
    if model is None:
        return {s.id: "unseen" for s in dataset.samples}
    seen = SeenImages(model.provenance)
    return {s.id: seen.part(dataset.image(s)) for s in dataset.samples}
