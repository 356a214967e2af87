"""How long scores take: 10,000 masks of 101 x 101 pixels, and 100 images of 512 x 512 with 200 objects each.

Times are of the processor (one core is used), so that they hold on a busy machine, too.

Run: python benchmarks/scores.py [COUNT]
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.score import Evaluation
from napari_unet.inference.postprocess import connected_objects
from napari_unet.metrics.boundaries import count_outlines
from napari_unet.metrics.objects import pair_objects, tally_objects
from napari_unet.metrics.overlap import count_overlap, image_scores
from napari_unet.metrics.regions import count_regions
from napari_unet.metrics.registry import Counted, scores_of
from napari_unet.metrics.uncertainty import mean_interval
from napari_unet.settings import EvaluationSettings

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 101
LIMIT_SECONDS = 2.0  # for 10,000 images, all overlap scores
OBJECT_IMAGES, OBJECT_SIDE, OBJECTS = 100, 512, 200
OBJECT_LIMIT = 10.0


def make_masks(count: int, classes: int, seed: int) -> np.ndarray:
    """Masks of wavy layers, two fifths of them empty.

    Returns
    -------
    numpy.ndarray
        (count, 101, 101) uint8, 0..classes.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    masks = np.zeros((count, SIZE, SIZE), np.uint8)
    for index in np.flatnonzero(rng.random(count) > 0.4):
        a, b, c, d = rng.random(4)
        height = (y - a + 0.2 * d * np.sin(2 * np.pi * (4 * b * x + c))) * (classes + 1)
        masks[index] = np.clip(np.ceil(height), 0, classes)
    return masks


