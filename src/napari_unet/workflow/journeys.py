"""Tasks on another machine: what each writes, how it resumes, and what comes back of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_unet.data.files.reading import ImageReading, current_reading, reading_images
from napari_unet.data.masks.mask_reading import MaskReading, current_mask_reading, reading_masks
from napari_unet.engine.remote.journey import Journey, Output
from napari_unet.errors import WorkbenchError
from napari_unet.workflow.inputs.left_out import Written

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.engine.task import Task
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.inputs.left_out import LeftOut

UNFINISHED = "*.unfinished"  # parts of large images


@dataclass(frozen=True, eq=False)
class WrittenFiles:
    """Files that a task wrote; as ``Written``, in a form that travels."""

    paths: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]
    unlike: str

    def here(self) -> Written:
        """The same as the task gives it on this machine."""
        return Written(self.paths, self.left_out, self.unlike)


@dataclass(frozen=True, eq=False)
class WrittenModel:
    """A model that a task wrote and gives back: what is known of it, without its network."""

    provenance: dict[str, Any]


@dataclass(frozen=True, eq=False)
class TravellingTask:
    """A task with what a person said of its images, and with a result that can travel.

    Attributes
    ----------
    task : Task
        What is done.
    images : ImageReading
        How images are read.
    masks : MaskReading
        How masks are read.
    """

    task: Task[Any]
    images: ImageReading = field(default_factory=current_reading)
    masks: MaskReading = field(default_factory=current_mask_reading)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Any:
        """Do it; errors as the task's."""
        with reading_images(self.images), reading_masks(self.masks):
            result = self.task.run(on_progress, cancel)
        if isinstance(result, Written):
            return WrittenFiles(tuple(result), result.left_out, result.unlike)
        if hasattr(result, "provenance") and hasattr(result, "normalization"):
            return WrittenModel(dict(result.provenance))
        return result


def journey_of(task: Task[Any]) -> Journey | None:
    """How a task travels; None for one that stays here, because it needs no network.

    Parameters
    ----------
    task : Task
        Of the window or of a command; or a ``TravellingTask``.
    """
    if not isinstance(task, TravellingTask):
        task = TravellingTask(task, ImageReading(), MaskReading())
    rule = RULES.get(type(task.task).__name__)
    if rule is None:
        return None
    outputs, resumed, resumes = rule(task.task)
    if type(task.task).__name__ == "FineTuneTask":
        task = replace(task, task=_with_remembered(task.task))
    return Journey(task, outputs, None if resumed is None else replace(task, task=resumed), resumes)


def travels(task: Task[Any]) -> bool:
    """Whether a task can run on another machine."""
    return type(task).__name__ in RULES or isinstance(task, TravellingTask)


def _with_remembered(task: Any) -> Any:
    """The task with the data that its model remembers: only this machine has them where the model says."""
    from napari_unet.models.model_folder import read_settings
    from napari_unet.workflow.finetune.replay_source import recorded_data

    try:
        provenance = read_settings(task.model)[3]
    except WorkbenchError:  # the task says it where it loads the model
        return task
    return replace(task, remembered=task.remembered or recorded_data(provenance))


Rule = tuple[tuple[Output, ...], Any, bool]


def _nothing(task: Any) -> Rule:
    return (), None, False


def _out(task: Any) -> Rule:
    return (Output(task.out),), None, False


def _report(task: Any) -> Rule:
    return (Output(task.report),), None, False


def _file(task: Any) -> Rule:
    return (Output(task.file, bring=()),), None, False


def _segmented(task: Any) -> Rule:
    return (Output(task.out, keep=UNFINISHED),), None, False


def _trained(task: Any) -> Rule:
    return (Output(task.out, keep="*"),), replace(task, resume=True), task.resume


def _members(task: Any) -> Rule:
    again = replace(task, train=replace(task.train, resume=True))
    return (Output(task.train.out, keep="*"),), again, task.train.resume


def _predicted(task: Any) -> Rule:
    from napari_unet.workflow.segment.prediction import file_name, mask_file

    brought: tuple[str, ...] = ()
    if task.region is not None:  # it is written into what is there of the image
        name = file_name(task.images[0].id)
        brought = name, mask_file(task.folder / name).name
    return (Output(task.folder, bring=brought),), None, False


RULES = {
    "WarmTask": _nothing,
    "WarmStrokesTask": _nothing,
    "PlanTask": _nothing,
    "CompareTask": _nothing,
    "EstimateTask": _nothing,
    "PredictTask": _predicted,
    "DisagreementTask": _file,
    "SegmentTask": _segmented,
    "SegmentFilesTask": _segmented,
    "TrainTask": _trained,
    "TrainMembersTask": _members,
    "TrainVersionTask": _trained,
    "FineTuneTask": _out,
    "LearnFromStrokesTask": _out,
    "EvaluateTask": _report,
    "CompareReportTask": _report,
}
