"""What was measured, as tables for people and a picture of the curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from economy.arms import ARMS
from economy.case import HIDDEN, Log
from napari_unet.metrics.uncertainty import ANY, mean_interval

if TYPE_CHECKING:
    import argparse

OTHERS = tuple(arm for arm in ARMS if arm != "random")


def table(options: argparse.Namespace) -> None:
    """Print everything that is there."""
    work = Path(options.work)
    for name in options.sets:
        folders = sorted(work.glob(f"{name}-*"))
        curves(name, [f for f in folders if (f / "random.json").exists()], options)
    kinds = ("review", "strokes", "speed", "domain-", "choice")
    for path in sorted(work.glob("*/*.json")):
        if path.stem.startswith(kinds):
            for row in Log(path).rows:
                kept = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}
                print(path.parent.name, path.stem, {k: v for k, v in kept.items() if k not in HIDDEN})


def arms_of(folder: Path) -> list[str]:
    """Names of the arms that were run there, those of the plain runs first."""
    there = {p.stem for p in folder.glob("*.json") if p.stem.startswith(ARMS) and "split" not in p.stem}
    return [a for a in ARMS if a in there] + sorted(there - set(ARMS))


def curves(name: str, folders: list[Path], options: argparse.Namespace) -> None:
    """IoU by corrections, and the interval of "random" less each other arm, over all seeds."""
    for folder in folders:
        counts = [r["corrections"] for r in Log(folder / "random.json").rows]
        print(f"\n{folder.name}\n\n| arm | " + " | ".join(map(str, counts)) + " |")
        print("| --- |" + " --- |" * len(counts))
        for arm in arms_of(folder):
            rows = {r["corrections"]: r["iou"] for r in Log(folder / f"{arm}.json").rows}
            if arm == "everything":
                print(f"| everything ({next(iter(rows))}) |" + " |" * (len(counts) - 1), end="")
                print(f" {next(iter(rows.values())):.3f} |")
                continue
            print(f"| {arm} | " + " | ".join(f"{rows[c]:.3f}" if c in rows else "" for c in counts) + " |")
        print(share_of_everything(folder))
    print(f"\n{name}: interval of the gain of random order over another arm, {len(folders)} seeds\n")
    names = {arm for folder in folders for arm in arms_of(folder) if arm != "random"}
    for arm in sorted(names):
        found = differences(folders, arm)
        for count, values in sorted(found.items()):
            images = [str(i) for i in range(len(values))]
            low, high = mean_interval(np.array(values), images, ANY)
            print(f"| {arm} | {count} | {np.mean(values):+.3f} | {low:+.3f} to {high:+.3f} |")


def share_of_everything(folder: Path) -> str:
    """How far random order comes, as a sentence; empty where that is not known."""
    plain, everything = Log(folder / "random.json").rows, Log(folder / "everything.json").rows
    if len(plain) < 2 or not everything:
        return ""
    share = plain[-1]["iou"] / everything[0]["iou"]
    discarded = sum(row.get("verdict") == "worse" for row in plain)
    return (
        f"\nrandom order: {share:.1%} of everything with {plain[-1]['corrections']} corrected; "
        f"{discarded} of {len(plain) - 1} rounds discarded"
    )


def differences(folders: list[Path], arm: str) -> dict[int, list[float]]:
    """By the number of corrections: "random" less the other arm, test image by test image."""
    found: dict[int, list[float]] = {}
    for folder in folders:
        path = folder / f"{arm}.json"
        if not path.exists():
            continue
        plain = {r["corrections"]: r["scores"] for r in Log(folder / "random.json").rows}
        for row in Log(path).rows:
            count = max(plain) if arm == "everything" else row["corrections"]
            if count in plain and count:
                pairs = zip(plain[count], row["scores"], strict=True)
                found.setdefault(count, []).extend(a - b for a, b in pairs)
    return found


def plot(options: argparse.Namespace) -> None:
    """Draw the curves of all sets into one picture: numbers only, the mean over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    work = Path(options.work)
    names = [n for n in options.sets if list(work.glob(f"{n}-*/plain.json"))]
    figure, axes = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3.2), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        for arm in ARMS:
            points: dict[int, list[float]] = {}
            for folder in sorted(work.glob(f"{name}-*")):
                for row in Log(folder / f"{arm}.json").rows:
                    points.setdefault(row["corrections"], []).append(row["iou"])
            draw(axis, arm, {k: float(np.mean(v)) for k, v in sorted(points.items())})
        axis.set(title=name, xlabel="images corrected")
    axes[0][0].set_ylabel("mean IoU on test images")
    axes[0][-1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(options.picture, dpi=120)
    print(options.picture)


def draw(axis: Any, arm: str, points: dict[int, float]) -> None:
    """One arm."""
    if not points:
        return
    if arm == "everything":
        axis.axhline(next(iter(points.values())), color="grey", linestyle="--", label=arm)
    elif arm == "scratch":
        axis.plot(list(points), list(points.values()), "x", label="from scratch")
    else:
        axis.plot(list(points), list(points.values()), "o-", markersize=3, label=arm)
