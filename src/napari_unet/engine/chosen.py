"""The engine of the window: a process of this machine, or one at the other end of a command."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.engine.process import ProcessEngine
from napari_unet.engine.remote.manifest import Manifests
from napari_unet.engine.remote.near_end import FarProcess
from napari_unet.engine.task import Job, ignore_end
from napari_unet.progress import OnProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.engine.remote.journey import JourneyOf
    from napari_unet.engine.task import Task


@dataclass
class ComputeHost:
    """Where to compute; several engines may share it.

    Attributes
    ----------
    command : tuple of str
        That starts the worker on another machine; empty: this machine.
    manifests : Manifests
        What is known of files here.
    """

    command: tuple[str, ...] = ()
    manifests: Manifests = field(default_factory=Manifests)


class ChosenEngine:
    """Runs each task where it is to run: those that need no network stay on this machine.

    Parameters
    ----------
    dispatch : callable
        See ``ProcessEngine``.
    place : ComputeHost
        Read whenever a task is submitted.
    journey_of : callable
        (task) -> how it travels.
    travels : callable
        (task) -> whether it does.
    """

    def __init__(
        self,
        dispatch: Callable[[Callable[[], None]], None],
        place: ComputeHost,
        journey_of: JourneyOf,
        travels: Callable[[Task[Any]], bool],
    ) -> None:
        self.dispatch, self.place, self.journey_of, self.travels = dispatch, place, journey_of, travels
        self.here = ProcessEngine(dispatch)
        self._far: ProcessEngine | None = None
        self._leads: tuple[str, ...] = ()  # the command of that engine

    @property
    def process_id(self) -> int | None:
        """Of the computing process on this machine; None if there is none."""
        return self.here.process_id

    def submit(
        self,
        task: Task[Any],
        on_progress: OnProgress = ignore_progress,
        on_end: Callable[[Job], None] = ignore_end,
    ) -> Job:
        """Run a task when its turn comes; see ``Engine``."""
        command = self.place.command
        if self._far is not None and self._leads != command:
            # To say good bye takes a moment, for which a window does not wait.
            threading.Thread(target=self._far.close, name="engine-close", daemon=True).start()
            self._far = None
        if not command or not self.travels(task):
            return self.here.submit(task, on_progress, on_end)
        if self._far is None:
            manifests = self.place.manifests
            self._leads = command
            self._far = ProcessEngine(
                self.dispatch, start=lambda: FarProcess(command, self.journey_of, manifests)
            )
        return self._far.submit(task, on_progress, on_end)

    def close(self) -> None:
        """Stop everything and leave nothing behind."""
        self.here.close()
        if self._far is not None:
            self._far.close()
