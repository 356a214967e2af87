"""What is computed in the background: one task at a time, its curves, its preview, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.errors import WorkbenchError
from napari_unet.progress import Progress
from napari_unet.workflow.inputs.image_reference import CallReference, refer
from napari_unet.workflow.segment.predict_task import WarmTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_unet.engine.task import Engine, Job, Task
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

LOSS_EVERY = 0.5  # seconds between two points of the curve of the loss


class BackgroundJob:
    """Runs one task at a time in the background, so that segmenting and painting are free meanwhile.

    It computes in a process of its own where ``make_engine`` gives one.

    Parameters
    ----------
    workspace : Workspace
        Whose current image previews show.
    runner : TaskRunner
        Where tasks run.

    Attributes
    ----------
    make_engine : callable or None
        () -> an engine of its own; without it, that of the session is used.
    job : Job or None
        What runs.
    progress : Progress or None
        How far it is.
    curve : list of dict
        Rows with seconds, held_out_iou and old_iou.
    losses : list of tuple
        Seconds and loss.
    """

    changed = Signal()  # another task runs, or none
    started = Signal()  # a task that learns is about to run, with curves of its own
    progressed = Signal()  # how far it is
    validated = Signal(dict)  # a row of the curve: seconds, loss, held_out_iou, old_iou
    previewed = Signal(object)  # Preview
    ended = Signal()  # a task has ended, and nothing follows by itself

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.make_engine: Callable[[], Engine] | None = None
        self.job: Job | None = None
        self.progress: Progress | None = None
        self.curve: list[dict[str, float]] = []
        self.losses: list[tuple[float, float]] = []  # seconds, loss: means over LOSS_EVERY
        self._engine: Engine | None = None
        self._learns_from: Collection | None = None
        self._what = "Learning"
        self._stop = False
        self._among = 0  # losses that the last point of the curve is the mean of

    @property
    def engine(self) -> Engine:
        """Where it computes; made when it is first needed."""
        if self._engine is None:
            self._engine = self.make_engine() if self.make_engine is not None else self.runner.engine
        return self._engine

    def warm(self) -> None:
        """Have a process of its own ready before it is needed."""
        if self.make_engine is not None and self._engine is None:
            self.engine.submit(WarmTask())

    def close(self) -> None:
        """Stop what runs and leave nothing behind."""
        self.cancel()
        if self._engine is not None and self._engine is not self.runner.engine:
            self._engine.close()

    @property
    def obstacle(self) -> str:
        """Why nothing else can start now; empty if it can."""
        return f"{self._what} is under way." if self.job is not None else ""

    def run(
        self,
        task: Task[Any],
        collection: Collection | None,
        finish: Callable[[Any], None],
        what: str = "Learning",
    ) -> Job | None:
        """Run a task that learns, with curves of its own.

        Parameters
        ----------
        task : Task
            Frozen.
        collection : Collection or None
            Whose images may be asked for while it runs.
        finish : callable
            Takes what comes of it.
        what : str
            What this is, for ``obstacle``.
        """
        self._stop = False
        self.curve, self.losses = [], []
        self.started.emit()
        return self.submit(task, collection, finish, what)

    def submit(
        self,
        task: Task[Any],
        collection: Collection | None,
        finish: Callable[[Any], None],
        what: str = "Learning",
    ) -> Job | None:
        """Run a task and leave the curves as they are; see ``run``."""
        from napari_unet.workflow.train.preview import Preview

        self._learns_from, self._what = collection, what
        self.progress = Progress(0, 1, "Starting")

        def on_progress(progress: Progress) -> None:
            self.progress = progress
            self._take_loss(progress.values)
            if "old_iou" in progress.values:  # between two validations only the loss is reported
                self.curve.append(dict(progress.values))
                self.validated.emit(dict(progress.values))
            if isinstance(progress.piece, Preview):
                self.previewed.emit(progress.piece)
            self.progressed.emit()

        def on_end(job: Job) -> None:
            self.job = self.progress = None
            if job.error is not None and not job.cancel_token.cancelled:
                self.runner.failed.emit(job.error.sentence, job.details)
            if job.state == "done":
                try:
                    finish(job.result)
                except WorkbenchError as error:  # as of a folder that cannot be read any more
                    self.runner.failed.emit(error.sentence, "")
            if self.job is None:  # `finish` may have submitted what belongs to this
                self.changed.emit()
                self.ended.emit()

        job = self.engine.submit(task, on_progress, on_end)
        self.job = None if job.ended else job
        self.changed.emit()
        return job

    def _take_loss(self, values: Mapping[str, float]) -> None:
        if not {"loss", "seconds"} <= set(values):
            return
        place = (values["seconds"] // LOSS_EVERY + 0.5) * LOSS_EVERY
        if not self.losses or self.losses[-1][0] != place:
            self._among = 0
            self.losses.append((place, 0.0))
        self._among += 1
        mean = self.losses[-1][1]
        self.losses[-1] = (place, mean + (values["loss"] - mean) / self._among)

    @property
    def stoppable(self) -> bool:
        """Whether what runs can stop early and use the best."""
        return self.job is not None and getattr(self.job.task, "stop", None) is not None

    def stop(self) -> None:
        """Stop learning, judge and keep what is best so far."""
        self._stop = True

    def cancel(self) -> None:
        """Stop what runs, and forget it."""
        if self.job is not None:
            self.job.cancel()

    def wants_stop(self) -> bool:
        """Whether the person wants the best so far; called from another thread."""
        return self._stop

    def wanted_preview(self) -> Any:
        """The current image; called from another thread."""
        collection, identifier = self.workspace.collection, self.workspace.current
        if collection is None or collection is not self._learns_from or identifier not in collection.entries:
            return None
        reference = refer(collection.entries[identifier].sample, collection.dataset)
        if isinstance(reference, CallReference):
            return identifier, np.asarray(collection.image(identifier))
        return reference
