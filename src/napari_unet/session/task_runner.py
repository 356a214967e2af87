"""The task that a person waits for, and short work in a thread."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_unet.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.engine.task import Engine, Job, Task
    from napari_unet.progress import OnProgress


class TaskRunner:
    """Runs one task of a person at a time, and short work in a thread.

    Everything is called, and every signal comes, in one thread: that of the engine's dispatcher.

    Parameters
    ----------
    engine : Engine
        Where tasks run.
    dispatch : callable
        Runs a function without arguments in that thread; the engine's own dispatcher.
    """

    failed = Signal(str, str)  # sentence, details
    succeeded = Signal(object)  # an Outcome to be shown
    job_changed = Signal()
    starting = Signal()  # a task is about to run: what computes by itself gives way
    ended = Signal()  # a task has ended: what gave way may resume
    stopping = Signal()  # somebody asked to stop: what computes by itself stops as well

    def __init__(self, engine: Engine, dispatch: Callable[[Callable[[], None]], None]) -> None:
        self.engine = engine
        self.dispatch = dispatch
        self.job: Job | None = None
        self.progress: Progress | None = None
        self.what = ""  # what the task writes, for people; empty where a step of the dock shows it
        self._thread = ThreadPoolExecutor(1, "session")
        self._last: Future[None] | None = None  # the thread does one thing after the other

    @property
    def working(self) -> bool:
        """Whether something is worked out in the thread."""
        return self._last is not None and not self._last.done()

    def close_engine(self) -> None:
        """End the process that computes."""
        self.engine.close()

    def close_thread(self) -> None:
        """Wait for what is worked out in the thread, and take nothing more."""
        self._thread.shutdown(wait=True)

    @property
    def busy(self) -> bool:
        """Whether a task of the person's runs or waits."""
        return self.job is not None

    def run(
        self,
        task: Task[Any],
        total: int,
        on_progress: OnProgress,
        on_end: Callable[[Job], None],
        what: str = "",
    ) -> Job:
        """Run a task of the person's: its progress is shown, it can be cancelled, its error is shown.

        Parameters
        ----------
        task : Task
            Frozen.
        total : int
            Units of it, until it tells itself; 0 if unknown.
        on_progress, on_end : callable
            Take each Progress, and the ended Job.
        what : str
            What it writes, like "Exporting": no step of the dock shows how far it is then.
        """
        self.starting.emit()
        self.what = what
        self.progress = Progress(0, total, "Starting")
        self.job_changed.emit()

        def progressed(progress: Progress) -> None:
            self.progress = progress
            on_progress(progress)
            self.job_changed.emit()

        def ended(job: Job) -> None:
            if self.job in (job, None):
                self.job = None
                self.progress = None
            if job.error is not None and not job.cancel_token.cancelled:
                self.failed.emit(job.error.sentence, job.details)
            on_end(job)
            self.job_changed.emit()
            self.ended.emit()

        # An engine that runs the task at once ends it before this returns.
        job = self.engine.submit(task, progressed, ended)
        self.job = None if job.ended else job
        self.job_changed.emit()
        return job

    def cancel(self) -> None:
        """Stop what runs; what is finished stays."""
        self.stopping.emit()
        if self.job is not None:
            self.job.cancel()

    def in_background(self, work: Callable[[], None]) -> None:
        """Run something in a thread, after what waits there; nothing once the session is closed."""
        with contextlib.suppress(RuntimeError):
            self._last = self._thread.submit(work)
