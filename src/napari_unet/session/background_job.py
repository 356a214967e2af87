"""Computing beside the session: a task at a time, its curves, its preview, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.progress import Progress
from napari_unet.workflow.inputs.image_reference import CallReference, refer
from napari_unet.workflow.segment.predict_task import WarmTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_unet.engine.task import Engine, Job, Task
    from napari_unet.session.collection import Collection
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

LOSS_EVERY = 0.5  # seconds between two points of the curve of the loss


class Beside:
    """Runs one task at a time beside what the session does: in a process of its own, if it is given one.

    Parameters
    ----------
    workspace : Workspace
        Whose images are worked on.
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

    changed = Signal()  # what can be done, what runs, or the verdict
    progressed = Signal()  # how far it is
    looked = Signal(dict)  # a row of the curve: seconds, loss, held_out_iou, old_iou
    previewed = Signal(object)  # Preview

    def __init__(self, workspace: Workspace, runner: TaskRunner) -> None:
        self.workspace, self.runner = workspace, runner
        self.make_engine: Callable[[], Engine] | None = None
        self.job: Job | None = None
        self.progress: Progress | None = None
        self.curve: list[dict[str, float]] = []
        self.losses: list[tuple[float, float]] = []  # seconds, loss: means over LOSS_EVERY
        self._engine: Engine | None = None
        self._learns_from: Collection | None = None
        self._stop = False
        self._among = 0  # losses that the last point of the curve is the mean of

    def forget(self) -> None:
        """Let go of what came of the task before."""

    def go_on(self) -> None:
        """Do what follows by itself when a task has ended."""

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
        if self.job is not None:
            self.job.cancel()
        if self._engine is not None and self._engine is not self.runner.engine:
            self._engine.close()

    def run(
        self, task: Task[Any], collection: Collection | None, finish: Callable[[Any], None]
    ) -> Job | None:
        """Run a task that learns, beside what the session does.

        Parameters
        ----------
        task : Task
            Frozen.
        collection : Collection or None
            Whose images may be asked for while it runs.
        finish : callable
            Takes what comes of it.
        """
        self._stop = False
        self.curve, self.losses = [], []
        self.forget()
        return self.submit(task, collection, finish)

    def submit(
        self, task: Task[Any], collection: Collection | None, finish: Callable[[Any], None]
    ) -> Job | None:
        """Run a task beside the session, leaving curves and verdict as they are; see ``run``."""
        from napari_unet.workflow.train.preview import Preview

        self._learns_from = collection
        self.progress = Progress(0, 1, "Starting")

        def on_progress(progress: Progress) -> None:
            self.progress = progress
            self._take_loss(progress.values)
            if "old_iou" in progress.values:  # a look; between two of them only the loss is told
                self.curve.append(dict(progress.values))
                self.looked.emit(dict(progress.values))
            if isinstance(progress.piece, Preview):
                self.previewed.emit(progress.piece)
            self.progressed.emit()

        def on_end(job: Job) -> None:
            self.job = self.progress = None
            if job.error is not None and not job.cancel_token.cancelled:
                self.runner.failed.emit(job.error.sentence, job.details)
            if job.state == "done":
                finish(job.result)
            if self.job is None:  # nothing follows by itself
                self.changed.emit()
                self.go_on()

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
        """Whether what runs can be told to stop and keep the best."""
        return self.job is not None and getattr(self.job.task, "stop", None) is not None

    def stop(self) -> None:
        """Stop learning, judge and keep what is best so far."""
        self._stop = True

    def wants_stop(self) -> bool:
        """Whether the person wants the best so far; called from another thread."""
        return self._stop

    def wanted_preview(self) -> Any:
        """The image at hand; called from another thread."""
        collection, identifier = self.workspace.collection, self.workspace.current
        if collection is None or collection is not self._learns_from or identifier not in collection.entries:
            return None
        reference = refer(collection.entries[identifier].sample, collection.dataset)
        if isinstance(reference, CallReference):
            return identifier, np.asarray(collection.image(identifier))
        return reference
