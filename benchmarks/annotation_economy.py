"""What corrections are worth: a simulated person paints the true mask on the images the queue offers.

Run: python benchmarks/annotation_economy.py PART [options], with PART one of

    economy   IoU against the number of corrected images, arm by arm
    domain    a nuclei model from fluorescence, corrected on bright-field histology
    strokes   only a tenth of the wrong pixels is painted
    speed     one round with ten corrected 256x256 images and 16 filters
    table     print what is there

Every round of every arm is kept as JSON under --work; what is there already is not done again, so a run
that was stopped goes on. Data sets are unpacked folders under --data (see README there).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.data.split import Split, make_split
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.inline import run_inline
from napari_unet.evaluation.compare import compare
from napari_unet.metrics.overlap import image_scores
from napari_unet.models.model import Model, load_model
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.fine_tune import FineTuned, FineTuneTask
from napari_unet.workflow.lessons import Correction
from napari_unet.workflow.recipes import recipe
from napari_unet.workflow.references import FileReference
from napari_unet.workflow.review import calibrate, doubts, rank_correlation, review_queue
from napari_unet.workflow.segment import segment_samples
from napari_unet.workflow.train import TrainTask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.progress import Progress

SETS = ("tgs-salt", "dsb2018", "usgra-seg")
ARMS = ("ours", "no-replay", "random", "scratch", "everything")
STROKE_RADIUS = 3
BRIGHT = 110  # mean grey of an image above which it is bright-field


@dataclass
class Case:
    """One data set, one seed: who starts, who is offered, who judges."""

    options: argparse.Namespace
    name: str
    seed: int

    @cached_property
    def dataset(self) -> Dataset:
        """All images that are not too large."""
        whole = open_dataset(self.options.data / self.name)
        if not self.options.largest:
            return whole
        small = [s.id for s in whole.samples if max(whole.image(s).shape[:2]) <= self.options.largest]
        return whole.subset(small)

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """Ids: "test" by group; "start" and "pool" at random from the rest."""
        dataset, options = self.dataset, self.options
        split = make_split(dataset, validation=0.0, held_out=0.25, max_held_out=options.test, seed=self.seed)
        rest = list(np.random.default_rng(self.seed).permutation(split.train)[: options.images])
        # At least one image of those to start from must have something on it.
        start = max(4, round(options.start_share * len(rest)))
        return {
            "test": list(split.held_out)[: options.test],
            "start": [str(i) for i in rest[:start]],
            "pool": [str(i) for i in rest[start:]],
        }

    @property
    def folder(self) -> Path:
        """Of this set and seed."""
        return Path(self.options.work) / f"{self.name}-{self.seed}"

    def samples(self, ids: Sequence[str]) -> list[Sample]:
        """With these ids, in order."""
        return list(self.dataset.subset(ids).samples)

    @property
    def most(self) -> int:
        """Corrections in all."""
        every = len(self.parts["pool"]) + len(self.parts["start"])
        return int(self.options.most * every)

    def train(self, name: str, ids: Sequence[str], seconds: float) -> Path:
        """A model trained on these images alone; kept."""
        out = self.folder / name
        if (out / "settings.json").exists():
            return out
        split = self.folder / f"{name}-split.json"
        Split(train=tuple(ids), data=self.name).save(split)
        changes = [f"minutes={seconds / 60}", f"filters={self.options.filters}", f"training.seed={self.seed}"]
        changes.append("averaging=0.98" if seconds < 300 else "averaging=0.99")
        task = TrainTask(self.dataset.path, out, recipe("fast", changes), split=split)
        run_inline(task)
        return out

    def score(self, model: Model, ids: Sequence[str]) -> list[float]:
        """IoU of each image."""
        return [iou for iou, _ in self.predict(model, ids)]

    def predict(self, model: Model, ids: Sequence[str]) -> list[tuple[float, NDArray[np.uint8]]]:
        """IoU and mask of each image."""
        found = []
        settings = model.recipe.inference
        if self.options.flips != "auto":
            settings = settings.model_copy(update={"flips": self.options.flips})
        for result in segment_samples(self.samples(ids), model, settings):
            truth = self.dataset.mask(result.sample)
            score = image_scores(truth.labels, result.mask, len(model.classes), truth.weights)
            found.append((score.iou, result.mask))
        return found

    def correction(self, identifier: str, mask: ReferenceMask | None = None) -> Correction:
        """What the simulated person made of an image: the true mask if nothing else is given."""
        reference = FileReference(self.dataset.path, self.dataset.format, identifier)
        if mask is None:
            return Correction(reference)
        return Correction(reference, mask.labels, mask.weights)


def fine_tune(
    case: Case,
    parent: Path,
    corrections: Sequence[Correction],
    out: Path,
    *,
    replay: bool = True,
    others: Sequence[str] = (),
    seconds: float | None = None,
    own: bool = False,
) -> FineTuned:
    """One round; all corrections are learned from, as the test images are elsewhere."""
    options = case.options
    changes = dict(change.split("=", 1) for change in options.set)
    settings = FineTuneSettings.model_validate(
        {"seconds": seconds or options.round_seconds, "seed": case.seed, **changes}
    )
    if not replay:
        settings = settings.model_copy(update={"replay": 0.0})
    task = FineTuneTask(
        parent,
        tuple(corrections),
        out,
        settings,
        replay=case.dataset.path if replay and not own else None,
        others=tuple(FileReference(case.dataset.path, case.dataset.format, i) for i in others),
        reserve=False,
    )
    return run_inline(task)


class Log:
    """Rows of one arm on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def add(self, **row: Any) -> None:
        """Keep and print a row."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows))
        partial.replace(self.path)
        shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items() if k not in HIDDEN}
        print(f"{self.path.stem}: {shown}", flush=True)


HIDDEN = {"scores", "corrected", "before", "after", "history"}


def offer(case: Case, model: Model, done: Sequence[str], known: list[Any], count: int) -> list[str]:
    """The next images: worst first by the estimate, which is calibrated on those corrected before."""
    left = [i for i in case.parts["pool"] if i not in set(done)]
    luck = np.random.default_rng((case.seed, len(done)))
    left = [left[i] for i in sorted(luck.permutation(len(left))[: case.options.offered_from])]
    found = doubts(case.samples(left), model)
    calibration = calibrate([d for d, _ in known], [iou for _, iou in known])
    chosen = [turn.id for turn in review_queue(found, calibration)][:count]
    by_id = {d.id: d for d in found}
    truth = dict(zip(chosen, case.score(model, chosen), strict=True))
    known += [(by_id[i], truth[i]) for i in chosen]
    return chosen


def run_arm(case: Case, arm: str) -> None:
    """All rounds of one arm; goes on where it stopped."""
    options = case.options
    log = Log(case.folder / f"{arm}.json")
    start = case.train("start", case.parts["start"], options.start_seconds)
    if not log.rows and arm in {"ours", "no-replay", "random"}:
        scores = case.score(load_model(start, default_precision()), case.parts["test"])
        log.add(corrections=0, iou=float(np.mean(scores)), seconds=0.0, scores=scores, corrected=[])
    if arm == "everything":
        if not log.rows:
            ids = [*case.parts["start"], *case.parts["pool"]]
            model = load_model(case.train("everything", ids, options.all_seconds), default_precision())
            scores = case.score(model, case.parts["test"])
            log.add(corrections=len(case.parts["pool"]), iou=float(np.mean(scores)), scores=scores)
        return
    if arm == "scratch":
        scratch(case, log)
        return
    known: list[Any] = []
    while log.rows[-1]["corrections"] < case.most:
        row = log.rows[-1]
        number = len(log.rows)
        parent = start if number == 1 else case.folder / f"{arm}-{number - 1}"
        model = load_model(parent, default_precision())
        done = row["corrected"]
        count = min(options.batch, case.most - len(done))
        if arm == "random":
            left = [i for i in case.parts["pool"] if i not in set(done)]
            fresh = [str(i) for i in np.random.default_rng((case.seed, 7)).permutation(case.parts["pool"])]
            chosen = [i for i in fresh if i in set(left)][:count]
        else:
            chosen = offer(case, model, done, known, count)
        done = [*done, *chosen]
        out = case.folder / f"{arm}-{number}"
        begun = time.monotonic()
        result = fine_tune(case, parent, [case.correction(i) for i in done], out, replay=arm != "no-replay")
        seconds = time.monotonic() - begun
        scores = case.score(load_model(out, default_precision()), case.parts["test"])
        log.add(
            corrections=len(done), iou=float(np.mean(scores)), seconds=seconds, steps=result.steps,
            scores=scores, corrected=done,
        )  # fmt: skip
        if parent != start:
            shutil.rmtree(parent)


def scratch(case: Case, log: Log) -> None:
    """Nothing kept but the images: start and corrected ones of "ours", as long as all rounds took."""
    ours = Log(case.folder / "ours.json").rows
    wanted = [len(ours) - 1, len(ours) // 2]
    for number in wanted:
        row = ours[number]
        if not number or any(r["corrections"] == row["corrections"] for r in log.rows):
            continue
        seconds = case.options.start_seconds + number * case.options.round_seconds
        ids = [*case.parts["start"], *row["corrected"]]
        model = load_model(case.train(f"scratch-{number}", ids, seconds), default_precision())
        scores = case.score(model, case.parts["test"])
        log.add(corrections=row["corrections"], iou=float(np.mean(scores)), seconds=seconds, scores=scores)


def economy(options: argparse.Namespace) -> None:
    """Every set, seed and arm; and how well the estimate ranks images."""
    for seed in range(options.seeds):
        for name in options.sets:
            case = Case(options, name, seed)
            about = {k: len(v) for k, v in case.parts.items()}
            print(f"{name}, seed {seed}: {about}, at most {case.most} corrected", flush=True)
            for arm in options.arms:
                run_arm(case, arm)
            review(case)


def review(case: Case) -> None:
    """Spearman's correlation of estimate and truth on the test images, calibrated on the other half."""
    log = Log(case.folder / "review.json")
    if log.rows:
        return
    model = load_model(
        case.train("start", case.parts["start"], case.options.start_seconds), default_precision()
    )
    ids = case.parts["test"]
    found = doubts(case.samples(ids), model)
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
        raw=rank_correlation([d.raw for d in found], truth.tolist()),
        agreement=rank_correlation([d.agreement for d in found], truth.tolist()),
        expected=rank_correlation([d.expected for d in found], truth.tolist()),
        calibrated=rank_correlation(estimates.tolist(), truth.tolist()),
        mean_error=float(np.abs(estimates - truth).mean()),
        worst_fifth_found=len(set(worst) & set(first)) / len(worst),
    )


