"""Volumes seen slice by slice (2D), with neighbours as channels (2.5D), and in three dimensions (3D).

All three are trained on the same block of slices with the same recipe, for the same time or on as many
voxels, and judged on a block that nobody trained on. Resumes where it was stopped.

fib-medulla  adapted Rand error and variation of information of the cells in 3D. Cells are found by the
             watershed transform of the predicted inside; its threshold is chosen on the validation block.
vnc-em       IoU of membranes, mitochondria and synapses.

The tables are in WORK/volumes.md, of all that was ever done in WORK.

Run: python benchmarks/volumes.py --data DATA --work WORK [--minutes 20 | --megapixels 100]
[--sets fib-medulla vnc-em] [--ways 2d 2.5d 3d] [--set SETTING=VALUE ...]
DATA holds a folder of each set, with images/, masks/ and, of fib-medulla, bodies/.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.split import Split
from napari_unet.data.volumes.slices import place_of
from napari_unet.data.volumes.volume_split import make_volume_split
from napari_unet.engine.hardware import default_precision
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.metrics.overlap import count_overlap
from napari_unet.metrics.volumes import score_volume
from napari_unet.models.model import load_model
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.segment.segment_samples import segment_samples
from running import call, find_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.models.model import Model

SETS = ("fib-medulla", "vnc-em")
WAYS = ("2d", "2.5d", "3d")
SHARE = {"fib-medulla": 0.1, "vnc-em": 0.2}  # of the slices, for validation and held out
CLASSES = ("membrane", "mitochondria", "synapse")  # of vnc-em
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
ALIKE = ("training.augmentation.symmetry=dihedral", "inference.flips=none")  # of all three


def main() -> int:
    """Do what is not done yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--minutes", type=float, help="of each training")
    amount.add_argument("--megapixels", type=float, help="voxels of all patches, in millions")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--set", nargs="*", default=[], dest="changes", metavar="SETTING=VALUE")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        data = find_set(options.data, [name])
        if data is None:
            print(f"{name} is not in {options.data}: left out", file=sys.stderr)
            continue
        for way in options.ways:
            train_and_score(name, data, way, options)
            write_tables(options.work)
    return 0


