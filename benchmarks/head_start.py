"""What pretrained features are worth: three networks, six sets, few images and all, by the same seconds.

Arms: `scratch`, the U-Net that the recipe fast starts with; `lite0`, a U-Net decoder on EfficientNet-Lite0
with the ImageNet weights of the program; `lite0-random`, the same from random weights. Each learns on the
training part of one split, or on a share of it, and is scored on what all of them hold out.

Seconds are turned into megapixels of patches by the rate of a short training of each arm on each set, in
seconds of the processor divided by its cores. So an arm loses nothing when other programs run.

Run: python benchmarks/head_start.py --data DATA --work WORK [--sets ...] [--arms ...] [--plan short ...]
What is done is kept under WORK, and the same command resumes. WORK/head_start.md has the table,
WORK/head-start.png the curves. DATA holds a folder or a zip of each set.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import write_text
from napari_unet.data.split import Split
from napari_unet.engine.hardware import available_cores, processor_name
from napari_unet.evaluation.report.figures import BLUE, GREY, ORANGE, STYLE
from napari_unet.models.model_folder import METRICS_FILE, SETTINGS_FILE, STATE_FILE
from napari_unet.progress import CancelToken, Progress, ignore_progress
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from napari_unet.workflow.train.training_data import open_training_data, split_for
from running import find_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.settings import Recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
LITE0 = ("network.name=encoder_unet", "encoder=EfficientNetLite0")
ARMS = {"scratch": ("network.name=unet",), "lite0": LITE0, "lite0-random": (*LITE0, "pretrained=none")}
COLOURS = {"scratch": BLUE, "lite0": ORANGE, "lite0-random": GREY}
WORDS = {"scratch": "U-Net", "lite0": "Lite0", "lite0-random": "Lite0, random"}
SETS = ("tgs-salt", "ultrasound-nerve-256", "isbi2012", "dsb2018", "usgra-seg", "dic-hela")
LONG_SETS = ("tgs-salt", "dsb2018", "usgra-seg")
SEED_SETS = ("usgra-seg",)
FEW, SHORT, LONG = 0.05, 120, 600
JUDGED = 200  # images at most
TRIAL = 24.0  # megapixels of the short training that measures a rate
WARM = 3  # steps that are not timed: the first ones build
REPORT = "report.json"


@dataclass(frozen=True)
class Point:
    """One training: on which set, with which arm, share of the training images, seconds and seed."""

    set: str
    arm: str
    share: float
    seconds: int
    seed: int = 0

    def folder(self, work: Path) -> Path:
        """Where model and report are."""
        return work / self.set / f"{self.share:g}-{self.seconds}-{self.arm}-{self.seed}"


PLANS = {
    "short": [Point(s, a, share, SHORT) for s in SETS for share in (FEW, 1.0) for a in ARMS],
    "seeds": [Point(s, a, FEW, SHORT, seed) for seed in (1, 2) for s in SEED_SETS for a in ARMS],
    "long": [Point(s, a, 1.0, LONG) for s in LONG_SETS for a in ARMS],
}


def main() -> int:
    """Do what is not done yet, then write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--plan", nargs="*", default=list(PLANS), choices=list(PLANS), help="none: the table")
    options = parser.parse_args()
    for point in (point for name in options.plan for point in PLANS[name]):
        data = find_set(options.data, [point.set])
        if data is None or point.set not in options.sets or point.arm not in options.arms:
            continue
        if not (point.folder(options.work) / REPORT).exists():
            # A process of its own, so that no training finds memory that another one left behind.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(learn, point, data, options.work).result()
            write_tables(options.work)
    write_tables(options.work)
    return 0


def learn(point: Point, data: Path, work: Path) -> None:
    """Train and score one network."""
    folder = point.folder(work)
    split = split_of(point, data, work)
    amount = rate(point, data, work) * point.seconds
    print(f"{folder.relative_to(work)}: {amount:.0f} megapixels", file=sys.stderr, flush=True)
    model = folder / "model"
    task = TrainTask(
        data, model, chosen(point, amount), split=split, resume=(model / STATE_FILE).exists()
    )  # fmt: skip
    if not (model / SETTINGS_FILE).exists():
        task.run(ignore_progress, CancelToken())
    judged = EvaluateTask(data, folder, model, inspect=False, names=split.held_out[:JUDGED])
    judged.run(ignore_progress, CancelToken())


def chosen(point: Point, megapixels: float) -> Recipe:
    """The recipe of a point."""
    seed = f"training.seed={point.seed}"
    return recipe("fast", [*ARMS[point.arm], f"training.megapixels={megapixels:.3f}", seed])


