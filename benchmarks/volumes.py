"""Volumes seen slice by slice (2D), with neighbours as channels (2.5D), and in three dimensions (3D).

`2d`, `2.5d` and `3d` are U-Nets from random weights. `lite0` is 2.5D by a U-Net decoder on
EfficientNet-Lite0, with the ImageNet weights of the program. Rows with `planes` are of the same trained
network, whose answers along z, y and x are averaged (of fib-medulla, whose voxels are cubic).

scores   All of them are trained on the same block of slices with the same recipe, on as many voxels or for as
         many minutes of the processor, and judged on a block that nobody trained on.
         fib-medulla  adapted Rand error and variation of information of the cells in 3D. Cells are fragments
                      of the predicted inside, joined where no border is seen; threshold and join are chosen
                      on the validation block. Of pieces: the same error where parts of a cell that nothing
                      connects within the block count as cells of their own.
         vnc-em       IoU of membranes, mitochondria and synapses.
economy  One way is trained on all slices of that block and on a few of them, evenly spaced: 12 of
         fib-medulla, 4 of vnc-em. No slice chooses weights or thresholds.

--minutes are of two cores that nobody else uses: each training first takes its pace, in seconds of the
processor a megavoxel, and learns from as many voxels as such cores do in that time. So the figures do not
depend on what else the machine does. A stopped run resumes, and what fails is left out and named in the end.
The tables are in WORK/volumes.md, of all that was ever done in WORK; they are written after every row.

Each budget has a training of its own. The learning rate falls to zero at the end of each, so a network in
the middle of a longer training is worse than one that was given that time.

Run: python benchmarks/volumes.py --data DATA --work WORK [scores | economy] [--minutes 20 | --megapixels 100]
[--sets fib-medulla vnc-em] [--ways 2d 2.5d 3d lite0] [--set SETTING=VALUE ...]
DATA holds a folder of each set, with images/, masks/ and, of fib-medulla, bodies/.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import write_text
from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.data.volumes.slices import place_of
from napari_unet.data.volumes.volume_split import make_volume_split
from napari_unet.engine.hardware import default_precision
from napari_unet.errors import WorkbenchError
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.metrics.overlap import count_overlap
from napari_unet.metrics.volumes import score_volume
from napari_unet.models.model import load_model
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.train_task import evenly
from running import call, find_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.model import Model

SETS = ("fib-medulla", "vnc-em")
WAYS = {
    "2d": ("dimensions=2d", "network.name=unet"),
    "2.5d": ("dimensions=2.5d", "network.name=unet"),
    "3d": ("dimensions=3d", "network.name=unet"),
    "lite0": ("dimensions=2.5d", "network.name=encoder_unet", "encoder=EfficientNetLite0"),
}
CUBIC = ("fib-medulla",)  # sets that are seen in three planes, too
SHARE = {"fib-medulla": 0.1, "vnc-em": 0.2}  # of the slices, for validation and held out
FEW = {"fib-medulla": 12, "vnc-em": 4}  # annotated slices of the economy
CLASSES = ("membrane", "mitochondria", "synapse")  # of vnc-em
BODIES = "bodies"  # folder of the numbers of the cells of fib-medulla
THRESHOLDS = (0.5, 0.6, 0.7, 0.8)
JOINS = (0.5, 0.6, 0.65, 0.7, 0.75)
OPEN = 0.5, InferenceSettings(objects="agglomerate").join  # of the economy, chosen on no slice
ALIKE = ("training.augmentation.symmetry=dihedral", "inference.flips=none")  # of all three
PACES = (2, 8)  # megavoxels of two short trainings, whose difference is the pace
CORES = 2
SAME = ("way", "planes", "amount", "changes")  # of rows that differ in the slices that were learned from


def main() -> int:
    """Do what is not done yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", nargs="?", default="scores", choices=("scores", "economy"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--minutes", type=float, nargs="+", default=[20.0], help="of two cores, each training"
    )
    amount.add_argument("--megapixels", type=float, help="voxels of all patches, in millions")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), help="all for scores, 2.5d for economy")
    parser.add_argument("--set", nargs="*", default=[], dest="changes", metavar="SETTING=VALUE")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    ways = options.ways or (tuple(WAYS) if options.part == "scores" else ("2.5d",))
    failed = []
    for name in options.sets:
        data = find_set(options.data, [name])
        if data is None:
            print(f"{name} is not in {options.data}: left out", file=sys.stderr)
            continue
        whole = whole_split(name, data, options.work)
        counts = (0,) if options.part == "scores" else (0, FEW[name])
        for run in (
            Run(name, data, way, count, minutes, options)
            for minutes in options.minutes for way in ways for count in counts
        ):  # fmt: skip
            try:
                run.train_and_score(whole)
            except (WorkbenchError, subprocess.CalledProcessError) as error:
                print(f"{run.folder(run.amount)}: {error}", file=sys.stderr, flush=True)
                failed.append(run.folder(run.amount).name)
            write_tables(options.work)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


