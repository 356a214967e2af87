"""The engine for scripts, tests and the command line: a task runs right here."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, TypeVar

from napari_unet.engine.task import Job, describe_failure, ignore_end
from napari_unet.errors import Cancelled
from napari_unet.progress import CancelToken, OnProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.engine.task import Task

Result = TypeVar("Result")


def run_inline(
    task: Task[Result],
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
) -> Result:
    """Run a task in this thread and hand back its value."""
    return task.run(on_progress, cancel or CancelToken())


class InlineEngine:
    """Runs a task to its end at once, in the thread that submits it."""

    def submit(
        self,
        task: Task[Any],
        on_progress: OnProgress = ignore_progress,
        on_end: Callable[[Job], None] = ignore_end,
    ) -> Job:
        """Run a task; see ``Engine``."""
        job = Job(task, on_progress, on_end)
        job.state = "running"
        try:
            result = run_inline(task, on_progress, job.cancel_token)
        except Cancelled:
            job.end("cancelled")
        except Exception as error:  # noqa: BLE001 - the one place of this face where all is caught
            job.end("failed", error=describe_failure(error), details=traceback.format_exc())
        else:
            job.end("done", result)
        on_end(job)
        return job

    def close(self) -> None:
        """Leave nothing behind."""
