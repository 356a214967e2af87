"""Comparing networks: each is trained for the same time on the same images, then judged on others."""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import PROGRAM
from napari_unet.atomic import check_outputs, write_text
from napari_unet.data.split import Split
from napari_unet.engine.hardware import available_cores, default_precision, has_gpu, processor_name
from napari_unet.errors import DataError, ModelError, OutputError, SettingsError, TrainingError
from napari_unet.evaluation.report.network_comparison import ComparedNetwork, NetworkComparison
from napari_unet.evaluation.report.network_page import FILES, write_network_comparison
from napari_unet.models.model import load_model
from napari_unet.models.model_folder import METRICS_FILE, SETTINGS_FILE, SPLIT_FILE, STATE_FILE
from napari_unet.networks.registry import architecture, architectures
from napari_unet.progress import Progress, Stage
from napari_unet.settings import EvaluationSettings
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask, check_writable
from napari_unet.workflow.evaluate.shell_commands import command
from napari_unet.workflow.inputs.left_out import sound_part
from napari_unet.workflow.network_facts import facts_of
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from napari_unet.workflow.train.training_data import open_training_data, split_for
from napari_unet.workflow.versions import versions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import Recipe

PLAN_FILE = "plan.json"
SPEED_FILE = "speed.json"
MODEL_FOLDER = "model"
REPORT_FILE = "report.json"
TIMED_PIXELS = 2**20
TIMED_IMAGES = 64
TIMED_ROUNDS = 3


