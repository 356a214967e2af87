"""Where the window computes: this computer, or one at the other end of a command.

The choice belongs to the images and is remembered on this computer alone. It is not in the project: a project
that comes from somebody else must not start commands.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_unet.atomic import write_text
from napari_unet.engine.process import ProcessEngine
from napari_unet.engine.remote.command import command_of
from napari_unet.engine.remote.near_end import FarProcess
from napari_unet.errors import OutputError, WorkbenchError
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.session.auto_project import own_folder, own_projects
from napari_unet.workflow.journeys import journey_of
from napari_unet.workflow.machine import Machine, MachineTask

if TYPE_CHECKING:
    from napari_unet.engine.chosen import ComputeHost
    from napari_unet.engine.task import Job
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

MOST = 500
FILE = "places.json"

log = logging.getLogger(__name__)


class ComputePlace:
    """The place where networks of these images run.

    Parameters
    ----------
    place : ComputeHost
        Read by the engines.
    workspace : Workspace
        Whose images.
    runner : TaskRunner
        In whose thread the choice is looked up.
    """

    changed = Signal()  # another place, or another sentence about it
    moved = Signal()  # another place

    def __init__(self, place: ComputeHost, workspace: Workspace, runner: TaskRunner) -> None:
        self.place, self.workspace, self.runner = place, workspace, runner
        self.text = ""  # the command as a person wrote it; empty: this computer
        self.sentence = ""  # what is known of it
        self.checking: Job | None = None
        self._default = ""
        self._checks = 0
        self._looked_up: tuple[int, tuple[str, ...]] = (0, ())  # collection and ids

    def use_default(self, text: str) -> None:
        """Use a place for images for which nobody chose one."""
        followed = self.text == self._default
        self._default = text
        if followed:
            self._use(text)

    def recall(self) -> None:
        """Use the place that a person chose for the open images."""
        collection = self.workspace.collection
        if collection is None or not len(collection):
            return
        looked_up = id(collection), collection.ids
        if looked_up == self._looked_up:
            return
        self._looked_up = looked_up

        def look() -> None:
            rows = _rows()
            text = rows.get(own_folder(collection).name, self._default) if rows else self._default
            if text != self.text:
                self.runner.dispatch(lambda: self._recalled(collection, text))

        self.runner.in_background(look)

    def _recalled(self, collection: Collection, text: str) -> None:
        if collection is self.workspace.collection and self.checking is None:
            self._use(text)

    def check(self, text: str) -> None:
        """Look at a place, and use it from now on if it can compute."""
        text = text.strip()
        self._checks += 1
        mine = self._checks
        if self.checking is not None:
            self.checking.cancel()
            self.checking = None
        if not text:
            self._use("")
            self._remember()
            return
        try:
            command = command_of(text)
        except WorkbenchError as error:
            self._say(error.sentence)
            return
        engine = ProcessEngine(self.runner.dispatch, start=lambda: FarProcess(command, journey_of))

        def on_end(job: Job) -> None:
            threading.Thread(target=engine.close, daemon=True).start()
            if mine != self._checks:  # another one was asked for meanwhile
                return
            self.checking = None
            if isinstance(job.result, Machine):
                self._use(text, job.result.sentence)
                self._remember()
            elif job.error is not None:
                self._say(job.error.sentence)

        self.sentence = "Connecting…"
        job = engine.submit(MachineTask(), on_end=on_end)
        if not job.ended:
            self.checking = job
            self.changed.emit()

    def _use(self, text: str, sentence: str = "") -> None:
        try:
            command = command_of(text) if text else ()
        except WorkbenchError as error:
            text, command, sentence = "", (), f"{error.sentence}. This computer computes."
        self.text = text
        before, self.place.command = self.place.command, command
        self._say(sentence)
        if before != command:
            self.moved.emit()

    def _say(self, sentence: str) -> None:
        self.sentence = sentence
        self.changed.emit()

    def _remember(self) -> None:
        collection, text = self.workspace.collection, self.text
        if collection is not None and len(collection):
            self.runner.in_background(lambda: _write(own_folder(collection).name, text))

    def close(self) -> None:
        """Stop looking."""
        if self.checking is not None:
            self.checking.cancel()


def _rows() -> dict[str, str]:
    try:
        rows = parse_json((own_projects() / FILE).read_bytes())
        return {str(key): str(text) for key, text in rows.items()}
    except (OSError, *BAD_CONTENT):
        return {}


def _write(key: str, text: str) -> None:
    rows = _rows()
    rows.pop(key, None)
    rows[key] = text
    try:
        own_projects().mkdir(parents=True, exist_ok=True)
        write_text(own_projects() / FILE, json.dumps(dict(list(rows.items())[-MOST:]), indent=1))
    except (OSError, OutputError) as error:
        log.warning("where to compute cannot be written down: %s", error)
