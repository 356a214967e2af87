"""Write docs/reference/settings.md: every setting with its default and what it does.

python docs/make_settings.py
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path

from napari_unet.settings import Recipe
from napari_unet.workflow.train.dataset_recipes import SET_RECIPES
from napari_unet.workflow.train.recipes import RECIPES, setting_paths

PAGE = Path(__file__).parent / "reference" / "settings.md"
HEAD = """# Settings

`python docs/make_settings.py` writes this page from the settings of the program. Change one with
`napari-unet train DATA --out MODEL --set key=value`. The last part of a name is enough where only one
setting has it: `--set filters=32`. In the window, the tab *New model* shows the same settings with these
descriptions.

The columns show the values in the three general recipes: `fast` for minutes on two cores, `accurate` for
more time, `paper` for the U-Net of Ronneberger et al. 2015.
"""
SETS = """
## Recipes of known sets

Choose one with `train DATA --recipe NAME`. The table shows where a recipe differs from the defaults.
"""


def page() -> str:
    """The page in Markdown."""
    general = [name for name in RECIPES if name not in SET_RECIPES]
    paths = {path: text for path, text in setting_paths().items() if path != ("name",)}
    lines = [HEAD, "| setting | what it does | " + " | ".join(general) + " |"]
    lines.append("| --- |" + " --- |" * (len(general) + 1))
    for path, description in paths.items():
        values = (str(reduce(getattr, path, RECIPES[name])) for name in general)
        lines.append(f"| `{'.'.join(path)}` | {description} | " + " | ".join(values) + " |")
    lines += [SETS, "| recipe | settings |", "| --- | --- |"]
    plain = Recipe()
    for name, recipe in SET_RECIPES.items():
        values_of_recipe = {path: reduce(getattr, path, recipe) for path in paths}
        different = [
            f"`{'.'.join(path)}={value}`"
            for path, value in values_of_recipe.items()
            if value != reduce(getattr, path, plain)
        ]
        lines.append(f"| {name} | " + ", ".join(different) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
