"""The record of a run: command, data, model and settings as JSON, each known again by its content."""

from __future__ import annotations

import json
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from napari_unet.atomic import check_can_be_made, check_outputs, write_text
from napari_unet.data.files.reading import current_reading
from napari_unet.data.masks.mask_reading import Choice, current_mask_reading
from napari_unet.errors import DataError
from napari_unet.export.naming import PATTERN
from napari_unet.plain_json import parse_json
from napari_unet.setting_values import fault
from napari_unet.settings import (
    EvaluationSettings,
    FineTuneSettings,
    InferenceSettings,
    LargeImageSettings,
    Recipe,
    Settings,
)
from napari_unet.workflow.inputs.content_path import ContentPath, Hashes
from napari_unet.workflow.replay.recorded_images import RecordedImage  # noqa: TC001 - pydantic reads it
from napari_unet.workflow.versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VERSION = 2
MOST_BYTES = 64 * 2**20  # of a run record; a split of a million images is smaller
# What is no part of a result: a run repeats on another kernel, too.
NO_MATTER = ("System",)


class SegmentRun(Settings):
    """Masks of images: all of `data`, some of it by name, or `images` one by one."""

    command: Literal["segment"] = "segment"
    data: tuple[ContentPath, ...] = ()
    images: tuple[RecordedImage, ...] = ()
    model: ContentPath
    format: str | None = None
    names: tuple[str, ...] | None = None
    settings: InferenceSettings | None = None
    probabilities: bool = False
    objects: bool = False
    disagreement: bool = False
    large: LargeImageSettings = Field(default_factory=LargeImageSettings)
    file_format: Literal["ome-zarr", "tiff"] = "ome-zarr"
    channels: tuple[str, ...] = ()
    stream: bool = False
    one_file: bool = False
    link_objects: bool = False
    over_time: bool = False


class TrainRun(Settings):
    """A model of a data set, or of images with masks that are called `name` together."""

    command: Literal["train"] = "train"
    data: ContentPath | None = None
    images: tuple[RecordedImage, ...] = ()
    name: str = ""
    classes: tuple[str, ...] = ()
    recipe: Recipe
    format: str | None = None
    split: dict[str, Any] | None = None
    init: ContentPath | None = None


class FineTuneRun(Settings):
    """A model that learned from corrections, in a folder or a project, or as they were in the window.

    Of those, `images` were learned from, `judges` judged, and of `others` the model's own predictions
    were replayed.
    """

    command: Literal["finetune"] = "finetune"
    data: ContentPath | None = None
    images: tuple[RecordedImage, ...] = ()
    judges: tuple[RecordedImage, ...] = ()
    others: tuple[RecordedImage, ...] = ()
    reserve: bool | None = None
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    model: ContentPath
    settings: FineTuneSettings
    format: str | None = None
    unverified: int | None = None
    replay: ContentPath | None = None
    replay_format: str | None = None
    replayed: str = ""  # what it turned out to be, as ``FineTuned.replayed``

    @model_validator(mode="before")
    @classmethod
    def _trained_weights_of_old(cls, values: Any) -> Any:
        """A record from before there was a choice means the trained weights."""
        settings = values.get("settings") if isinstance(values, dict) else None
        if isinstance(settings, dict) and "between" not in settings:
            return values | {"settings": settings | {"between": False}}
        return values


class SliceOf(Settings):
    """Which slice of which stack an image is, see ``StackSlice``."""

    stack: str
    index: tuple[int, ...]
    leading: tuple[int, ...]
    name: str = ""
    depth: tuple[float, str] | None = None


class ExportRun(Settings):
    """Masks in files for other programs: of a model, in a folder, the data's own, or of `images`."""

    command: Literal["export"] = "export"
    data: tuple[ContentPath, ...] = ()
    images: tuple[RecordedImage, ...] = ()
    model: ContentPath | None = None
    masks: ContentPath | None = None
    format: str | None = None
    classes: tuple[str, ...] = ()
    settings: InferenceSettings | None = None
    names: tuple[str, ...] | None = None
    formats: tuple[str, ...]
    pattern: str = PATTERN
    numbers: Literal["classes", "objects"] = "classes"
    pixel_size: str = ""
    one_file: bool = False
    link_objects: bool = False
    slices: dict[str, SliceOf] = Field(default_factory=dict)


