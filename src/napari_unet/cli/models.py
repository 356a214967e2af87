"""The command `models`: the built-in models, and those in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, note
from napari_unet.cli.shared.tables import print_table
from napari_unet.errors import DataError, ModelError

if TYPE_CHECKING:
    import argparse

NAME = "models"
ABOUT = "List the built-in models, or those in a folder: what they are for, classes, channels, size, scores."
EXAMPLES = ("models", "models my-models --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="FOLDER",
        help="Folder of models to list after the built-in ones.",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.models.card import ModelCard, find_models
    from napari_unet.models.shipped import shipped_models

    places = list(shipped_models().values())
    if options.folder is not None:
        if not options.folder.is_dir():
            raise DataError(
                f"{options.folder} is not a folder",
                code="data.file.missing",
                remedy="give a folder of models",
            )
        places += [*sorted(find_models(options.folder)), *_zips(options.folder)]
    facts, built_in = [], len(shipped_models())
    for number, place in enumerate(places):
        try:
            card = ModelCard.read(place)
        except ModelError as error:
            note(error.sentence)
            continue
        facts.append({"name": card.name, "built_in": number < built_in, **_facts(card, place)})
    if not options.json:
        print_table(
            [
                ("model", False),
                ("classes", False),
                ("channels", True),
                ("MB", True),
                ("validation IoU", True),
            ],
            [_row(one) for one in facts],
        )
    where = [] if options.folder is None else [f"{len(facts) - built_in} in {options.folder}"]
    lines = [f"{one['name']}: {one['for']}" for one in facts]
    show(options, facts, [*lines, "", ", ".join([f"{built_in} built-in models", *where])])
    return DONE


def _zips(folder: Path) -> list[Path]:
    from napari_unet.models.model_folder import SETTINGS_IN_ZIP

    return [path for path in sorted(folder.glob("*.zip")) if _holds(path, SETTINGS_IN_ZIP)]


def _holds(path: Path, name: Any) -> bool:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.fullmatch(one) for one in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _facts(card: Any, place: Path) -> dict[str, Any]:
    about = card.provenance.get("about") or {}
    files = [place] if place.is_file() else [file for file in place.rglob("*.h5") if file.is_file()]
    return {
        "path": place,
        "for": str(about.get("title") or f"images like those of {card.trained_on}"),
        "classes": list(card.classes),
        "channels": card.channels,
        "network": card.recipe.network.name,
        "bytes": sum(file.stat().st_size for file in files),
        "members": [name for name, _ in card.members],
        "scores": dict(card.provenance.get("scores") or {}),
    }


def _row(one: dict[str, Any]) -> list[str]:
    iou = one["scores"].get("validation_iou")
    return [
        one["name"],
        ", ".join(one["classes"]),
        str(one["channels"]),
        f"{one['bytes'] / 1e6:.1f}",
        f"{iou:.3f}" if isinstance(iou, float) else "-",
    ]
