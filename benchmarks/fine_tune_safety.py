"""Does fine-tuning ever hurt unsaid? Old model and new one on images of the new kind and of the old.

    python benchmarks/fine_tune_safety.py start --data DATA --work DIR
    python benchmarks/fine_tune_safety.py run --data DATA --work DIR [--cases bright-10 ...] [--arms ours ...]
    python benchmarks/fine_tune_safety.py table --work DIR

DATA holds dsb2018 and dic-hela, unpacked. `start` trains a nuclei model on dark images of dsb2018 alone, so
that bright-field images are a kind that it has never seen, with a rehearsal set inside. `run` corrects a few
images, fine-tunes, and scores old and new on test images that no model has seen: of the new kind, and of the
old (dark). Everything is drawn by a seed, and budgets are in megapixels, so that other work on the machine
changes nothing. A row that is done is not computed again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from make_shipped_models import kind, settings_of
from napari_unet.cli.shared.running import start_backend
from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask
from napari_unet.data.split import Split
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.inputs.image_reference import FileReference
from napari_unet.workflow.inputs.labelled_images import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.model import Model

LONGEST = 400  # pixels of a side; larger images of dsb2018 are left out
TEST = {"bright": 25, "dark": 40}  # images
REHEARSED = 45
SHIFT = 20  # pixels by which a spoiled mask is off
START = ("training.scale=0.5", "megapixels=60", "batch_size=10", "patch=128", "averaging=0.99")
LINE_TEST = 14  # test images of each kind on which every point of the line is scored
ARMS: dict[str, dict[str, Any]] = {
    "ours": {},
    "rate 0.002": {"learning_rate": 2e-3},
    "rate 0.0005": {"learning_rate": 5e-4},
    "replay 3/4": {"replay": 0.75},
    "no replay": {"replay": 0.0},
    "anchor 1": {"anchor": 1.0},
}
CASES = {"bright-10": 10, "hela-5": 5, "bright-1": 1, "spoiled-10": 10, "built-in-8": 8}


class Bench:
    """Data sets, parts and models."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.seed = int(options.seed)
        self.folder = Path(options.work)

    @cached_property
    def nuclei(self) -> Dataset:
        """Images of dsb2018 that are not large."""
        whole = open_dataset(self.options.data / "dsb2018")
        return whole.subset([s.id for s in whole.samples if max(whole.image(s).shape[:2]) <= LONGEST])

    @cached_property
    def cells(self) -> Dataset:
        """All of dic-hela."""
        return open_dataset(self.options.data / "dic-hela")

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """Ids of the dark images to train on and to test on; of the bright ones to correct and to test on."""
        found: dict[str, list[str]] = {"bright": [], "dark": []}
        for sample in self.nuclei.samples:
            look = kind(self.nuclei.image(sample))
            found["bright" if "bright" in look else "dark"].append(sample.id)
        parts = {}
        for name, ids in found.items():
            # Who is tested on does not depend on the seed, which the start model does not have.
            drawn = [ids[i] for i in np.random.default_rng(0).permutation(len(ids))]
            parts[f"{name} test"], parts[name] = drawn[: TEST[name]], drawn[TEST[name] :]
        return parts

    def built_in_parts(self) -> dict[str, list[str]]:
        """Images that the built-in model was not trained on; those to test on were not chosen on, either."""
        from napari_unet.models.model_folder import read_settings

        split = Split.from_json(read_settings(Path("nuclei"))[3]["split"], "the split")
        looks = {s.id: kind(self.nuclei.image(s)) for s in self.nuclei.samples}
        bright = [i for i in (*split.validation, *split.held_out) if "bright" in looks.get(i, "")]
        chosen = [bright[i] for i in np.random.default_rng(self.seed).permutation(len(bright))][:8]
        return {
            "bright": chosen,
            "bright test": [i for i in bright if i not in chosen],
            "dark test": [i for i in split.held_out if "dark" in looks.get(i, "")],
        }

    @property
    def start(self) -> Path:
        """The start model."""
        return self.folder / "start"

    def train_start(self) -> None:
        """Train it, on dark images alone."""
        from napari_unet.cli.shared.running import epoch_line, run_task
        from napari_unet.models.model import save_model
        from napari_unet.workflow.train.train_task import TrainTask

        dark = self.parts["dark"]
        split = self.folder / "split.json"
        Split(tuple(dark[8:]), tuple(dark[:8]), tuple(self.parts["dark test"]), data="dsb2018").save(split)
        recipe = settings_of("nuclei", [*START, *self.options.set])
        task = TrainTask(
            self.options.data / "dsb2018",
            self.start,
            recipe,
            split=split,
            resume=True,
            on_epoch=epoch_line,
            rehearsal=REHEARSED,
        )
        model = run_task(task)
        # As a model of somebody else: its data are not on this machine, its rehearsal set is inside.
        model.provenance["data"].pop("path", None)
        save_model(model, self.start)

    def case(self, name: str) -> tuple[Path, list[LabelledImage], dict[str, tuple[Dataset, list[str]]]]:
        """Model to start from, what is corrected, and what is tested on: "new" and "old"."""
        luck = np.random.default_rng((self.seed, 7))
        parts, model, count = self.parts, self.start, CASES[name]
        new, ids = self.nuclei, parts["bright"]
        if name.startswith("hela"):
            new, ids = self.cells, [s.id for s in self.cells.samples]
        if name.startswith("built-in"):
            parts, model = self.built_in_parts(), self.options.built_in
            ids = parts["bright"]
        drawn = [ids[i] for i in luck.permutation(len(ids))]
        test = drawn[count:] if new is self.cells else parts["bright test"]
        given = [correction(new, identifier) for identifier in drawn[:count]]
        if name.startswith("spoiled"):
            given[:2] = spoiled(new, drawn[:2])
        return model, given, {"new": (new, test), "old": (self.nuclei, parts["dark test"])}

    def row(self, name: str, arm: str) -> dict[str, Any]:
        """One fine-tuning, scored."""
        from napari_unet.engine.hardware import default_precision
        from napari_unet.engine.inline import run_inline
        from napari_unet.models.model import load_model
        from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask

        start, given, tests = self.case(name)
        settings = FineTuneSettings.model_validate(
            {"megapixels": self.options.megapixels, "seed": self.seed, **ARMS[arm]}
        )
        out = self.folder / f"{name}-{arm.replace('/', '-')}-{self.seed}"
        began = time.monotonic()
        few = {what: (dataset, ids[:LINE_TEST]) for what, (dataset, ids) in tests.items()}
        with scored_line(few) as line:
            result = run_inline(FineTuneTask(start, tuple(given), out, settings, overwrite=True))
        row: dict[str, Any] = {
            "case": name, "arm": arm, "seed": self.seed, "steps": result.steps, "point": result.point,
            "seconds": round(time.monotonic() - began, 1), "replayed": result.replayed,
            "verdict": result.verdict, "first": result.first_button, "sentence": result.sentence,
            "line": line,
        }  # fmt: skip
        models = {"before": start, "after": out}
        for moment, path in models.items():
            model = load_model(path, default_precision())
            for what, (dataset, ids) in tests.items():
                row[f"{what} {moment}"] = score(model, dataset, ids)
        return row