class Run:
    """One training and its scores.

    Parameters
    ----------
    name, data : str, pathlib.Path
        Of the set.
    way : str
        One of ``WAYS``.
    annotated : int
        Slices to train on, of the training block; 0: all, and the validation block chooses.
    minutes : float
        Of two cores.
    options : argparse.Namespace
        Of the command.
    """

    def __init__(
        self, name: str, data: Path, way: str, annotated: int, minutes: float, options: argparse.Namespace
    ) -> None:
        self.name, self.data, self.way, self.annotated = name, data, way, annotated
        self.minutes, self.part, self.work = minutes, options.part, options.work
        self.megapixels, self.changes = options.megapixels, options.changes

    @property
    def amount(self) -> str:
        """For people."""
        return f"{self.megapixels:g} Mvoxels" if self.megapixels else f"{self.minutes:g} min"

    def folder(self, what: str) -> Path:
        """Where a model of this run goes."""
        changed = "".join(f"-{change}" for change in self.changes)
        few = f"-{self.annotated or 'all'}-slices" if self.part == "economy" else ""
        return Path(self.work / f"{self.name}-{self.way}-{what.replace(' ', '')}{few}{changed}")

    def split(self, whole: Split) -> Split:
        """The blocks of slices; for the economy few slices teach, and none validates."""
        if self.part == "scores":
            return whole
        count = self.annotated or len(whole.train)
        return replace(whole, train=evenly(whole.train, count), validation=())

    def train(self, out: Path, split: Split, megapixels: float) -> float:
        """Train unless that is done; seconds of the processor that it took, in all its parts."""
        clock = out.with_name(f"{out.name}.seconds")
        if not (out / "settings.json").exists():
            split.save(out.with_name(f"{out.name}.split.json"))
            chosen = *WAYS[self.way], *ALIKE, *self.changes
            changes = [word for change in chosen for word in ("--set", change)]
            before = children()
            try:
                call(
                    "train", self.data, "--out", out, "--split", out.with_name(f"{out.name}.split.json"),
                    "--resume", "--set", f"megapixels={megapixels:g}",
                    *changes,
                )  # fmt: skip
            finally:
                earlier = float(clock.read_text()) if clock.exists() else 0.0
                clock.write_text(f"{earlier + children() - before:.1f}")
        return float(clock.read_text()) if clock.exists() else 0.0

    def pace(self, split: Split) -> tuple[float, float]:
        """Seconds of the processor that a training takes by itself, and for each megavoxel."""
        short, longer = (
            self.train(self.folder(f"pace{much}"), replace(split, validation=()), much) for much in PACES
        )
        a_megavoxel = max(longer - short, 1.0) / (PACES[1] - PACES[0])
        return max(short - PACES[0] * a_megavoxel, 0.0), a_megavoxel

    def train_and_score(self, whole: Split) -> None:
        """Train one network and write its scores, unless that is done."""
        model = self.folder(self.amount)
        wanted = {False: model.with_name(f"{model.name}.json")}
        if self.name in CUBIC and self.way != "3d":
            wanted[True] = model.with_name(f"{model.name}-planes.json")
        if all(file.exists() for file in wanted.values()):
            return
        split, megapixels = self.split(whole), self.megapixels
        if not megapixels:
            start, a_megavoxel = self.pace(split)
            megapixels = max(60 * CORES * self.minutes - start, 1.0) / a_megavoxel
        seconds = self.train(model, split, megapixels)
        loaded = load_model(model, default_precision())
        for planes, scores in wanted.items():
            if scores.exists():
                continue
            settings = loaded.recipe.inference.model_copy(update={"orthogonal": planes})
            found = {
                "part": self.part,
                "set": self.name,
                "way": self.way,
                "planes": planes,
                "amount": self.amount,
                "changes": self.changes,
                "annotated": len(split.train),
                "megavoxels": round(megapixels, 1),
                "steps": loaded.provenance["steps"],
                "cpu_seconds": round(seconds),
                "slices": loaded.recipe.network.slices,
                **score(self.name, self.data, split, loaded, settings),
            }
            write_text(scores, json.dumps(found, indent=1))


