"""The tables of recipes, networks, ensembles and objects on the real sets; goes on where it was stopped.

First each recipe of a known set is trained and scored (benchmarks/recipes.py, tables in WORK/recipes.md).

On each set all networks are trained for the same time and compared (`napari-unet compare-networks`), then
four U-Nets of other seeds are trained and averaged (`train --seeds 4`). On isbi2012 its boundaries are
refined, on dsb2018 the ways to tell touching nuclei apart are compared. The tables are in WORK/results.md.

Run: python benchmarks/results.py --data DATA --work WORK [--parts recipes networks] [--megapixels M]
[--minutes 20] [--sets isbi2012 tgs-salt dsb2018]
DATA holds a folder or a zip of each set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from recipes import SETS as RECIPE_SETS
from recipes import amount_of, run_recipes
from running import call, find_set

SETS = ("isbi2012", "tgs-salt", "dsb2018")
MEMBERS = 4
PARTS = ("recipes", "networks")
APART = ("none", "border", "distance", "star", "objects")  # the last by Mask R-CNN


def main() -> int:
    """Do what is not done yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each network (default: %(default)g)")
    parser.add_argument("--networks", default="all")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--megapixels", type=float, help="of each recipe, instead of its own amount")
    options = parser.parse_args()
    if "recipes" in options.parts:
        run_recipes(options.data, options.work, list(RECIPE_SETS), amount_of(options.megapixels, None))
    if "networks" not in options.parts:
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    texts = [f"Trained for {options.minutes:g} minutes each.\n"]
    for name in options.sets:
        data = find_set(options.data, [name])
        if data is None:
            print(f"{name} is not in {options.data}: left out", file=sys.stderr)
            continue
        texts += one_set(name, data, options.work, options.minutes, options.networks)
        (options.work / "results.md").write_text("\n".join(texts), encoding="utf-8")
        print(f"tables in {options.work / 'results.md'}", file=sys.stderr, flush=True)
    return 0


def one_set(name: str, data: Path, work: Path, minutes: float, networks: str) -> list[str]:
    """All that is done on one set, as pieces of Markdown."""
    report = work / f"{name}-networks"
    call("compare-networks", data, "--networks", networks, "--minutes", f"{minutes:g}", "--report", report)
    texts = [f"## {name}\n", (report / "networks.md").read_text(encoding="utf-8")]
    seeds = work / f"{name}-seeds"
    if not (seeds / "settings.json").exists():
        split = report / "split.json"
        many = ["--seeds", str(MEMBERS), "--minutes", f"{minutes:g}", "--split", split, "--resume"]
        call("train", data, "--out", seeds, *many)
    texts += [f"### {MEMBERS} U-Nets of other seeds\n", ensemble_table(data, seeds)]
    if name == "isbi2012":
        refined = work / f"{name}-refined"
        if not (refined / "settings.json").exists():
            call("refine", seeds, "--data", data, "--out", refined)
        texts += ["### With watershed contours\n", ensemble_table(data, refined)]
    if name == "dsb2018":
        objects = work / f"{name}-objects"
        for kind in APART:
            out = objects / kind
            if not (out / "model" / "settings.json").exists():
                how = ["--network", "mask_rcnn"] if kind == "objects" else ["--set", f"separation={kind}"]
                how += ["--minutes", f"{minutes:g}", "--resume"]
                call("train", data, "--out", out / "model", "--split", report / "split.json", *how)
            if not (out / "report.json").exists():
                call("evaluate", data, "--model", out / "model", "--report", out)
        texts += ["### Ways to tell touching nuclei apart\n", objects_table(objects)]
    return texts


def ensemble_table(data: Path, ensemble: Path) -> str:
    """What benchmarks/ensembles.py prints, kept beside the ensemble."""
    kept = ensemble.with_name(f"{ensemble.name}.md")
    if not kept.exists():
        script = Path(__file__).with_name("ensembles.py")
        done = subprocess.run(
            [sys.executable, str(script), str(data), str(ensemble)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        kept.write_text(done.stdout, encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def objects_table(folder: Path) -> str:
    """F1 and AP of objects by how they are told apart, out of the reports."""
    import json

    lines = ["| separation | pooled IoU | F1@0.5 | AP | splits | merges |", "| --- |" + " --- |" * 5]
    for kind in APART:
        overall = json.loads((folder / kind / "report.json").read_text(encoding="utf-8"))["overall"]
        scores = overall["scores"]
        values = [f"{overall['pooled_iou']:.3f}"]
        for name in ("f1_50", "ap"):
            low, high = scores[name]["interval"]
            values.append(f"{scores[name]['mean']:.3f} ({low:.3f} to {high:.3f})")
        values += [f"{scores[name]['pooled']:.0f}" for name in ("splits", "merges")]
        lines.append(f"| {kind} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