@contextmanager
def scored_line(tests: Mapping[str, tuple[Dataset, list[str]]]) -> Iterator[list[dict[str, float]]]:
    """While the block lasts, every point that the judge looks at is scored on test images as well."""
    from napari_unet.workflow.finetune import fine_tune_task
    from napari_unet.workflow.finetune.fine_tuning_round import FineTuningRound
    from napari_unet.workflow.finetune.weight_line import POINTS, LineChoice, between

    found: list[dict[str, float]] = []

    class ScoredRound(FineTuningRound):
        def _choose_point(self, before: Any, folds: Any) -> LineChoice:
            after = self._get()
            for point in (0.0, *POINTS):
                self._put(between(before, after, point))
                scores = {what: score(self.model, dataset, ids) for what, (dataset, ids) in tests.items()}
                found.append({"point": point, **scores})
            self._put(after)
            line = super()._choose_point(before, folds)
            for row in found:
                row["judged new"] = float(line.gains.get(row["point"], 0.0))
                row["judged old"] = float(line.losses.get(row["point"], 0.0))
            return line

    plain = FineTuningRound
    setattr(fine_tune_task, "FineTuningRound", ScoredRound)  # noqa: B010
    try:
        yield found
    finally:
        setattr(fine_tune_task, "FineTuningRound", plain)  # noqa: B010