class ExportModelRun(Settings):
    """A model as a file that other programs run."""

    command: Literal["export-model"] = "export-model"
    model: ContentPath
    kind: Literal["onnx", "bioimageio"]
    authors: tuple[str, ...] = ()
    licence: str = ""
    title: str = ""


class EvaluateRun(Settings):
    """Scores and a report, on a data set, or on images with masks that are called `name` together."""

    command: Literal["evaluate"] = "evaluate"
    data: ContentPath | None = None
    images: tuple[RecordedImage, ...] = ()
    name: str = ""
    classes: tuple[str, ...] = ()
    model: ContentPath | None = None
    masks: ContentPath | None = None
    format: str | None = None
    settings: EvaluationSettings = Field(default_factory=EvaluationSettings)
    inference: InferenceSettings | None = None
    names: tuple[str, ...] | None = None


Run = Annotated[
    SegmentRun | TrainRun | FineTuneRun | ExportRun | ExportModelRun | EvaluateRun,
    Field(discriminator="command"),
]
NAMES = {"data": "data", "model": "model", "masks": "masks", "init": "model", "replay": "replayed data"}
IMAGES = ("images", "judges", "others")  # fields of images named one by one


class RunRecord(Settings):
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
    axes, channels : str, tuple of str
        How images were read, where a person said so; see ``ImageReading``.
    masks_are, leave_out_problems : str, bool
        How masks were read, where a person said so; see ``MaskReading``.
    """

    format: Literal["napari-unet run"] = "napari-unet run"
    version: int = VERSION
    program: dict[str, str]
    run: Run
    out: str
    masks_are: Choice = ""
    leave_out_problems: bool = False
    axes: str = ""
    channels: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run, out: Path) -> RunRecord:
        """Make the record of a run: what goes in is hashed.

        Raises
        ------
        DataError
            If something that goes in is not there or cannot be read.
        """
        run = _with_places(run, Hashes().filled)
        reading, masks = current_reading(), current_mask_reading()
        return cls(
            program=dict(versions()),
            run=run,
            out=str(Path(out).resolve()),
            axes=reading.axes,
            channels=reading.channels,
            masks_are=masks.masks_are,
            leave_out_problems=masks.leave_out_problems,
        )

    @property
    def by_time(self) -> bool:
        """Whether a time budget decides how far it goes: then no repetition is the same to the bit."""
        if isinstance(self.run, TrainRun):
            return self.run.recipe.training.minutes > 0
        return isinstance(self.run, FineTuneRun) and not self.run.settings.megapixels

    def changes(self) -> tuple[str, ...]:
        """What is no more as it was, in phrases; those of what is not there end with "is gone"."""
        found: dict[str, None] = {}
        hashes = Hashes()
        for called, place in _places(self.run):
            now = hashes.current(place)
            if now != place.hash:
                found[f"the {called} {place.path} {'changed' if now else 'is gone'}"] = None
        return tuple(found)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; errors as ``write_text``."""
        write_text(path, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Read it.

        Raises
        ------
        DataError
            If it cannot be read, is none, is damaged, or of a newer program.
        """
        try:
            if path.stat().st_size > MOST_BYTES:
                raise DataError(
                    f"{path} is too large for a run record",
                    code="data.record.large",
                    expected=f"at most {MOST_BYTES:,} bytes",
                )
            content = parse_json(path.read_bytes())
        except (OSError, ValueError) as error:
            got = error.strerror if isinstance(error, OSError) else "something that is no JSON"
            raise DataError(
                f"the run record {path} cannot be read",
                code="data.record.unreadable",
                reason=got or str(error),
                remedy="give a run record that was saved",
            ) from error
        if not isinstance(content, dict) or content.get("format") != cls.model_fields["format"].default:
            raise DataError(
                f"{path} is no record of a run",
                code="data.record.foreign",
                expected="what the window, or --save-run record, wrote",
                remedy="give another file",
            )
        version = content.get("version")
        if isinstance(version, int) and version > VERSION:
            raise DataError(
                f"the run record {path} was written by a newer program",
                code="data.record.newer",
                expected=f"version {VERSION}",
                got=str(version),
                remedy="upgrade napari-unet-workbench",
            )
        if version == 1:
            content = _from_1(content)
        try:
            found = cls.model_validate(content)
        except ValidationError as error:
            raise DataError(
                f"the run record {path} is damaged: {fault(cls, error)}",
                code="data.record.damaged",
                remedy="save it again",
            ) from error
        return found.model_copy(update={"run": _beside(found.run, path.parent.resolve())})


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    """A record of version 1: pixels that a person verified were called otherwise."""
    run = content.get("run")
    if not isinstance(run, dict):
        return content
    run = dict(run)
    if "unvouched" in run:
        run["unverified"] = run.pop("unvouched")
    for name in IMAGES:
        if isinstance(run.get(name), list):
            run[name] = [_holds_from_1(image) for image in run[name]]
    return {**content, "version": VERSION, "run": run}


def _holds_from_1(image: Any) -> Any:
    if not isinstance(image, dict) or not isinstance(image.get("holds"), list):
        return image
    return {**image, "holds": ["verified" if plane == "vouched" else plane for plane in image["holds"]]}


def images_of(run: Run) -> dict[str, tuple[RecordedImage, ...]]:
    """Images that a run names one by one, by the name of the field."""
    return {name: getattr(run, name) for name in IMAGES if getattr(run, name, ())}


def _places(run: Run) -> Iterator[tuple[str, ContentPath]]:
    """What goes into a run, and what it is called for a person."""
    for name, called in NAMES.items():
        places = getattr(run, name, None) or ()
        for place in places if isinstance(places, tuple) else (places,):
            yield called, place
    for images in images_of(run).values():
        for image in images:
            yield "data" if image.format is not None else "image", image.place
            if image.mask is not None:
                yield "mask", image.mask


def _with_places(run: Run, change: Callable[[ContentPath], ContentPath]) -> Run:
    """The same run with other places."""
    found: dict[str, Any] = {}
    for name in NAMES:
        places = getattr(run, name, None)
        if isinstance(places, tuple):
            found[name] = tuple(change(place) for place in places)
        elif places is not None:
            found[name] = change(places)
    for name, images in images_of(run).items():
        found[name] = tuple(image.with_paths(change) for image in images)
    return run.model_copy(update=found)


def _beside(run: Run, folder: Path) -> Run:
    """What lies next to the run record, by where that is now."""

    def found(place: ContentPath) -> ContentPath:
        if Path(place.path).is_absolute() or PureWindowsPath(place.path).is_absolute():
            return place
        return place.model_copy(update={"path": str(folder / place.path)})

    images = {
        name: tuple(image.with_paths(found) for image in images) for name, images in images_of(run).items()
    }
    return run.model_copy(update=images)


def programs_differ(then: dict[str, str]) -> list[str]:
    """Packages whose version is another one now, in phrases."""
    now = dict(versions())
    return [
        f"{name} was {version}, is {now.get(name, 'missing')}"
        for name, version in then.items()
        if name not in NO_MATTER and now.get(name) != version
    ]


def check_new(path: Path, inputs: Iterable[Path] = (), *, overwrite: bool = False) -> None:
    """Refuse a recipe's place where a file is, as ``check_outputs``, or where none can be made.

    Raises
    ------
    OutputError
        If one is there, or the system refuses.
    """
    check_outputs([path], inputs, overwrite=overwrite)
    check_can_be_made(path)
