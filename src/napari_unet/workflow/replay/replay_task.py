"""Repeating a run from its run record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_unet.data.files.pixel_size import parse_pixel_size
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.masks.mask_reading import MaskReading, reading_masks
from napari_unet.data.split import Split
from napari_unet.errors import DataError, OutputError
from napari_unet.export.models.model_zoo import Attribution
from napari_unet.export.stacks import StackSlice
from napari_unet.progress import Progress
from napari_unet.project.project_file import PROJECT_FILE
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from napari_unet.workflow.export.export_model import ExportModelTask
from napari_unet.workflow.export.export_task import ExportTask
from napari_unet.workflow.export.mask_sources import ModelMasks, StoredMasks
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.finetune.training_examples import read_corrections
from napari_unet.workflow.large_images.any_size import segment_any_size
from napari_unet.workflow.large_images.segment_files import SegmentFilesTask
from napari_unet.workflow.replay.recorded_images import RecordedImages, given_data
from napari_unet.workflow.replay.replay_images import RecordedMasks, SegmentImagesTask
from napari_unet.workflow.replay.run_record import (
    EvaluateRun,
    ExportModelRun,
    ExportRun,
    FineTuneRun,
    SegmentRun,
    TrainRun,
)
from napari_unet.workflow.train.recipes import with_open_channels
from napari_unet.workflow.train.train_task import TrainTask

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.engine.task import Task
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.inputs.labelled_images import GivenData
    from napari_unet.workflow.replay.run_record import Run, RunRecord


@dataclass(frozen=True, eq=False)
class ReplayTask:
    """Do again what a run record says.

    Attributes
    ----------
    record : RunRecord
        What to do.
    out : pathlib.Path
        Where the result goes.
    anyway : bool
        Whether to continue where inputs or weights are no more what they were.
    overwrite : bool
        Whether what is in `out` may be replaced.
    """

    record: RunRecord
    out: Path
    anyway: bool = False
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> tuple[str, ...]:
        """Repeat the run; gives back what changed, which is nothing unless `anyway`.

        Raises
        ------
        DataError
            If something that went in changed.
        OutputError
            If something is in `out`.
        WorkbenchError
            Whatever the run itself raises.
        Cancelled
            When the person stopped it.
        """
        if not self.overwrite:
            check_empty(self.out)
        on_progress(Progress(0, 0, "Comparing with the recipe"))
        changes = self.record.changes()
        gone = [phrase for phrase in changes if phrase.endswith(" is gone")]
        if changes and (gone or not self.anyway):
            raise DataError(
                "this run cannot be repeated as it was",
                code="data.record.changed",
                got="; ".join(gone or changes[:3]),
                remedy="put it back" if gone else "put it back, or continue with --anyway",
            )
        cancel.check()
        masks = MaskReading(self.record.masks_are, self.record.leave_out_problems)
        with reading_images(ImageReading(self.record.axes, self.record.channels)), reading_masks(masks):
            run_again(self.record.run, self.out, on_progress, cancel, overwrite=self.overwrite)
        return changes


def check_empty(out: Path) -> None:
    """Refuse a place where something is.

    Raises
    ------
    OutputError
        If a file is there, or a folder with something in it.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise OutputError(
            f"{out} is there already",
            code="output.exists",
            expected="a new or empty folder",
            remedy="give another with --out, or allow --overwrite",
        )


def run_again(
    run: Run, out: Path, on_progress: OnProgress, cancel: CancelToken, *, overwrite: bool = False
) -> Any:
    """Do a run; gives back what its task does."""
    if isinstance(run, FineTuneRun) and run.data is not None and (run.data.found / PROJECT_FILE).is_file():
        return _learn_from_project(run, run.data.found, out, on_progress, cancel, overwrite)
    return _task(run, out, overwrite).run(on_progress, cancel)