def children() -> float:
    """Seconds of the processor that all finished children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def whole_split(name: str, data: Path, work: Path) -> Split:
    """Blocks along z with a gap between them, the same for all that is done in a folder."""
    file = Path(work / f"{name}-split.json")
    if not file.exists():
        made = make_volume_split(
            open_dataset(data), validation=SHARE[name], held_out=SHARE[name], seed=0, coverage=None,
            on_progress=ignore_progress, cancel=CancelToken(),
        )  # fmt: skip
        made.save(file)
    return Split.load(file)


def score(name: str, data: Path, split: Split, model: Model, settings: InferenceSettings) -> dict[str, float]:
    """Scores on the held-out block."""
    dataset = open_dataset(data)
    if name == "vnc-em":
        _, held = segmented(dataset, split.held_out, model, settings)
        reference = np.stack([dataset.mask(s).labels for s in dataset.subset(split.held_out).samples])
        mask = mask_from_probabilities(held, model.recipe.inference.threshold, activation="softmax")
        iou = count_overlap(reference, mask, len(CLASSES)).iou()
        named = dict(zip(CLASSES, map(float, iou), strict=True))
        return {**named, "mean_iou": float(iou.mean())}
    bodies = read_bodies(data)
    threshold, join = OPEN
    if split.validation:
        slices, probabilities = segmented(dataset, split.validation, model, settings)
        threshold, join = best_join(bodies[slices], probabilities)
    slices, probabilities = segmented(dataset, split.held_out, model, settings)
    reference = np.stack([dataset.mask(s).labels for s in dataset.subset(split.held_out).samples])
    inside = count_overlap(reference, (probabilities[..., 0] > 0.5).astype(np.uint8))
    found = cells(probabilities, threshold, join)
    scores = score_volume(bodies[slices], found)
    return {
        "adapted_rand_error": scores.volume.adapted_rand_error,
        "of_pieces": score_volume(pieces(bodies[slices]), found).volume.adapted_rand_error,
        "variation_of_information": scores.volume.variation_of_information,
        "by_slice": float(np.mean([one.adapted_rand_error for one in scores.slices])),
        "inside_iou": float(inside.iou()[0]),
        "threshold": threshold,
        "join": join,
    }


def segmented(
    dataset: Dataset, ids: Sequence[str], model: Model, settings: InferenceSettings
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Numbers of the slices, and probabilities (Z, Y, X, K)."""
    found = {}
    for result in segment_samples(dataset.subset(ids).samples, model, settings):
        place = place_of(result.sample)
        assert place is not None
        found[place.z] = result.probabilities
    order = sorted(found)
    return np.array(order), np.stack([found[z] for z in order])


