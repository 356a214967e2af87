"""What it takes to repeat a result: commands, and the versions of what computed."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from napari_unet.data.masks.mask_reading import current_mask_reading
from napari_unet.workflow.train.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_unet.settings import EvaluationSettings, Recipe

# The data and the machine decide these, not a person.
FITTED = {("name",), ("network", "input_channels"), ("network", "classes"), ("training", "precision")}
MOST_FLAGS = 24  # beyond which a command says less than the settings as JSON


def training_command(recipe: Recipe, data: str, out: str) -> str:
    """The command that trains with these settings; empty if it would be too long to be of use.

    Parameters
    ----------
    recipe : Recipe
        As fitted to the data.
    data, out : str
        What to call data set and model in it.
    """
    if recipe.name not in RECIPES:
        return ""
    start = _flat(RECIPES[recipe.name].model_dump(mode="json"))
    wanted = _flat(recipe.model_dump(mode="json"))
    changes = [
        f"{'.'.join(path)}={value}"
        for path, value in wanted.items()
        if start.get(path) != value and path not in FITTED
    ]
    if len(changes) > MOST_FLAGS:
        return ""
    words = ["napari-unet", "train", data, "--out", out, "--recipe", recipe.name]
    for change in changes:
        words += ["--set", change]
    return shlex.join(words)


def _flat(content: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= _flat(value, (*prefix, key))
        else:
            found[(*prefix, key)] = value
    return found


def evaluation_flags(settings: EvaluationSettings, format_: str | None) -> list[str]:
    """Flags of `evaluate` and `compare` that differ from what they would be."""
    flags = ["--empty", settings.empty] if settings.empty != "one" else []
    flags += ["--scores", settings.scores] if settings.scores != "auto" else []
    return flags + (["--layout", format_] if format_ else [])


def mask_flags() -> list[str]:
    """Flags that say how masks are read now."""
    reading = current_mask_reading()
    flags = ["--masks-are", reading.masks_are] if reading.masks_are else []
    return flags + (["--leave-out-problems"] if reading.leave_out_problems else [])


def command(*words: str | Path | Sequence[str]) -> str:
    """Words as one line for the shell."""
    flat: list[str] = []
    for word in words:
        flat += [word] if isinstance(word, str) else map(str, word if isinstance(word, list) else [word])
    return shlex.join(["napari-unet", *flat])
