"""What lies in the folder of a project, before it is one and when it is of an older version."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from napari_unet.atomic import write_text
from napari_unet.data.file_names import safe_stem
from napari_unet.data.split import Split
from napari_unet.errors import OutputError, unwritable
from napari_unet.project.lock import HOLDER_FILE, LOCK_FILE
from napari_unet.project.project_file import PROJECT_FILE, VERSION, ProjectFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SPLIT_FILE = "split.json"
NUMBERED = re.compile(r"(\d{4,9})-")
FOLDERS = ("masks", "history", "journal", "models", "runs", "reports")


def check_empty(folder: Path) -> None:
    """Refuse a folder with something in it, other than what a killed creation left."""
    known = {*FOLDERS, SPLIT_FILE, LOCK_FILE, HOLDER_FILE}
    try:
        found = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise OutputError(
            f"{folder} is no folder", code="output.folder.file", reason=error.strerror or str(error)
        ) from error
    if PROJECT_FILE in found:
        raise OutputError(
            f"{folder} is a project already",
            code="output.project.exists",
            remedy="open it, or choose another folder",
        )
    strange = [n for n in found if n not in known and not n.startswith(".partial-")]
    if strange:
        raise OutputError(
            f"{folder} is a folder with other things in it",
            code="output.folder.occupied",
            expected="a new or empty folder",
            got=strange[0],
            remedy="choose another name",
        )


def migrate(folder: Path, file: ProjectFile, version: int) -> None:
    """Bring project.json up to date; the older one stays next to it."""
    before = (folder / PROJECT_FILE).read_text(encoding="utf-8")
    write_text(folder / f"project.version-{version}.json", before)
    if not (folder / SPLIT_FILE).exists():
        _no_split(version).save(folder / SPLIT_FILE)
    file.save(folder)


def read_split(folder: Path, version: int) -> Split:
    """The split; an empty one for a project of a version without one."""
    path = folder / SPLIT_FILE
    return Split.load(path) if path.exists() or version == VERSION else _no_split(version)


def _no_split(version: int) -> Split:
    return Split((), note=f"the project is of version {version}, which has no split")


def numbered_folder(parent: Path, name: str, settings: Mapping[str, Any] | None) -> Path:
    """Make the next folder in one whose folders are numbered: 0001-fine-tune; see ``Project.new_folder``."""
    try:
        parent.mkdir(exist_ok=True)
        numbers = [int(m[1]) for p in parent.iterdir() if (m := NUMBERED.match(p.name))]
        folder = parent / f"{max(numbers, default=0) + 1:04d}-{safe_stem(name)}"
        folder.mkdir()
    except OSError as error:
        raise unwritable(f"{parent} cannot be written", error, "") from error
    if settings is not None:
        write_text(folder / "settings.json", json.dumps(dict(settings), indent=1))
    return folder
