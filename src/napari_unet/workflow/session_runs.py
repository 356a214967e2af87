"""What was done in a sitting, to be saved as recipes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_unet.workflow.references import FileReference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_unet.data.pixel_size import PixelSize
    from napari_unet.engine.task import Job
    from napari_unet.settings import InferenceSettings
    from napari_unet.workflow.export import ExportTask
    from napari_unet.workflow.export_sources import CallerMasks
    from napari_unet.workflow.fine_tune import FineTuneTask
    from napari_unet.workflow.predict import PredictTask
    from napari_unet.workflow.project import Project
    from napari_unet.workflow.references import ImageReference
    from napari_unet.workflow.report import ReportTask
    from napari_unet.workflow.run_recipe import Place, Run
    from napari_unet.workflow.session import Session
    from napari_unet.workflow.train_version import TrainVersionTask

NO_FILES = "images that are in no file cannot be repeated: save them, and open the files"


@dataclass(frozen=True)
class Done:
    """A run of this sitting.

    Attributes
    ----------
    title : str
        For people.
    run : Run or None
        How it is repeated; None where it cannot be.
    out : str
        A name for the place of its result.
    obstacle : str
        Why it cannot be repeated; empty if it can.
    """

    title: str
    run: Run | None
    out: str
    obstacle: str = ""


class SessionRuns:
    """The last run of each kind in a sitting.

    Only its task is kept until somebody asks: recipes are for few, and imports are slow.

    Parameters
    ----------
    session : Session
        Whose runs.

    Attributes
    ----------
    done : dict
        Kind of run ("segment", "learn", "export" or "report") to a function that describes the last one.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.done: dict[str, Callable[[], Done]] = {}

    def segmented(self, task: PredictTask) -> None:
        """Remember a segmentation."""
        self.done["segment"] = partial(_segmentation, task)

    def fine_tuned(self, task: FineTuneTask, project: Project) -> None:
        """Remember a round of learning."""
        self.done["learn"] = partial(_fine_tuning, task, project.folder)

    def trained(self, task: TrainVersionTask) -> None:
        """Remember a training from nothing."""
        self.done["learn"] = partial(_training, task)

    def exported(self, task: ExportTask, source: CallerMasks, inference: InferenceSettings) -> None:
        """Remember an export of masks at hand, and the settings that these were made by."""
        session = self.session
        entries = session.collection.entries if session.collection is not None else {}
        names = [reference.id for reference in source.references]
        corrected = any(i not in entries or entries[i].corrected is not None for i in names)
        model = None if session.model is None else session.model.path
        self.done["export"] = partial(_export, task, source, model, inference, corrected)

    def reported(self, task: ReportTask) -> None:
        """Remember a report."""
        self.done["report"] = partial(_report, task, self.session.tiled_inference)

    def save(self, kind: str, path: Path, on_saved: Callable[[Path], None]) -> Job | None:
        """Write the recipe of a run, in the engine: what went in is hashed.

        Parameters
        ----------
        kind : str
            A key of ``done``.
        path : pathlib.Path
            Of the file; replaced if it is there, which a person was asked about.
        on_saved : callable
            Takes the path when it is written.

        Returns
        -------
        Job or None
            None if something else runs, or the run cannot be repeated.
        """
        from napari_unet.workflow.repeat_run import SaveRecipeTask
        from napari_unet.workflow.run_recipe import SegmentRun

        session = self.session
        if kind not in self.done or session.busy:
            return None
        done = self.done[kind]()
        run = done.run
        if run is None:
            return None
        if isinstance(run, SegmentRun) and run.settings is not None:
            # Threshold and minimum size are followed at once: the masks at hand are of those of now.
            now = session.inference
            made = {"threshold": now.threshold, "minimum_size": now.minimum_size}
            run = run.model_copy(update={"settings": run.settings.model_copy(update=made)})
        task = SaveRecipeTask(run, path.parent / done.out, path)

        def on_end(job: Job) -> None:
            if job.state == "done":
                on_saved(job.result)

        return session.run_task(task, 0, lambda _: None, on_end)


