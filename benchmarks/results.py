"""The tables of recipes, networks, ensembles and objects on the real sets; resumes where it was stopped.

recipes    each recipe of a known set, trained and scored (benchmarks/recipes.py, tables in WORK/recipes.md)
networks   on each set all networks, trained for the same time (`napari-unet compare-networks`)
ensembles  on each set four U-Nets of other seeds, averaged (`train --seeds 4`); on isbi2012 refined, too
objects    on dsb2018 the ways to tell touching nuclei apart, Mask R-CNN among them

The tables of the last three are in WORK/results.md: of all that was ever done in WORK.

Run: python benchmarks/results.py --data DATA --work WORK [--parts recipes networks ensembles objects]
[--megapixels M] [--minutes 20] [--object-minutes 20] [--sets isbi2012 tgs-salt dsb2018]
DATA holds a folder or a zip of each set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recipes import SETS as RECIPE_SETS
from recipes import amount_of, run_recipes
from running import call, find_set

if TYPE_CHECKING:
    from collections.abc import Sequence

SETS = ("isbi2012", "tgs-salt", "dsb2018")
MEMBERS = 4
PARTS = ("recipes", "networks", "ensembles", "objects")
APART = ("none", "border", "distance", "star", "objects")  # the last by Mask R-CNN


def main() -> int:
    """Do what is not done yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each network (default: %(default)g)")
    parser.add_argument("--object-minutes", type=float, help="of each way to tell objects apart")
    parser.add_argument("--networks", default="all")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--megapixels", type=float, help="of each recipe, instead of its own amount")
    options = parser.parse_args()
    if "recipes" in options.parts:
        run_recipes(options.data, options.work, list(RECIPE_SETS), amount_of(options.megapixels, None))
    if set(options.parts) == {"recipes"}:
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    for name in SETS:
        data = find_set(options.data, [name])
        if data is None:
            print(f"{name} is not in {options.data}: left out", file=sys.stderr)
            continue
        texts += one_set(name, data, options, options.parts if name in options.sets else ())
        (options.work / "results.md").write_text("\n".join(texts), encoding="utf-8")
        print(f"tables in {options.work / 'results.md'}", file=sys.stderr, flush=True)
    return 0


def one_set(name: str, data: Path, options: argparse.Namespace, parts: Sequence[str]) -> list[str]:
    """Do these parts on one set; gives all that is done on it, as pieces of Markdown."""
    work, minutes = options.work, f"{options.minutes:g}"
    report = work / f"{name}-networks"
    if "networks" in parts:
        how = ["--networks", options.networks, "--minutes", minutes]
        call("compare-networks", data, *how, "--out", report)
    texts = [f"## {name}\n"]
    if (report / "networks.md").exists():
        texts.append((report / "networks.md").read_text(encoding="utf-8"))
    # Without a comparison each training draws the split that the comparison would have drawn.
    split = ["--split", report / "split.json"] if (report / "split.json").exists() else []
    texts += ensembles_of(name, data, work, ["--minutes", minutes, *split], train="ensembles" in parts)
    if name == "dsb2018":
        how = ["--minutes", f"{options.object_minutes or options.minutes:g}", *split]
        texts += objects_of(data, work / f"{name}-objects", how, train="objects" in parts)
    return texts if len(texts) > 1 else []


def ensembles_of(name: str, data: Path, work: Path, how: Sequence[object], *, train: bool) -> list[str]:
    """Four U-Nets averaged; on isbi2012 refined, too."""
    seeds, refined = work / f"{name}-seeds", work / f"{name}-refined"
    if train and not (seeds / "settings.json").exists():
        call("train", data, "--out", seeds, "--seeds", str(MEMBERS), *how, "--resume")
    if train and name == "isbi2012" and not (refined / "settings.json").exists():
        call("refine", seeds, "--data", data, "--out", refined)
    titles = {seeds: f"### {MEMBERS} U-Nets of other seeds\n", refined: "### With watershed contours\n"}
    texts = []
    for ensemble, title in titles.items():
        if (ensemble / "settings.json").exists():
            texts += [title, table(ensemble.with_name(f"{ensemble.name}.md"), "ensembles.py", data, ensemble)]
    return texts


def objects_of(data: Path, objects: Path, how: Sequence[object], *, train: bool) -> list[str]:
    """Ways to tell touching objects apart, as far as they are done."""
    for kind in APART if train else ():
        out = objects / kind
        if not (out / "model" / "settings.json").exists():
            kept = ["--network", "mask_rcnn"] if kind == "objects" else ["--set", f"separation={kind}"]
            call("train", data, "--out", out / "model", *kept, *how, "--resume")
    models = [
        objects / kind / "model" for kind in APART if (objects / kind / "model" / "settings.json").exists()
    ]
    if not models:
        return []
    return [
        "### Ways to tell touching nuclei apart\n",
        table(objects / "objects.md", "objects.py", data, *models),
    ]


def table(kept: Path, script: str, *words: object) -> str:
    """What another benchmark prints, kept in a file that goes with its last line of arguments."""
    asked = " ".join(map(str, words))
    if not kept.exists() or asked not in kept.read_text(encoding="utf-8"):
        command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, words)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        kept.write_text(f"    python benchmarks/{script} {asked}\n\n{done.stdout}", encoding="utf-8")
    return kept.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