def class_by_class(reference: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[float, float]:
    """Mean IoU and Dice of the classes present, each from comparisons of its own."""
    iou, dice = [], []
    for label in range(1, classes + 1):
        if not ((reference == label) | (predicted == label)).any():
            continue
        both = ((reference == label) & (predicted == label)).sum()
        iou.append(both / ((reference == label) | (predicted == label)).sum())
        dice.append(2 * both / ((reference == label).sum() + (predicted == label).sum()))
    return (float(np.mean(iou)), float(np.mean(dice))) if iou else (1.0, 1.0)


def counted_once(reference: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[float, float]:
    """The same from the project's counts."""
    scores = image_scores(reference, predicted, classes)
    return scores.iou, scores.dice


def timed(
    score: Callable[[np.ndarray, np.ndarray, int], tuple[float, float]],
    references: np.ndarray,
    predictions: np.ndarray,
    classes: int,
) -> tuple[float, np.ndarray]:
    """Seconds, and the scores (N, 2)."""
    start = time.process_time()
    found = [score(a, b, classes) for a, b in zip(references, predictions, strict=True)]
    return time.process_time() - start, np.array(found)


def all_overlap(reference: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[float, float]:
    """All nine overlap scores; IoU and Dice of them."""
    found = scores_of(Counted(count_overlap(reference, predicted, classes)))
    return found["iou"], found["dice"]


def main() -> int:
    """Print tables; exit code 1 where a limit is missed or two ways differ."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    failed = False
    print(f"{count:,} pairs of masks of {SIZE} x {SIZE}; limit for all scores {LIMIT_SECONDS} s for 10,000")
    print(f"{'classes':>7} {'IoU and Dice':>13} {'all scores':>11} {'class by class':>15}")
    for classes in (1, 2, 5):
        references, predictions = (make_masks(count, classes, seed) for seed in (0, 1))
        ours, scores = timed(counted_once, references, predictions, classes)
        every, again = timed(all_overlap, references, predictions, classes)
        naive, expected = timed(class_by_class, references, predictions, classes)
        failed |= not np.allclose(scores, expected, atol=1e-12) or not np.array_equal(scores, again)
        failed |= classes == 1 and every * 10_000 / count > LIMIT_SECONDS
        print(f"{classes:7} {ours:11.3f} s {every:9.3f} s {naive:13.3f} s")
        if classes == 1:
            report_time(references, predictions)
    return int(failed | objects())


def report_time(references: np.ndarray, predictions: np.ndarray) -> None:
    """Print what a whole evaluation takes."""
    for scores in ("overlap", "auto"):
        settings = EvaluationSettings(scores=scores)
        evaluation = Evaluation(("salt",), settings, competition="tgs-salt")
        start = time.process_time()
        for number, (reference, predicted) in enumerate(zip(references, predictions, strict=True)):
            evaluation.add(str(number), str(number // 4), "unseen", ReferenceMask(reference), predicted)
        added = time.process_time()
        columns = len(evaluation.overall()["scores"])
        print(
            f"        evaluation, scores={scores}: adding {added - start:.3f} s, "
            f"overall with intervals of {columns} scores over groups {time.process_time() - added:.3f} s"
        )
    values, groups = (
        np.random.default_rng(0).random(len(references)),
        [str(n) for n in range(len(references))],
    )
    start = time.process_time()
    mean_interval(values, groups)
    print(f"        one interval where each image is a group: {time.process_time() - start:.3f} s")


def make_objects(seed: int) -> np.ndarray:
    """A picture of 200 discs, later ones over earlier ones.

    Returns
    -------
    numpy.ndarray
        (512, 512) int32.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros((OBJECT_SIDE, OBJECT_SIDE), np.int32)
    y, x = np.mgrid[-20:21, -20:21]
    for number in range(1, OBJECTS + 1):
        top, left = rng.integers(0, OBJECT_SIDE - 41, 2)
        inside = y * y + x * x < rng.uniform(6, 20) ** 2
        out[top : top + 41, left : left + 41][inside] = number
    return out


def object_by_object(reference: np.ndarray, predicted: np.ndarray) -> int:
    """Hits at IoU 0.5, each pair of objects compared by itself where their first pixels say so."""
    hits = 0
    for number in np.unique(reference[reference > 0]):
        one = reference == number
        for other in np.unique(predicted[one]):
            two = predicted == other
            hits += bool(other) and 2 * int((one & two).sum()) > int((one | two).sum())
    return hits


def objects() -> bool:
    """Print how long objects take; whether the limit is missed or two ways differ."""
    pictures = [make_objects(seed) for seed in range(OBJECT_IMAGES)]
    moved = [np.roll(picture, (2, 1), (0, 1)) for picture in pictures]
    print(f"\n{OBJECT_IMAGES} images of {OBJECT_SIDE} x {OBJECT_SIDE} with {OBJECTS} objects each, "
          f"limit {OBJECT_LIMIT} s")  # fmt: skip
    start = time.process_time()
    tallies = [tally_objects(a, b) for a, b in zip(pictures, moved, strict=True)]
    matched = time.process_time() - start
    start = time.process_time()
    for picture in moved:
        connected_objects((picture > 0).astype(np.uint8))
    labelled = time.process_time() - start
    start = time.process_time()
    expected = object_by_object(pictures[0], moved[0])
    naive = (time.process_time() - start) * OBJECT_IMAGES
    hits = sum(t.found(0.5) for t in tallies)
    print(f"matched and counted at ten thresholds: {matched:.3f} s ({hits} hits at 0.5)")
    print(f"connected pieces of the predictions:   {labelled:.3f} s")
    print(f"pair by pair at one threshold:         {naive:.1f} s, by the first image")
    print(f"pairs that share pixels:               {len(pair_objects(pictures[0], moved[0]).both)} an image")
    masks = [
        ((a > 0).astype(np.uint8), (b > 0).astype(np.uint8)) for a, b in zip(pictures, moved, strict=True)
    ]
    for name, score in (("outlines", count_outlines), ("membranes", count_regions)):
        start = time.process_time()
        for a, b in masks[:20]:
            score(a, b)
        print(f"{name + ' of an image:':38} {(time.process_time() - start) / 20:.3f} s")
    return matched + labelled > OBJECT_LIMIT or expected != tallies[0].found(0.5)


if __name__ == "__main__":
    sys.exit(main())
