"""What a task is, and what becomes of one that was submitted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from napari_unet.errors import Cancelled, ComputeError, WorkbenchError
from napari_unet.progress import CancelToken, OnProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable

Result_co = TypeVar("Result_co", covariant=True)
State = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})


@runtime_checkable
class Task(Protocol[Result_co]):
    """A frozen piece of work: everything it needs in, a value out."""

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Result_co:
        """Do the work."""
        ...


@dataclass(frozen=True, eq=False)
class FromCaller:
    """A function of whoever submitted the task, callable from within the task wherever that runs.

    In another process it becomes a call back: arguments go there, the value comes here. The function
    runs in a thread of its own, one call at a time.
    """

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return self.function(*arguments)


def ignore_end(job: Job) -> None:
    """Take the end of a job and tell nobody."""


class Job:
    """A submitted task: its state, its end, and the way to stop it.

    Attributes
    ----------
    task : Task
        What was submitted.
    state : str
        "waiting", "running", "done", "failed" or "cancelled".
    result : object
        What the task gave back, once done.
    error : WorkbenchError or None
        What went wrong, once failed.
    details : str
        The traceback of what went wrong, for a developer.
    """

    def __init__(self, task: Task[Any], on_progress: OnProgress, on_end: Callable[[Job], None]) -> None:
        self.task = task
        self.state: State = "waiting"
        self.result: Any = None
        self.error: WorkbenchError | None = None
        self.details = ""
        self.cancel_token = CancelToken()
        self.on_progress = on_progress
        self.on_end = on_end
        self.on_cancel: Callable[[], None] = lambda: None
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Ask the task to stop; what it has finished stays."""
        if self.state not in ENDED:
            self.cancel_token.cancel()
            self.on_cancel()

    @property
    def ended(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in ENDED

    def end(
        self, state: State, result: Any = None, error: WorkbenchError | None = None, details: str = ""
    ) -> None:
        """Set how it ended; the engine calls this once."""
        self.result, self.error, self.details = result, error, details
        self.state = state
        self._ended.set()

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the end and give back the result; not from the thread that shows windows.

        Raises
        ------
        WorkbenchError
            What made the task fail.
        Cancelled
            When it was stopped.
        TimeoutError
            When it has not ended after `timeout` seconds.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"no end after {timeout} s")
        if self.error is not None:
            raise self.error
        if self.state == "cancelled":
            raise Cancelled
        return self.result


class Engine(Protocol):
    """Where tasks run, one after another."""

    def submit(
        self,
        task: Task[Any],
        on_progress: OnProgress = ignore_progress,
        on_end: Callable[[Job], None] = ignore_end,
    ) -> Job:
        """Run a task when its turn comes.

        Parameters
        ----------
        task : Task
            Frozen.
        on_progress : callable
            Takes each Progress.
        on_end : callable
            Takes the Job, ended, exactly once.
        """
        ...

    def close(self) -> None:
        """Stop everything and leave nothing behind."""
        ...


def describe_failure(error: Exception) -> WorkbenchError:
    """What to tell a person of any exception a task raised."""
    if isinstance(error, WorkbenchError):
        return error
    name = type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name in {"keras", "tensorflow"}:
        return ComputeError(
            f"{error.name} is not installed on this computer, so it computes nothing by itself",
            code="compute.package.missing",
            remedy="compute on another computer, by the menu Open of Segment or by --on 'ssh box'; "
            "or install all of it: pip install napari-unet-workbench",
        )
    if isinstance(error, MemoryError) or name == "ResourceExhaustedError":
        return ComputeError(
            "there is not enough memory for this",
            code="compute.memory",
            reason=str(error).splitlines()[0] if str(error) else name,
            remedy="close other programs, take smaller tiles, or segment only what is in view",
        )
    return ComputeError(
        "the task broke off through a fault of the program",
        code="compute.fault",
        reason=f"{name}: {error}",
        remedy="try again, and report it with the details if it comes back",
    )
