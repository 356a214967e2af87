"""One round on images of the queue, and on as many at random: what the choice alone does."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np

from economy.case import Case, Log

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

CHOSEN = 15


def choice(options: argparse.Namespace) -> None:
    """Every set and seed; "representative" must have been run for three rounds or more."""
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in options.sets:
            choose(Case(options, name, seed))


def choose(case: Case) -> None:
    """One round from the start model on each choice of images."""
    log = Log(case.folder / f"choice{case.options.tag}.json")
    start = case.train("start", case.parts["start"], case.plan.start)
    queue = Log(case.folder / "representative.json").rows[-1]["corrected"][:CHOSEN]
    shown = [i for i, s in zip(queue, case.samples(queue), strict=True) if np.ptp(case.dataset.image(s))]
    choices = {
        "start": [], "random": case.drawn([], CHOSEN), "queue": queue, "queue, none blank": shown,
    }  # fmt: skip
    for kind, ids in choices.items():
        if kind in {row["kind"] for row in log.rows}:
            continue
        model = start
        if ids:
            model = case.folder / f"choice{case.options.tag}"
            case.fine_tune(start, [case.correction(i) for i in ids], model)
        log.add(kind=kind, images=len(ids), **shares(case, ids), **tested(case, model))
        if model != start:
            shutil.rmtree(model)


def shares(case: Case, ids: list[str]) -> dict[str, int]:
    """How many of the images hold nothing, and how many are more than half foreground."""
    covered = [float((case.dataset.mask(s).labels > 0).mean()) for s in case.samples(ids)]
    return {"empty_images": covered.count(0.0), "full_images": sum(c > 0.5 for c in covered)}


def tested(case: Case, path: Path) -> dict[str, float]:
    """Mean IoU on test images, of those that hold nothing and the others, and how much too much is found."""
    ids = case.parts["test"]
    found = case.predict(case.load(path), ids)
    scores = np.array([iou for iou, _ in found])
    truth = np.array([int((case.dataset.mask(s).labels > 0).sum()) for s in case.samples(ids)])
    return {
        "iou": float(scores.mean()),
        "empty": float(scores[truth == 0].mean()) if (truth == 0).any() else float("nan"),
        "others": float(scores[truth > 0].mean()),
        "area": sum(int((mask > 0).sum()) for _, mask in found) / int(truth.sum()),
    }
