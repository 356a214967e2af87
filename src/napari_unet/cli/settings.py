"""The command `settings`: every setting with its default, its bounds, and what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE
from napari_unet.errors import SettingsError, did_you_mean
from napari_unet.setting_values import needs

if TYPE_CHECKING:
    import argparse

    from pydantic import BaseModel

NAME = "settings"
ABOUT = "List all settings with their defaults, their bounds, and what they do."
EXAMPLES = ("settings", "settings training", "settings batch_size --recipe accurate")
NARROWEST = 60  # characters of a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME",
        help="Setting, group, or part of a name, such as batch_size, training or rate (default: all).",
    )  # fmt: skip
    parser.add_argument(
        "--recipe", default="", metavar="NAME", help="Recipe whose values are shown (default: no recipe)."
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.settings import EvaluationSettings, FineTuneSettings, LargeImageSettings, Recipe

    values = Recipe().model_dump()
    if options.recipe:
        from napari_unet.workflow.train.recipes import recipe

        values = recipe(options.recipe).model_dump()
    facts = [one for one in _walk(Recipe, values, ()) if one["name"] != "name"]
    groups: dict[str, type[BaseModel]] = {
        "finetune": FineTuneSettings,
        "large": LargeImageSettings,
        "scores": EvaluationSettings,
    }
    for group, kind in groups.items():
        facts += _walk(kind, kind().model_dump(), (group,))
    chosen = _named(facts, options.name) if options.name else facts
    show(options, chosen, _lines(chosen))
    return DONE


def _walk(kind: type[BaseModel], values: dict[str, Any], above: tuple[str, ...]) -> list[dict[str, Any]]:
    from pydantic import BaseModel

    found: list[dict[str, Any]] = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _walk(inner, values[name], (*above, name))
            continue
        found.append(
            {
                "name": ".".join((*above, name)),
                "title": field.title,
                "value": values[name],
                "takes": needs(field),
                "description": field.description or "",
            }
        )
    return found


def _named(facts: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Settings of this name, or whose path has this part; if there are none, those whose name contains it."""
    wanted = name.split(".")
    chosen = [one for one in facts if _contains(one["name"].split("."), wanted)]
    chosen = chosen or [one for one in facts if name.lower() in one["name"]]
    if not chosen:
        known = {".".join(one["name"].split(".")[-len(wanted) :]) for one in facts}
        known |= {one["name"].split(".")[0] for one in facts}
        hint = did_you_mean(name, sorted(known))
        raise SettingsError(
            f"there is no setting {name!r}",
            code="settings.unknown",
            remedy=hint if "did you mean" in hint else "see `napari-unet settings`",
        )
    return chosen


def _contains(path: list[str], wanted: list[str]) -> bool:
    return any(path[at : at + len(wanted)] == wanted for at in range(len(path)))


def _lines(facts: list[dict[str, Any]]) -> list[str]:
    import shutil
    import textwrap

    width = max(NARROWEST, min(100, shutil.get_terminal_size().columns))
    lines: list[str] = []
    for one in facts:
        value = one["value"] if one["value"] != "" else "empty"
        text = f"{one['title'] or one['name']}. {one['description']}".removesuffix(".") + "."
        lines.append(f"{one['name']} = {str(value).lower() if isinstance(value, bool) else value}")
        for part in (f"Takes {one['takes']}.", text):
            lines += textwrap.wrap(part, width, initial_indent="    ", subsequent_indent="    ")
    if len(facts) > 1:
        lines += [
            "",
            "Change a setting of a recipe with --set NAME=VALUE; the last part of a name is enough.",
        ]
    return lines
