"""The engine of the window: one warm process of its own for everything that computes."""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.engine.folders import OwnFolders
from napari_unet.engine.packing import pack, unpack
from napari_unet.engine.task import FromCaller, Job, describe_failure, ignore_end
from napari_unet.engine.worker import read_message, write_message
from napari_unet.errors import ComputeError
from napari_unet.progress import OnProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.engine.task import State, Task

GRACE = 3.0  # seconds in which a task must hear that it is to stop
TICK = 0.05  # seconds between two looks at whether it has
START = 60.0  # seconds for the process to say that it is there


def _call_now(function: Callable[[], None]) -> None:
    function()


class ProcessEngine:
    """Runs tasks one after another in a process that starts when needed and stays warm.

    The process is this Python, started again (never forked, and without the caller's main script). It
    ends when this one does, however that happens. A task that does not hear that it is to stop is
    ended with its process; the next task gets a new one.

    Parameters
    ----------
    dispatch : callable, optional
        Takes functions without arguments and runs them where callbacks are wanted: a window gives one
        that runs them in its own thread. Without it they run in a thread of the engine.
    grace : float
        Seconds that a task has to hear that it is to stop.
    start : callable, optional
        () -> the process that computes, if it is not one of this machine.
    """

    def __init__(
        self,
        dispatch: Callable[[Callable[[], None]], None] = _call_now,
        *,
        grace: float = GRACE,
        start: Callable[[], ComputingProcess] | None = None,
    ) -> None:
        self.dispatch = dispatch
        self.grace = grace
        self._start: Callable[[], ComputingProcess] = start or _Process
        self._jobs: collections.deque[Job] = collections.deque()
        self._wake = threading.Condition()
        self._closing = False
        self._process: ComputingProcess | None = None
        self._current: Job | None = None
        self._thread: threading.Thread | None = None

    def submit(
        self,
        task: Task[Any],
        on_progress: OnProgress = ignore_progress,
        on_end: Callable[[Job], None] = ignore_end,
    ) -> Job:
        """Run a task when its turn comes; see ``Engine``.

        Raises
        ------
        ComputeError
            If the engine was closed.
        """
        job = Job(task, on_progress, on_end)
        job.on_cancel = lambda: self._heard(job)
        with self._wake:
            if self._closing:
                raise ComputeError(
                    "the engine was closed", code="compute.engine.closed", remedy="open the workbench again"
                )
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._manage, name="engine", daemon=True)
                self._thread.start()
            self._wake.notify_all()
        return job

    @property
    def process_id(self) -> int | None:
        """Of the computing process; None if there is none."""
        process = self._process
        return process.id if process is not None and process.alive else None

    @property
    def busy(self) -> bool:
        """Whether a task runs or waits."""
        return self._current is not None or bool(self._jobs)

    def close(self) -> None:
        """Stop everything: tasks are cancelled, the process is ended, its folder removed."""
        with self._wake:
            self._closing = True
            waiting = list(self._jobs)
            self._jobs.clear()
            self._wake.notify_all()
        for job in waiting:
            self._end(job, "cancelled")
        process = self._process
        if process is not None:
            process.end()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self.grace + 2)

    def _heard(self, job: Job) -> None:
        """A job was cancelled: one that waits ends at once, one that runs gets a message."""
        with self._wake:
            waiting = job in self._jobs
            if waiting:
                self._jobs.remove(job)
            self._wake.notify_all()
        if waiting:
            self._end(job, "cancelled")

    def _end(
        self, job: Job, state: State, result: object = None, error: Any = None, details: str = ""
    ) -> None:
        job.end(state, result, error, details)
        self.dispatch(lambda: job.on_end(job))

    def _manage(self) -> None:
        """Give jobs to the process, one at a time, until the engine is closed."""
        while True:
            with self._wake:
                while not self._jobs and not self._closing:
                    self._wake.wait()
                if self._closing:
                    break
                job = self._current = self._jobs.popleft()
                job.state = "running"
            try:
                self._run(job)
            except Exception as error:  # noqa: BLE001 - the engine must be there for the next job
                self._drop()
                if not job.ended:
                    self._end(job, "failed", None, describe_failure(error), traceback.format_exc())
            self._current = None
        self._drop()

    def _drop(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _run(self, job: Job) -> None:
        # A process that died while it was idle is replaced without a word.
        if not self._run_once(job, may_retry=True):
            self._run_once(job, may_retry=False)

    def _run_once(self, job: Job, *, may_retry: bool) -> bool:
        """Run a job; False if the process was gone before it began."""
        if self._process is not None and not self._process.alive:
            self._drop()
        if self._process is None:
            self._process = self._start()
            may_retry = False
        process = self._process
        if not self._until_ready(job, process):
            return True
        number = process.send_task(job.task)
        cancelled_at: float | None = None
        started = False
        while not job.ended:
            if self._closing:
                process.end()
            if job.cancel_token.cancelled:
                if cancelled_at is None:
                    cancelled_at = time.monotonic()
                    process.send("cancel", number)
                elif time.monotonic() - max(cancelled_at, process.last_file) > self.grace:
                    self._drop()
                    self._end(job, "cancelled")
                    return True
            try:
                message = process.messages.get(timeout=TICK)
            except queue.Empty:
                continue
            if message is None:  # the process is gone
                stopped = self._closing or job.cancel_token.cancelled
                why, details = process.last_words()
                self._drop()
                if may_retry and not started and not stopped:
                    return False
                self._end(job, "cancelled" if stopped else "failed", None, None if stopped else why, details)
                return True
            started = True
            self._take(job, process, message)
        process.forget_calls()
        return True

    def _until_ready(self, job: Job, process: ComputingProcess) -> bool:
        """Wait for a new process; a job that is cancelled meanwhile ends at once."""
        limit = time.monotonic() + process.patience
        while not process.ready:
            if job.cancel_token.cancelled or self._closing:
                self._end(job, "cancelled")
                return False
            message: Any = ("", 0, None)
            with contextlib.suppress(queue.Empty):
                message = process.messages.get(timeout=TICK)
            if message is None or time.monotonic() > limit:
                why, details = process.last_words()
                self._drop()
                self._end(job, "failed", None, why, details)
                return False
            process.ready = message[0] == "ready"
        return True

    def _take(self, job: Job, process: ComputingProcess, message: tuple[str, int, Any]) -> None:
        kind, _, content = message
        if kind == "progress":
            progress = process.unpack(content)
            self.dispatch(lambda: job.on_progress(progress))
        elif kind == "call":
            process.answer(*content)
        elif kind == "done":
            self._end(job, "done", process.unpack(content))
        elif kind == "cancelled":
            self._end(job, "cancelled")
        elif kind == "failed":
            self._end(job, "failed", None, *content)


class ComputingProcess(Protocol):
    """A process that computes, wherever it runs.

    Attributes
    ----------
    ready : bool
        Whether it takes tasks; the engine sets it when a message says so.
    patience : float
        Seconds that it may take to be.
    messages : queue.SimpleQueue
        (kind, number of the task, content) as they come; None once it is gone.
    last_file : float
        When a part of a file last came from it, by ``time.monotonic``.
    """

    ready: bool
    patience: float
    last_file: float
    messages: queue.SimpleQueue[Any]

    @property
    def id(self) -> int:
        """Of the process on this machine."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it takes tasks, or will."""
        ...

    def send(self, kind: str, number: int, content: object = None) -> None:
        """Tell it something."""
        ...

    def send_task(self, task: Task[Any]) -> int:
        """Hand a task over; gives its number."""
        ...

    def unpack(self, content: Any) -> Any:
        """What came with a message."""
        ...

    def answer(self, function: int, arguments: Any) -> None:
        """Call a function for it, and send the value."""
        ...

    def forget_calls(self) -> None:
        """Let go of the functions of the last task."""
        ...

    def last_words(self) -> tuple[ComputeError, str]:
        """Why it is gone, for a person and for a developer."""
        ...

    def end(self) -> None:
        """End it."""
        ...


class _Process:
    """The computing process, its pipes, and the folders for large arrays."""

    patience = START
    last_file = 0.0  # files of this machine need not come

    def __init__(self) -> None:
        self._own = OwnFolders()
        self.folders = self._own.paths
        self.log = self.folders[-1] / "log.txt"
        options: dict[str, Any] = {}
        if sys.platform == "win32":
            options["creationflags"] = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
        else:
            options["start_new_session"] = True  # so that what a library starts in it can be ended with it
        # Both are read once, when TensorFlow is loaded; ours, if the person has not set them.
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "napari_unet.engine.worker", *map(str, self.folders)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                **options,
            )
        self.ready = False
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._number = 0
        self._functions: list[FromCaller] = []
        self._caller = ThreadPoolExecutor(1, "engine-calls")
        self._listener = threading.Thread(target=self._listen, name="engine-listen", daemon=True)
        self._listener.start()

    @property
    def id(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def _listen(self) -> None:
        assert self.process.stdout is not None
        # Closed here: to close a stream that another thread is reading waits for that thread.
        with contextlib.suppress(EOFError, OSError, ValueError), self.process.stdout:
            while True:
                self.messages.put(read_message(self.process.stdout))
        self.messages.put(None)

    def send(self, kind: str, number: int, content: object = None) -> None:
        """Tell the process something; one that is gone is noticed by its silence."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            write_message(self.process.stdin, self._lock, (kind, number, content))

    def send_task(self, task: Task[Any]) -> int:
        """Hand a task over; gives its number."""
        self._number += 1
        self.send("run", self._number, pack(task, self.folders, self._keep))
        return self._number

    def unpack(self, content: Any) -> Any:
        """What came with a message."""
        return unpack(content)

    def _keep(self, function: FromCaller) -> int:
        self._functions.append(function)
        return len(self._functions) - 1

    def forget_calls(self) -> None:
        """Let go of the functions of the last task."""
        self._functions.clear()

    def answer(self, function: int, arguments: Any) -> None:
        """Call a function for the process, in a thread of its own, and send the value."""
        called = self._functions[function]

        def work() -> None:
            try:
                value = True, pack(called(*unpack(arguments)), self.folders)
            except Exception as error:  # noqa: BLE001 - it is passed on to the task
                value = False, pack(describe_failure(error), self.folders)
            self.send("answer", 0, value)

        self._caller.submit(work)

    def last_words(self) -> tuple[ComputeError, str]:
        """Why the process ended, for a person, and what it wrote last, for a developer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        code = self.process.returncode
        log = self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""
        got = f"exit code {code}"
        remedy = "try again; the images and masks here are untouched"
        if code is not None and code < 0:
            got = f"ended by signal {-code}"
            if code == -9:
                got += ", as when memory runs out"
                remedy = (
                    "try again, with less at once if memory is short; images and masks here are untouched"
                )
        return ComputeError(
            "the computing process ended in the middle of the work",
            code="compute.process.ended",
            got=got,
            remedy=remedy,
        ), log

    def end(self) -> None:
        """End the process, with all that it started, and remove its folders."""
        if self.alive:
            if sys.platform == "win32":
                self.process.kill()
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self.process.stdin.close()
        self._listener.join(1)  # unless something holds the other end open still
        self._caller.shutdown(wait=False, cancel_futures=True)
        self._own.remove()
