"""Which channel of which images a person chose: remembered, and read again when they are opened."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from napari_unet.atomic import write_text
from napari_unet.errors import OutputError, WorkbenchError
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.session.auto_project import own_folder, own_projects

if TYPE_CHECKING:
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.projects.current_project import CurrentProject
    from napari_unet.session.task_runner import TaskRunner
    from napari_unet.session.workspace import Workspace

MOST = 500
FILE = "channels.json"

log = logging.getLogger(__name__)


class ChannelMemory:
    """Keeps the choice of channels with the images: in their project, and where they have none in a list.

    Parameters
    ----------
    workspace : Workspace
        Whose images have channels.
    runner : TaskRunner
        In whose thread it is looked up.
    projects : CurrentProject
        Of the images.
    """

    def __init__(self, workspace: Workspace, runner: TaskRunner, projects: CurrentProject) -> None:
        self.workspace, self.runner, self.projects = workspace, runner, projects
        self._recalling = False
        self._looked_up: tuple[int, tuple[str, ...]] = (0, ())  # collection and ids
        self._chosen: set[int] = set()  # collections for which a person chose since they were opened

    def choose(self, numbers: tuple[str, ...]) -> None:
        """Read only these channels of the open images, and of these images whenever they are opened."""
        collection = self.workspace.collection
        if collection is None:
            return
        self._chosen.add(id(collection))
        self.workspace.read_channels(numbers)
        self._tell_project()
        if self.projects.automatic:
            self.runner.in_background(lambda: remember_channels(collection, numbers))

    def recall(self) -> None:
        """Read the channels of the open images that a person chose when they were open before."""
        collection = self.workspace.collection
        if collection is None or not len(collection) or not self.projects.automatic:
            return
        looked_up = id(collection), collection.ids
        if looked_up == self._looked_up or id(collection) in self._chosen or collection.channels:
            return
        self._looked_up = looked_up

        def look() -> None:
            if not (own_projects() / FILE).is_file():
                return
            found = remembered_channels(collection)
            if found:
                self.runner.dispatch(lambda: self._use(collection, found))

        self.runner.in_background(look)

    def agree(self) -> None:
        """A project was opened: what a person chose just now goes first, then what the project remembers."""
        project, collection = self.projects.project, self.workspace.collection
        if project is None or collection is None:
            return
        if id(collection) in self._chosen or collection.channels:
            self._tell_project()
        elif project.file.data.channels:
            self._use(collection, project.file.data.channels)

    def _use(self, collection: Collection, numbers: tuple[str, ...]) -> None:
        if collection is self.workspace.collection and id(collection) not in self._chosen:
            self.workspace.read_channels(numbers)
            self._tell_project()

    def _tell_project(self) -> None:
        project, collection = self.projects.project, self.workspace.collection
        if project is None or collection is None or project.read_only:
            return
        try:
            project.read_channels(collection.channels)
        except WorkbenchError as error:
            self.runner.failed.emit(error.sentence, "")


def remembered_channels(collection: Collection) -> tuple[str, ...]:
    """Numbers of the channels that a person chose for these images; empty if nobody did."""
    return tuple(_rows().get(own_folder(collection).name, ()))


def remember_channels(collection: Collection, numbers: tuple[str, ...]) -> None:
    """Write down which channels of these images are read; what cannot be written is logged."""
    key, rows = own_folder(collection).name, _rows()
    rows.pop(key, None)
    if numbers:
        rows[key] = list(numbers)
    try:
        own_projects().mkdir(parents=True, exist_ok=True)
        write_text(own_projects() / FILE, json.dumps(dict(list(rows.items())[-MOST:]), indent=1))
    except (OSError, OutputError) as error:
        log.warning("which channel was chosen cannot be written down: %s", error)


def _rows() -> dict[str, list[str]]:
    try:
        rows = parse_json((own_projects() / FILE).read_bytes())
        return {str(key): [str(int(n)) for n in numbers] for key, numbers in rows.items()}
    except (OSError, *BAD_CONTENT):
        return {}
