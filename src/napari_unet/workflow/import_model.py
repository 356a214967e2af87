"""Importing a model: a plain Keras file and settings in, a model folder out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_unet.atomic import check_outputs
from napari_unet.errors import SettingsError
from napari_unet.models.keras_import.adoption import BY_NAME, adopt, weights_of
from napari_unet.models.keras_import.keras_files import read_keras_file
from napari_unet.models.model import Model, save_model
from napari_unet.models.model_folder import check_place
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import architecture
from napari_unet.plain_json import parse_json
from napari_unet.progress import Progress
from napari_unet.setting_values import fault
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.workflow.versions import versions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_unet.models.keras_import.adoption import Adopted
    from napari_unet.progress import CancelToken, OnProgress

SHORT = {"network", "classes", "normalization", "inference"}
MAX_SETTINGS_BYTES = 64 * 1024**2
BYTE = 1 / 255


@dataclass(frozen=True)
class ImportSettings:
    """What a Keras file does not tell of a model.

    Attributes
    ----------
    recipe : Recipe
        Network and inference count.
    normalization : Normalization or None
        How images are prepared; None where the settings do not say.
    classes : tuple of str
        Names of the classes 1..K.
    """

    recipe: Recipe
    normalization: Normalization | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Imported:
    """What came of it: where the model is, and what was found in the file."""

    out: Path
    found: tuple[str, ...]


@dataclass(frozen=True)
class ImportModelTask:
    """Make a model of a Keras file.

    Attributes
    ----------
    file : pathlib.Path
        .keras, or HDF5 of a whole model or of weights.
    settings : pathlib.Path
        settings.json of a model, or a short one: network and classes, normalization and inference if wanted.
    out : pathlib.Path
        Folder or .zip.
    overwrite : bool
        Whether a model that is there may be replaced.
    """

    file: Path
    settings: Path
    out: Path
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Imported:
        """Import; the model is there whole or not at all.

        Raises
        ------
        SettingsError
            If the settings cannot be read or contradict themselves.
        ModelError
            If the file cannot be read, does not fit the settings, or its network answers otherwise.
        OutputError
            If something is in the way, or the model cannot be written.
        Cancelled
            When the person stopped it.
        """
        _check_free(self.out, (self.file, self.settings), self.overwrite)
        on_progress(Progress(0, 3, "Reading the settings"))
        settings = read_import_settings(self.settings)
        # Twice as many leaves room for biases that batch normalization makes superfluous.
        most = 2 * weights_of(settings.recipe.network)
        cancel.check()
        on_progress(Progress(1, 3, "Reading the file"))
        source = read_keras_file(self.file, most)
        digest = _sha256(self.file)
        cancel.check()
        on_progress(Progress(2, 3, "Comparing the networks"))
        adopted = adopt(source, settings.recipe.network, most)
        normalization = settings.normalization or _normalization(settings.recipe.network, adopted.factor)
        provenance = {
            "imported": {
                "file": self.file.name,
                "sha256": digest,
                "matched": adopted.how,
                "activation": adopted.activation,
                "largest_difference": adopted.difference,
            },
            "versions": dict(versions()),
        }
        cancel.check()
        model = Model(settings.recipe, normalization, settings.classes, adopted.network, provenance)
        save_model(model, self.out)
        return Imported(self.out, _words(adopted, settings, normalization))


def read_import_settings(file: Path) -> ImportSettings:
    """Read the settings.json of a model, or a short one.

    Raises
    ------
    SettingsError
        If it cannot be read, or something in it is unknown, missing, or at odds with the rest.
    """
    content = _content(file)
    full = "recipe" in content
    given = content["recipe"] if full else {k: content[k] for k in ("network", "inference") if k in content}
    names = content.get("classes")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        raise SettingsError(
            f"{file.name} does not name the classes",
            code="settings.classes.missing",
            expected='a list like "classes": ["cell"]',
            got=json.dumps(names)[:80],
            remedy="name the classes besides the background, in the order of the outputs",
        )
    if not full:
        network = {"classes": len(names), **_object(given.get("network"), file)}
        given = {"name": "imported", **given, "network": network}
    prepared = content.get("normalization")
    try:
        recipe = Recipe.model_validate(given)
        channels = recipe.network.input_channels
        normalization = (
            None
            if prepared is None
            else Normalization.model_validate({"channels": channels, **_object(prepared, file)})
        )
    except ValidationError as error:
        kind = Normalization if error.title == Normalization.__name__ else Recipe
        raise SettingsError(
            f"in {file.name} {fault(kind, error)}", code="settings.value", remedy="see `napari-unet settings`"
        ) from error
    architecture(recipe.network.name)
    _check_whole(recipe.network, normalization, names, file)
    return ImportSettings(recipe, normalization, tuple(names))


def _content(file: Path) -> dict[str, Any]:
    remedy = "write one with network and classes, or give the settings.json of a model"
    try:
        size = file.stat().st_size
        if size > MAX_SETTINGS_BYTES:
            raise SettingsError(
                f"{file} is too large for settings",
                code="settings.file.large",
                got=f"{size} bytes",
                remedy=remedy,
            )
        content = parse_json(file.read_bytes())
    except FileNotFoundError as error:
        raise SettingsError(
            f"there are no settings {file}", code="settings.file.missing", remedy=remedy
        ) from error
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the settings {file} cannot be read",
            code="settings.file.unreadable",
            expected="JSON",
            reason=str(error),
            remedy=remedy,
        ) from error
    content = _object(content, file)
    if "recipe" not in content:
        unknown = sorted(set(content) - SHORT)
        if unknown or "network" not in content:
            raise SettingsError(
                f"the settings {file} cannot be used",
                code="settings.unknown",
                expected=f"network and classes, and of {', '.join(sorted(SHORT))} no others",
                got=unknown[0] if unknown else "no network",
                remedy=remedy,
            )
    return content


def _object(value: Any, file: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(
            f"the settings {file} cannot be used",
            code="settings.file.malformed",
            expected="JSON with names and values",
            got=str(value)[:80],
        )
    return value


def _check_whole(
    network: NetworkSettings, normalization: Normalization | None, names: list[str], file: Path
) -> None:
    if len(names) != network.classes:
        raise SettingsError(
            f"the classes in {file.name} contradict each other",
            code="settings.classes.count",
            expected=f"{network.classes} names, as network.classes says",
            got=str(len(names)),
            remedy="name the classes besides the background",
        )
    if normalization is None:
        return
    if normalization.channels != network.input_channels:
        raise SettingsError(
            f"the channels in {file.name} contradict each other",
            code="settings.channels.count",
            expected=f"{network.input_channels}, as network.input_channels says",
            got=str(normalization.channels),
            remedy="leave out normalization.channels",
        )
    for each in ("mean", "deviation"):
        count = len(getattr(normalization, each))
        if normalization.intensities == "dataset" and count != normalization.channels:
            raise SettingsError(
                f"normalization.{each} in {file.name} is wrong",
                code="settings.channels.count",
                expected=f"{normalization.channels} numbers, one for each channel",
                got=str(count),
                remedy="give what the model was trained with",
            )


def _check_free(out: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    if out.is_dir() and not any(out.iterdir()):
        return
    check_place(out)
    check_outputs([out], inputs, overwrite=overwrite)


def _normalization(network: NetworkSettings, factor: float) -> Normalization:
    """How images are prepared where nobody says: by a factor of 1/255 in the network, else by default."""
    by_range = abs(factor - BYTE) < BYTE / 1000
    return Normalization(channels=network.input_channels, intensities="range" if by_range else "image")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _words(adopted: Adopted, settings: ImportSettings, normalization: Normalization) -> tuple[str, ...]:
    """What a person should know of the import."""
    lines = [f"weights matched {adopted.how}"]
    if adopted.difference is None:
        lines.append(
            "the file holds weights alone: there was no network to compare with, so look at a result; "
            f"{settings.recipe.network.activation} is put on the logits, as the settings say"
        )
        if adopted.how != BY_NAME:
            lines.append(
                "merging the skip before the up-convolution is taken for granted; "
                "if the network merges otherwise masks are wrong, so import the whole model then"
            )
    else:
        ends = {"linear": "in logits", "sigmoid": "in a sigmoid", "softmax": "in a softmax"}
        lines.append(
            f"the file's network ends {ends[adopted.activation]}; outputs equal on the test images, "
            f"largest difference {adopted.difference:.2g}"
        )
    if adopted.factor != 1.0:
        lines.append(f"the file multiplies images by {adopted.factor:.4g} first: left to the normalization")
    if settings.normalization is None:
        lines.append(
            f"the settings do not say how images are prepared: {normalization.intensities} is taken; "
            "give normalization if the model was trained otherwise"
        )
    return tuple(lines)
