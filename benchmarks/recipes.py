"""The recipe of each known set: trained on it, scored on what it held out, beside published scores.

A training that was stopped continues, and what is done is kept. WORK/recipes/NAME has model, report and
curve.svg, WORK/recipes.md the tables.

Run: python benchmarks/recipes.py --data DATA --work WORK [--recipes tgs-salt ...] [--megapixels M]
[--minutes M]. DATA holds a folder or a zip of each set. Without an amount each recipe takes its own.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.evaluation.report.figures import BLUE, drawn
from running import call, find_set

NERVE = "ultrasound-nerve-256"
SPLITS = {"tgs-salt": "mosaic", "isbi2012": "block of slices", "cell-tracking": "sequence"}
POINTS = 8  # of a curve in a table


@dataclass(frozen=True)
class Published:
    """What others reached on a set.

    Attributes
    ----------
    who : str
        With what.
    scores : dict
        By the names of the columns.
    differs : str
        From what is measured here.
    """

    who: str
    scores: dict[str, str] = field(default_factory=dict)
    differs: str = ""


KAGGLE = "Kaggle's own test images"
SLICES = "the challenge's 30 test slices, trained on all 30 labelled ones"
PUBLISHED = {
    "tgs-salt": (
        Published("plain U-Net, 64 filters, 10 epochs", {"mean IoU": "0.741"}, "another split"),
        Published(
            "U-Net on ResNet34", {"competition score": "about 0.84"}, f"{KAGGLE}; ImageNet weights, GPU"
        ),
        Published("8 MB network from scratch, 10 folds", {"competition score": "0.887"}, f"{KAGGLE}; GPU"),
        Published("winner", {"competition score": "0.896"}, f"{KAGGLE}; ensemble, GPUs"),
    ),
    "ultrasound-nerve": (
        Published("first public Keras U-Net", {"Dice with empty images": "0.57"}, KAGGLE),
        Published("tuned Keras U-Net", {"Dice with empty images": "0.67"}, KAGGLE),
        Published("best single model", {"Dice with empty images": "0.694"}, KAGGLE),
        Published("ensemble", {"Dice with empty images": "0.704"}, KAGGLE),
    ),
    "isbi2012": (
        Published("U-Net 2015, 7 rotations averaged", {"pixel error": "0.0611", "V-Rand": "0.9728"}, SLICES),
        Published("CUMedVision 2016", {"V-Rand": "0.9768"}, SLICES),
        Published("a person", {"pixel error": "0.0010"}, "second annotator"),
    ),
    "dsb2018": (),
    "cell-tracking": (
        Published("U-Net 2015", {"SEG": "0.7756"}, "DIC-C2DH-HeLa, the challenge's test sequences"),
    ),
}
SETS = {
    "tgs-salt": ("tgs-salt",),
    "ultrasound-nerve": (NERVE, "ultrasound-nerve"),
    "isbi2012": ("isbi2012",),
    "dsb2018": ("dsb2018",),
    "cell-tracking": ("dic-hela", "cell-tracking"),
}


def main() -> int:
    """Do what is not done yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--megapixels", type=float, help="of each training, instead of its own")
    parser.add_argument("--minutes", type=float, help="of each training, instead")
    options = parser.parse_args()
    amount = amount_of(options.megapixels, options.minutes)
    run_recipes(options.data, options.work, options.recipes, amount)
    return 0


def amount_of(megapixels: float | None, minutes: float | None) -> list[str]:
    """Flags of `train` that change how long a recipe is trained."""
    flags = [] if megapixels is None else ["--set", f"megapixels={megapixels:g}"]
    return flags + ([] if minutes is None else ["--minutes", f"{minutes:g}"])


def run_recipes(data: Path, work: Path, names: list[str], amount: list[str]) -> Path:
    """Train and score what is not done yet; gives the file with the tables."""
    work.mkdir(parents=True, exist_ok=True)
    tables = work / "recipes.md"
    texts = []
    for name in SETS:  # those that are done stay in the tables
        folder = work / "recipes" / name
        if name not in names and not (folder / "report" / "report.json").exists():
            continue
        found = find_set(data, SETS[name])
        if found is None:
            print(f"{name} is not in {data}: left out", file=sys.stderr)
            continue
        texts.append(one_recipe(name, found, folder, amount))
        tables.write_text("\n".join(texts), encoding="utf-8")
        print(f"tables in {tables}", file=sys.stderr, flush=True)
    return tables


