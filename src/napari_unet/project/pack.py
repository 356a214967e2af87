"""A project as one zip, to be sent or archived."""

from __future__ import annotations

import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.atomic import atomic_path, check_outputs
from napari_unet.data.files.channels import read_whole
from napari_unet.data.lossless_images import encode_exactly
from napari_unet.errors import OutputError
from napari_unet.progress import tracked
from napari_unet.project.image_links import PACKED_FOLDER
from napari_unet.project.layout import FOLDERS, SPLIT_FILE
from napari_unet.project.project import Project
from napari_unet.project.project_file import PROJECT_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.progress import CancelToken, OnProgress

MAX_FILES = 500_000
MAX_BYTES = 64 * 2**30  # of the files before they are packed
OLDER = re.compile(r"project\.version-\d+\.json$")
PACKED_ALREADY = {".tif", ".tiff", ".png", ".h5", ".npz", ".zip", ".strokes"}


@dataclass(frozen=True)
class PackTask:
    """Write a project as one zip that opens as a project once it is unpacked.

    Attributes
    ----------
    project : pathlib.Path
        Its folder.
    out : pathlib.Path
        The zip.
    images : bool
        Whether the images go in as well.
    overwrite : bool
        Whether a file that is there may be replaced.
    """

    project: Path
    out: Path
    images: bool = False
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Path:
        """Open, save and pack."""
        check_outputs([self.out], [self.project], overwrite=self.overwrite)
        with Project.open(self.project) as project:
            if not project.save():
                raise OutputError(
                    f"{self.project} cannot be saved", code="output.project.unsaved", got=project.trouble
                )
            return pack_project(project, self.out, self.images, on_progress, cancel)


def pack_project(
    project: Project, out: Path, images: bool, on_progress: OnProgress, cancel: CancelToken | None = None
) -> Path:
    """Write an open project, as it stands on the disk, as one zip.

    Parameters
    ----------
    project : Project
        Saved, and left alone in the meantime.
    out : pathlib.Path
        The zip; one that is there is replaced.
    images : bool
        Whether the images go in as well, as TIFF, or as NumPy array where a TIFF would alter them.
    on_progress, cancel
        While writing.

    Returns
    -------
    pathlib.Path
        The zip.

    Raises
    ------
    OutputError
        If it cannot be written, or would be too large; nothing is left behind.
    DataError
        If an image cannot be read.
    """
    files = [(name, path) for name, path in _files(project.folder) if path != out]
    ids = project.ids if images else ()
    with atomic_path(out) as partial, zipfile.ZipFile(partial, "w", strict_timestamps=False) as archive:
        size = 0
        work: list[tuple[str, Path] | str] = [*files, *ids]
        for item in tracked(work, len(work), "Packing", on_progress, cancel):
            if isinstance(item, str):
                name, data = _packed_image(project, item)
                archive.writestr(name, data, zipfile.ZIP_DEFLATED if name.endswith(".npy") else None)
                size += len(data)
            elif item[0] == PROJECT_FILE and images:
                archive.writestr(PROJECT_FILE, _with_images(item[1]), zipfile.ZIP_DEFLATED)
            else:
                name, path = item
                stored = path.suffix.lower() in PACKED_ALREADY
                archive.write(path, name, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
                size += path.stat().st_size
            if size > MAX_BYTES:
                raise OutputError(
                    f"the project {project.folder} is too large for one zip",
                    code="output.large",
                    expected=f"at most {MAX_BYTES // 2**30} GB",
                    remedy="pack it without images, or prune discarded versions",
                )
    return out


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name in the zip and path of every file that is the project's; links are not followed."""
    top = [PROJECT_FILE, SPLIT_FILE, *sorted(p.name for p in folder.iterdir() if OLDER.match(p.name))]
    count = 0
    for name in top:
        if (folder / name).is_file():
            yield name, folder / name
    for room in FOLDERS:
        for parent, folders, names in os.walk(folder / room):
            folders[:] = sorted(n for n in folders if not n.startswith("."))
            for name in sorted(names):
                path = Path(parent) / name
                if name.startswith(".") or path.is_symlink() or not path.is_file():
                    continue
                count += 1
                if count > MAX_FILES:
                    raise OutputError(
                        f"{folder} holds too many files",
                        code="output.files.many",
                        expected=f"at most {MAX_FILES}",
                    )
                yield path.relative_to(folder).as_posix(), path


def _with_images(path: Path) -> str:
    content = json.loads(path.read_text(encoding="utf-8"))
    channels = content["data"].get("channels", [])
    content["data"] = {"kind": "packed", "path": "", "relative": "", "format": "", "channels": channels}
    return json.dumps(content, indent=1)


def _packed_image(project: Project, identifier: str) -> tuple[str, bytes]:
    suffix, data = encode_exactly(read_whole(project.images.sample(identifier)), identifier)
    return f"{PACKED_FOLDER}/{project.images.stems[identifier]}{suffix}", data
