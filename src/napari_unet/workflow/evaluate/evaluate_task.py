"""Evaluating: reference masks against a model's or against mask files, into a report."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import PROGRAM
from napari_unet.atomic import check_can_be_made, check_outputs
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.data.masks.mask_reading import current_mask_reading
from napari_unet.engine.cluster import connect
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.evaluation.leakage import NOT_KNOWN, TrainingMembership
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.report.report_files import write_report
from napari_unet.evaluation.report.report_page import Background
from napari_unet.evaluation.report.summary_text import copies_note, threshold_note
from napari_unet.evaluation.score import SEEN, Evaluation
from napari_unet.metrics.object_confidence import ObjectConfidence
from napari_unet.models.ensemble import load_any
from napari_unet.progress import tracked
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.evaluate.cluster_evaluation import (
    EvaluationJob,
    check_shareable,
    divided,
    pack_files,
    predict_on_cluster,
    whole_volumes,
)
from napari_unet.workflow.evaluate.predicted_masks import (
    Predicted,
    fitting_reference,
    given_predictions,
    measures_of,
    model_predictions,
    objects_of,
)
from napari_unet.workflow.evaluate.report_facts import (
    about_data,
    about_model,
    masks_in_words,
    training_commands,
)
from napari_unet.workflow.evaluate.shell_commands import command, evaluation_flags, mask_flags
from napari_unet.workflow.evaluate.volume_scoring import VolumeScoring
from napari_unet.workflow.inputs.chosen_samples import chosen_samples
from napari_unet.workflow.inputs.labelled_images import GivenData, check_classes, open_labelled
from napari_unet.workflow.inputs.left_out import LeftOut, check_some_left, sound_part
from napari_unet.workflow.segment.three_planes import sees_volumes
from napari_unet.workflow.segment.unlike_images import UnlikeImages
from napari_unet.workflow.versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.inspection.inspection import Inspection
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.engine.cluster import Cluster
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import InferenceSettings


REPORT_FILES = ("report.html", "report.json", "iou.csv", "objects.csv", "volumes.csv")


@dataclass(frozen=True)
class EvaluateTask:
    """Score a model, or masks that are there already, on a data set.

    Attributes
    ----------
    data : pathlib.Path or GivenData
        With reference masks.
    report : pathlib.Path
        Folder for iou.csv, report.json and report.html; and objects.csv, where objects are scored. Volumes
        are scored in three dimensions, too, in volumes.csv, if the model sees several slices.
    model : pathlib.Path, optional
        To segment with.
    masks : pathlib.Path, optional
        Folder or zip of masks named after the images, instead of a model.
    format : str, optional
        Layout of the data.
    settings : EvaluationSettings
        Empty rule, intervals.
    inspect : bool
        Whether to look for problems of a data set, which reads all of it once more.
    inference : InferenceSettings, optional
        Instead of the model's own.
    names : tuple of str, optional
        Ids of the images to score; all if not given.
    cluster : str or distributed.Client
        Whose workers segment, the address of a Dask scheduler or a client; empty: this process.
    overwrite : bool
        Whether a report that is there may be replaced.
    """

    data: Path | GivenData
    report: Path
    model: Path | None = None
    masks: Path | None = None
    format: str | None = None
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    inspect: bool = True
    inference: InferenceSettings | None = None
    names: tuple[str, ...] | None = None
    cluster: str | Client = ""
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Evaluation:
        """Score all images that have a reference mask, and write the report."""
        with connect(self.cluster) if self.cluster else nullcontext() as cluster:
            return self._evaluate(cluster, on_progress, cancel)

    def _evaluate(self, cluster: Cluster | None, on_progress: OnProgress, cancel: CancelToken) -> Evaluation:
        if cluster is not None:
            check_shareable(self.data, self.model)
        check_report(self.report, REPORT_FILES, [self.data], overwrite=self.overwrite)
        dataset = whole = open_labelled(self.data, self.format)
        if self.names is not None:
            chosen = chosen_samples(dataset.samples, self.names, str(self.data))
            dataset = replace(dataset, samples=tuple(chosen))
        taken_for: list[str] = []
        model = load_any(self.model, default_precision()) if self.model is not None else None
        parts = Parts(model)
        unlike = UnlikeImages(model.provenance, model.normalization) if model is not None else None

        def look(sample: Sample, image: NDArray[np.generic], mask: ReferenceMask | None) -> None:
            parts.look(sample, image, mask)
            if unlike is not None and parts.of[sample.id] not in SEEN:
                unlike.look(sample, image)

        dataset, left = sound_part(dataset, on_progress, cancel, look)
        problems: list[LeftOut] = list(left)
        if model is not None:
            check_classes(model, dataset)
            if cluster is None:
                predictions = model_predictions(dataset, model, cancel, self.inference, problems.append)
            else:
                predictions = self._predictions_of(cluster, model, dataset, cancel, problems.append)
        elif self.masks is not None:
            predictions = given_predictions(dataset, self.masks, problems.append, taken_for.append)
        else:
            raise DataError(
                "there is nothing to score", code="data.nothing", expected="a model or a folder of masks"
            )
        inspect = self.inspect and not isinstance(self.data, GivenData)
        inspection = inspect_dataset(whole, on_progress, cancel, parts.named or None) if inspect else None
        activation = model.recipe.network.activation if model is not None else "sigmoid"
        findings = ReportData(Evaluation(dataset.classes, self.settings, dataset.format), activation)
        groups = groups_of(dataset)
        volumes = VolumeScoring(None) if model is None else None
        if model is not None:
            settings = self.inference or model.recipe.inference
            if sees_volumes(model.recipe.network, settings):
                volumes = VolumeScoring(model.recipe, settings)
        confidence = None if model is None else ObjectConfidence.of(model.provenance)
        roots = () if isinstance(self.data, GivenData) else (self.data,)
        for found in tracked(predictions, len(dataset), "Scoring", on_progress, cancel):
            identifier = found.sample.id
            try:
                reference = fitting_reference(dataset, found.sample, found.mask)
            except WorkbenchError as error:
                problems.append(LeftOut.of(found.sample, error))
                continue
            objects = objects_of(reference, found, self.settings)
            group, part = groups[identifier], parts.of[identifier]
            if volumes is not None and objects is not None and (model is not None or found.of_volume):
                volumes.take(found, reference, part)
            measures = None
            if objects is not None:
                measures = partial(measures_of, found, objects[1], dataset.classes, confidence, roots)
            findings.add(
                identifier, group, part, reference, found.mask, found.probabilities, objects, measures
            )
        check_some_left(problems, len(left) + len(dataset))
        findings.evaluation.left_out.extend(item.entry for item in problems)
        if volumes is not None:
            findings.evaluation.volumes.extend(volumes.blocks())
        copies = copies_note(parts.named, parts.of)
        self._write(dataset, model, findings, inspection, taken_for, copies, unlike, cancel)
        return findings.evaluation

    def _predictions_of(
        self,
        cluster: Cluster,
        model: AnyModel,
        dataset: Dataset,
        cancel: CancelToken,
        on_problem: Callable[[LeftOut], object],
    ) -> Iterator[Predicted]:
        """What the workers make of each image."""
        path = check_shareable(self.data, self.model)
        assert self.model is not None
        files = pack_files(self.model)
        masks = replace(current_mask_reading(), leave_out_problems=False)  # which is done already
        job = EvaluationJob(path, self.format, files, self.inference, self.settings.scores, masks=masks)
        by_id = {s.id: s for s in dataset.samples}
        settings = self.inference or model.recipe.inference
        if model.recipe.network.in_3d or settings.orthogonal:
            parts = whole_volumes(dataset.samples, cluster.workers)
        else:
            parts = divided(list(by_id), cluster.workers)
        for found in predict_on_cluster(cluster, job, parts, cancel):
            if isinstance(found, LeftOut):
                on_problem(found)
                continue
            probabilities = found.probabilities.astype(np.float32)
            number = partial(np.asarray, found.objects)
            yield Predicted(by_id[found.id], found.mask, number, probabilities, found.separation)

    def _write(
        self,
        dataset: Dataset,
        model: AnyModel | None,
        findings: ReportData,
        inspection: Inspection | None,
        taken_for: list[str],
        copies: str,
        unlike: UnlikeImages | None,
        cancel: CancelToken,
    ) -> None:
        cancel.check()
        inference = None if model is None else self.inference or model.recipe.inference
        by_id = {s.id: s for s in dataset.samples}
        galleries = findings.galleries(lambda i: (dataset.image(by_id[i]), dataset.mask(by_id[i])))
        source = self.model or self.masks
        what = ["--model", str(self.model)] if model is not None else ["--masks", str(self.masks)]
        flags = [*evaluation_flags(self.settings, self.format), *mask_flags()]
        commands = training_commands(model)
        if not isinstance(self.data, GivenData):
            commands += (command("evaluate", self.data, *what, "--out", self.report, *flags),)
        note = "" if model is None or inference is None else threshold_note(inference, model.recipe.inference)
        said = unlike.sentence if unlike is not None else ""
        background = Background(
            title=f"{source.name if source else 'Masks'} on {dataset.name}",
            program=PROGRAM,
            curve=findings.threshold_curve(),
            reliable=findings.reliability(),
            threshold=inference.threshold if inference is not None else None,
            galleries=galleries,
            recipe=model.recipe if model is not None else None,
            provenance=model.provenance if model is not None else {},
            problems=inspection.to_json()["problems"] if inspection is not None else None,
            commands=commands,
            versions=versions(),
            remarks=(
                *masks_in_words(dataset),
                *(f"The values of the masks that were scored: {words}." for words in taken_for),
                *(f"{words[:1].upper()}{words[1:]}." for words in (note, copies, said) if words),
            ),
            threshold_note=note,
            unlike=unlike.to_json() if unlike is not None else None,
            objects=findings.objects,
        )
        cancel.check()
        write_report(
            self.report,
            findings.evaluation,
            model={"masks": str(self.masks)} if model is None else about_model(model, self.model),
            data=about_data(dataset, None if isinstance(self.data, GivenData) else self.data),
            settings={
                **self.settings.model_dump(mode="json"),
                "inference": inference.model_dump(mode="json") if inference is not None else None,
                "program": PROGRAM,
            },
            background=background,
        )


def check_writable(folder: Path) -> None:
    """Refuse a folder for a report that nothing can be written to; errors as ``check_can_be_made``."""
    check_can_be_made(folder / "report.json")


def check_report(
    folder: Path, names: Iterable[str], inputs: Iterable[Path | GivenData], *, overwrite: bool
) -> None:
    """Refuse a folder for a report that nothing can be written to, or whose report would be replaced."""
    given = [path for path in inputs if not isinstance(path, GivenData)]
    check_outputs((folder / name for name in names), given, overwrite=overwrite)
    check_writable(folder)


def groups_of(dataset: Dataset) -> dict[str, str]:
    """The group of each image, by its id."""
    return dict(zip((s.id for s in dataset.samples), dataset.groups(), strict=True))


def own_parts_of(dataset: Dataset, provenance: Mapping[str, Any]) -> dict[str, str]:
    """The part that the model's split names for each image, whatever copies there are; none without any."""
    seen = TrainingMembership(provenance)
    parts = {s.id: seen.own_part(s.id, dataset.image(s)) for s in dataset.samples}
    return parts if any(parts.values()) else {}


class Parts:
    """Which part of a model's split each image was in, by its pixels, not by its name.

    Parameters
    ----------
    model : Model, Ensemble or None
        None: the parts are not known.

    Attributes
    ----------
    of : dict
        Id to part, of the images that it looked at.
    named : dict
        Id to the part that the split itself names, whatever copies there are; without those it does not name.
    """

    def __init__(self, model: AnyModel | None) -> None:
        self.of: dict[str, str] = {}
        self.named: dict[str, str] = {}
        self._seen = None if model is None else TrainingMembership(model.provenance)

    def look(self, sample: Sample, image: NDArray[np.generic], mask: ReferenceMask | None) -> None:
        """Find the part of one more image."""
        if self._seen is None:
            self.of[sample.id] = NOT_KNOWN
            return
        self.of[sample.id] = self._seen.part(image)
        if named := self._seen.own_part(sample.id, image):
            self.named[sample.id] = named