def _segmentation(task: PredictTask) -> Done:
    from napari_unet.workflow.run_recipe import Place, SegmentRun

    count = len(task.images)
    title = f"Segmentation of {count:,} image{'s' * (count != 1)}"
    if task.region is not None:
        return Done(title, None, "", "only a part of the image was segmented: segment all of it")
    data, layout, names = _data_of(task.images)
    if data is None:
        return Done(title, None, "", NO_FILES)
    run = SegmentRun(
        data=(data,), model=Place.of(task.model), format=layout, names=names, settings=task.settings
    )
    return Done(title, run, "masks")


def _fine_tuning(task: FineTuneTask, folder: Path) -> Done:
    from napari_unet.workflow.run_recipe import FineTuneRun, Place

    replay = None if task.replay is None else Place.of(task.replay)
    run = FineTuneRun(
        data=Place.of(folder), model=Place.of(task.model), settings=task.settings, replay=replay
    )
    return Done("Fine-tuning", run, "fine-tuned")


def _training(task: TrainVersionTask) -> Done:
    from pathlib import Path

    from napari_unet.workflow.run_recipe import Place, TrainRun

    if not isinstance(task.data, Path):
        return Done("Training", None, "", NO_FILES)
    split = None if task.split is None else task.split.to_json()
    run = TrainRun(data=Place.of(task.data), recipe=task.recipe, format=task.format, split=split)
    return Done("Training", run, "model")


def _export(
    task: ExportTask,
    source: CallerMasks,
    model: Path | None,
    inference: InferenceSettings,
    corrected: bool,
) -> Done:
    from napari_unet.workflow.run_recipe import ExportRun, Place

    title = "Export"
    if corrected:
        return Done(title, None, "", "corrected masks are exported anew by `napari-unet export PROJECT`")
    data, layout, names = _data_of(source.references)
    if data is None or model is None:
        return Done(title, None, "", NO_FILES)
    sizes = {source.pixel_sizes.get(name) for name in names} if task.pixel_size is None else {task.pixel_size}
    if len(sizes) > 1:
        return Done(title, None, "", "the pixels of the images are of different sizes: export these apart")
    run = ExportRun(
        data=(data,),
        model=Place.of(model),
        format=layout,
        settings=inference,
        names=names,
        formats=task.formats,
        pattern=task.pattern,
        numbers=task.numbers,
        pixel_size=_exact(sizes.pop()),
    )
    return Done(title, run, "export")


def _report(task: ReportTask, inference: InferenceSettings) -> Done:
    from napari_unet.workflow.run_recipe import EvaluateRun, Place

    data, layout, names = _data_of([kept.image for kept in task.images])
    if data is None:
        return Done("Report", None, "", NO_FILES)
    run = EvaluateRun(
        data=data,
        model=Place.of(task.model),
        format=layout,
        settings=task.rules.evaluation,
        inference=inference,
        names=names,
    )
    return Done("Report", run, "report")


def _data_of(images: Sequence[ImageReference]) -> tuple[Place | None, str | None, tuple[str, ...]]:
    """The one data set that images are of, its layout, and their ids; None if they are of no one set."""
    from napari_unet.workflow.run_recipe import Place

    files = [image for image in images if isinstance(image, FileReference)]
    places = {(image.path, image.format) for image in files}
    if len(files) != len(images) or len(places) != 1:
        return None, None, ()
    ((path, layout),) = places
    return Place.of(path), layout, tuple(image.id for image in files)


def _exact(size: PixelSize | None) -> str:
    """As ``parse_pixel_size`` reads it, to all digits."""
    return "" if size is None else f"{float(size.y)!r}x{float(size.x)!r} {size.unit}"
