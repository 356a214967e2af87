"""An order in which each image stands for many that a model gets wrong, not for the same few again.

It was the window's, until it was found to be no better than a random one (docs/benchmarks/loop.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.workflow.review.queue import at_random, worst_first
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.models.model import Model
    from napari_unet.workflow.review.quality_estimate import Calibration, MemberAgreement

ALIKE = 0.5  # mean squared difference, in units of the variance, at which likeness has fallen to 1 / e
AHEAD = 50  # images at the front that are chosen for what they stand for
STOOD_FOR = 300  # images of a large set that are looked at for it
CANDIDATES = 1000  # images of a large set that may be at the front
LEAST_WRONG = 0.02  # of an image that is estimated to be right
NORMAL_TENTHS = 2.563  # deviations between the tenth and the ninetieth percentile of a normal distribution
FARTHEST = 4.0  # deviations from the median
AT_RANDOM = (1, 3)  # places of every five that are drawn
FOREGROUND = 4  # where an appearance has its share of foreground

Appearance = tuple[float, ...]


def appearances(samples: Sequence[Sample], model: Model) -> dict[str, Appearance]:
    """Of each image by its id."""
    plain = model.recipe.inference.model_copy(update={"flips": "none"})
    return {
        result.sample.id: appearance(result.sample.read_image(), result.probabilities)
        for result in segment_samples(samples, model, plain)
    }


def representative(
    found: Sequence[MemberAgreement],
    looks: Mapping[str, Appearance],
    calibration: Calibration,
    done: Sequence[Appearance],
) -> list[str]:
    """Ids: what stands for most that is wrong, two of every five at random, images of one grey value last."""
    queue = worst_first(found, calibration)
    shown = [queued for queued in queue if not is_blank(looks[queued.id])]
    blank = [queued.id for queued in queue if is_blank(looks[queued.id])]
    if not shown:
        return blank
    ids = [queued.id for queued in shown]
    order = representative_order(
        np.array([queued.iou for queued in shown]),
        np.array([looks[i] for i in ids]),
        np.array([look for look in done if not is_blank(look)]),
    )
    return [ids[n] for n in mix_in(order, [ids.index(i) for i in at_random(ids)])] + blank


def appearance(image: NDArray[np.generic], probabilities: NDArray[np.float32]) -> Appearance:
    """A few numbers by which kinds of images differ.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C) as it was read, of any dtype and range.
    probabilities : numpy.ndarray
        (Y, X, K) float32 in [0, 1] that a model gives it.

    Returns
    -------
    tuple of float
        Mean, deviation, colour (mean distance of the channels from their mean), sharpness (mean step
        between neighbours over the deviation), share of foreground, share of hesitation. The first
        three are logarithms, as ranges of images differ.
    """
    values = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    grey = values.mean(axis=2)
    deviation = float(grey.std()) if np.ptp(grey) else 0.0  # the mean of equal numbers is rounded
    colour = float(np.abs(values - grey[..., None]).mean())
    steps = [float(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (0, 1) if grey.shape[axis] > 1]
    sharpness = float(np.mean(steps)) / deviation if steps and deviation > 0 else 0.0
    measured = [float(np.log1p(abs(v))) for v in (float(grey.mean()), deviation, colour)]
    highest = probabilities.max(axis=2)
    hesitation = float((highest * (1 - highest)).mean())
    return (*measured, sharpness, float(highest.mean()), hesitation)


def is_blank(found: Appearance) -> bool:
    """Whether an appearance is that of an image of one grey value."""
    return found[1] == 0


def representative_order(
    iou: NDArray[np.float64],
    appearances: NDArray[np.float64],
    done: NDArray[np.float64] | None = None,
) -> list[int]:
    """Order images so that each stands for as much as possible that is wrong and not yet stood for.

    Parameters
    ----------
    iou : numpy.ndarray
        (N,) known or estimated, 0 to 1, ascending.
    appearances : numpy.ndarray
        (N, D), as ``appearance`` gives them.
    done : numpy.ndarray, optional
        (M, D) of images corrected already.

    Returns
    -------
    list of int
        Positions 0..N - 1: the first 50 as chosen, the others worst first.

    Notes
    -----
    Each choice i adds most to sum over j of (1 - IoU_j) max over chosen and done i of l(i, j), a weighted
    facility location. The likeness l is exp(-d / 0.5), where d is the mean squared difference of the
    appearances, each divided by its deviation over all images. The deviation is 0.39 of the distance between
    the tenth and the ninetieth percentile, so that a few odd images stretch no scale. Worst
    first alone offers what is odd or hopeless, and near copies of it. Settles, Craven 2008,
    doi:10.3115/1613715.1613855 (information density); Sener, Savarese 2018, arXiv:1708.00489 (a batch should
    cover the data).
    """
    count = len(iou)
    if count == 0:
        return []
    every = appearances if done is None or not len(done) else np.concatenate([appearances, done])
    scaled = _scale(every)
    stood_for = np.unique(np.linspace(0, count - 1, min(count, STOOD_FOR)).astype(np.intp))
    candidates = np.unique(np.linspace(0, count - 1, min(count, CANDIDATES)).astype(np.intp))
    likeness = _likeness(scaled[stood_for], scaled[candidates])
    wrong = np.clip(1 - iou[stood_for], LEAST_WRONG, 1.0)
    covered = np.zeros(len(stood_for), np.float32)
    if count < len(every):
        covered = _likeness(scaled[stood_for], scaled[count:]).max(axis=1)
    left = np.ones(len(candidates), bool)
    order: list[int] = []
    while len(order) < min(AHEAD, count):
        gain = wrong @ np.maximum(likeness - covered[:, None], 0)
        best = int(np.argmax(np.where(left, gain, -1.0)))
        order.append(int(candidates[best]))
        left[best] = False
        covered = np.maximum(covered, likeness[:, best])
    others = np.ones(count, bool)
    others[order] = False
    return [*order, *np.flatnonzero(others).tolist()]


def mix_in(order: list[int], drawn: list[int]) -> list[int]:
    """Give two of every five places at the front to images in the order of a draw.

    Parameters
    ----------
    order, drawn : list of int
        Positions 0..N - 1 each, as ``representative_order`` put them and as they were drawn.

    Returns
    -------
    list of int
        Positions 0..N - 1: of each five of the first 50 places the second and fourth are the next drawn,
        all others go by `order`.
    """
    taken: set[int] = set()
    sources = iter(order), iter(drawn)
    mixed = []
    for place in range(len(order)):
        source = sources[place < AHEAD and place % 5 in AT_RANDOM]
        position = next(p for p in source if p not in taken)
        taken.add(position)
        mixed.append(position)
    return mixed


def _scale(every: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, D) in deviations from the median, none further than ``FARTHEST``."""
    low, middle, high = np.percentile(every, [10, 50, 90], axis=0)
    spread = (high - low) / NORMAL_TENTHS
    spread = np.where(spread > 1e-9, spread, every.std(axis=0))  # nine of ten are equal
    spread = np.where(spread > 1e-9, spread, np.inf)
    return np.asarray(np.clip((every - middle) / spread, -FARTHEST, FARTHEST), np.float32)


def _likeness(some: NDArray[np.float32], every: NDArray[np.float32]) -> NDArray[np.float32]:
    """(A, B) of each of A images to each of B."""
    squares = (some**2).mean(axis=1)[:, None] + (every**2).mean(axis=1)[None, :]
    difference = squares - 2 * (some @ every.T) / some.shape[1]
    return np.asarray(np.exp(-np.maximum(difference, 0) / ALIKE))
