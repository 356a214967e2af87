"""What was done in a sitting, to be saved as recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.workflow.export_sources import CallerMasks
from napari_unet.workflow.references import FileReference
from napari_unet.workflow.run_recipe import EvaluateRun, ExportRun, FineTuneRun, Place, SegmentRun, TrainRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_unet.engine.task import Job
    from napari_unet.workflow.export import ExportTask
    from napari_unet.workflow.fine_tune import FineTuneTask
    from napari_unet.workflow.predict import PredictTask
    from napari_unet.workflow.project import Project
    from napari_unet.workflow.references import ImageReference
    from napari_unet.workflow.report import ReportTask
    from napari_unet.workflow.run_recipe import Run
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

    Parameters
    ----------
    session : Session
        Whose runs.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.done: dict[str, Done] = {}

    def segmented(self, task: PredictTask) -> None:
        """Remember a segmentation."""
        count = len(task.images)
        title = f"Segmentation of {count:,} image{'s' * (count != 1)}"
        data, layout, names, obstacle = _data_of(task.images)
        if task.region is not None:
            obstacle = "only a part of the image was segmented: segment all of it"
        if obstacle or data is None:
            self.done["segment"] = Done(title, None, "", obstacle)
            return
        run = SegmentRun(
            data=(data,), model=Place.of(task.model), format=layout, names=names, settings=task.settings
        )
        self.done["segment"] = Done(title, run, "masks")

    def exported(self, task: ExportTask) -> None:
        """Remember an export of masks at hand."""
        title, session = "Export", self.session
        assert isinstance(task.source, CallerMasks)
        data, layout, names, obstacle = _data_of(task.source.references)
        entries = session.collection.entries if session.collection is not None else {}
        if any(i not in entries or entries[i].corrected is not None for i in names):
            obstacle = "corrected masks are exported anew by `napari-unet export PROJECT`"
        if obstacle or data is None or session.model is None:
            self.done["export"] = Done(title, None, "", obstacle)
            return
        size = task.pixel_size
        run = ExportRun(
            data=(data,),
            model=Place.of(session.model.path),
            format=layout,
            settings=session.tiled_inference,
            names=names,
            formats=task.formats,
            pattern=task.pattern,
            numbers=task.numbers,
            pixel_size="" if size is None else f"{size.y!r}x{size.x!r} {size.unit}",
        )
        self.done["export"] = Done(title, run, "export")

    def reported(self, task: ReportTask) -> None:
        """Remember a report."""
        data, layout, names, obstacle = _data_of([kept.image for kept in task.images])
        if obstacle or data is None:
            self.done["report"] = Done("Report", None, "", obstacle)
            return
        run = EvaluateRun(
            data=data,
            model=Place.of(task.model),
            format=layout,
            settings=task.rules.evaluation,
            inference=self.session.tiled_inference,
            names=names,
        )
        self.done["report"] = Done("Report", run, "report")

    def fine_tuned(self, task: FineTuneTask, project: Project) -> None:
        """Remember a round of learning."""
        replay = None if task.replay is None else Place.of(task.replay)
        run = FineTuneRun(
            data=Place.of(project.folder), model=Place.of(task.model), settings=task.settings, replay=replay
        )
        self.done["learn"] = Done("Fine-tuning", run, "fine-tuned")

    def trained(self, task: TrainVersionTask) -> None:
        """Remember a training from nothing."""
        from pathlib import Path

        if not isinstance(task.data, Path):
            self.done["learn"] = Done("Training", None, "", NO_FILES)
            return
        split = None if task.split is None else task.split.to_json()
        run = TrainRun(data=Place.of(task.data), recipe=task.recipe, format=task.format, split=split)
        self.done["learn"] = Done("Training", run, "model")

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

        session, done = self.session, self.done.get(kind)
        if done is None or done.run is None or session.busy:
            return None
        run = done.run
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


def _data_of(
    images: Sequence[ImageReference],
) -> tuple[Place | None, str | None, tuple[str, ...], str]:
    """The one data set that images are of, its layout, their ids, and what is in the way."""
    files = [image for image in images if isinstance(image, FileReference)]
    places = {(image.path, image.format) for image in files}
    if len(files) != len(images) or len(places) != 1:
        return None, None, (), NO_FILES
    ((path, layout),) = places
    return Place.of(path), layout, tuple(image.id for image in files), ""
