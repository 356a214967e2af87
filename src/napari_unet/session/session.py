"""One session at the workbench: images, a model, what it said, and the engine that computes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_unet.engine.chosen import ComputeHost
from napari_unet.errors import WorkbenchError
from napari_unet.session.channel_memory import ChannelMemory
from napari_unet.session.compute_place import ComputePlace
from napari_unet.session.disk_masks import DiskMasks
from napari_unet.session.fill_between import FillBetween
from napari_unet.session.learn.background_job import BackgroundJob
from napari_unet.session.learn.candidate_version import CandidateVersion
from napari_unet.session.learn.learning import Learning
from napari_unet.session.learn.new_model import NewModelTraining
from napari_unet.session.learn.strokes import StrokeLearning
from napari_unet.session.painting import Painting
from napari_unet.session.projects.current_project import CurrentProject
from napari_unet.session.quality.object_tables import ObjectTables
from napari_unet.session.quality.quality_estimates import QualityEstimates
from napari_unet.session.quality.series_objects import SeriesObjects
from napari_unet.session.run_history import RunHistory
from napari_unet.session.task_runner import TaskRunner
from napari_unet.session.workspace import Workspace
from napari_unet.workflow.inputs.image_reference import refer
from napari_unet.workflow.review.estimate_task import EstimateTask
from napari_unet.workflow.segment.predict_task import PredictTask, WarmTask
from napari_unet.workflow.segment.prediction import Prediction
from napari_unet.workflow.segment.rescore_task import RescoreTask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unet.data.masks.mask_reading import Choice
    from napari_unet.engine.task import Engine, Job
    from napari_unet.progress import Progress
    from napari_unet.workflow.segment.prediction import Region


class Session:
    """What the window shows and does, without a window.

    Everything is called, and every signal comes, in one thread: that of the engine's dispatcher.

    Parameters
    ----------
    engine : Engine
        Where tasks run.
    dispatch : callable
        Runs a function without arguments in the session's thread; the engine's own dispatcher.
    place : ComputeHost, optional
        Where engines of this session compute, if they ask for it.
    """

    def __init__(
        self,
        engine: Engine,
        dispatch: Callable[[Callable[[], None]], None],
        place: ComputeHost | None = None,
    ) -> None:
        self.runner = TaskRunner(engine, dispatch)
        self.workspace = Workspace(self.runner)
        self.history = RunHistory(self.workspace, self.runner)
        self.projects = CurrentProject(self.workspace, self.runner)
        self.place = ComputePlace(place or ComputeHost(), self.workspace, self.runner)
        self.channels = ChannelMemory(self.workspace, self.runner, self.projects)
        self.painting = Painting(self.workspace, self.runner, self.projects)
        self.fill = FillBetween(self.workspace, self.runner, self.painting)
        self.disk_masks = DiskMasks(self.workspace, self.runner)
        self.estimates = QualityEstimates(self.workspace, self.runner)
        self.objects = ObjectTables(self.workspace, dispatch, self.runner)
        self.series = SeriesObjects(self.workspace, self.runner, self.objects)
        self.background = BackgroundJob(self.workspace, self.runner)
        self.candidate = CandidateVersion(self.workspace, self.runner, self.painting)
        parts = self.workspace, self.runner, self.painting, self.history, self.background, self.candidate
        self.new_model = NewModelTraining(*parts)
        self.learning = Learning(*parts)
        self.strokes = StrokeLearning(
            self.workspace, self.runner, self.painting, self.background, self.candidate
        )
        self._rescoring: Job | None = None
        self._rescore_wanted = False  # as soon as what runs has ended
        self._wire()

    def _wire(self) -> None:
        """Connect the parts; slots are called in this order."""
        self.runner.starting.connect(self.estimates.give_way)
        self.runner.ended.connect(self.estimates.resume)
        self.runner.stopping.connect(self._stop_rescoring)
        self.runner.stopping.connect(self.estimates.stop)
        self.workspace.opened.connect(self.learning.end_rounds)
        self.workspace.opened.connect(self.strokes.forget_preview)
        self.workspace.opened.connect(self.projects.look)
        self.workspace.collection_changed.connect(self.channels.recall)
        self.workspace.collection_changed.connect(self.place.recall)
        self.projects.project_changed.connect(self.channels.agree)
        self.workspace.model_changed.connect(self.history.forget_segmentation)
        for training in (self.new_model, self.strokes):
            self.workspace.collection_changed.connect(training.drop_wish)
            self.projects.project_failed.connect(training.drop_wish)
        self.painting.done_changed.connect(self._on_done)
        # A training that waits for its project finds no version on offer, so it starts before one is.
        self.projects.project_changed.connect(self.new_model.start_waiting)
        self.projects.project_changed.connect(self.learning.start_waiting)
        self.projects.project_changed.connect(self.strokes.start_waiting)
        self.projects.project_changed.connect(self.candidate.follow_project)
        self.projects.project_changed.connect(self.candidate.offer_versions)
        self.background.started.connect(self.candidate.forget_verdict)
        self.background.ended.connect(self.new_model.start_waiting)
        self.background.ended.connect(self.learning.start_waiting)
        self.candidate.again.connect(self._on_again)
        self.runner.job_changed.connect(self._rescore_if_wanted)

    def _on_done(self, identifiers: tuple[str, ...]) -> None:
        self.estimates.update_estimates()

    def _on_again(self, identifiers: tuple[str, ...]) -> None:
        self.segment(identifiers)

    def close(self) -> None:
        """Stop what runs and leave nothing behind."""
        self.learning.keep_going = False
        self.fill.finish()
        self.background.close()
        self.place.close()
        self.runner.close_engine()
        self.workspace.finish()
        self.objects.close()
        self.disk_masks.close()
        self.projects.finish()
        self.runner.close_thread()  # strokes may wait for a project that is being made
        self.projects.close()
        self.workspace.close()

    @property
    def idle(self) -> bool:
        """Whether nothing is computed, scored or made; images may still be inspected."""
        runner = self.runner
        jobs = (runner.job, self.background.job, self._rescoring)
        computing = runner.progress is not None or self.estimates.computing
        computing = computing or any(job is not None and not job.ended for job in jobs)
        waiting = self._rescore_wanted or self.workspace.scores_pending or self.objects.busy or self.fill.busy
        return not (computing or waiting or runner.working or self.projects.busy)

    def wait_idle(self, pump: Callable[[], None] = lambda: None, timeout: float = 30.0) -> None:
        """Wait until the session is idle.

        Parameters
        ----------
        pump : callable
            Runs what waits for the session's thread, where nobody else does.
        timeout : float
            Seconds.

        Raises
        ------
        TimeoutError
            If it does not come to rest.
        """
        until = time.monotonic() + timeout
        rested = 0
        while rested < 2:  # what was pumped may have started something
            pump()
            rested = rested + 1 if self.idle else 0
            if time.monotonic() > until:
                raise TimeoutError("the session does not come to rest")
            time.sleep(0.001)

    # images

    def read_masks_as(self, masks_are: Choice) -> None:
        """Let the project of the images remember how their masks are read; who opens them does so then."""
        project = self.painting.project
        if project is not None:
            try:
                project.read_masks_as(masks_are)
            except WorkbenchError as error:
                self.runner.failed.emit(error.sentence, "")

    # computing

    @property
    def has_unsaved_work(self) -> bool:
        """Whether work of the person's would be lost by closing now; estimates are made again any time."""
        segmenting = self.runner.job is not None and not isinstance(self.runner.job.task, EstimateTask)
        return segmenting or self.background.job is not None

    def warm(self, shape: tuple[int, int, int] | None = None) -> None:
        """Have the computing process ready before it is needed."""
        self.runner.engine.submit(
            WarmTask(
                self.workspace.model.path if self.workspace.model else None,
                shape,
                self.workspace.tiled_inference,
            )
        )

    def segment(
        self,
        identifiers: Sequence[str],
        region: Region | None = None,
        shape: tuple[int, int] | None = None,
    ) -> Job | None:
        """Segment images; each is shown as soon as it is finished.

        Parameters
        ----------
        identifiers : sequence of str
            In the order in which they are wanted.
        region : Region, optional
            Only this part of the one image.
        shape : tuple of int, optional
            (Y, X) of that image.

        Returns
        -------
        Job or None
            None if there is no model or nothing to do.
        """
        collection, model = self.workspace.collection, self.workspace.model
        if collection is None or model is None or not identifiers or self.runner.busy:
            return None
        self._rescore_wanted |= self._rescoring is not None
        self._stop_rescoring()
        how = self.workspace.postprocessing
        task = PredictTask(
            model.path,
            tuple(refer(collection.entries[i].sample, collection.dataset) for i in identifiers),
            collection.folder,
            self.workspace.tiled_inference,
            region,
            shape,
        )

        def on_progress(progress: Progress) -> None:
            if collection is not self.workspace.collection or model is not self.workspace.model:
                return  # what another model says of other images comes too late
            if isinstance(progress.piece, Prediction):
                self.workspace.take_prediction(collection, progress.piece, how)

        def on_end(job: Job) -> None:
            self._rescore_wanted |= how != self.workspace.postprocessing
            self.workspace.score_overall()
            if job.state == "done":
                if model is self.workspace.model:
                    self.history.segmented(task, collection)
                self.estimates.keep_up()

        return self.runner.run(task, len(identifiers), on_progress, on_end)

    # masks

    def rescore(self) -> None:
        """Score all predicted images with the present threshold and minimum size, in the engine.

        While a task of the person's runs this waits for its end.
        """
        collection = self.workspace.collection
        self._stop_rescoring()
        self._rescore_wanted = collection is not None and self.runner.busy
        if collection is None or self.workspace.model is None or self.runner.busy:
            self.workspace.score_overall()  # which leaves out scores of an earlier threshold
            return
        if self.disk_masks.follow_settings():
            self._rescore_wanted = True  # of the others, once that mask is made
            return
        how = self.workspace.postprocessing
        wanted = [
            e for e in collection.entries.values()
            if e.prediction is not None and e.prediction.file is not None
            and not e.is_corrected and e.sample.has_mask
        ]  # fmt: skip
        if not wanted:
            return
        task = RescoreTask(
            tuple(refer(e.sample, collection.dataset) for e in wanted),
            tuple(e.prediction.file for e in wanted if e.prediction and e.prediction.file),
            len(collection.classes),
            self.workspace.model.recipe.network.activation,
            self.workspace.inference,
        )

        def on_progress(progress: Progress) -> None:
            if collection is not self.workspace.collection or not isinstance(progress.piece, tuple):
                return
            identifier, counts = progress.piece
            entry = collection.entries.get(identifier)
            if entry is not None and not entry.is_corrected and identifier != self.workspace.current:
                entry.score(counts, self.workspace.evaluation.empty, how)
                self.workspace.rows_changed.emit((identifier,))
                self.workspace.score_overall()

        self.estimates.give_way()  # a task that runs holds up all behind it
        self._rescoring = self.runner.engine.submit(task, on_progress, lambda _: self.estimates.resume())

    def _rescore_if_wanted(self) -> None:
        if self._rescore_wanted and not self.runner.busy and self.runner.progress is None:
            self.rescore()

    def _stop_rescoring(self) -> None:
        if self._rescoring is not None:
            self._rescoring.cancel()
            self._rescoring = None
