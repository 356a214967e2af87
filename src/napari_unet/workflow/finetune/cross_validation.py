"""Few corrections judge what they teach: a network learns from half of them, and the other half judges it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample

MOST_OF_A_FOLD = 6  # images that judge; more would take longer than they tell


@dataclass(frozen=True, eq=False)
class Fold:
    """What one network of a cross-validation learns from, and what judges it.

    Attributes
    ----------
    teach, judge : tuple of Sample
        No pixel is in both.
    """

    teach: tuple[Sample, ...]
    judge: tuple[Sample, ...]


@dataclass(frozen=True, eq=False)
class FoldScores:
    """What a cross-validation found.

    Attributes
    ----------
    old : mapping
        Id to IoU of the old network.
    new : mapping
        Point of the line to (id to IoU of the network that did not learn from that image).
    groups : mapping
        Id to group.
    note : str
        How these images judge.
    """

    old: Mapping[str, float]
    new: Mapping[float, Mapping[str, float]]
    groups: Mapping[str, str]
    note: str

    def change(self, point: float) -> float:
        """Mean change of IoU at a point; NaN without a known one."""
        changes = [self.new[point][i] - old for i, old in self.old.items()]
        known = [c for c in changes if np.isfinite(c)]
        return float(np.mean(known)) if known else float("nan")


def make_folds(
    samples: Sequence[Sample], dataset: Dataset, may_judge: Callable[[Sample], bool]
) -> list[Fold]:
    """Two folds over corrections; of a single image its halves.

    Parameters
    ----------
    samples : sequence of Sample
        Corrections to learn from.
    dataset : Dataset
        Through whose cache they are read.
    may_judge : callable
        (sample) -> whether it may judge; an image that the old network was trained on must not.

    Returns
    -------
    list of Fold
        Two, or none where that is not possible: no image may judge, or the verified pixels of the only
        image are in one half of it.
    """
    judges = sorted((s for s in samples if may_judge(s)), key=_by_hash)
    if not judges:
        return []
    if len(samples) == 1:
        return _halves(samples[0], dataset)
    # Images of one group, such as slices of one stack, must not be parted.
    groups: dict[str, list[Sample]] = {}
    for sample in judges:
        groups.setdefault(sample.group or sample.id, []).append(sample)
    if len(groups) == 1 and len(judges) == len(samples):
        groups = {s.id: [s] for s in judges}
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for members in groups.values():
        sides[len(sides[1]) < len(sides[0])].extend(members)
    folds = []
    for side in sides:
        held = {s.id for s in side}
        teach = tuple(s for s in samples if s.id not in held)
        if side and teach:
            folds.append(Fold(teach, tuple(side[:MOST_OF_A_FOLD])))
    return folds


def _by_hash(sample: Sample) -> bytes:
    return hashlib.blake2b(sample.id.encode("utf-8", "replace")).digest()


def _halves(sample: Sample, dataset: Dataset) -> list[Fold]:
    shape = dataset.mask(sample).labels.shape
    axis = int(shape[1] > shape[0])
    halves = []
    for last in (False, True):
        weights = half_known(dataset.mask(sample), axis, last).weights
        if weights is None or not (weights > 0).any():
            return []
        halves.append(
            replace(
                sample,
                id=f"{sample.id}, {'second' if last else 'first'} half",
                load_image=partial(dataset.image, sample),
                load_mask=partial(half_known, dataset.mask(sample), axis, last),
                group=sample.group or sample.id,
            )
        )
    first, second = halves
    return [Fold((first,), (second,)), Fold((second,), (first,))]


def half_known(mask: ReferenceMask, axis: int, last: bool) -> ReferenceMask:
    """The mask with one half of it verified, as far as it was, and nothing of the other.

    Parameters
    ----------
    mask : ReferenceMask
        (Y, X).
    axis : int
        Along which it is cut: 0 is Y.
    last : bool
        Whether the half with the higher indices is verified.
    """
    weights = np.ones(mask.labels.shape, np.float32) if mask.weights is None else mask.weights.copy()
    middle = weights.shape[axis] // 2
    hidden = [slice(None), slice(None)]
    hidden[axis] = slice(None, middle) if last else slice(middle, None)
    weights[tuple(hidden)] = 0
    return replace(mask, weights=weights)