def train_and_score(name: str, data: Path, way: str, options: argparse.Namespace) -> None:
    """Train one network and write its scores, unless that is done."""
    if options.megapixels:
        label, how = f"{options.megapixels:g} Mvoxels", ["--set", f"megapixels={options.megapixels:g}"]
    else:
        label, how = f"{options.minutes or 20:g} min", ["--minutes", f"{options.minutes or 20:g}"]
    changed = "".join(f"-{change}" for change in options.changes)
    model = options.work / f"{name}-{way}-{label.replace(' ', '')}{changed}"
    scores = model.with_suffix(f"{model.suffix}.json")
    if scores.exists():
        return
    split = options.work / f"{name}-split.json"
    if not split.exists():
        split_of(open_dataset(data), SHARE[name]).save(split)
    seconds = 0.0
    if not (model / "settings.json").exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        changes = [word for change in (*ALIKE, *options.changes) for word in ("--set", change)]
        call(
            "train", data, "--out", model, "--split", split, "--resume",
            "--set", f"dimensions={way}", *how, *changes,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    loaded = load_model(model, default_precision())
    found = {
        "set": name,
        "way": way,
        "amount": label,
        "changes": options.changes,
        "steps": loaded.provenance["steps"],
        "cpu_seconds": round(seconds),
        "slices": loaded.recipe.network.slices,
        **score(name, data, Split.load(split), loaded),
    }
    scores.write_text(json.dumps(found, indent=1))


def split_of(dataset: Dataset, share: float) -> Split:
    """Blocks along z with a gap between them."""
    return make_volume_split(
        dataset, validation=share, held_out=share, seed=0, coverage=None,
        on_progress=ignore_progress, cancel=CancelToken(),
    )  # fmt: skip


def score(name: str, data: Path, split: Split, model: Model) -> dict[str, float]:
    """Scores on the held-out block."""
    dataset = open_dataset(data)
    if name == "vnc-em":
        _, held = segmented(dataset, split.held_out, model)
        reference = np.stack([dataset.mask(s).labels for s in dataset.subset(split.held_out).samples])
        mask = mask_from_probabilities(held, model.recipe.inference.threshold, activation="softmax")
        iou = count_overlap(reference, mask, len(CLASSES)).iou()
        named = dict(zip(CLASSES, map(float, iou), strict=True))
        return {**named, "mean_iou": float(iou.mean())}
    bodies = read_bodies(data)
    slices, probabilities = segmented(dataset, split.validation, model)
    threshold = min(THRESHOLDS, key=lambda t: rand_error(bodies[slices], probabilities, t))
    slices, probabilities = segmented(dataset, split.held_out, model)
    reference = np.stack([dataset.mask(s).labels for s in dataset.subset(split.held_out).samples])
    inside = count_overlap(reference, (probabilities[..., 0] > 0.5).astype(np.uint8))
    scores = score_volume(bodies[slices], cells(probabilities, threshold))
    return {
        "adapted_rand_error": scores.volume.adapted_rand_error,
        "variation_of_information": scores.volume.variation_of_information,
        "by_slice": float(np.mean([one.adapted_rand_error for one in scores.slices])),
        "inside_iou": float(inside.iou()[0]),
        "threshold": threshold,
    }


def segmented(
    dataset: Dataset, ids: Sequence[str], model: Model
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Numbers of the slices, and probabilities (Z, Y, X, K)."""
    found = {}
    for result in segment_samples(dataset.subset(ids).samples, model):
        place = place_of(result.sample)
        assert place is not None
        found[place.z] = result.probabilities
    order = sorted(found)
    return np.array(order), np.stack([found[z] for z in order])


def cells(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.int32]:
    """(Z, Y, X) numbers of cells: the watershed of what is inside, grown over the membranes between."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    mask = (probabilities[..., 0] > threshold).astype(np.uint8)
    objects = find_volume_objects(mask, InferenceSettings(objects="shape"))
    return np.asarray(watershed(ndimage.distance_transform_edt(mask == 0), objects), np.int32)


def rand_error(bodies: NDArray[np.integer], probabilities: NDArray[np.float32], threshold: float) -> float:
    """Adapted Rand error of the cells."""
    return score_volume(bodies, cells(probabilities, threshold)).volume.adapted_rand_error


def read_bodies(data: Path) -> NDArray[np.int32]:
    """(Z, Y, X) numbers of the cells of fib-medulla."""
    import tifffile

    (file,) = (data / "bodies").glob("*.tif*")
    return np.asarray(tifffile.imread(file), np.int32)


def write_tables(work: Path) -> None:
    """All scores that there are, as Markdown."""
    rows = [json.loads(file.read_text()) for file in sorted(work.glob("*.json")) if "-split" not in file.name]
    texts = []
    for name, columns in (
        ("fib-medulla", ("adapted_rand_error", "variation_of_information", "by_slice", "inside_iou")),
        ("vnc-em", (*CLASSES, "mean_iou")),
    ):
        mine = [row for row in rows if row["set"] == name]
        if not mine:
            continue
        heads = ["amount", "sees", "steps", "CPU seconds", *(c.replace("_", " ") for c in columns)]
        texts += [f"## {name}\n", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
        for row in sorted(mine, key=lambda r: (r["amount"], str(r["changes"]), WAYS.index(r["way"]))):
            sees = " ".join([row["way"].upper(), *row["changes"]])
            cells_of_row = [row["amount"], sees, row["steps"], row["cpu_seconds"] or ""]
            texts.append(
                f"| {' | '.join(map(str, cells_of_row))} | {' | '.join(f'{row[c]:.3f}' for c in columns)} |"
            )
        texts.append("")
    (work / "volumes.md").write_text("\n".join(texts), encoding="utf-8")
    print("\n".join(texts))


if __name__ == "__main__":
    sys.exit(main())
