"""IoU against the number of corrected images, arm by arm; and how well the estimate ranks images."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from economy.case import Case, Log
from economy.orders import ORDERS, Offers
from napari_unet.workflow.review.quality_estimate import agreement_of_members, calibrate

if TYPE_CHECKING:
    import argparse

ARMS = ("random", "no-replay", "scratch", "everything", *ORDERS)


def economy(options: argparse.Namespace) -> None:
    """Every set, seed and arm, and the ranking."""
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in options.sets:
            case = Case(options, name, seed)
            about = {k: len(v) for k, v in case.parts.items()}
            print(f"{name}, seed {seed}: {about}, at most {case.most} corrected; {case.plan}", flush=True)
            for arm in options.arms:
                run_arm(case, arm)
            rank(case)


def run_arm(case: Case, arm: str) -> None:
    """All rounds of one arm; continues where it stopped."""
    log = Log(case.folder / f"{arm}{case.options.tag}.json")
    if arm == "everything":
        everything(case, log)
    elif arm == "scratch":
        scratch(case, log)
    else:
        loop(case, arm, log)


def loop(case: Case, arm: str, log: Log) -> None:
    """Offer, correct, fine-tune, score, again and again."""
    start = case.train("start", case.parts["start"], case.plan.start)
    if not log.rows:
        scores = case.score(case.load(start), case.parts["test"])
        log.add(corrections=0, iou=float(np.mean(scores)), scores=scores, corrected=[])
    offers, model = Offers(arm, case), None
    while log.rows[-1]["corrections"] < case.most:
        number = len(log.rows)
        name = f"{arm}{case.options.tag}"
        last = case.folder / f"{name}-{number - 1}"
        parent = last if last.exists() else start
        done = log.rows[-1]["corrected"]
        count = min(case.options.batch, case.most - len(done))
        if arm in ORDERS:
            chosen = offers.batch(model or case.load(parent), done, case.left(done), count)
        else:
            chosen = case.drawn(done, count)
        done = [*done, *chosen]
        out = case.folder / f"{name}-{number}"
        # What a given model was trained on is not there: it repeats itself on images not yet corrected.
        given = case.options.model and arm != "no-replay"
        others = [i for i in case.parts["pool"] if i not in set(done)] if given else ()
        result = case.fine_tune(
            parent, [case.correction(i) for i in done], out, replay=arm != "no-replay", others=others
        )
        scores = log.rows[-1]["scores"]
        judged = case.options.judges == "corrected"
        if (
            judged and result.verdict == "worse"
        ):  # the person discards it, and the corrections wait for the next round
            shutil.rmtree(out)
            if parent != start:
                parent.rename(out)
        else:
            if parent != start:
                shutil.rmtree(parent)
            scores = case.score(case.load(out), case.parts["test"])
        model = case.load(out if out.exists() else start)
        log.add(
            corrections=len(done), iou=float(np.mean(scores)), steps=result.steps, verdict=result.verdict,
            judges=len(result.held_out), scores=scores, corrected=done,
        )  # fmt: skip


def everything(case: Case, log: Log) -> None:
    """From nothing, on all images."""
    if log.rows:
        return
    ids = [*case.parts["start"], *case.parts["pool"]]
    scores = case.score(case.load(case.train("everything", ids, case.plan.all)), case.parts["test"])
    log.add(corrections=len(case.parts["pool"]), iou=float(np.mean(scores)), scores=scores)


def scratch(case: Case, log: Log) -> None:
    """From nothing, on the images that "random" had in the end, for as many pixels as it took in all."""
    plain = Log(case.folder / "random.json").rows
    if log.rows or len(plain) < 2:
        return
    megapixels = case.plan.start + (len(plain) - 1) * case.plan.round
    ids = [*case.parts["start"], *plain[-1]["corrected"]]
    scores = case.score(case.load(case.train("scratch", ids, megapixels)), case.parts["test"])
    log.add(corrections=plain[-1]["corrections"], iou=float(np.mean(scores)), scores=scores)


def rank(case: Case) -> None:
    """Spearman's correlation of estimate and truth on the test images, calibrated on the other half."""
    log = Log(case.folder / f"review{case.options.tag}.json")
    if log.rows:
        return
    model = case.load(case.train("start", case.parts["start"], case.plan.start))
    ids = case.parts["test"]
    found = agreement_of_members(case.samples(ids), model)
    truth = np.array(case.score(model, ids))
    halves = np.arange(len(ids)) % 2
    estimates = np.zeros(len(ids))
    for half in (0, 1):
        known = np.flatnonzero(halves != half)
        calibration = calibrate([found[i] for i in known], truth[known].tolist())
        judged = np.flatnonzero(halves == half)
        estimates[judged] = calibration.estimate([found[i] for i in judged])
    worst = np.argsort(truth)[: max(1, len(truth) // 5)]
    first = np.argsort(estimates)[: len(worst)]
    log.add(
        images=len(ids),
        raw=spearmanr([d.raw for d in found], truth).statistic,
        agreement=spearmanr([d.agreement for d in found], truth).statistic,
        expected=spearmanr([d.expected for d in found], truth).statistic,
        calibrated=spearmanr(estimates, truth).statistic,
        mean_error=float(np.abs(estimates - truth).mean()),
        worst_fifth_found=len(set(worst) & set(first)) / len(worst),
    )
