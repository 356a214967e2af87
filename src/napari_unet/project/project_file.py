"""What a project is: name, classes, where the data is, which images; as project.json."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from napari_unet.atomic import write_text
from napari_unet.data.file_names import composed, path_on_disk
from napari_unet.data.masks.mask_reading import Choice
from napari_unet.errors import DataError
from napari_unet.plain_json import BAD_CONTENT, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROJECT_FILE = "project.json"
FORMAT = "napari-unet project"
VERSION = 1
MAX_BYTES = 512 * 2**20
MAX_PIXELS = 2**31
Kind = Literal["dataset", "packed", "memory"]


@dataclass(frozen=True)
class ImageEntry:
    """An image of a project.

    Attributes
    ----------
    id : str
        What it is called.
    hash : str
        Of its pixels, see ``data.image_hash.image_hash``.
    shape : tuple of int
        (Y, X, C).
    group : str
        What must not be parted by a split.
    """

    id: str
    hash: str
    shape: tuple[int, int, int]
    group: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", composed(self.id))  # older projects may have letters in parts


@dataclass(frozen=True)
class DataLink:
    """Where the images are.

    Attributes
    ----------
    kind : str
        "dataset": at `path`; "packed": in the project's own folder images/; "memory": nowhere on a disk,
        they are known by name only.
    path : str
        Of the data set.
    relative : str
        The same from the project's folder, for drives and folders that move together.
    format : str
        Its layout.
    masks_are : str
        What a person said of the values in its masks; see ``MaskReading``.
    channels : tuple of str
        Names or numbers of the channels that are read of each image; empty: all.
    """

    kind: Kind
    path: str = ""
    relative: str = ""
    format: str = ""
    masks_are: Choice = ""
    channels: tuple[str, ...] = ()

    @classmethod
    def to(
        cls, data: Path, format: str, folder: Path, masks_are: Choice = "", channels: tuple[str, ...] = ()
    ) -> DataLink:
        """Link a project's folder to a data set."""
        data = data.expanduser().resolve()
        try:
            relative = Path(os.path.relpath(data, folder.resolve())).as_posix()
        except ValueError:  # another drive of Windows
            relative = ""
        return cls("dataset", str(data), relative, format, masks_are, channels)

    def find(self, folder: Path) -> Path | None:
        """The path of the data set, if there is something."""
        paths = [Path(self.path)] if self.path else []
        if self.relative:
            paths.append(folder / self.relative)
        # Copied to another system, the same letters may be written otherwise.
        return next((found for p in paths if (found := path_on_disk(p)) is not None), None)


@dataclass(frozen=True)
class ProjectFile:
    """The content of project.json.

    Attributes
    ----------
    name : str
        For people.
    created : str
        Date and time, ISO 8601, UTC.
    classes : tuple of str
        Names of the classes 1..K.
    data : DataLink
        Where the images are.
    images : tuple of ImageEntry
        In order.
    settings : mapping
        Whatever the window wants to find again; plain JSON.
    """

    name: str
    created: str
    classes: tuple[str, ...]
    data: DataLink
    images: tuple[ImageEntry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write project.json, one line an image.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        head = {
            "format": FORMAT, "version": VERSION, "name": self.name, "created": self.created,
            "classes": self.classes, "data": asdict(self.data), "settings": dict(self.settings),
        }  # fmt: skip
        text = json.dumps(head, indent=1).removesuffix("\n}")
        lines = ",\n".join(f"  {_line(asdict(i))}" for i in self.images)
        write_text(folder / PROJECT_FILE, f'{text},\n "images": [\n{lines}\n ]\n}}\n')


def _line(row: Mapping[str, Any]) -> str:
    """One line of JSON, in the letters of the person unless a file name has bytes that are none."""
    text = json.dumps(row, ensure_ascii=False)
    return text if text.encode("utf-8", "replace").decode() == text else json.dumps(row)


def read_project_file(folder: Path) -> tuple[ProjectFile, int]:
    """Read project.json, migrated if it is of an older version.

    Returns
    -------
    content : ProjectFile
        As of today.
    version : int
        That was in the file.

    Raises
    ------
    DataError
        If it is not a project, is damaged, or newer than this program.
    """
    path = folder / PROJECT_FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        content = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} is not a project",
            code="data.project.missing",
            expected=f"a folder with {PROJECT_FILE}",
            remedy="give the folder of a project, or create one",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read",
            code="data.file.unreadable",
            reason=str(error),
            remedy="restore it from a backup",
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(
            f"{path} is not of a project", code="data.project.foreign", remedy="give the folder of a project"
        )
    version = content.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise DataError(
            f"{path} is damaged",
            code="data.project.damaged",
            got=f"version {version!r}",
            remedy="restore it from a backup",
        )
    if version > VERSION:
        raise DataError(
            f"the project {folder} was written by a newer program",
            code="data.project.newer",
            expected=f"version {VERSION} or lower",
            got=str(version),
            remedy="upgrade napari-unet-workbench",
        )
    try:
        for step in range(version, VERSION):
            content = MIGRATIONS[step](content)
        return _parse(content), version
    except BAD_CONTENT as error:
        raise DataError(
            f"{path} is damaged",
            code="data.project.damaged",
            reason=repr(error),
            remedy="restore it from a backup",
        ) from error


def _parse(content: Mapping[str, Any]) -> ProjectFile:
    data = content["data"]
    if data["kind"] not in {"dataset", "packed", "memory"}:
        raise ValueError(f"images of the kind {data['kind']!r}")
    link = DataLink(data["kind"], str(data["path"]), str(data["relative"]), str(data["format"]))
    masks_are = data.get("masks_are", "")
    if masks_are not in get_args(Choice):
        raise ValueError(f"masks that are {masks_are!r}")
    link = replace(link, masks_are=masks_are, channels=tuple(map(str, data.get("channels", ()))))
    images = tuple(_image(row) for row in content["images"])
    if len({i.id for i in images}) != len(images):
        raise ValueError("two images of one name")
    classes = tuple(str(c) for c in content["classes"])
    if not 1 <= len(classes) <= 254:
        raise ValueError(f"{len(classes)} classes")
    return ProjectFile(
        str(content["name"]), str(content["created"]), classes, link, images, dict(content["settings"])
    )


def _image(row: Mapping[str, Any]) -> ImageEntry:
    height, width, channels = (int(n) for n in row["shape"])
    if min(height, width, channels) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"an image of {width} x {height} pixels")
    return ImageEntry(str(row["id"]), str(row["hash"]), (height, width, channels), str(row["group"]))


def _from_0(content: dict[str, Any]) -> dict[str, Any]:
    """Version 0, of the first trials: one class, no groups, no settings, the data as one path."""
    path = str(content["data"])
    images = [{"group": row["id"], "hash": "", **row} for row in content["images"]]
    data = {"kind": "dataset" if path else "memory", "path": path, "relative": "", "format": ""}
    return {
        "created": "", "classes": ["foreground"], "settings": {},
        **content, "version": 1, "data": data, "images": images,
    }  # fmt: skip


# From the version of the key to the next.
MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0}