def split_of(point: Point, data: Path, work: Path) -> Split:
    """The split of a set, drawn once; with a share of its training and validation images, one at least."""
    file = work / point.set / "split.json"
    if not file.exists():
        dataset = open_training_data(data, None)
        split = split_for(data, dataset, recipe("fast"), None, ignore_progress, CancelToken())
        file.parent.mkdir(parents=True, exist_ok=True)
        split.save(file)
    split = Split.load(file)
    random = np.random.default_rng(point.seed)

    def some(names: Sequence[str]) -> tuple[str, ...]:
        count = max(1, round(point.share * len(names)))
        return tuple(sorted(random.choice(names, count, replace=False)))

    if point.share == 1.0:
        return split
    return replace(split, train=some(split.train), validation=some(split.validation))


def rate(point: Point, data: Path, work: Path) -> float:
    """Megapixels of patches a second, of the network of an arm on a set; measured once."""
    arm = "lite0" if point.arm == "lite0-random" else point.arm
    file = work / "rates.json"
    rates = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    key = f"{point.set} {arm} {point.share:g}"
    if key not in rates:
        marks: list[tuple[float, float]] = []

        def mark(progress: Progress) -> None:
            if "step" in progress.values:
                marks.append((TRIAL * progress.done, time.process_time() / available_cores()))

        trial = work / "trials" / key.replace(" ", "-")
        task = TrainTask(
            data, trial, chosen(replace(point, arm=arm), TRIAL), split=split_of(point, data, work),
            overwrite=True,
        )  # fmt: skip
        task.run(mark, CancelToken())
        (first, start), (last, end) = marks[WARM], marks[-1]
        rates[key] = (last - first) / (end - start)
        write_text(file, json.dumps(rates, indent=1))
    return float(rates[key])


def score(point: Point, work: Path) -> dict[str, Any] | None:
    """The overall scores of a point; None before it is done."""
    file = point.folder(work) / REPORT
    return json.loads(file.read_text(encoding="utf-8"))["overall"] if file.exists() else None


def write_tables(work: Path) -> None:
    """Write what is done as a table and as a picture."""
    lines = [f"{processor_name()}, {available_cores()} cores", ""]
    lines += [
        "| set | training images | seconds | " + " | ".join(f"{arm} IoU" for arm in ARMS) + " |",
        "| --- " * (3 + len(ARMS)) + "|",
    ]
    rows = {(p.set, p.share, p.seconds) for plan in PLANS.values() for p in plan}
    for name, share, seconds in sorted(rows, key=lambda row: (SETS.index(row[0]), row[2], row[1])):
        cells = []
        for arm in ARMS:
            found = [
                one["mean_iou"]
                for seed in range(3)
                if (one := score(Point(name, arm, share, seconds, seed), work)) is not None
            ]
            each = f" ({', '.join(f'{one:.3f}' for one in found)})" if len(found) > 1 else ""
            cells.append(f"{np.mean(found):.3f}{each}" if found else "")
        if any(cells):
            images = len(split_of(Point(name, "", share, seconds), Path(), work).train)
            lines.append(f"| {name} | {images} | {seconds} | {' | '.join(cells)} |")
    rates = work / "rates.json"
    if rates.exists():
        lines += ["", "| megapixels a second | |", "| --- | --- |"]
        measured = json.loads(rates.read_text(encoding="utf-8"))
        lines += [f"| {key} | {value:.2f} |" for key, value in measured.items()]
    write_text(work / "head_start.md", "\n".join(lines) + "\n")
    draw(work)


def draw(work: Path) -> None:
    """Draw validation IoU over the seconds of training on all images, a panel for each set."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(9.0, 5.0), layout="constrained")
        panels = figure.subplots(2, 3).ravel()
        for panel, name in zip(panels, SETS, strict=True):
            seconds = LONG if name in LONG_SETS else SHORT
            for arm, colour in COLOURS.items():
                log = Point(name, arm, 1.0, seconds).folder(work) / "model" / METRICS_FILE
                if curve := curve_of(log, seconds):
                    times, values = zip(*curve, strict=True)
                    panel.plot(times, values, color=colour, label=WORDS[arm])
            panel.set(title=name, xlabel="seconds", ylabel="validation IoU", xlim=(0, seconds))
        drawn = panels[0].get_legend_handles_labels()
        if drawn[0]:
            figure.legend(*drawn, loc="outside upper center", ncols=len(WORDS))
        figure.savefig(work / "head-start.png", dpi=100)


def curve_of(log: Path, seconds: float) -> list[tuple[float, float]]:
    """Seconds and validation IoU of a training; pixels tell the time, whatever else used the processor."""
    if not log.exists():
        return []
    with log.open(newline="", encoding="utf-8") as text:
        rows = [(float(row["megapixels"]), float(row["validation_iou"])) for row in csv.DictReader(text)]
    return [(megapixels * seconds / rows[-1][0], iou) for megapixels, iou in rows]


if __name__ == "__main__":
    sys.exit(main())
