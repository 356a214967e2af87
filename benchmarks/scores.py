"""How long 10,000 masks of 101 x 101 pixels take to score, against one comparison a class and number.

Run: python benchmarks/scores.py [COUNT]
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.score import Evaluation
from napari_unet.metrics.overlap import image_scores
from napari_unet.metrics.uncertainty import bootstrap_interval

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 101
LIMIT_SECONDS = 2.0  # for 10,000 images, all overlap scores


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
    start = time.perf_counter()
    found = [score(a, b, classes) for a, b in zip(references, predictions, strict=True)]
    return time.perf_counter() - start, np.array(found)


def main() -> int:
    """Print a table; exit code 1 where a limit is missed or the two ways differ."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    failed = False
    print(f"{count:,} pairs of masks of {SIZE} x {SIZE}, limit {LIMIT_SECONDS} s for 10,000")
    print(f"{'classes':>7} {'counted once':>13} {'a mask':>8} {'class by class':>15} {'ratio':>6}")
    for classes in (1, 2, 5):
        references, predictions = (make_masks(count, classes, seed) for seed in (0, 1))
        ours, scores = timed(counted_once, references, predictions, classes)
        naive, expected = timed(class_by_class, references, predictions, classes)
        failed |= not np.allclose(scores, expected, atol=1e-12) or ours * 10_000 / count > LIMIT_SECONDS
        each = ours / count * 1e6
        print(f"{classes:7} {ours:11.3f} s {each:5.1f} us {naive:13.3f} s {naive / ours:6.1f}")
        if classes == 1:
            report_time(references, predictions)
    return int(failed)


def report_time(references: np.ndarray, predictions: np.ndarray) -> None:
    """Print what a whole evaluation takes, and an interval by itself."""
    evaluation = Evaluation(("salt",), competition="tgs-salt")
    start = time.perf_counter()
    for number, (reference, predicted) in enumerate(zip(references, predictions, strict=True)):
        evaluation.add(str(number), str(number // 4), "unseen", ReferenceMask(reference), predicted)
    added = time.perf_counter()
    evaluation.overall()
    summed = time.perf_counter()
    bootstrap_interval(np.array([s.iou for s in evaluation.scores]), [s.image for s in evaluation.scores])
    print(
        f"        evaluation: adding {added - start:.3f} s, overall with four intervals over groups "
        f"{summed - added:.3f} s, one interval over images {time.perf_counter() - summed:.3f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
