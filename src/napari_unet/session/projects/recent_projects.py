"""The projects that were open last, for the list in the window."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import write_text
from napari_unet.errors import OutputError
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.project.project_file import PROJECT_FILE
from napari_unet.session.auto_project import own_projects

if TYPE_CHECKING:
    from napari_unet.project.project import Project

MOST = 10
FILE = "recent.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecentProject:
    """A project that was open.

    Attributes
    ----------
    name : str
        That a person gave, or that of the data.
    folder : str
        Of the project.
    data : str
        Path of its images; empty where they are in no data set.
    images : int
        How many.
    """

    name: str
    folder: str
    data: str = ""
    images: int = 0


def recent_projects() -> list[RecentProject]:
    """Projects that are still there, the last first."""
    try:
        rows = parse_json((own_projects() / FILE).read_bytes())
        known = [RecentProject(r["name"], r["folder"], r["data"], r["images"]) for r in rows]
    except (OSError, *BAD_CONTENT):
        return []
    return [one for one in known if (Path(one.folder) / PROJECT_FILE).is_file()]


def remember_project(project: Project) -> None:
    """Put a project at the head of the list; where the list cannot be written, that is logged."""
    folder = project.folder.resolve()
    data = project.file.data.find(folder) if project.file.data.kind == "dataset" else None
    fresh = RecentProject(project.name, str(folder), "" if data is None else str(data), len(project.ids))
    rows = [fresh, *(one for one in recent_projects() if one.folder != fresh.folder)][:MOST]
    try:
        own_projects().mkdir(parents=True, exist_ok=True)
        write_text(own_projects() / FILE, json.dumps([asdict(row) for row in rows], indent=1))
    except (OSError, OutputError) as error:
        log.warning("the list of recent projects cannot be written: %s", error)
