"""A report of what a model said of open images, from the stored probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_unet import PROGRAM
from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.data.masks.mask_reading import Choice, MaskReading, reading_masks
from napari_unet.errors import DataError, WorkbenchError
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.report.report_files import write_report
from napari_unet.evaluation.report.report_page import Background
from napari_unet.evaluation.report.summary_text import copies_note, count_of, threshold_note
from napari_unet.evaluation.score import SEEN, Evaluation
from napari_unet.metrics.object_confidence import ObjectConfidence
from napari_unet.models.card import ModelCard
from napari_unet.progress import Progress, tracked
from napari_unet.workflow.evaluate.evaluate_task import check_writable, groups_of, own_parts_of
from napari_unet.workflow.evaluate.predicted_masks import measures_of
from napari_unet.workflow.evaluate.report_facts import about_model, masks_in_words, training_commands
from napari_unet.workflow.evaluate.shell_commands import command, evaluation_flags
from napari_unet.workflow.evaluate.stored_predictions import open_stored
from napari_unet.workflow.segment.predict_task import find_sample
from napari_unet.workflow.segment.unlike_images import UnlikeImages
from napari_unet.workflow.versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.files.pixel_size import PixelSize
    from napari_unet.data.inspection.inspection import Inspection
    from napari_unet.data.sample import ReferenceMask
    from napari_unet.metrics.object_measures import ObjectTable
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.evaluate.stored_predictions import (
        OpenedPrediction,
        ScoreRules,
        StoredPrediction,
    )

MOST_TOLD = 3  # images named that cannot be scored


@dataclass(frozen=True, eq=False)
class ReportTask:
    """Write a report of what a model said of images, from the stored probabilities.

    It is of the model's masks, never of masks that a person corrected.

    Attributes
    ----------
    images : tuple of StoredPrediction
        At least one.
    rules : ScoreRules
        Of the masks and scores.
    model : pathlib.Path
        Whose probabilities they are.
    report : pathlib.Path
        Folder for report.html, report.json and iou.csv.
    name : str
        Of the images together.
    data : pathlib.Path or None
        The data set that they are of, if of one.
    waiting : int
        Images with a reference that the model has not been put on.
    corrected : int
        Of the images, how many have masks that a person corrected.
    masks_are : str
        How a person wants the masks of the data set read; see ``MaskReading``.
    channels : tuple of str
        Names or numbers of the channels that are read of its images; empty: all.
    pixel_sizes : dict
        Id to PixelSize of images whose files do not say it.
    """

    images: tuple[StoredPrediction, ...]
    rules: ScoreRules
    model: Path
    report: Path
    name: str
    data: Path | None = None
    waiting: int = 0
    corrected: int = 0
    masks_are: Choice = ""
    channels: tuple[str, ...] = ()
    pixel_sizes: dict[str, PixelSize] = field(default_factory=dict)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Score, draw and write; gives the page.

        Raises
        ------
        DataError
            If none of the images can be scored.
        OutputError
            If the report cannot be written.
        Cancelled
            When the token was set; nothing is written then.
        """
        check_writable(self.report)
        reading = ImageReading(channels=self.channels)
        with reading_masks(MaskReading(self.masks_are)), reading_images(reading):
            dataset = open_dataset(self.data, self.rules.competition) if self.data is not None else None
        inspection, known = None, dict[str, str]()
        if dataset is not None:
            known = own_parts_of(dataset, ModelCard.read(self.model).provenance)
            inspection = inspect_dataset(dataset, on_progress, cancel, known or None)
        groups = groups_of(dataset) if dataset is not None else {}
        rules = self.rules
        same = dataset is not None and len(dataset.classes) == len(rules.classes)
        classes = dataset.classes if dataset is not None and same else rules.classes
        findings = ReportData(Evaluation(classes, rules.evaluation, rules.competition), rules.activation)
        problems: list[str] = []
        card = ModelCard.read(self.model)
        unlike = UnlikeImages(card.provenance, card.normalization)
        confidence = ObjectConfidence.of(card.provenance)
        for opened in self._opened(problems, on_progress, cancel):
            prediction = opened.stored
            if unlike.is_known and prediction.part not in SEEN:
                sample = find_sample(prediction.image)
                unlike.look(sample, sample.read_image())
            group = groups.get(prediction.image.id) or prediction.group or prediction.image.id
            findings.add(
                prediction.image.id,
                group,
                prediction.part,
                opened.reference,
                opened.mask,
                opened.probabilities,
                opened.objects,
                self._measures(opened, classes, confidence),
            )
        if not findings.evaluation.scores:
            raise DataError(
                "no image can be scored",
                code="data.images.unusable",
                got=problems[0] if problems else "no image",
            )
        on_progress(Progress(len(self.images), len(self.images), "Drawing the report"))
        scored = {prediction.image.id: prediction.part for prediction in self.images}
        copies = copies_note({i: part for i, part in known.items() if i in scored}, scored)
        self._write(findings, dataset, inspection, (copies, problems), unlike, cancel)
        return self.report / "report.html"

    def _measures(
        self, opened: OpenedPrediction, classes: tuple[str, ...], confidence: ObjectConfidence | None
    ) -> Callable[[], ObjectTable] | None:
        """What measures the objects of an image, if they are scored."""
        if opened.objects is None:
            return None
        image = opened.stored.image
        place = self.data if self.data is not None else getattr(image, "path", None)
        roots = () if place is None else (place,)
        size = self.pixel_sizes.get(image.id)
        return partial(measures_of, opened.predicted, opened.objects[1], classes, confidence, roots, size)

    def _opened(
        self, problems: list[str], on_progress: OnProgress, cancel: CancelToken
    ) -> Iterator[OpenedPrediction]:
        for prediction in tracked(self.images, len(self.images), "Scoring", on_progress, cancel):
            try:
                yield open_stored(prediction, self.rules)
            except WorkbenchError as error:
                problems.append(error.sentence)

    def _write(
        self,
        findings: ReportData,
        dataset: Dataset | None,
        inspection: Inspection | None,
        notes: tuple[str, list[str]],
        unlike: UnlikeImages,
        cancel: CancelToken,
    ) -> None:
        by_id = {prediction.image.id: prediction.image for prediction in self.images}

        def read(identifier: str) -> tuple[NDArray[np.generic], ReferenceMask]:
            sample = find_sample(by_id[identifier])
            return sample.read_image(), sample.read_mask()

        galleries = findings.galleries(read)
        cancel.check()
        card = ModelCard.read(self.model)
        inference = self.rules.inference
        recipe = card.recipe.model_copy(update={"inference": inference})
        note = threshold_note(inference, card.recipe.inference)
        background = Background(
            title=f"{card.name} on {self.name}",
            program=PROGRAM,
            curve=findings.threshold_curve(),
            reliable=findings.reliability(),
            threshold=inference.threshold,
            galleries=galleries,
            recipe=recipe,
            provenance=card.provenance,
            problems=inspection.to_json()["problems"] if inspection is not None else None,
            commands=self._commands(card),
            versions=versions(),
            remarks=(
                *(masks_in_words(dataset) if dataset is not None else ()),
                *self._remarks(notes[1], (note, notes[0], unlike.sentence)),
            ),
            threshold_note=note,
            unlike=unlike.to_json(),
            objects=findings.objects,
        )
        about: dict[str, Any] = {"name": self.name}
        if dataset is not None:
            about |= {"path": str(self.data), "format": dataset.format, "group_rule": dataset.group_rule}
        write_report(
            self.report,
            findings.evaluation,
            model=about_model(replace(card, recipe=recipe), self.model),
            data=about,
            settings={
                **self.rules.evaluation.model_dump(mode="json"),
                "inference": inference.model_dump(mode="json"),
                "program": PROGRAM,
                "corrected": self.corrected,
            },
            background=background,
        )

    def _remarks(self, problems: list[str], notes: tuple[str, ...]) -> tuple[str, ...]:
        remarks = [f"{note[:1].upper()}{note[1:]}." for note in notes if note]
        if self.corrected:
            have = "has a mask" if self.corrected == 1 else "have masks"
            remarks.append(
                f"{count_of(self.corrected, 'image')} of these {have} that a person corrected; what is "
                "scored here are the masks that the model made."
            )
        if self.waiting:
            was = "was" if self.waiting == 1 else "were"
            remarks.append(
                f"{count_of(self.waiting, 'image')} with a reference {was} not segmented and "
                f"{'is' if self.waiting == 1 else 'are'} not in this report."
            )
        if problems:
            first = "; ".join(problems[:MOST_TOLD])
            remarks.append(f"{count_of(len(problems), 'image')} could not be scored: {first}.")
        return tuple(remarks)

    def _commands(self, card: ModelCard) -> tuple[str, ...]:
        """Commands that give this report again; those that would give another are left out."""
        lines = [*training_commands(card)]
        own, used = card.recipe.inference, self.rules.inference
        same = (own.threshold, own.minimum_size) == (used.threshold, used.minimum_size)
        if self.data is not None and same and not self.waiting:
            flags = evaluation_flags(self.rules.evaluation, self.rules.competition)
            flags += ["--masks-are", self.masks_are] if self.masks_are else []
            flags += [flag for name in self.channels for flag in ("--channel", name)]
            lines.append(command("evaluate", self.data, "--model", self.model, "--out", self.report, *flags))
        return tuple(lines)
