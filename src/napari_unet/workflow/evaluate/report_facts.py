"""What a report says of the model and of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.evaluation.leakage import LONG_LISTS
from napari_unet.workflow.evaluate.shell_commands import training_command

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.card import ModelCard
    from napari_unet.models.ensemble import AnyModel


def about_model(model: AnyModel | ModelCard, path: Path | None) -> dict[str, Any]:
    """What a report keeps of a model: settings, classes, provenance without the long lists."""
    provenance = {k: v for k, v in model.provenance.items() if k not in LONG_LISTS}
    return {
        "path": str(path),
        "recipe": model.recipe.model_dump(mode="json"),
        "classes": list(model.classes),
        "provenance": provenance,
    }


def about_data(dataset: Dataset, path: Path | None) -> dict[str, Any]:
    """What a report keeps of a data set, or of images that are in none."""
    if path is None:
        return {"name": dataset.name}
    return {
        "path": str(path),
        "name": dataset.name,
        "format": dataset.format,
        "group_rule": dataset.group_rule,
        "problems": [p.message for p in dataset.problems],
        "masks": dataset.masks,
        "masks_are": dataset.masks_are,
    }


def masks_in_words(dataset: Dataset) -> tuple[str, ...]:
    """What the reference masks were taken for, in a sentence, where their layout leaves that open."""
    if not dataset.masks:
        return ()
    said = f", as --masks-are {dataset.masks_are} says" if dataset.masks_are else ""
    doubts = [p.message for p in dataset.problems if p.kind == "interpretation"]
    more = "".join(f" {doubt[:1].upper()}{doubt[1:]}." for doubt in doubts)
    return (f"The values of the reference masks: {dataset.masks}{said}.{more}",)


def training_commands(model: AnyModel | ModelCard | None) -> tuple[str, ...]:
    """The command that trained a model, where it is known."""
    if model is None or model.provenance.get("parent") or model.provenance.get("ensemble"):
        return ()
    data = str((model.provenance.get("data") or {}).get("name") or "DATA")
    line = training_command(model.recipe, data, "MODEL")
    return (line,) if line else ()
