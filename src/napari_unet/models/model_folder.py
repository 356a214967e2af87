"""The folder or zip of a model: what is in it, where it may go, and its settings, without the network."""

from __future__ import annotations

import lzma
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_unet.atomic import PARTIAL
from napari_unet.errors import ModelError, OutputError, did_you_mean
from napari_unet.models.normalization import Normalization
from napari_unet.models.provenance import check_provenance
from napari_unet.models.shipped import locate, shipped_models
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.setting_values import fault
from napari_unet.settings import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS_FILE = "settings.json"
WEIGHTS_FILE = "model.weights.h5"
STATE_FILE = "training-state.npz"
SPLIT_FILE = "split.json"
METRICS_FILE = "metrics.csv"
REHEARSAL_FILE = "rehearsal.npz"
OWN_FILES = {SETTINGS_FILE, WEIGHTS_FILE, STATE_FILE, SPLIT_FILE, METRICS_FILE, REHEARSAL_FILE}
FORMAT_VERSION = 1
NEWEST_VERSION = 2  # of an ensemble, whose settings list its members
MEMBERS = "members"  # what they are called in the settings, and their folder
MAX_SETTINGS_BYTES = 64 * 1024**2
# What unpacking a zip raises that is cut off, altered, encrypted or packed in an unknown way.
DAMAGED_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError, struct.error,
)  # fmt: skip
MAX_WEIGHTS_BYTES = 4 * 1024**3
MAX_REHEARSAL_BYTES = 64 * 1024**2
MOST_BYTES = {SETTINGS_FILE: MAX_SETTINGS_BYTES, REHEARSAL_FILE: MAX_REHEARSAL_BYTES}
# What a model, and an ensemble, may have in its zip; the zip may have one folder around all.
PACKED_FILES = "|".join(map(re.escape, (SETTINGS_FILE, WEIGHTS_FILE, REHEARSAL_FILE)))
IN_ZIP = re.compile(rf"(?:[^/]*/)?({PACKED_FILES})")
SETTINGS_IN_ZIP = re.compile(rf"(?:[^/]*/)?({re.escape(SETTINGS_FILE)})")
MEMBERS_IN_ZIP = re.compile(
    rf"(?:[^/]+/)?({MEMBERS}/(?!\.{{1,2}}/)[^/]+/(?:{re.escape(SETTINGS_FILE)}|{re.escape(WEIGHTS_FILE)}))"
)
Settings = tuple[Recipe, Normalization, tuple[str, ...], dict[str, Any]]


def check_place(path: Path, kind: str = "model") -> None:
    """Refuse a place where a model, or an ensemble, must not go.

    Raises
    ------
    OutputError
        If a file is in the way, or a folder with things in it that no model or training left there.
    """
    if path.suffix.lower() == ".zip":
        if kind == "model":
            return
        raise OutputError(
            f"an ensemble is a folder, and {path} looks like an archive",
            code="output.name.archive",
            remedy="give a name without .zip; zip the folder when it is done, it is read as well",
        )
    wanted = f"a new folder or an older {kind}"
    if path.is_file():
        raise OutputError(f"{path} is a file", code="output.folder.file", expected=wanted)
    # An ensemble replaces the whole folder; a model leaves in it what is not its own.
    if not path.is_dir() or (kind == "model" and (path / SETTINGS_FILE).exists()):
        return
    for file in path.iterdir():
        # A training that was killed while it wrote leaves the beginning of a file.
        own = file.name.startswith(PARTIAL) if kind == "model" else file.name == MEMBERS
        if file.name not in OWN_FILES and not own:
            raise OutputError(
                f"{path} is a folder with other things in it",
                code="output.folder.occupied",
                expected=wanted,
                got=file.name,
                remedy="choose another name",
            )


@contextmanager
def model_folder(path: Path) -> Iterator[Path]:
    """Have a model as a folder, for as long as the context lasts: itself, or unpacked from its zip.

    Raises
    ------
    ModelError
        If the zip cannot be read.
    """
    path = locate(path)
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as unpacked:
        unpack(path, Path(unpacked))
        yield Path(unpacked)


def file_of_model(path: Path, name: str) -> bytes | None:
    """The content of one file of a model, in a folder or zip; None if the model has no such file.

    Raises
    ------
    ModelError
        If it cannot be read, or is too large.
    """
    path = locate(path)
    with tempfile.TemporaryDirectory() as unpacked:
        folder = path
        if path.is_file():
            folder = Path(unpacked)
            unpack(path, folder, re.compile(rf"(?:[^/]*/)?({re.escape(name)})"))
        file = folder / name
        if not file.is_file():
            return None
        check_bytes(file.stat().st_size, MOST_BYTES.get(name, MAX_WEIGHTS_BYTES), str(file))
        try:
            return file.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{file} cannot be read",
                code="model.unreadable",
                reason=str(error),
                remedy="copy the model again",
            ) from error


def is_zip(path: Path) -> bool:
    """Whether a path is a zip; never waits for a pipe."""
    return path.is_file() and zipfile.is_zipfile(path)