def one_recipe(name: str, data: Path, folder: Path, amount: list[str]) -> str:
    """Train by a recipe and score it; the section of the tables."""
    model, report = folder / "model", folder / "report"
    kept = folder / "amount.txt"
    if not (model / "settings.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(" ".join(amount), encoding="utf-8")
        call("train", data, "--out", model, "--recipe", name, *amount, "--resume")
    if not (report / "report.json").exists():
        call("evaluate", data, "--model", model, "--out", report)
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    curve = read_curve(model / "metrics.csv")
    draw_curve(curve, folder / "curve.svg")
    words = [f"napari-unet train DATA --out MODEL --recipe {name}", *kept.read_text(encoding="utf-8").split()]
    lines = [
        f"## {name}\n",
        f"    {' '.join(words)}",
        "    napari-unet evaluate DATA --model MODEL --out REPORT\n",
    ]
    lines += [scores_table(name, content), "On the way (validation images, no flips, threshold 0.5):\n"]
    lines += [curve_table(curve), kept_words(content)]
    if name == "isbi2012":
        lines += [membranes(data, model, folder)]
    return "\n".join(lines) + "\n"


def scores_of(name: str, content: dict[str, Any]) -> dict[str, str]:
    """What was measured, by the names of the columns."""
    overall = content["overall"]
    rows = [row for row in content["images"] if row["part"] not in {"train", "validation"}]
    full = [row["dice"] for row in rows if not row["empty_reference"]]
    found = {"mean IoU": with_interval(overall["mean_iou"], overall["ci95"].get("mean_iou"))}
    if name in {"tgs-salt", "ultrasound-nerve"}:
        found["competition score"] = number((overall.get("competition") or {}).get("score"))
    if name == "ultrasound-nerve":
        found["Dice of non-empty images"] = number(float(np.mean(full)) if full else None)
        found["Dice with empty images"] = found.pop("competition score")
    if name in {"tgs-salt", "isbi2012"}:
        found["pixel error"] = number(overall["pixel_error"], 4)
    for title, key, kind in (
        ("V-Rand", "v_rand", "pooled"),
        ("F1 at 0.5", "f1_50", "mean"),
        ("AP", "ap", "mean"),
        ("SEG", "seg", "pooled"),
        ("DET", "det", "pooled"),
    ):
        score = overall["scores"].get(key)
        if score is not None and score[kind] is not None:
            found[title] = number(score[kind], 4 if kind == "pooled" else 3)
    return found


def number(value: float | None, digits: int = 3) -> str:
    """A score, or nothing."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def with_interval(value: float | None, interval: list[float] | None) -> str:
    """A score with its interval, if it has one."""
    if value is None or not interval or interval[0] is None:
        return number(value)
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def scores_table(name: str, content: dict[str, Any]) -> str:
    """What was measured, and below it what was published."""
    ours = scores_of(name, content)
    columns = list(ours)
    columns += [c for p in PUBLISHED[name] for c in p.scores if c not in columns]
    columns = list(dict.fromkeys(columns))
    overall = content["overall"]
    split = content["data"].get("group_rule") or SPLITS.get(name, "group")
    about = f"{overall['images']} images of {overall['groups']} group(s) held out, by {split}"
    lines = ["| | " + " | ".join(columns) + " | what differs |", "| --- |" + " --- |" * (len(columns) + 1)]
    lines.append("| ours | " + " | ".join(ours.get(c, "") for c in columns) + f" | {about} |")
    for other in PUBLISHED[name]:
        cells = [other.who, *(other.scores.get(c, "") for c in columns), other.differs]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def kept_words(content: dict[str, Any]) -> str:
    """What was chosen on validation images."""
    inference = content["model"]["recipe"]["inference"]
    names = ("threshold", "least_presence", "least_depth", "minimum_size")
    told = ", ".join(f"{n.replace('_', ' ')} {inference[n]:g}" for n in names)
    tuned = content["model"]["provenance"].get("tuned")
    averaged = content["model"]["provenance"].get("averaged_snapshots")
    how = (
        f"chosen by {tuned['score']} on {tuned['images']} validation images"
        if tuned
        else "not chosen by scores"
    )
    more = f" The weights are the average of {averaged} snapshots." if averaged else ""
    return f"{told[0].upper()}{told[1:]}: {how}.{more}\n"


def read_curve(file: Path) -> list[tuple[float, float, float]]:
    """Megapixels, minutes and validation IoU of a training's log."""
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    return [
        (float(r["megapixels"] or "nan"), float(r["seconds"]) / 60, float(r["validation_iou"]))
        for r in rows
        if r["validation_iou"]
    ]


def curve_table(curve: list[tuple[float, float, float]]) -> str:
    """A few points of a curve, the first and the last among them."""
    chosen = sorted({round(n) for n in np.linspace(0, len(curve) - 1, min(POINTS, len(curve)))})
    points = [curve[n] for n in chosen]
    lines = ["| megapixels | " + " | ".join(f"{p[0]:.0f}" for p in points) + " |"]
    lines += ["| --- |" + " --- |" * len(points)]
    lines += ["| minutes | " + " | ".join(f"{p[1]:.0f}" for p in points) + " |"]
    lines += ["| IoU | " + " | ".join(f"{p[2]:.3f}" for p in points) + " |"]
    return "\n".join(lines) + "\n"


def draw_curve(curve: list[tuple[float, float, float]], file: Path) -> None:
    """Validation IoU against megapixels, as SVG."""
    out: list[str] = []
    with drawn(out) as axes:
        axes.plot([p[0] for p in curve], [p[2] for p in curve], color=BLUE, linewidth=1.3)
        axes.set(xlabel="megapixels trained on", ylabel="validation IoU", xlim=(0, None))
    file.write_bytes(base64.b64decode(out[0].partition("base64,")[2]))


def membranes(data: Path, model: Path, folder: Path) -> str:
    """Scores of membranes as the challenge has them, without and with watershed contours."""
    refined = folder / "refined"
    if not (refined / "settings.json").exists():
        call("refine", model, "--data", data, "--out", refined)
    texts = []
    for title, one in (("As the challenge took them", model), ("With watershed contours", refined)):
        kept = folder / f"{one.name}-membranes.md"
        if not kept.exists():
            script = [sys.executable, str(Path(__file__).with_name("isbi.py")), str(data), str(one)]
            done = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True)
            kept.write_text(done.stdout, encoding="utf-8")
        texts.append(f"{title}: {kept.read_text(encoding='utf-8')}")
    return "\n".join(texts)


if __name__ == "__main__":
    sys.exit(main())
