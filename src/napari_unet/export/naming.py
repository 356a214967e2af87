"""Names of exported files, known before anything is written."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.atomic import check_outputs
from napari_unet.data.file_names import unique_stems
from napari_unet.errors import OutputError, SettingsError
from napari_unet.export.formats import export_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from napari_unet.export.stacks import StackSlice

PATTERN = "{name}_mask"
FIELDS = ("name", "index", "format")


@dataclass(frozen=True)
class ExportPlan:
    """Which file each image goes to in each format.

    Attributes
    ----------
    files : dict
        Format to one path an image, in their order; slices of a stack may share one.
    together : dict
        Format to the one path for all images.
    """

    files: dict[str, tuple[Path, ...]]
    together: dict[str, Path]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of all files, image by image."""
        rows = zip(*self.files.values(), strict=True)
        return (*dict.fromkeys(path for row in rows for path in row), *self.together.values())

    def existing(self) -> list[Path]:
        """What is there already and would be replaced."""
        return [path for path in self.paths if path.exists()]

    def check(self, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
        """Refuse a file where the folder should be, and to replace what is there, see ``check_outputs``.

        Raises
        ------
        OutputError
            Naming some of the files.
        """
        for folder in {path.parent for path in self.paths}:
            if folder.is_file():
                raise OutputError(
                    f"{folder} is a file",
                    code="output.folder.file",
                    expected="a folder",
                    remedy="choose another name",
                )
        check_outputs(self.paths, inputs, overwrite=overwrite)


def plan_files(
    names: Sequence[str],
    out: Path,
    formats: Sequence[str],
    pattern: str = PATTERN,
    slices: Mapping[str, StackSlice] | None = None,
    *,
    one_file: bool = False,
) -> ExportPlan:
    """Work out the name of every file.

    Parameters
    ----------
    names : sequence of str
        Of the images, all different.
    out : pathlib.Path
        Folder.
    formats : sequence of str
        Names from ``export.formats.FORMATS``.
    pattern : str
        Of the files of one image, without suffix: text with {name}, {index} (from 1; {index:04} has
        four digits) and {format}. Formats that put all images into one file are called by their name.
    slices : mapping, optional
        Names of images that are slices of a stack, to their places.
    one_file : bool
        Whether a stack is one file, in formats that can hold it.

    Returns
    -------
    ExportPlan
        All names differ, also where upper and lower case are one.

    Raises
    ------
    SettingsError
        If a format is unknown or none is given, or the pattern cannot be used.
    """
    if not formats:
        raise SettingsError(
            "no format to export to was given", code="settings.format.missing", remedy="choose at least one"
        )
    chosen = [export_format(name) for name in dict.fromkeys(formats)]
    _check_pattern(pattern)
    files: dict[str, tuple[Path, ...]] = {}
    together: dict[str, Path] = {}
    for entry in chosen:
        if entry.together:
            together[entry.name] = out / f"{entry.name}{entry.suffix}"
            continue
        called = {name: _called(name, slices or {}, one_file and entry.stacked) for name in names}
        numbers = {known: number for number, known in enumerate(dict.fromkeys(called.values()), start=1)}
        texts = {known: _fill(pattern, known[0], number, entry.name) for known, number in numbers.items()}
        filled = {name: texts[known] for name, known in called.items()}
        if len(set(filled.values())) < len(texts):
            raise SettingsError(
                f"the naming pattern {pattern!r} gives several images one name",
                code="settings.pattern.ambiguous",
                expected="{name} or {index} in it",
                remedy=f"take {PATTERN}",
            )
        stems = unique_stems(dict.fromkeys(filled.values()))
        files[entry.name] = tuple(out / f"{stems[text]}{entry.suffix}" for text in filled.values())
    plan = ExportPlan(files, together)
    if len({str(path).lower() for path in plan.paths}) < sum(
        len(set(paths)) for paths in (*files.values(), *([path] for path in together.values()))
    ):
        raise SettingsError(
            "two formats would write the same file",
            code="settings.format.duplicate",
            remedy="put {format} into the pattern",
        )
    return plan


def _called(name: str, slices: Mapping[str, StackSlice], whole: bool) -> tuple[str, str]:
    """What the file of an image is called, and what tells it from others of that name."""
    place = slices.get(name)
    if place is None:
        return name, name
    return (place.stack, f"[{place.stack}]") if whole else (place.file_name, name)


def _check_pattern(pattern: str) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None]
        unknown = [field for field in fields if field not in FIELDS]
        text = "" if unknown else _fill(pattern, "name", 1, "format")
    except (ValueError, IndexError, KeyError) as error:
        raise SettingsError(
            f"the naming pattern {pattern!r} cannot be used",
            code="settings.pattern.malformed",
            reason=str(error),
        ) from error
    if unknown:
        raise SettingsError(
            f"the naming pattern {pattern!r} has an unknown part",
            code="settings.pattern.unknown",
            expected=", ".join(f"{{{field}}}" for field in FIELDS),
            got=f"{{{unknown[0]}}}",
        )
    if not text.strip() or "/" in text or "\\" in text:
        raise SettingsError(
            f"the naming pattern {pattern!r} gives no file name",
            code="settings.pattern.name",
            expected="a name without folders, like " + PATTERN,
        )


def _fill(pattern: str, name: str, index: int, kind: str) -> str:
    return pattern.format(name=name, index=index, format=kind)