@dataclass(frozen=True)
class CompareNetworksTask:
    """Train several networks alike and compare them.

    What was finished before a stop stays in the report's folder and is not done again: the same command
    resumes.

    Attributes
    ----------
    data : pathlib.Path
        With reference masks.
    networks : tuple of str
        Names in the registry.
    minutes : float
        Of training for each; 0: the recipe's amount.
    report : pathlib.Path
        Folder for networks.html, .csv, .json, .md, the models and a report of each.
    recipe : Recipe
        All but the network's name counts.
    format : str, optional
        Layout of the data.
    split : pathlib.Path, optional
        A split to use; drawn if not given.
    settings : EvaluationSettings
        How masks are scored.
    changes : tuple of str
        "key=value" by which the recipe differs from the one of its name, for the command in the report.
    on_network : callable, optional
        Takes the name of a network when its turn comes.
    overwrite : bool
        Whether another comparison, or tables of another origin, may be replaced; this one starts afresh then.
    """

    data: Path
    networks: tuple[str, ...]
    minutes: float
    report: Path
    recipe: Recipe = field(default_factory=lambda: recipe("fast"))
    format: str | None = None
    split: Path | None = None
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    changes: tuple[str, ...] = ()
    on_network: Callable[[str], None] | None = None
    overwrite: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> NetworkComparison:
        """Train and judge what is not there yet, and write the table after each network.

        Settings that a network does not take are as it takes them, and the table says so. One that cannot
        be trained is in the table with what went wrong.

        Raises
        ------
        SettingsError
            If a network is unknown or named twice.
        DataError
            If the data cannot be read, or no image can be held out.
        OutputError
            If the report cannot be written, or its folder is of another comparison.
        Cancelled
            When the person stopped it; finished networks stay.
        """
        if not self.networks or len(set(self.networks)) < len(self.networks):
            raise SettingsError(
                "each network is compared once",
                code="settings.networks.duplicate",
                got=", ".join(self.networks) or "none",
            )
        for name in self.networks:
            architecture(name)
        check_writable(self.report)
        self._check_plan()
        dataset, left = sound_part(open_training_data(self.data, self.format), on_progress, cancel)
        split = self._split(dataset, on_progress, cancel).without(item.id for item in left)
        done: list[ComparedNetwork] = []
        for number, name in enumerate(self.networks, start=1):
            if self.on_network is not None:
                self.on_network(name)
            stage = Stage(on_progress, number, len(self.networks), "Network")
            done.append(self._one(name, dataset, split, stage, cancel))
            comparison = self._comparison(done, dataset, split)
            comparison = replace(comparison, left_out=tuple(item.entry for item in left))
            write_network_comparison(self.report, comparison)
        return comparison

    def _check_plan(self) -> None:
        """Refuse a folder in which networks were trained otherwise: they cannot be compared."""
        plan = {
            "data": str(self.data.resolve()),
            "minutes": self.minutes,
            "recipe": self.recipe.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "split": str(self.split.resolve()) if self.split is not None else "",
        }
        file = self.report / PLAN_FILE
        if file.exists():
            try:
                before = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise OutputError(
                    f"{file} cannot be read",
                    code="output.unreadable",
                    reason=str(error),
                    remedy="give a new folder",
                ) from error
            different = [key for key in plan if before.get(key) != plan[key]]
            if different and self.overwrite:
                self._remove_earlier()
            elif different:
                raise OutputError(
                    f"{self.report} holds another comparison",
                    code="output.different",
                    expected=f"the same {' and '.join(different)}",
                    remedy="give another folder, the same settings to continue, or --overwrite to replace it",
                )
        else:
            results = [*FILES, *self.networks]
            check_outputs((self.report / name for name in results), [self.data], overwrite=self.overwrite)
        write_text(file, json.dumps(plan, indent=1))

    def _remove_earlier(self) -> None:
        """Remove the split and the networks of a comparison that is replaced, so that all start afresh."""
        (self.report / SPLIT_FILE).unlink(missing_ok=True)
        for name in architectures():
            folder = self.report / name
            if (folder / MODEL_FOLDER).is_dir() or (folder / REPORT_FILE).is_file():
                shutil.rmtree(folder, ignore_errors=True)

    def _split(self, dataset: Dataset, on_progress: OnProgress, cancel: CancelToken) -> Split:
        split_file = self.report / SPLIT_FILE
        if split_file.exists():
            return Split.load(split_file)
        split = split_for(self.data, dataset, self.recipe, self.split, on_progress, cancel)
        if not split.held_out:
            raise DataError(
                f"{dataset.name} has no images to judge networks on",
                code="data.heldout.missing",
                expected="some that are held out",
                got=split.note or "none in the split",
                remedy="give more images, or a split with --split",
            )
        split.save(split_file)
        return split

    def _one(
        self, name: str, dataset: Dataset, split: Split, on_progress: OnProgress, cancel: CancelToken
    ) -> ComparedNetwork:
        """Train and judge one network, as far as that is not done."""
        folder, chosen = self.report / name, architecture(name)
        model = folder / MODEL_FOLDER
        network, note = chosen.supported_settings(self.recipe.network)
        training = self.recipe.training.model_copy(update={"minutes": self.minutes})
        train = TrainTask(
            self.data,
            model,
            self.recipe.model_copy(update={"network": network, "training": training}),
            self.format,
            split,
            resume=(model / STATE_FILE).exists(),
        )
        try:
            if not (model / SETTINGS_FILE).exists():
                train.run(on_progress, cancel)
            judged = folder / REPORT_FILE
            if not judged.exists():
                judge = EvaluateTask(
                    self.data, folder, model, format=self.format, settings=self.settings, inspect=False,
                    names=split.held_out,
                )  # fmt: skip
                judge.run(on_progress, cancel)
            overall = json.loads(judged.read_text(encoding="utf-8"))["overall"]
            loaded = load_model(model, default_precision())
            on_progress(Progress(1, 1, "Timing"))
            speed = self._speed(folder / SPEED_FILE, loaded, dataset, split, cancel)
        except (TrainingError, ModelError, SettingsError, MemoryError) as error:
            facts = facts_of(network)
            sentence = getattr(error, "sentence", "") or "out of memory; use a smaller batch_size or patch"
            return ComparedNetwork(
                name, chosen.title, chosen.when, facts.parameters, facts.gflop, facts.side,
                problem=sentence, note=note,
            )  # fmt: skip
        facts = facts_of(loaded.recipe.network)
        return ComparedNetwork(
            name,
            chosen.title,
            chosen.when,
            facts.parameters,
            facts.gflop,
            facts.side,
            float(loaded.provenance.get("steps") or 0),
            float(loaded.provenance.get("seconds") or 0),
            speed,
            overall,
            curve_of(model / METRICS_FILE),
            note=note,
            grid=chosen.grid,
        )

    @staticmethod
    def _speed(file: Path, model: Model, dataset: Dataset, split: Split, cancel: CancelToken) -> float:
        """Milliseconds a megapixel, measured once and stored."""
        if file.exists():
            return float(json.loads(file.read_text(encoding="utf-8"))["ms_per_megapixel"])
        speed = round(milliseconds_per_megapixel(model, dataset, split.held_out, cancel), 2)
        write_text(file, json.dumps({"ms_per_megapixel": speed}))
        return speed

    def _comparison(
        self, done: Sequence[ComparedNetwork], dataset: Dataset, split: Split
    ) -> NetworkComparison:
        cores = available_cores()
        on = "a GPU" if has_gpu() else f"{cores} core{'s' * (cores != 1)} of {processor_name()}"
        words: list[Any] = [
            "compare-networks", self.data, "--networks", ",".join(self.networks),
            "--minutes", f"{self.minutes:g}", "--out", self.report,
        ]  # fmt: skip
        words += ["--recipe", self.recipe.name] if self.recipe.name != "fast" else []
        for change in self.changes:
            words += ["--set", change]
        words += ["--layout", self.format] if self.format else []
        return NetworkComparison(
            tuple(done),
            {"name": dataset.name, "path": str(self.data), "format": dataset.format, "images": len(dataset)},
            self.minutes,
            self.recipe.name,
            command(*words),
            PROGRAM,
            f"on {on}",
            versions(),
            {
                "recipe": self.recipe.model_dump(mode="json"),
                "scores": self.settings.model_dump(mode="json"),
                "split": {part: len(getattr(split, part)) for part in ("train", "validation", "held_out")},
            },
        )


def milliseconds_per_megapixel(
    model: Model, dataset: Dataset, names: Sequence[str], cancel: CancelToken
) -> float:
    """Time that a model needs for a megapixel of image, as it is used but without averaging over flips.

    The least of three rounds over at most 64 images or a megapixel, after one that builds.
    """
    by_id = {s.id: s for s in dataset.samples}
    chosen, pixels = [], 0
    for name in names[:TIMED_IMAGES]:
        image = dataset.image(by_id[name])
        chosen.append(replace(by_id[name], load_image=partial(np.asarray, image)))
        pixels += image.shape[0] * image.shape[1]
        if pixels >= TIMED_PIXELS:
            break
    plain = model.recipe.inference.model_copy(update={"flips": "none"})
    times = []
    for _ in range(1 + TIMED_ROUNDS):
        start = time.perf_counter()
        for _ in segment_samples(chosen, model, plain, cancel):
            pass
        times.append(time.perf_counter() - start)
    return 1e3 * min(times[1:]) / (pixels / 1e6)


def curve_of(file: Path) -> tuple[tuple[float, float], ...]:
    """Seconds and validation IoU of a training's log; empty without one."""
    if not file.exists():
        return ()
    with file.open(newline="", encoding="utf-8") as text:
        rows = [(float(r["seconds"]), float(r["validation_iou"] or "nan")) for r in csv.DictReader(text)]
    return tuple((seconds, iou) for seconds, iou in rows if math.isfinite(iou))
