"""Repeating a run from its recipe, and saving the recipe of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.data.pixel_size import parse_pixel_size
from napari_unet.data.split import Split
from napari_unet.errors import DataError, OutputError
from napari_unet.progress import Progress
from napari_unet.workflow.evaluate import EvaluateTask
from napari_unet.workflow.export import ExportTask
from napari_unet.workflow.export_sources import ModelMasks, StoredMasks
from napari_unet.workflow.fine_tune import FineTuneTask
from napari_unet.workflow.lessons import read_corrections
from napari_unet.workflow.project_file import PROJECT_FILE
from napari_unet.workflow.run_recipe import (
    EvaluateRun,
    ExportRun,
    FineTuneRun,
    RunRecipe,
    SegmentRun,
    TrainRun,
)
from napari_unet.workflow.segment import SegmentTask
from napari_unet.workflow.train import TrainTask

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.engine.task import Task
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.workflow.run_recipe import Place, Run


@dataclass(frozen=True, eq=False)
class RepeatTask:
    """Do again what a recipe says.

    Attributes
    ----------
    recipe : RunRecipe
        What to do.
    out : pathlib.Path
        Where the result goes.
    anyway : bool
        Whether to go on where inputs or weights are no more what they were.
    overwrite : bool
        Whether what is in `out` may be replaced.
    """

    recipe: RunRecipe
    out: Path
    anyway: bool = False
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> tuple[str, ...]:
        """Repeat the run; gives back what had changed, which is nothing unless `anyway`.

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
        changes = self.recipe.changes()
        gone = [phrase for phrase in changes if phrase.endswith(" is gone")]
        if changes and (gone or not self.anyway):
            raise DataError(
                "this run cannot be repeated as it was",
                got="; ".join(gone or changes[:3]),
                remedy="put it back" if gone else "put it back, or go on with --anyway",
            )
        cancel.check()
        run_again(self.recipe.run, self.out, on_progress, cancel, overwrite=self.overwrite)
        return changes


@dataclass(frozen=True)
class SaveRecipeTask:
    """Write the recipe of a run that was done; hashing what went in may take a while.

    Attributes
    ----------
    run_done : Run
        What was done.
    out : pathlib.Path
        Where its result went, or would go.
    path : pathlib.Path
        Of the recipe.
    """

    run_done: Run
    out: Path
    path: Path

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Write; gives back the path."""
        on_progress(Progress(0, 0, "Hashing what went in"))
        recipe = RunRecipe.of(self.run_done, self.out)
        cancel.check()
        recipe.save(self.path)
        return self.path


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
            expected="a new or empty folder",
            remedy="give another with --out, or allow --overwrite",
        )


def run_again(
    run: Run, out: Path, on_progress: OnProgress, cancel: CancelToken, *, overwrite: bool = False
) -> Any:
    """Do a run; gives back what its task does."""
    if isinstance(run, FineTuneRun) and (run.data.found / PROJECT_FILE).is_file():
        return _learn_from_project(run, out, on_progress, cancel)
    return _task(run, out, overwrite).run(on_progress, cancel)


def _task(run: Run, out: Path, overwrite: bool) -> Task[Any]:
    match run:
        case SegmentRun():
            return SegmentTask(
                tuple(place.found for place in run.data), run.model.found, out, run.probabilities,
                run.settings, run.objects, run.names, run.format,
            )  # fmt: skip
        case TrainRun():
            split = None if run.split is None else Split.from_json(run.split, "the split of the recipe")
            return TrainTask(run.data.found, out, run.recipe, run.format, split, _found(run.init))
        case EvaluateRun():
            return EvaluateTask(
                run.data.found, out, _found(run.model), _found(run.masks), run.format, run.settings,
                inference=run.inference, names=run.names,
            )  # fmt: skip
        case ExportRun():
            return _export(run, out, overwrite)
        case FineTuneRun():
            return _learn_from_folder(run, out)


def _found(place: Place | None) -> Path | None:
    return None if place is None else place.found


def _export(run: ExportRun, out: Path, overwrite: bool) -> ExportTask:
    source: ModelMasks | StoredMasks
    if run.model is not None:
        inputs = tuple(place.found for place in run.data)
        source = ModelMasks(inputs, run.model.found, run.settings, run.names)
    else:
        source = StoredMasks(run.data[0].found, _found(run.masks), run.format, run.classes)
    size = parse_pixel_size(run.pixel_size) if run.pixel_size else None
    return ExportTask(source, out, run.formats, run.pattern, run.numbers, overwrite, size)


def _learn_from_folder(run: FineTuneRun, out: Path) -> FineTuneTask:
    from napari_unet.models.model import read_settings

    classes = len(read_settings(run.model.found)[2])
    corrections, others, _ = read_corrections(run.data.found, classes, run.format, run.unvouched)
    return FineTuneTask(
        run.model.found, corrections, out, run.settings, replay=_found(run.replay), others=others
    )


def _learn_from_project(run: FineTuneRun, out: Path, on_progress: OnProgress, cancel: CancelToken) -> Any:
    from napari_unet.workflow.project import Project
    from napari_unet.workflow.rounds import round_of_project

    with Project.open(run.data.found, read_only=True) as project:
        task, _ = round_of_project(project, run.model.found, run.settings, out, _found(run.replay))
        return task.run(on_progress, cancel)
