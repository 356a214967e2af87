"""The engine for scripts, tests and the command line: a task runs right here."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from napari_unet.progress import CancelToken, OnProgress, ignore_progress

if TYPE_CHECKING:
    from napari_unet.engine.task import Task

Result = TypeVar("Result")


def run_inline(
    task: Task[Result],
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
) -> Result:
    """Run a task in this thread and hand back its value."""
    return task.run(on_progress, cancel or CancelToken())
