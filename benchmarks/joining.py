"""Rules by which fragments of cells are joined, compared on fib-medulla.

The mean of models over three planes gives the inside of cells. Its watershed gives fragments, and a rule says
which of them are one cell. A face is where two fragments touch; it counts with the lower probability of its
two voxels. The validation block chooses threshold and least value of each rule. The last column has the
errors of all settings that are at most 0.005 worse there. --every prints all settings of the mean alone, and
what share of the largest cell of the held-out block is in one piece. --sure is the probability from which on
fragments are cut from a voxel.

    mean           of the faces of a common border, as the program does it
    median, ...    a quantile of them
    log odds       their sum, relative to a least value; the largest sum is joined first
    learned        a random forest of borders, sizes and probabilities, from the slices of the training
    in the whole   the mean again: all of the volume is seen and joined, and the blocks are cut from it
    perfect        what the reference says: no rule can do better

Run: python benchmarks/joining.py --data DATA --work WORK --models MODEL [MODEL ...] [--every] [--sure P]
WORK is the folder of volumes.py, MODEL a folder in it.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.hardware import default_precision
from napari_unet.inference.agglomeration import SURE, may_be_core, over_borders
from napari_unet.inference.objects import distance_within, grown_from_cores
from napari_unet.inference.volumes.volume_objects import volume_peaks
from napari_unet.metrics.volumes import score_volume
from napari_unet.models.model import load_model
from running import find_set
from volumes import THRESHOLDS, read_bodies, segmented, whole_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset

    Floats = NDArray[np.float64]
    Rule = Callable[[Floats], Floats]  # (pairs, features) to how much each pair belongs together

BINS = 40  # of the probabilities of faces
CENTRES = (np.arange(BINS) + 0.5) / BINS
PART = 37  # slices of each part that the forest learns from
SHARES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
FEW = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
TIE = 0.005  # of the adapted Rand error
WIDE = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
ROUNDS, TREES = 2, 40  # of the forest: each sees the pairs that the one before came across


class Fragments:
    """Fragments of a block, and how they touch.

    Parameters
    ----------
    probability : numpy.ndarray
        (Z, Y, X) float32, of the inside of cells.
    bodies : numpy.ndarray
        (Z, Y, X) int32, numbers of the cells, 0 between them.
    threshold : float
        Of the inside.
    sure : float
        Probability from which on voxels may be of a core of a fragment.
    """

    def __init__(
        self,
        probability: NDArray[np.float32],
        bodies: NDArray[np.int32],
        threshold: float,
        sure: float = SURE,
    ) -> None:
        self.bodies, self.mask = bodies, (probability > threshold).astype(np.uint8)
        deep = may_be_core(self.mask > 0, probability, sure)
        self.places = grown_from_cores(
            over_borders(self.mask), None, lambda inside, _: volume_peaks(inside & deep, None, 1.0)
        )
        of, self.count = self.places.ravel(), int(self.places.max()) + 1
        self.size = np.bincount(of, minlength=self.count).astype(float)
        self.inside = np.bincount(of, probability.ravel(), self.count)
        self.thick = np.zeros(self.count)
        np.maximum.at(self.thick, of, distance_within(self.mask > 0).ravel())
        self.of_body = np.zeros((self.count, int(bodies.max()) + 1))
        np.add.at(self.of_body, (of, bodies.ravel()), 1)
        self.pairs, self.faces = self._borders(probability)

    def _borders(self, probability: NDArray[np.float32]) -> tuple[NDArray[np.int64], Floats]:
        """(N, 2) fragments that touch, and (N, BINS) how many faces they have of each probability."""
        keys, values = [], []
        for axis in range(3):
            one, other = np.moveaxis(self.places, axis, 0)[:-1], np.moveaxis(self.places, axis, 0)[1:]
            moved = np.moveaxis(probability, axis, 0)
            touch = (one != other) & (one > 0) & (other > 0)
            low, high = np.minimum(one, other)[touch], np.maximum(one, other)[touch]
            keys.append(low.astype(np.int64) * self.count + high)
            values.append(np.minimum(moved[:-1], moved[1:])[touch])
        pairs, of_pair = np.unique(np.concatenate(keys), return_inverse=True)
        faces = np.zeros((len(pairs), BINS))
        bins = np.minimum((np.concatenate(values) * BINS).astype(int), BINS - 1)
        np.add.at(faces, (of_pair, bins), 1)
        return np.stack([pairs // self.count, pairs % self.count], axis=1), faces

    def cells(self, numbers: NDArray[np.intp]) -> NDArray[np.int32]:
        """(Z, Y, X): fragments by the numbers of their cells, grown over the membranes as volumes.py does."""
        from scipy import ndimage
        from skimage.segmentation import watershed

        found = np.where(self.mask > 0, numbers[self.places], 0)
        return np.asarray(watershed(ndimage.distance_transform_edt(found == 0), found), np.int32)

    def error(self, numbers: NDArray[np.intp]) -> float:
        """Adapted Rand error of cells."""
        return float(score_volume(self.bodies, self.cells(numbers)).volume.adapted_rand_error)


class Joining:
    """Fragments that are being joined: two at a time, those that belong together most first.

    Attributes
    ----------
    seen : list of tuple
        Features of the pairs that came up, (n, F), and whether each is one cell, (n,) bool.
    """

    def __init__(self, fragments: Fragments) -> None:
        self.fragments = fragments
        self.size, self.inside, self.thick, self.of_body = (
            values.copy() for values in (fragments.size, fragments.inside, fragments.thick, fragments.of_body)
        )
        self.touching: list[dict[int, Floats]] = [{} for _ in range(fragments.count)]
        for (low, high), faces in zip(fragments.pairs.tolist(), fragments.faces, strict=True):
            self.touching[low][high] = self.touching[high][low] = faces
        self.parents = np.arange(fragments.count)
        self.seen: list[tuple[Floats, NDArray[np.bool_]]] = []

    def features(self, pairs: Sequence[tuple[int, int]]) -> Floats:
        """(n, BINS + F): faces of each pair by probability, then what a forest learns from."""
        faces = np.array([self.touching[one][other] for one, other in pairs])
        one, other = np.array(pairs).T
        number = faces.sum(axis=1)
        mean = faces @ CENTRES / number
        spread = np.sqrt(np.maximum(faces @ CENTRES**2 / number - mean**2, 0))
        sizes = np.sort([self.size[one], self.size[other]], axis=0)
        insides = np.sort([self.inside[n] / self.size[n] for n in (one, other)], axis=0)
        thick = np.sort([self.thick[one], self.thick[other]], axis=0)
        shares = [quantile(faces, share) for share in SHARES]
        neck = [number / (np.pi * thick[0] ** 2 + 1), np.log(number / sizes[0] ** (2 / 3))]
        many = [np.log1p(faces[:, CENTRES > 0.8].sum(axis=1)), np.log1p(faces[:, CENTRES < 0.3].sum(axis=1))]
        more = [mean, spread, *shares, np.log(number), *np.log(sizes), *insides, mean - insides[0]]
        return np.column_stack([faces, *more, *thick, *neck, *many])

    def are_one(self, pairs: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
        """(n,): whether the fragments of each pair lie in the same cell for the most part."""
        bodies = self.of_body.copy()
        bodies[:, 0] = 0
        most = bodies.argmax(axis=1)
        one, other = np.array(pairs).T
        return np.asarray((most[one] == most[other]) & (most[one] > 0))

    def run(
        self, rule: Rule, leasts: Sequence[float], *, truly: bool = False
    ) -> dict[float, NDArray[np.intp]]:
        """Join by a rule; gives each least value with the numbers of all fragments.

        With `truly` only those are joined that are one cell: what a rule would come across that is right.
        """
        waiting: list[tuple[float, int, int, int]] = []
        current: dict[tuple[int, int], int] = {}

        def ask(pairs: Sequence[tuple[int, int]]) -> None:
            known = self.features(pairs)
            self.seen.append((known, self.are_one(pairs)))
            for value, pair in zip(rule(known), pairs, strict=True):
                current[pair] = current.get(pair, 0) + 1
                heapq.heappush(waiting, (-float(value), *pair, current[pair]))

        ask([(one, other) for one, other in self.fragments.pairs.tolist()])
        found = {}
        for least in sorted(leasts, reverse=True):
            while waiting and -waiting[0][0] >= least:
                _, one, other, turn = heapq.heappop(waiting)
                joined = self.parents[one] != one or self.parents[other] != other
                if joined or current[one, other] != turn:
                    continue
                if truly and not self.are_one([(one, other)])[0]:
                    continue
                self._join(one, other)
                if self.touching[one]:
                    ask([(min(one, third), max(one, third)) for third in self.touching[one]])
            found[least] = self._numbers()
        return found

    def _join(self, one: int, other: int) -> None:
        self.parents[other] = one
        for values in (self.size, self.inside, self.of_body):
            values[one] += values[other]
        self.thick[one] = max(self.thick[one], self.thick[other])
        del self.touching[one][other]
        for third, faces in self.touching[other].items():
            if third != one:
                both = faces + self.touching[one].get(third, 0)
                self.touching[one][third] = self.touching[third][one] = both
                del self.touching[third][other]
        self.touching[other] = {}

    def _numbers(self) -> NDArray[np.intp]:
        numbers = self.parents.copy()
        while (numbers != numbers[numbers]).any():
            numbers = numbers[numbers]
        return numbers


def quantile(faces: Floats, share: float) -> Floats:
    """(n,): the probability that this share of the faces lies below."""
    below = np.cumsum(faces, axis=1) / faces.sum(axis=1, keepdims=True)
    return np.asarray(((below < share).sum(axis=1) + 0.5) / BINS)


def of_quantile(share: float, features: Floats) -> Floats:
    """(n,): that quantile of the faces."""
    return quantile(features[:, :BINS], share)


def mean(features: Floats) -> Floats:
    """(n,): the mean probability of the faces."""
    faces = features[:, :BINS]
    return np.asarray(faces @ CENTRES / faces.sum(axis=1))


def log_odds(zero: float) -> Rule:
    """The sum of the log odds of faces, relative to those of a probability."""
    odds = np.log(CENTRES / (1 - CENTRES)) - np.log(zero / (1 - zero))
    return lambda features: np.asarray(features[:, :BINS] @ odds)


def learned(parts: Sequence[Fragments]) -> Rule:
    """A random forest of the pairs that came up where truth, the mean, and earlier forests joined."""
    from sklearn.ensemble import RandomForestClassifier

    rule: Rule = mean
    seen: list[tuple[Floats, NDArray[np.bool_]]] = []
    for part in parts:
        joining = Joining(part)
        joining.run(mean, (0.3,), truly=True)
        seen += joining.seen
    for _ in range(ROUNDS):
        for part in parts:
            joining = Joining(part)
            joining.run(rule, (0.6,))
            seen += joining.seen
        forest = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=0)
        forest.fit(np.concatenate([x[:, BINS:] for x, _ in seen]), np.concatenate([y for _, y in seen]))
        rule = asks(forest)
    return rule


def asks(forest: Any) -> Rule:
    """The share of the trees that call a pair one cell."""
    return lambda features: np.asarray(forest.predict_proba(features[:, BINS:])[:, 1])


def perfect(block: Fragments) -> float:
    """Error where each fragment, grown over the membranes, belongs to the cell that it overlaps most."""
    grown = block.cells(np.arange(block.count))
    overlap = np.zeros((block.count, int(block.bodies.max()) + 1))
    np.add.at(overlap, (grown.ravel(), block.bodies.ravel()), 1)
    overlap[:, 0] = 0
    return float(score_volume(block.bodies, overlap.argmax(axis=1)[grown]).volume.adapted_rand_error)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--sure", type=float, default=SURE)
    options = parser.parse_args()
    data = find_set(options.data, ["fib-medulla"])
    if data is None:
        print(f"fib-medulla is not in {options.data}", file=sys.stderr)
        return 1
    split = whole_split("fib-medulla", data, options.work)
    dataset, bodies = open_dataset(data), read_bodies(data)
    folders = [options.work / name for name in options.models]
    blocks = [seen_by(folders, dataset, ids) for ids in (split.validation, split.held_out)]
    if options.every:
        print_every(blocks, bodies, options.sure)
        return 0
    taught = seen_by(folders, dataset, split.train)
    whole = seen_by(folders, dataset, [sample.id for sample in dataset.samples])
    results: dict[str, dict[tuple[float, float], list[float]]] = {}
    for threshold in THRESHOLDS:
        both = [Fragments(values, bodies[z], threshold, options.sure) for z, values in blocks]
        z, values = taught
        parts = [
            Fragments(values[start : start + PART], bodies[z[start : start + PART]], threshold, options.sure)
            for start in range(0, len(z), PART)
        ]
        for name, zero, rule, leasts in rules(parts):
            for block in both:
                for least, numbers in Joining(block).run(rule, leasts).items():
                    chosen = results.setdefault(name, {}).setdefault((threshold, zero or least), [])
                    chosen.append(block.error(numbers))
        volume = Fragments(whole[1], bodies, threshold, options.sure)
        for least, numbers in Joining(volume).run(mean, FEW).items():
            found = volume.cells(numbers)
            cut = [score_volume(bodies[z], found[z]).volume.adapted_rand_error for z, _ in blocks]
            results.setdefault("mean, in the whole", {})[threshold, least] = list(map(float, cut))
        results.setdefault("perfect", {})[threshold, 0] = [perfect(block) for block in both]
    print("| joined by | threshold | least | validation block | held-out block | where settings tie |")
    print("|" + " --- |" * 6)
    for name, tried in results.items():
        (threshold, least), (validation, held_out) = min(tried.items(), key=lambda how: how[1][0])
        ties = [far for near, far in tried.values() if near <= validation + TIE]
        settings = f"{threshold} | {least} | {validation:.3f} | {held_out:.3f}"
        print(f"| {name} | {settings} | {min(ties):.3f} to {max(ties):.3f} |")
    return 0


def print_every(
    blocks: Sequence[tuple[NDArray[np.intp], NDArray[np.float32]]], bodies: NDArray[np.int32], sure: float
) -> None:
    """All settings of the mean: both errors, and the share of the largest held-out cell in one piece."""
    print("| threshold | least | validation block | held-out block | largest cell |\n|" + " --- |" * 5)
    for threshold in THRESHOLDS:
        near, far = (Fragments(values, bodies[z], threshold, sure) for z, values in blocks)
        joined = (Joining(block).run(mean, FEW) for block in (near, far))
        largest = far.bodies == np.bincount(far.bodies[far.bodies > 0]).argmax()
        for (least, one), other in zip(*(found.items() for found in joined), strict=True):
            pieces = np.bincount(far.cells(other[1])[largest])
            errors = f"{near.error(one):.3f} | {far.error(other[1]):.3f}"
            print(f"| {threshold} | {least} | {errors} | {pieces.max() / pieces.sum():.2f} |")


def rules(parts: Sequence[Fragments]) -> Iterator[tuple[str, float, Rule, tuple[float, ...]]]:
    """Name, zero of the log odds, rule, and the least values to try."""
    yield "mean", 0, mean, FEW
    for name, share in (("median", 0.5), ("75th percentile", 0.75), ("90th percentile", 0.9)):
        yield name, 0, partial(of_quantile, share), WIDE
    for zero in WIDE[2:]:
        yield "log odds", zero, log_odds(zero), (0.0,)
    yield "learned", 0, learned(parts), WIDE


def seen_by(
    folders: Sequence[Path], dataset: Dataset, ids: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Numbers of slices, and (Z, Y, X) float32: the mean probability of the inside, over three planes."""
    every = []
    for folder in folders:
        model = load_model(folder, default_precision())
        planes = model.recipe.inference.model_copy(update={"orthogonal": True})
        z, probabilities = segmented(dataset, ids, model, planes)
        every.append(probabilities[..., 0])
    return z, np.mean(every, axis=0, dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main())
