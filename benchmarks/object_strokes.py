"""What cuts and joins teach: objects split and merged on unseen images, before and after some strokes.

    python benchmarks/object_strokes.py MODEL DATA [--strokes 20] [--seconds 60]

Of the images that MODEL holds out (told by their pixels), a simulated person corrects every second one,
and the others are only judged. A stroke cuts an object that covers two true ones, along the border of these,
or joins two that lie in one true object, from the middle of one to the middle of the other. Image after image
gives one stroke, until there are enough. Nothing is painted. The model then learns for so many seconds, once
with what the strokes say of objects, and once from the same pixels without it. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from judging import held_out, scores
from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.engine.inline import run_inline
from napari_unet.errors import DataError
from napari_unet.inference.edits.object_edits import join_numbers, merge_objects, split_objects
from napari_unet.models.model import Model
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.inputs.image_reference import refer
from napari_unet.workflow.inputs.labelled_images import LabelledImage
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset

MOST_OF = 0.5  # share of an object that must lie in another
SMALL = 20  # pixels; what is smaller is no object that somebody mends
Edit = tuple[str, "NDArray[np.float64]"]


def edits_of(objects: NDArray[np.int32], reference: NDArray[np.int32]) -> Iterator[Edit]:
    """Strokes that mend objects: "split" or "merge", with rows and columns."""
    for whole, parts, kind in ((objects, reference, "split"), (reference, objects, "merge")):
        for number in np.unique(whole[whole > 0]):
            inside = whole == number
            pieces = [
                part
                for part in np.unique(parts[inside & (parts > 0)])
                if np.count_nonzero(parts == part) >= SMALL and np.mean(inside[parts == part]) > MOST_OF
            ]
            if len(pieces) == 2:
                one, other = (np.argwhere(parts == piece) for piece in pieces)
                yield kind, border(one, other) if kind == "split" else np.stack([middle(one), middle(other)])


def middle(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The pixel that is nearest to the centre."""
    centre = pixels.mean(axis=0)
    return np.asarray(pixels[np.argmin(((pixels - centre) ** 2).sum(axis=1))], np.float64)


def border(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """A straight stroke between two objects, across all of both."""
    first, second = one.mean(axis=0), other.mean(axis=0)
    way = (second - first) / np.hypot(*(second - first))
    # Half way between where one ends and the other begins, along the line of their centres.
    place = (np.max((one - first) @ way) + np.min((other - first) @ way)) / 2
    across = np.array([-way[1], way[0]])
    reach = max(np.abs((pixels - first) @ across).max() for pixels in (one, other)) + 3
    return np.stack([first + way * place - across * reach, first + way * place + across * reach])


def corrected(model: Model, dataset: Dataset, strokes: int) -> tuple[Corrections, dict[str, int]]:
    """Corrections of so many strokes, and how many of which kind."""
    kept, count = Corrections.in_memory(), {"split": 0, "merge": 0}
    found = {r.sample.id: r for r in segment_samples(dataset.samples, model)}
    masks = {i: r.mask for i, r in found.items()}
    waiting: dict[str, list[Edit]] = {}
    for identifier, one in found.items():
        true = dataset.mask(one.sample).objects
        waiting[identifier] = [] if true is None else list(edits_of(one.objects, true))
    for identifier in cycle(list(waiting)):
        if sum(count.values()) == strokes or not any(waiting.values()):
            return kept, count
        if not waiting[identifier]:
            continue
        kind, path = waiting[identifier].pop(0)
        mask = masks[identifier]
        objects = join_numbers(found[identifier].objects * (mask > 0), kept.joined(identifier), mask)
        try:
            edit = (split_objects if kind == "split" else merge_objects)(mask, objects, path)
        except DataError:
            continue
        kept.record(identifier, mask, edit.mask, kind, joined=edit.joined, cut=edit.cut)
        masks[identifier] = edit.mask
        count[kind] += 1
    raise AssertionError("an endless list has ended")


def row(title: str, overall: dict[str, Any]) -> str:
    """One line of the table."""
    found = overall["scores"]
    cells = [title, *(f"{found[name]['pooled']:.0f}" for name in ("splits", "merges"))]
    cells += [f"{found['f1_50']['mean']:.3f}", f"{found['ap']['mean']:.3f}", f"{overall['mean_iou']:.3f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Correct, learn, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    model = Model.load(options.model, default_precision())
    dataset = held_out(open_dataset(options.data), model)
    ids = [s.id for s in dataset.samples]
    pool, unseen = dataset.subset(ids[::2]), dataset.subset(ids[1::2])
    kept, count = corrected(model, pool, options.strokes)
    samples = {s.id: s for s in pool.samples}
    print(f"{count['split']} cuts and {count['merge']} joins on {len(kept)} images; {len(unseen)} judge")
    print("| | splits | merges | F1 at 0.5 | AP | mean IoU |")
    print("| --- |" + " --- |" * 5)
    print(row("before", scores(unseen, model)), flush=True)
    for title, objects in (("with objects", True), ("pixels alone", False)):
        taught = []
        for identifier in kept:
            mask = kept.reference(identifier)
            image = refer(samples[identifier], None)
            known = mask.objects if objects else None
            taught.append(LabelledImage(image, mask.labels, mask.weights, identifier, known))
        with tempfile.TemporaryDirectory() as folder:
            settings = FineTuneSettings(seconds=options.seconds)
            out = Path(folder) / "model"
            run_inline(FineTuneTask(options.model, tuple(taught), out, settings, reserve=False))
            print(row(title, scores(unseen, Model.load(out, default_precision()))), flush=True)


if __name__ == "__main__":
    main()