def _task(run: Run, out: Path, overwrite: bool) -> Task[Any]:
    match run:
        case SegmentRun(images=()):
            return SegmentFilesTask(
                tuple(place.found for place in run.data), run.model.found, out, run.probabilities,
                run.settings, run.objects, run.names, run.format, run.disagreement, overwrite,
                large=run.large, channels=run.channels, stream=run.stream,
                file_format=run.file_format,
                one_file=run.one_file, link_objects=run.link_objects, over_time=run.over_time,
            )  # fmt: skip
        case SegmentRun():
            return SegmentImagesTask(run.images, run.model.found, out, run.settings)
        case TrainRun():
            split = None if run.split is None else Split.from_json(run.split, "the split of the recipe")
            return TrainTask(
                _data(run), out, with_open_channels(run.recipe), run.format, split, _found(run.init),
                overwrite=overwrite,
            )  # fmt: skip
        case EvaluateRun():
            return EvaluateTask(
                _data(run), out, _found(run.model), _found(run.masks), run.format, run.settings,
                inference=run.inference, names=run.names, overwrite=overwrite,
            )  # fmt: skip
        case ExportRun():
            return _export(run, out, overwrite)
        case ExportModelRun():
            said = Attribution(run.authors, run.licence, run.title)
            return ExportModelTask(run.model.found, out, run.kind, overwrite, said)
        case FineTuneRun(data=None):
            return replace(_learn_from_images(run, out), overwrite=overwrite)
        case FineTuneRun():
            return replace(_learn_from_folder(run, out), overwrite=overwrite)


def _data(run: TrainRun | EvaluateRun) -> Path | GivenData:
    if run.data is not None:
        return run.data.found
    return given_data(run.name, run.images, run.classes)


def _found(place: ContentPath | None) -> Path | None:
    return None if place is None else place.found


def _export(run: ExportRun, out: Path, overwrite: bool) -> ExportTask:
    source: ModelMasks | StoredMasks | RecordedMasks
    if run.images:
        source = RecordedMasks(
            run.images, _found(run.model), run.settings or InferenceSettings(), run.classes
        )
    elif run.model is not None:
        inputs = tuple(place.found for place in run.data)
        source = ModelMasks(inputs, run.model.found, run.settings, run.names, segment_any_size)
    else:
        source = StoredMasks(run.data[0].found, _found(run.masks), run.format, run.classes)
    size = parse_pixel_size(run.pixel_size) if run.pixel_size else None
    slices = {name: StackSlice(**dict(place)) for name, place in run.slices.items()}
    return ExportTask(
        source, out, run.formats, run.pattern, run.numbers, overwrite, size, run.one_file, run.link_objects,
        slices,
    )  # fmt: skip


def _learn_from_folder(run: FineTuneRun, out: Path) -> FineTuneTask:
    from napari_unet.models.model_folder import read_settings

    assert run.data is not None
    classes = len(read_settings(run.model.found)[2])
    corrections, others, _ = read_corrections(run.data.found, classes, run.format, run.unverified)
    return FineTuneTask(
        run.model.found, corrections, out, run.settings, replay=_found(run.replay), others=others
    )


def _learn_from_images(run: FineTuneRun, out: Path) -> FineTuneTask:
    opened = RecordedImages()
    return FineTuneTask(
        run.model.found,
        tuple(opened.correction(image) for image in run.images),
        out,
        run.settings,
        replay=_found(run.replay),
        replay_format=run.replay_format,
        others=tuple(opened.reference(image) for image in run.others),
        judges=tuple(opened.reference(image) for image in run.judges),
        reserve=run.reserve,
        evaluation=run.evaluation,
    )


def _learn_from_project(
    run: FineTuneRun,
    folder: Path,
    out: Path,
    on_progress: OnProgress,
    cancel: CancelToken,
    overwrite: bool,
) -> Any:
    from napari_unet.project.project import Project
    from napari_unet.workflow.finetune.rounds import round_of_project

    with Project.open(folder, read_only=True) as project:
        task, _ = round_of_project(project, run.model.found, run.settings, out, _found(run.replay))
        return replace(task, overwrite=overwrite).run(on_progress, cancel)