def correction(dataset: Dataset, identifier: str) -> LabelledImage:
    """An image with its true mask, as a person made it."""
    return LabelledImage(FileReference(dataset.path, dataset.format, identifier))


def spoiled(dataset: Dataset, ids: Sequence[str]) -> list[LabelledImage]:
    """Two corrections with a mistake: one mask is shifted, one is empty."""
    out = []
    for number, identifier in enumerate(ids):
        sample = dataset.subset([identifier]).samples[0]
        labels = dataset.mask(sample).labels
        wrong = np.roll(labels, SHIFT, axis=1) if number == 0 else np.zeros_like(labels)
        image = FileReference(dataset.path, dataset.format, identifier)
        out.append(LabelledImage(image, ReferenceMask(wrong).labels, np.ones(labels.shape, np.float32)))
    return out


def score(model: Model, dataset: Dataset, ids: Sequence[str]) -> float:
    """Mean IoU over images, without flips."""
    from napari_unet.metrics.overlap import image_scores
    from napari_unet.workflow.segment.segment_samples import segment_samples

    plain = model.recipe.inference.model_copy(update={"flips": "none"})
    found = []
    for result in segment_samples(dataset.subset(ids).samples, model, plain):
        truth = dataset.mask(result.sample)
        found.append(image_scores(truth.labels, result.mask, len(model.classes), truth.weights).iou)
    return round(float(np.nanmean(found)), 4)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All that is done."""
    return [json.loads(file.read_text()) for file in sorted((folder / "rows").glob("*.json"))]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """As Markdown: IoU on both kinds before and after, what was replayed, and the verdict."""
    lines = [
        "| case | arm | seed | new kind | old kind | replayed | point | verdict | first |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        change = {k: row[f"{k} after"] - row[f"{k} before"] for k in ("new", "old")}
        kinds = [f"{row[f'{k} before']:.3f} -> {row[f'{k} after']:.3f} ({change[k]:+.3f})" for k in change]
        lines.append(
            f"| {row['case']} | {row['arm']} | {row['seed']} | {kinds[0]} | {kinds[1]} | {row['replayed']} "
            f"| {row.get('point', '')} | {row['verdict']} | {row.get('first', '')} |"
        )
    return "\n".join(lines)


def line_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """As Markdown: IoU on test images along each line, and what the judge made of the same points."""
    lines = [
        "| case | arm | seed | point | new kind | old kind | judge: new | judge: old |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        for at in row.get("line", ()):
            scores = f"{at['new']:.3f} | {at['old']:.3f} | {at['judged new']:+.3f} | {at['judged old']:+.3f}"
            lines += [f"| {row['case']} | {row['arm']} | {row['seed']} | {at['point']} | {scores} |"]
    return "\n".join(lines)


def main() -> int:
    """Train, run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("start", "run", "table"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--arms", nargs="*", choices=sorted(ARMS), default=list(ARMS))
    parser.add_argument(
        "--built-in", type=Path, default=Path("nuclei"), help="of built-in-8 (default: the built-in nuclei)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megapixels", type=float, default=8.0, help="of a fine-tuning")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the start model")
    options = parser.parse_args()
    if options.what == "table":
        rows = rows_of(options.work)
        print(table(rows), "", line_table(rows), sep="\n")
        return 0
    start_backend()
    bench = Bench(options)
    if options.what == "start":
        bench.train_start()
        return 0
    for case in options.cases:
        for arm in options.arms:
            file = options.work / "rows" / f"{case}-{arm.replace('/', '-')}-{options.seed}.json"
            if file.exists():
                continue
            row = bench.row(case, arm)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(row, indent=1))
            print(table([row]).splitlines()[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
