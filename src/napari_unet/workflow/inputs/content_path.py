"""Files and folders that go into a run, known again by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_unet.errors import DataError
from napari_unet.models.shipped import is_shipped, locate, shipped_models
from napari_unet.project.project_file import PROJECT_FILE
from napari_unet.settings import Settings

CHUNK = 2**20
DIGEST = 16  # bytes


class ContentPath(Settings):
    """A file or folder that goes into a run.

    Attributes
    ----------
    path : str
        Absolute; or the name of a model that comes with the program; in a file, of what lies next to
        it, relative to its folder.
    hash : str
        32 hexadecimal digits of its content, see ``content_hash``; empty until the run record is made.
    """

    path: str
    hash: str = ""

    @classmethod
    def of(cls, path: Path | str) -> ContentPath:
        """Name a place; nothing is read."""
        if str(path) in shipped_models():
            return cls(path=str(path))
        if is_shipped(Path(path)):  # wherever the program is installed
            return cls(path=Path(path).name)
        return cls(path=str(Path(path).expanduser().resolve()))

    @property
    def found(self) -> Path:
        """Where it is."""
        return locate(Path(self.path))

    def current_hash(self) -> str:
        """Hash of what is there now; empty if nothing is."""
        return content_hash(self.found) if self.found.exists() else ""


class Hashes:
    """Hashes of places, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def current(self, place: ContentPath) -> str:
        """See ``ContentPath.current_hash``."""
        if place.path not in self._known:
            self._known[place.path] = place.current_hash()
        return self._known[place.path]

    def filled(self, place: ContentPath) -> ContentPath:
        """The place with its hash, if it has none yet.

        Raises
        ------
        DataError
            If it is not there, or cannot be read.
        """
        if place.hash:
            return place
        now = self.current(place)
        if not now:
            raise DataError(
                f"{place.path} is not there",
                code="data.file.missing",
                remedy="put it back before the run is saved",
            )
        return place.model_copy(update={"hash": now})


def content_hash(path: Path) -> str:
    """Hash of a file, or of the names and contents of all files in a folder but hidden ones.

    Of a project what was corrected counts, not the versions and runs that came of it.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=DIGEST)
    try:
        for file in _files(path):
            name = file.relative_to(path).as_posix() if path.is_dir() else ""
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while piece := stream.read(CHUNK):
                    digest.update(piece)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read",
            code="data.file.unreadable",
            reason=error.strerror or str(error),
            remedy="check its permissions",
        ) from error
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if (path / PROJECT_FILE).is_file():
        return [*sorted((path / "masks").glob("*.tif*")), *sorted(path.glob("split.json"))]
    return [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    ]
