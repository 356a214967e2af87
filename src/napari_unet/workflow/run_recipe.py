"""The recipe of a run: command, data, model and settings as JSON, each known again by its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from napari_unet.atomic import write_text
from napari_unet.errors import DataError, OutputError
from napari_unet.export.naming import PATTERN
from napari_unet.models.shipped import locate, shipped_models
from napari_unet.settings import EvaluationSettings, FineTuneSettings, InferenceSettings, Recipe, Settings
from napari_unet.workflow.project_file import PROJECT_FILE
from napari_unet.workflow.repeat import versions

VERSION = 1
MOST_BYTES = 64 * 2**20  # of a recipe; a split of a million images is smaller
CHUNK = 2**20
DIGEST = 16  # bytes
# What is no part of a result: a recipe repeats on another kernel, too.
NO_MATTER = ("System",)


class Place(Settings):
    """A file or folder that goes into a run.

    Attributes
    ----------
    path : str
        Absolute, or the name of a model that comes with the program.
    hash : str
        32 hexadecimal digits of its content, see ``content_hash``; empty until the recipe is made.
    """

    path: str
    hash: str = ""

    @classmethod
    def of(cls, path: Path | str) -> Place:
        """Name a place; nothing is read."""
        if str(path) in shipped_models():
            return cls(path=str(path))
        return cls(path=str(Path(path).expanduser().resolve()))

    @property
    def found(self) -> Path:
        """Where it is."""
        return locate(Path(self.path))

    def current_hash(self) -> str:
        """Hash of what is there now; empty if nothing is."""
        return content_hash(self.found) if self.found.exists() else ""


class SegmentRun(Settings):
    """Masks of images, all or some by name."""

    command: Literal["segment"] = "segment"
    data: tuple[Place, ...]
    model: Place
    format: str | None = None
    names: tuple[str, ...] | None = None
    settings: InferenceSettings | None = None
    probabilities: bool = False
    objects: bool = False


class TrainRun(Settings):
    """A model of a data set."""

    command: Literal["train"] = "train"
    data: Place
    recipe: Recipe
    format: str | None = None
    split: dict[str, Any] | None = None
    init: Place | None = None


class FineTuneRun(Settings):
    """A model that learned from corrections, in a folder or a project."""

    command: Literal["finetune"] = "finetune"
    data: Place
    model: Place
    settings: FineTuneSettings
    format: str | None = None
    unvouched: int | None = None
    replay: Place | None = None


class ExportRun(Settings):
    """Masks in files for other programs: of a model, in a folder, or the data's own."""

    command: Literal["export"] = "export"
    data: tuple[Place, ...]
    model: Place | None = None
    masks: Place | None = None
    format: str | None = None
    classes: tuple[str, ...] = ()
    settings: InferenceSettings | None = None
    names: tuple[str, ...] | None = None
    formats: tuple[str, ...]
    pattern: str = PATTERN
    numbers: Literal["classes", "objects"] = "classes"
    pixel_size: str = ""


class EvaluateRun(Settings):
    """Scores and a report."""

    command: Literal["evaluate"] = "evaluate"
    data: Place
    model: Place | None = None
    masks: Place | None = None
    format: str | None = None
    settings: EvaluationSettings = Field(default_factory=EvaluationSettings)
    inference: InferenceSettings | None = None
    names: tuple[str, ...] | None = None


Run = Annotated[SegmentRun | TrainRun | FineTuneRun | ExportRun | EvaluateRun, Field(discriminator="command")]
NAMES = {"data": "data", "model": "model", "masks": "masks", "init": "model", "replay": "replayed data"}


class RunRecipe(Settings):
    """What `napari-unet run` repeats.

    Attributes
    ----------
    format, version : str, int
        Of the file.
    program : dict
        Names and versions of the packages that computed.
    run : SegmentRun, TrainRun, FineTuneRun, ExportRun or EvaluateRun
        What was done, seeds among the settings.
    out : str
        Where the result went.
    """

    format: Literal["napari-unet run"] = "napari-unet run"
    version: int = VERSION
    program: dict[str, str]
    run: Run
    out: str

    @classmethod
    def of(cls, run: Run, out: Path) -> RunRecipe:
        """Make the recipe of a run: what goes in is hashed.

        Raises
        ------
        DataError
            If something that goes in is not there or cannot be read.
        """
        changes = {name: _hashed(place) for name in NAMES if (place := getattr(run, name, None)) is not None}
        return cls(program=dict(versions()), run=run.model_copy(update=changes), out=str(Path(out).resolve()))

    @property
    def by_time(self) -> bool:
        """Whether a time budget decides how far it goes: then no repetition is the same to the bit."""
        if isinstance(self.run, TrainRun):
            return self.run.recipe.training.minutes > 0
        return isinstance(self.run, FineTuneRun) and not self.run.settings.megapixels

    def changes(self) -> tuple[str, ...]:
        """What is no more as it was, in phrases; those of what is not there end with "is gone"."""
        found = []
        for name, called in NAMES.items():
            places = getattr(self.run, name, None) or ()
            for place in places if isinstance(places, tuple) else (places,):
                now = place.current_hash()
                if now != place.hash:
                    found.append(f"the {called} {place.path} {'changed' if now else 'is gone'}")
        return tuple(found)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; errors as ``write_text``."""
        write_text(path, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> RunRecipe:
        """Read it.

        Raises
        ------
        DataError
            If it cannot be read, is none, is damaged, or of a newer program.
        """
        try:
            if path.stat().st_size > MOST_BYTES:
                raise DataError(f"{path} is too large for a recipe", expected=f"at most {MOST_BYTES:,} bytes")
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            got = error.strerror if isinstance(error, OSError) else "something that is no JSON"
            raise DataError(
                f"the recipe {path} cannot be read",
                got=got or str(error),
                remedy="give a recipe.json that was saved",
            ) from error
        if not isinstance(content, dict) or content.get("format") != cls.model_fields["format"].default:
            raise DataError(
                f"{path} is no recipe of a run",
                expected="what the window, or --save-recipe, wrote",
                remedy="give another file",
            )
        version = content.get("version")
        if isinstance(version, int) and version > VERSION:
            raise DataError(
                f"the recipe {path} was written by a newer program",
                expected=f"version {VERSION}",
                got=str(version),
                remedy="upgrade napari-unet-workbench",
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(
                f"the recipe {path} is damaged",
                expected=first["msg"],
                got=".".join(map(str, first["loc"])),
                remedy="save it again",
            ) from error


def _hashed(places: Place | tuple[Place, ...]) -> Place | tuple[Place, ...]:
    if isinstance(places, tuple):
        return tuple(_one(place) for place in places)
    return _one(places)


def _one(place: Place) -> Place:
    now = place.current_hash()
    if not now:
        raise DataError(f"{place.path} is not there", remedy="put it back before the recipe is saved")
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
            f"{path} cannot be read", got=error.strerror or str(error), remedy="check its permissions"
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


def programs_differ(then: dict[str, str]) -> list[str]:
    """Packages whose version is another one now, in phrases."""
    now = dict(versions())
    return [
        f"{name} was {version}, is {now.get(name, 'missing')}"
        for name, version in then.items()
        if name not in NO_MATTER and now.get(name) != version
    ]


def check_new(path: Path) -> None:
    """Refuse a recipe's place where a file is.

    Raises
    ------
    OutputError
        If it is there.
    """
    if path.exists():
        raise OutputError(f"{path} is there already", expected="a new file", remedy="give another name")
