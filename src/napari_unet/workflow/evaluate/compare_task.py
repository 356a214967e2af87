"""Comparing two models on a data set, image by image, into a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from napari_unet import PROGRAM
from napari_unet.engine.hardware import default_precision
from napari_unet.evaluation.report.comparison_page import write_model_comparison
from napari_unet.evaluation.report.model_comparison import ModelComparison
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.score import Evaluation
from napari_unet.models.ensemble import load_any
from napari_unet.progress import Progress, tracked
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.evaluate.evaluate_task import Parts, check_report, groups_of
from napari_unet.workflow.evaluate.predicted_masks import fitting_reference, model_predictions, objects_of
from napari_unet.workflow.evaluate.report_facts import about_data, about_model
from napari_unet.workflow.evaluate.shell_commands import command, evaluation_flags
from napari_unet.workflow.evaluate.volume_scoring import VolumeScoring
from napari_unet.workflow.inputs.labelled_images import check_classes, open_labelled
from napari_unet.workflow.inputs.left_out import sound_part
from napari_unet.workflow.segment.three_planes import sees_volumes
from napari_unet.workflow.versions import versions

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress


COMPARE_FILES = ("compare.html", "compare.json", "compare.csv")


@dataclass(frozen=True)
class CompareReportTask:
    """Put two models on a data set and report which is better, and where.

    Attributes
    ----------
    data : pathlib.Path
        With reference masks.
    old, new : pathlib.Path
        Models.
    report : pathlib.Path
        Folder for compare.html, compare.json and compare.csv.
    format : str, optional
        Layout of the data.
    settings : EvaluationSettings
        Empty rule, intervals.
    overwrite : bool
        Whether a report that is there may be replaced.
    """

    data: Path
    old: Path
    new: Path
    report: Path
    format: str | None = None
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> ModelComparison:
        """Score both on all images that have a reference mask, and write the report.

        Raises
        ------
        DataError, ModelError
            If data or models cannot be read, or do not fit together.
        OutputError
            If the report cannot be written.
        Cancelled
            When the token was set; nothing is written then.
        """
        check_report(self.report, COMPARE_FILES, [self.data], overwrite=self.overwrite)
        models = load_any(self.old, default_precision()), load_any(self.new, default_precision())
        parts = tuple(map(Parts, models))

        def look(sample: Sample, image: NDArray[np.generic], mask: ReferenceMask | None) -> None:
            for each in parts:
                each.look(sample, image, mask)

        labelled = open_labelled(self.data, self.format)
        dataset, left = sound_part(labelled, on_progress, cancel, look)
        for model in models:
            check_classes(model, dataset)
        groups = groups_of(dataset)
        # Where one of the two sees volumes, objects of both are found in three dimensions.
        volumes = any(sees_volumes(one.recipe.network, one.recipe.inference) for one in models)
        old, new = (
            self._score(
                dataset, groups, model, parts[place].of, partial(_half, on_progress, place), cancel,
                volumes=volumes,
            )
            for place, model in enumerate(models)
        )  # fmt: skip
        old.evaluation.left_out.extend(item.entry for item in left)
        comparison = ModelComparison(names_of(self.old, self.new), old, new)
        by_id = {s.id: s for s in dataset.samples}
        galleries = comparison.galleries(lambda i: (dataset.image(by_id[i]), dataset.mask(by_id[i])))
        cancel.check()
        flags = evaluation_flags(self.settings, self.format)
        write_model_comparison(
            self.report,
            comparison,
            models=(about_model(models[0], self.old), about_model(models[1], self.new)),
            recipes=(models[0].recipe, models[1].recipe),
            data=about_data(dataset, self.data),
            settings=self.settings.model_dump(mode="json"),
            galleries=galleries,
            command=command(
                "compare", self.data, "--models", self.old, self.new, "--out", self.report, *flags
            ),
            versions=versions(),
            program=PROGRAM,
        )
        return comparison

    def _score(
        self,
        dataset: Dataset,
        groups: dict[str, str],
        model: AnyModel,
        parts: dict[str, str],
        on_progress: OnProgress,
        cancel: CancelToken,
        *,
        volumes: bool,
    ) -> ReportData:
        findings = ReportData(Evaluation(dataset.classes, self.settings, dataset.format))
        predictions = model_predictions(dataset, model, cancel)
        scoring = VolumeScoring(model.recipe, model.recipe.inference) if volumes else None
        for found in tracked(predictions, len(dataset), "Comparing", on_progress, cancel):
            name = found.sample.id
            reference = fitting_reference(dataset, found.sample, found.mask)
            objects = objects_of(reference, found, self.settings)
            findings.add(name, groups[name], parts[name], reference, found.mask, objects=objects)
            if scoring is not None and objects is not None:
                scoring.take(found, reference, parts[name])
        if scoring is not None:
            findings.evaluation.volumes.extend(scoring.blocks())
        return findings


def _half(on_progress: OnProgress, place: int, progress: Progress) -> None:
    """Report one of two passes as half of the work."""
    left = progress.seconds_left
    if left is not None and place == 0 and progress.done:
        left += left * progress.total / max(progress.total - progress.done, 1)
    done = place * progress.total + progress.done
    on_progress(Progress(done, 2 * progress.total, progress.message, left))


def names_of(old: Path, new: Path) -> tuple[str, str]:
    """What to call two models: their names, and where those are equal, with their folders' names."""
    first, second = old.resolve(), new.resolve()
    if first.stem != second.stem:
        return first.stem, second.stem
    return f"{first.parent.name}/{first.name}", f"{second.parent.name}/{second.name}"