def unpack(path: Path, folder: Path, wanted: re.Pattern[str] = IN_ZIP) -> None:
    """Take the files of a model, and only those, out of a zip.

    Parameters
    ----------
    path : pathlib.Path
        The zip.
    folder : pathlib.Path
        Where they go.
    wanted : re.Pattern
        Matches the names of what is wanted; its group is the path in the folder.

    Raises
    ------
    ModelError
        If the zip cannot be read, or is too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                match = wanted.fullmatch(info.filename)
                if match is None:
                    continue
                target = folder / match[1]
                limit = MOST_BYTES.get(target.name, MAX_WEIGHTS_BYTES)
                check_bytes(info.file_size, limit, f"{info.filename} in {path}")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1024**2)
    except DAMAGED_ZIP as error:
        raise ModelError(
            f"the model {path} cannot be read",
            code="model.unreadable",
            reason=str(error),
            remedy="copy or train it again",
        ) from error


def check_bytes(size: int, limit: int, name: str) -> None:
    """Refuse a file that is too large; raises ModelError."""
    if size > limit:
        raise ModelError(
            f"{name} is too large", code="model.large", expected=f"at most {limit} bytes", got=f"{size}"
        )


def read_description(path: Path | str, name: Path | str = "") -> dict[str, Any]:
    """Read the settings.json of a model without building the network.

    Parameters
    ----------
    path : path or str
        Folder or zip, or the name of a model that comes with the program.
    name : path or str
        What errors call it, if not `path`.

    Raises
    ------
    ModelError
        If there is none, or it is not one of ours.
    """
    path = locate(path)
    if is_zip(path):
        with tempfile.TemporaryDirectory() as unpacked:
            unpack(path, Path(unpacked), SETTINGS_IN_ZIP)
            return read_description(unpacked, path)
    file, path = path / SETTINGS_FILE, Path(name or path)
    try:
        check_bytes(file.stat().st_size, MAX_SETTINGS_BYTES, str(file))
        content = parse_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"{path} is not a model" if path.exists() else f"there is no model {str(path)!r}",
            code="model.missing",
            remedy=which_model(path),
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the settings of the model {path} cannot be read",
            code="model.settings.unreadable",
            reason=str(error),
            remedy="train it again",
        ) from error
    if not isinstance(content, dict) or content.get("format") != "napari-unet model":
        raise ModelError(
            f"{path} is not a model of this program",
            code="model.foreign",
            remedy="train one with `napari-unet train`",
        )
    version = content.get("version")
    if not isinstance(version, int) or version > NEWEST_VERSION:
        raise ModelError(
            f"the model {path} was written by a newer program",
            code="model.newer",
            expected=f"version {NEWEST_VERSION} or lower",
            got=str(version),
            remedy="upgrade napari-unet-workbench",
        )
    return content


def which_model(path: Path) -> str:
    """What to give instead of a path that is no model: a built-in one if its name is similar."""
    hint = did_you_mean(str(path), shipped_models())
    if not path.exists() and "did you mean" in hint:
        return hint
    built_in = ", ".join(shipped_models())
    return f"give the folder or zip that `napari-unet train --out` wrote, or a built-in model ({built_in})"


def read_settings(path: Path) -> Settings:
    """Read recipe, normalization, classes and provenance of a model without building the network.

    Raises
    ------
    ModelError
        If it is not a model of ours, is damaged, or is newer than this program.
    """
    return parse_settings(read_description(Path(path)), Path(path))


def parse_settings(content: dict[str, Any], path: Path) -> Settings:
    """Recipe, normalization, classes and provenance from a model's description; errors as above."""
    try:
        recipe = Recipe.model_validate(content["recipe"])
        normalization = Normalization.model_validate(content["normalization"])
        if not isinstance(content["classes"], list):
            raise TypeError("classes that are not a list")
        classes = tuple(str(name) for name in content["classes"])
        provenance = check_provenance(content["provenance"])
    except (ValidationError, *BAD_CONTENT) as error:
        raise ModelError(
            f"the settings of the model {path} are damaged",
            code="model.settings.damaged",
            reason=_fault(error),
            remedy="train it again",
        ) from error
    if len(classes) != recipe.network.classes or normalization.channels != recipe.network.input_channels:
        raise ModelError(
            f"the settings of the model {path} contradict each other",
            code="model.settings.contradiction",
            remedy="train it again",
        )
    return recipe, normalization, classes, provenance


def _fault(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return fault(Normalization if error.title == Normalization.__name__ else Recipe, error)


def describe(
    recipe: Recipe, normalization: Normalization, classes: tuple[str, ...], provenance: dict[str, Any],
    version: int = FORMAT_VERSION,
) -> dict[str, Any]:  # fmt: skip
    """What is written to settings.json."""
    return {
        "format": "napari-unet model",
        "version": version,
        "recipe": recipe.model_dump(mode="json"),
        "normalization": normalization.model_dump(mode="json"),
        "classes": list(classes),
        "provenance": provenance,
    }
