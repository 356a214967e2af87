"""Print docs/settings.md: every setting with its default and what it does.

python benchmarks/settings_table.py > docs/settings.md
"""

from __future__ import annotations

from functools import reduce

from napari_unet.workflow.recipes import RECIPES, setting_paths


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
        values = (reduce(getattr, path, chosen) for chosen in RECIPES.values())
        print(f"| `{'.'.join(path)}` | " + " | ".join(str(v) for v in values) + f" | {description} |")


if __name__ == "__main__":
    main()
