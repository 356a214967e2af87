"""Choosing how far watershed contours refine a model's boundaries, by the Rand error on validation images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from operator import add
from typing import TYPE_CHECKING, Any

from napari_unet.atomic import check_model
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import ModelError
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.inference.shapes.contours import WEIGHTS, choose_weight, refine, watershed_contours
from napari_unet.metrics.regions import compare_partitions, regions_of
from napari_unet.models.ensemble import Ensemble, load_any, save_ensemble
from napari_unet.models.model import save_model
from napari_unet.models.model_folder import check_place
from napari_unet.progress import tracked
from napari_unet.workflow.inputs.labelled_images import check_classes
from napari_unet.workflow.inputs.left_out import sound_part
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.selection_images import choosing_images, note_chosen_by

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.inputs.left_out import LeftOut

THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))


@dataclass(frozen=True)
class TunedContours:
    """What was chosen.

    Attributes
    ----------
    weight, threshold : float
        Of the contours, and of the mask.
    before, after : float
        Rand error on the images, without contours at the model's threshold, and as chosen.
    images : int
        It was chosen by.
    left_out : tuple of LeftOut
        Images that could not be read.
    """

    weight: float
    threshold: float
    before: float
    after: float
    images: int
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class TuneContoursTask:
    """Choose the weight of watershed contours, and write the model with it.

    Attributes
    ----------
    model : pathlib.Path
        Model or ensemble of one class, the inside of cells that membranes part.
    data : pathlib.Path
        With reference masks; images that the model was trained on, or holds out, are left alone.
    out : pathlib.Path
        The model with the weight among its settings.
    format : str, optional
        Layout of the data.
    tune_threshold : bool
        Whether the threshold is chosen along with the weight.
    overwrite : bool
        Whether another model that is there may be replaced.
    """

    model: Path
    data: Path
    out: Path
    format: str | None = None
    tune_threshold: bool = False
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> TunedContours:
        """Choose and write.

        Raises
        ------
        ModelError
            If the model cannot be read or has several classes.
        DataError
            If there is no image to choose by.
        OutputError
            If it cannot be written.
        Cancelled
            When the person stopped it; nothing is written then.
        """
        model = load_any(self.model, default_precision())
        check_place(self.out, "ensemble" if isinstance(model, Ensemble) else "model")
        check_model(self.out, [self.model], overwrite=self.overwrite)
        if len(model.classes) != 1:
            raise ModelError(
                "contours refine the border of one class",
                code="model.classes.count",
                expected="a model of one class",
                got=", ".join(model.classes),
            )
        dataset, left = sound_part(open_dataset(self.data, self.format), on_progress, cancel)
        check_classes(model, dataset)
        judges = choosing_images(dataset, [TrainingMembership(model.provenance)], cancel)
        inference = model.recipe.inference.model_copy(update={"refinement": 0.0})
        samples = [sample for sample, _ in judges]
        results = tracked(
            segment_samples(samples, model, inference, cancel),
            len(samples), "Segmenting", on_progress, cancel,
        )  # fmt: skip
        maps = [result.probabilities[..., 0] for result in results]
        error = rand_error_of(dataset, [s.id for s in samples], maps)
        own = inference.threshold
        thresholds = (own, *(t for t in THRESHOLDS if t != own)) if self.tune_threshold else (own,)
        before = error(0.0, own)
        weight, threshold, after = choose_weight(error, WEIGHTS, thresholds)
        cancel.check()
        found = TunedContours(weight, threshold, before, after, len(judges), left)
        self._write(model, found, {digest: sample.id for sample, digest in judges})
        return found

    def _write(self, model: AnyModel, found: TunedContours, used: dict[str, str]) -> None:
        changes = {"refinement": found.weight, "threshold": found.threshold}
        inference = model.recipe.inference.model_copy(update=changes)
        model.recipe = model.recipe.model_copy(update={"inference": inference})
        model.provenance = dict(model.provenance)
        if model.provenance.get("split"):
            note_chosen_by(model.provenance, used)
        model.provenance["refinement"] = {
            "rand_error_before": found.before, "rand_error": found.after, "images": found.images,
        }  # fmt: skip
        if isinstance(model, Ensemble):
            save_ensemble(model, self.out)
        else:
            save_model(model, self.out)


def rand_error_of(dataset: Dataset, names: list[str], maps: list[NDArray[np.float32]]) -> Any:
    """Rand error of all images together, as a function of the contours' weight and the threshold.

    Parameters
    ----------
    dataset : Dataset
        With the reference masks.
    names : list of str
        Ids of the images.
    maps : list of numpy.ndarray
        (Y, X) float32 probabilities of each.

    Returns
    -------
    callable
        (weight, threshold) -> one minus the Rand F-score, membranes as they are.
    """
    by_id = {s.id: s for s in dataset.samples}
    references = []
    for name in names:
        mask = dataset.mask(by_id[name])
        cells = regions_of(mask.labels > 0)
        if mask.weights is not None:
            cells[mask.weights <= 0] = 0
        references.append(cells)
    lines = [watershed_contours(m) for m in maps]

    @cache
    def refined(weight: float) -> list[NDArray[np.float32]]:
        return [refine(m, weight, line) for m, line in zip(maps, lines, strict=True)]

    def error(weight: float, threshold: float) -> float:
        pairs = zip(references, refined(weight), strict=True)
        counts = [compare_partitions(ours, regions_of(p > threshold)) for ours, p in pairs]
        return 1 - reduce(add, counts).v_rand

    return error