def strokes(options: argparse.Namespace) -> None:
    """Rounds in which only a tenth of the wrong pixels is painted, nothing else is vouched for."""
    for seed in range(options.seeds):
        for name in options.sets:
            case = Case(options, name, seed)
            log = Log(case.folder / "strokes.json")
            start = case.train("start", case.parts["start"], options.start_seconds)
            if not log.rows:
                scores = case.score(load_model(start, default_precision()), case.parts["test"])
                log.add(corrections=0, iou=float(np.mean(scores)), scores=scores)
            painted: list[Correction] = []
            done: list[str] = []
            known: list[Any] = []
            parent = start
            luck = np.random.default_rng(seed)
            for number in range(1, options.rounds + 1):
                if len(log.rows) > options.rounds:
                    break
                model = load_model(parent, default_precision())
                chosen = offer(case, model, done, known, options.batch)
                for identifier, (_, mask) in zip(chosen, case.predict(model, chosen), strict=True):
                    truth = case.dataset.mask(case.samples([identifier])[0])
                    painted.append(case.correction(identifier, paint_some(truth.labels, mask, 0.1, luck)))
                done += chosen
                out = case.folder / f"strokes-{number}"
                useful = [c for c in painted if c.weights is not None and c.weights.any()]
                result = fine_tune(case, parent, useful, out)
                scores = case.score(load_model(out, default_precision()), case.parts["test"])
                change = compare(case.parts["test"], log.rows[0]["scores"], scores)
                log.add(
                    corrections=len(done), iou=float(np.mean(scores)), steps=result.steps,
                    verdict=change.verdict, low=change.low, high=change.high, scores=scores,
                    wins=change.wins, losses=change.losses,
                )  # fmt: skip
                parent = out


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
    for seed in range(options.seeds):
        case = Case(options, "dsb2018", seed)
        bright = {s.id: bool(case.dataset.image(s)[..., :3].mean() > BRIGHT) for s in case.dataset.samples}
        luck = np.random.default_rng(seed)
        kinds = {}
        for kind in (False, True):
            ids = [str(i) for i in luck.permutation([i for i, b in bright.items() if b == kind])]
            test = min(len(ids) // 2, 40)
            kinds[kind] = ids[:test], ids[test:]
        dark_test, dark_train = kinds[False]
        light_test, light_pool = kinds[True]
        case.parts = {"start": dark_train, "pool": light_pool, "test": light_test}
        start = case.train("fluorescence", dark_train, options.all_seconds)
        for arm in options.domain_arms:
            log = Log(case.folder / f"domain-{arm}.json")
            if len(log.rows) == 3:
                continue
            log.rows = []
            parent, done, known = start, [], []
            for number in range(3):
                seconds = 0.0
                if number:
                    model = load_model(parent, default_precision())
                    done += offer(case, model, done, known, options.batch)
                    out = case.folder / f"domain-{arm}-{number}"
                    result = fine_tune(
                        case, parent, [case.correction(i) for i in done], out,
                        replay=arm != "no-replay", own=arm == "own-predictions",
                        others=dark_train if arm == "own-predictions" else (),
                    )  # fmt: skip
                    parent, seconds = out, result.seconds
                model = load_model(parent, default_precision())
                light, dark = case.score(model, light_test), case.score(model, dark_test)
                log.add(
                    corrections=len(done), histology=float(np.mean(light)),
                    fluorescence=float(np.mean(dark)), seconds=seconds,
                    images=[len(light), len(dark)], before=light, after=dark,
                )  # fmt: skip


def speed(options: argparse.Namespace) -> None:
    """One round as a person meets it: ten corrected 256x256 images, a preview, a verdict."""
    from napari_unet.engine.task import FromCaller

    case = Case(options, "dsb2018", 0)
    small = [s.id for s in case.dataset.samples if case.dataset.image(s).shape[:2] == (256, 256)]
    luck = np.random.default_rng(1)
    small = [str(i) for i in luck.permutation(small)]
    case.parts = {"start": small[:8], "pool": small[8:18], "test": small[18:48]}
    log = Log(case.folder / "speed.json")
    start = case.train("speed-start", small[:8], options.start_seconds)
    pieces: list[Any] = []

    def listen(progress: Progress) -> None:
        if progress.piece is not None:
            pieces.append(progress.piece)

    asked = FileReference(case.dataset.path, case.dataset.format, small[50])
    references = [FileReference(case.dataset.path, case.dataset.format, i) for i in case.parts["test"]]
    task = FineTuneTask(
        start, tuple(case.correction(i) for i in case.parts["pool"]), case.folder / "speed-out",
        FineTuneSettings(seconds=options.round_seconds), replay=case.dataset.path,
        judges=tuple(references[:12]), preview=FromCaller(lambda: asked),
    )  # fmt: skip
    begun = time.monotonic()
    result = run_inline(task, listen)
    first = next((p.seconds for p in pieces if p.better), None)
    log.add(
        seconds=time.monotonic() - begun, steps=result.steps,
        first_preview=pieces[0].seconds if pieces else None, first_better_preview=first,
        verdict=result.comparison.sentence, history=list(result.history),
    )  # fmt: skip


def table(options: argparse.Namespace) -> None:
    """Print everything that is there."""
    work = Path(options.work)
    print("| set, seed | arm | " + " | ".join(("start", "half way", "end", "share of everything")) + " |")
    print("| --- | --- | --- | --- | --- | --- |")
    for folder in sorted(p for p in work.iterdir() if p.is_dir()):
        every = Log(folder / "everything.json").rows
        top = every[-1]["iou"] if every else None
        for arm in ("ours", "no-replay", "random", "scratch"):
            rows = Log(folder / f"{arm}.json").rows
            if not rows:
                continue
            middle = rows[len(rows) // 2] if len(rows) > 2 else rows[0]
            cells = [f"{r['iou']:.3f} ({r['corrections']})" for r in (rows[0], middle, rows[-1])]
            share = f"{rows[-1]['iou'] / top:.3f}" if top else "-"
            print(f"| {folder.name} | {arm} | {' | '.join(cells)} | {share} |")
        if top:
            print(f"| {folder.name} | everything | | | {top:.3f} ({every[-1]['corrections']}) | 1 |")
    for path in sorted(work.glob("*/*.json")):
        if path.stem in {"review", "strokes", "speed"} or path.stem.startswith("domain-"):
            for row in Log(path).rows:
                kept = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}
                print(path.parent.name, path.stem, {k: v for k, v in kept.items() if k not in HIDDEN})


def main() -> int:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("economy", "domain", "strokes", "speed", "table"))
    parser.add_argument("--data", type=Path, default=Path("/tmp/data"), help="unpacked data sets")
    parser.add_argument("--work", type=Path, default=Path("economy"), help="for models and JSON")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--domain-arms", nargs="+", default=["ours", "own-predictions", "no-replay"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=100_000, help="training images taken of a set")
    parser.add_argument("--test", type=int, default=200, help="test images, at most")
    parser.add_argument("--largest", type=int, default=0, help="longest side of images taken; 0: all")
    parser.add_argument("--offered-from", type=int, default=200, help="images estimated each round")
    parser.add_argument("--flips", default="auto", help="averaged over when scoring; none is faster")
    parser.add_argument("--start-share", type=float, default=0.05)
    parser.add_argument("--most", type=float, default=0.15, help="share of the images corrected in the end")
    parser.add_argument("--batch", type=int, default=5, help="images a round")
    parser.add_argument("--rounds", type=int, default=3, help="of strokes")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--start-seconds", type=float, default=90.0)
    parser.add_argument("--round-seconds", type=float, default=60.0)
    parser.add_argument("--all-seconds", type=float, default=900.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of fine-tuning")
    options = parser.parse_args()
    with contextlib.suppress(BrokenPipeError):
        globals()[options.part](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
