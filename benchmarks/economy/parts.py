"""A change of domain, strokes on a tenth of what is wrong, and one round against the clock."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from economy.case import Case, Log
from napari_unet.data.sample import ReferenceMask
from napari_unet.engine.inline import run_inline
from napari_unet.engine.task import FromCaller
from napari_unet.evaluation.compare import compare
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.progress import Progress
    from napari_unet.workflow.inputs.labelled_images import LabelledImage

STROKE_RADIUS = 3
BRIGHT = 110  # mean grey of an image above which it is bright-field


def strokes(options: argparse.Namespace) -> None:
    """Rounds in which only a tenth of the wrong pixels is painted, nothing else is verified."""
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in options.sets:
            stroke_rounds(Case(options, name, seed))


def stroke_rounds(case: Case) -> None:
    """All rounds on one set; from the beginning if they were broken off."""
    log = Log(case.folder / f"strokes{case.options.tag}.json")
    if len(log.rows) > case.options.rounds:
        return
    log.rows = []
    parent = case.train("start", case.parts["start"], case.plan.start)
    scores = case.score(case.load(parent), case.parts["test"])
    log.add(corrections=0, iou=float(np.mean(scores)), scores=scores)
    painted: list[LabelledImage] = []
    done: list[str] = []
    luck = np.random.default_rng(case.seed)
    for number in range(1, case.options.rounds + 1):
        model = case.load(parent)
        chosen = case.drawn(done, case.options.batch)
        for identifier, (_, mask) in zip(chosen, case.predict(model, chosen), strict=True):
            truth = case.dataset.mask(case.samples([identifier])[0])
            painted.append(case.correction(identifier, paint_some(truth.labels, mask, 0.1, luck)))
        done += chosen
        useful = [c for c in painted if c.weights is not None and c.weights.any()]
        out = case.folder / f"strokes-{number}{case.options.tag}"
        case.fine_tune(parent, useful, out)
        parent = out
        scores = case.score(case.load(parent), case.parts["test"])
        change = compare(case.parts["test"], log.rows[0]["scores"], scores)
        log.add(
            corrections=len(done), iou=float(np.mean(scores)), verdict=change.verdict, low=change.low,
            high=change.high, wins=change.wins, losses=change.losses, scores=scores,
        )  # fmt: skip


def paint_some(
    truth: NDArray[np.uint8], mask: NDArray[np.uint8], share: float, luck: np.random.Generator
) -> ReferenceMask:
    """Round brush strokes, right within what is wrong, until a share of it is painted."""
    wrong = truth != mask
    weights = np.zeros(truth.shape, np.float32)
    y, x = np.ogrid[: truth.shape[0], : truth.shape[1]]
    places = np.argwhere(wrong)
    while len(places) and (weights > 0).sum() < share * len(places):
        centre = places[luck.integers(len(places))]
        brush = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= STROKE_RADIUS**2
        weights[brush & wrong] = 1
    return ReferenceMask(truth, weights=weights)


def domain(options: argparse.Namespace) -> None:
    """Fluorescence to histology in ten corrections; with and without the fluorescence at hand."""
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        case = Case(options, "dsb2018", seed)
        bright = {s.id: bool(case.dataset.image(s)[..., :3].mean() > BRIGHT) for s in case.dataset.samples}
        luck = np.random.default_rng(seed)
        kinds = {}
        for kind in (False, True):
            ids = [str(i) for i in luck.permutation([i for i, b in bright.items() if b == kind])]
            test = min(len(ids) // 2, 40)
            kinds[kind] = ids[:test], ids[test:]
        case.parts = {"start": kinds[False][1], "pool": kinds[True][1], "test": kinds[True][0]}
        start = case.train("fluorescence", case.parts["start"], case.plan.all)
        for arm in options.domain_arms:
            log = Log(case.folder / f"domain-{arm}{options.tag}.json")
            if len(log.rows) < 3:
                log.rows = []
                change_domain(case, arm, start, kinds[False][0], log)


def change_domain(case: Case, arm: str, parent: Path, dark_test: list[str], log: Log) -> None:
    """Two rounds of one arm."""
    done: list[str] = []
    for number in range(3):
        if number:
            done += case.drawn(done, case.options.batch)
            out = case.folder / f"domain-{arm}-{number}{case.options.tag}"
            case.fine_tune(
                parent, [case.correction(i) for i in done], out, replay=arm != "no-replay",
                others=case.parts["start"] if arm == "own-predictions" else (),
            )  # fmt: skip
            parent = out
        model = case.load(parent)
        light, dark = case.score(model, case.parts["test"]), case.score(model, dark_test)
        log.add(
            corrections=len(done), histology=float(np.mean(light)), fluorescence=float(np.mean(dark)),
            images=[len(light), len(dark)], light=light, dark=dark,
        )  # fmt: skip


def speed(options: argparse.Namespace) -> None:
    """One round as a person meets it: ten corrected 256x256 images, a preview, a verdict."""
    case = Case(options, "dsb2018", 0)
    small = [s.id for s in case.dataset.samples if case.dataset.image(s).shape[:2] == (256, 256)]
    luck = np.random.default_rng(1)
    small = [str(i) for i in luck.permutation(small)]
    log = Log(case.folder / f"speed{options.tag}.json")
    start = case.train("speed-start", small[:8], case.plan.start)
    pieces: list[Any] = []

    def listen(progress: Progress) -> None:
        if progress.piece is not None:
            pieces.append(progress.piece)

    asked = case.reference(small[50])
    task = FineTuneTask(
        start, tuple(case.correction(i) for i in small[8:18]), case.folder / f"speed-{len(log.rows)}",
        FineTuneSettings(seconds=options.seconds), replay=case.dataset.path,
        judges=tuple(case.reference(i) for i in small[18:30]), preview=FromCaller(lambda: asked),
    )  # fmt: skip
    begun, spent, load = time.monotonic(), time.process_time(), os.getloadavg()[0]
    result = run_inline(task, listen)
    log.add(
        seconds=time.monotonic() - begun, core_seconds=time.process_time() - spent, load=load,
        steps=result.steps, first_preview=pieces[0].seconds if pieces else None,
        first_better_preview=next((p.seconds for p in pieces if p.better), None),
        verdict=result.comparison.sentence, history=list(result.history),
    )  # fmt: skip