def cells(probabilities: NDArray[np.float32], threshold: float, join: float) -> NDArray[np.int32]:
    """(Z, Y, X) numbers of cells: joined fragments of what is inside, grown over the membranes between."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    mask = (probabilities[..., 0] > threshold).astype(np.uint8)
    settings = InferenceSettings(objects="agglomerate", join=join)
    objects = find_volume_objects(mask, settings, probabilities)
    return np.asarray(watershed(ndimage.distance_transform_edt(mask == 0), objects), np.int32)


def pieces(bodies: NDArray[np.int32]) -> NDArray[np.int32]:
    """(Z, Y, X) numbers of connected pieces: nothing in a block connects two parts of a cell outside it."""
    from skimage.measure import label

    return np.asarray(label(bodies, connectivity=3), np.int32)


def best_join(bodies: NDArray[np.integer], probabilities: NDArray[np.float32]) -> tuple[float, float]:
    """Threshold and join with the least adapted Rand error, of all that are tried."""
    tried = [(threshold, join) for threshold in THRESHOLDS for join in JOINS]
    return min(tried, key=lambda how: rand_error(bodies, probabilities, *how))


def rand_error(
    bodies: NDArray[np.integer], probabilities: NDArray[np.float32], threshold: float, join: float
) -> float:
    """Adapted Rand error of the cells."""
    return score_volume(bodies, cells(probabilities, threshold, join)).volume.adapted_rand_error


def read_bodies(data: Path) -> NDArray[np.int32]:
    """(Z, Y, X) numbers of the cells of fib-medulla."""
    import tifffile

    (file,) = (data / BODIES).glob("*.tif*")
    return np.asarray(tifffile.imread(file), np.int32)


def write_tables(work: Path) -> None:
    """All scores that there are, as Markdown."""
    found = [json.loads(f.read_text()) for f in sorted(work.glob("*.json")) if "split.json" not in f.name]
    texts = []
    for name, columns in (
        (
            "fib-medulla",
            ("adapted_rand_error", "of_pieces", "variation_of_information", "by_slice", "inside_iou"),
        ),
        ("vnc-em", (*CLASSES, "mean_iou")),
    ):
        for part in ("scores", "economy"):
            mine = [row for row in found if (row["set"], row.get("part", "scores")) == (name, part)]
            if not mine:
                continue
            heads = [
                "sees",
                "amount",
                "slices",
                "steps",
                "CPU seconds",
                *(c.replace("_", " ") for c in columns),
            ]
            heads += ["of all slices"] if part == "economy" else []
            texts += [f"## {name}, {part}\n", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
            for row in sorted(mine, key=_order):
                start = [
                    named(row), row["amount"], row["annotated"],
                    row["steps"], row["cpu_seconds"] or "",
                ]  # fmt: skip
                values = [f"{row[c]:.3f}" for c in columns]
                values += [share_of_all(row, mine)] if part == "economy" else []
                texts.append(f"| {' | '.join(map(str, start))} | {' | '.join(values)} |")
            texts.append("")
    (work / "volumes.md").write_text("\n".join(texts), encoding="utf-8")
    print("\n".join(texts))


def named(row: dict[str, Any]) -> str:
    """How the network of a row sees a volume."""
    planes = ["planes"] * row.get("planes", False)
    return " ".join([row["way"].replace("d", "D"), *planes, *row["changes"]])


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    minutes = float(row["amount"].split()[0])
    return (
        minutes,
        list(WAYS).index(row["way"]),
        row.get("planes", False),
        str(row["changes"]),
        row["annotated"],
    )


def share_of_all(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The score of few slices over that of all, trained in the same way."""

    def value(one: dict[str, Any]) -> float:
        return float(one["mean_iou"] if "mean_iou" in one else 1 - one["adapted_rand_error"])

    alike = [one for one in rows if all(one.get(k) == row.get(k) for k in SAME)]
    return f"{value(row) / value(max(alike, key=lambda one: int(one['annotated']))):.0%}"


if __name__ == "__main__":
    sys.exit(main())
