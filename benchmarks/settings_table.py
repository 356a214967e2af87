"""Print docs/settings.md: every setting with its default and what it does.

python benchmarks/settings_table.py > docs/settings.md
"""

from __future__ import annotations

from functools import reduce

from napari_unet.settings import Recipe
from napari_unet.workflow.train.dataset_recipes import SET_RECIPES
from napari_unet.workflow.train.recipes import RECIPES, setting_paths


def main() -> None:
    """Print the table."""
    print("# Settings\n")
    print("Change them with `--set key=value`; the last part of a name will do where it is the only one.")
    print("Made by `python benchmarks/settings_table.py > docs/settings.md`.\n")
    print("| setting | " + " | ".join(RECIPES) + " | what it does |")
    print("| --- |" + " --- |" * (len(RECIPES) + 1))
    for path, description in setting_paths().items():
        if path == ("name",):
            continue
        values = (reduce(getattr, path, RECIPES[name]) for name in RECIPES)
        print(f"| `{'.'.join(path)}` | " + " | ".join(str(v) for v in values) + f" | {description} |")
    print("\n## Recipes of known sets\n")
    print("`train DATA --recipe NAME`; where they differ from the defaults that a setting has by itself:\n")
    print("| recipe | settings |\n| --- | --- |")
    plain = Recipe()
    for name, chosen in SET_RECIPES.items():
        paths = (p for p in setting_paths() if p != ("name",))
        own = {p: reduce(getattr, p, chosen) for p in paths}
        told = [f"`{'.'.join(p)}={v}`" for p, v in own.items() if v != reduce(getattr, p, plain)]
        print(f"| {name} | " + ", ".join(told) + " |")


if __name__ == "__main__":
    main()
