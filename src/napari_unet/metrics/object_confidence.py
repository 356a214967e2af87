"""How likely an object is right: the probability that its IoU with a true object is at least 0.5.

What a network says in an object and around it is put together by logistic regression; isotonic regression
makes a probability of that. Both are fitted on validation images, and stored with the model as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.metrics.object_measures import measure_objects
from napari_unet.metrics.objects import pair_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.metrics.object_measures import ObjectTable

    # What a network says: (Y, X, K) probabilities, and (Y, X) what tells objects apart, if it does.
    Said = tuple[NDArray[np.floating], NDArray[np.floating] | None]

KEY = "object_confidence"  # in a model's provenance
RIGHT = 0.5  # IoU from which on an object is right
RING = 3.0  # pixels around an object that are looked at
BAND, HALO = 1024, 4  # rows that are looked at together, and rows more above and below
UNSURE = 0.7  # probability below which a pixel is in doubt
LOW = 0.1  # share of the pixels that are below the low probability
PENALTY = 1.0  # of squared weights
STEPS = 50  # of Newton's method at most
FOLDS = 5
FEWEST_OBJECTS = 50  # below that nothing is fitted
FEWEST_OF_A_KIND = 5  # right ones, and wrong ones
DIGITS = 5
EVIDENCE = (
    "mean", "low", "unsure", "rim", "around", "contrast", "contact", "border", "size", "relative_size",
    "solidity", "eccentricity", "deepest", "depth", "contact_depth",
)  # fmt: skip


def object_evidence(
    table: ObjectTable,
    objects: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    separation: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """What the network says in each object and around it.

    Parameters
    ----------
    table : ObjectTable
        Measurements of the objects.
    objects : numpy.ndarray
        (Y, X) integers, 0 background, one number an object.
    probabilities : numpy.ndarray
        (Y, X, K) in [0, 1].
    separation : numpy.ndarray, optional
        (Y, X) in [0, 1], the network's output that tells objects apart.

    Returns
    -------
    numpy.ndarray
        (N, 15) float64, in the order of ``EVIDENCE``; 0 where there is no such pixel.

    Notes
    -----
    - mean, low: mean and 10th percentile of the probability of its class;
    - unsure: share of its pixels with a probability below 0.7;
    - rim, around: mean probability on its rim, and within 3 pixels around it;
    - contrast: mean minus around;
    - contact, border: share of its rim that touches another object, and the border of the image;
    - size, relative_size: logarithm of the area, and of the area over the median of the image;
    - solidity, eccentricity: see ``measure_objects``;
    - deepest, depth, contact_depth: highest and mean separation, and its mean where it touches another one.
    """
    numbers = np.asarray(table.columns["object"], np.int64)
    labels = np.asarray(table.columns["label"], np.int64)
    count = len(numbers)
    place = np.full(int(objects.max(initial=0)) + 1, -1, np.int32)
    place[numbers] = np.arange(count)
    rows = place[objects]  # -1 on the background
    inside = rows >= 0
    label = np.minimum(labels, probabilities.shape[-1]) - 1

    def of_class(said: NDArray[np.floating], pixels: _Pixels) -> NDArray[np.float64]:
        where, owner = pixels
        return np.asarray(said[where][np.arange(len(owner)), label[owner]], np.float64)

    def mean(owner: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        pixels = np.bincount(owner, minlength=count)
        return np.bincount(owner, values, minlength=count) / np.maximum(pixels, 1)

    owner = rows[inside]
    sure = of_class(probabilities, _Pixels(inside, owner))
    order = np.lexsort((sure, owner))
    area = np.bincount(owner, minlength=count)
    first = np.cumsum(area) - area
    low = sure[order][first + (LOW * (area - 1)).astype(np.int64)] if count else np.zeros(0)
    mean_in = mean(owner, sure)
    unsure = mean(owner, (sure < UNSURE).astype(np.float64))
    depth = np.zeros((3, count))
    if separation is not None:
        deep = np.asarray(separation[inside], np.float64)
        if count:
            depth[0] = np.maximum.reduceat(deep[order], first)
        depth[1] = mean(owner, deep)
        del deep
    del sure, order
    # Pixels on rims, next to another object, at the border of the image, around; sums of the first and last.
    rims, contacts, borders, rings = counts = np.zeros((4, count))
    on_rims, on_rings = sums = np.zeros((2, count))
    for seen, own in _bands(len(rows)):
        edges = _edges(rows[seen], own)
        rim, touching, _, ring = edges
        for number, one in zip(counts, edges, strict=True):
            number += np.bincount(one.owner, minlength=count)
        for total, one in zip(sums, (rim, ring), strict=True):
            values = of_class(probabilities[seen][own], one)
            total += np.bincount(one.owner, values, minlength=count)
        if separation is not None:
            deep = np.asarray(separation[seen][own][touching.where], np.float64)
            depth[2] += np.bincount(touching.owner, deep, minlength=count)
    around = on_rings / np.maximum(rings, 1)
    depth[2] /= np.maximum(contacts, 1)
    median = float(np.median(area)) if count else 1.0
    columns = (
        mean_in, low, unsure, on_rims / np.maximum(rims, 1), around, mean_in - around,
        contacts / np.maximum(rims, 1), borders / np.maximum(rims, 1), np.log(np.maximum(area, 1)),
        np.log(np.maximum(area, 1) / median), np.asarray(table.columns["solidity"]),
        np.asarray(table.columns["eccentricity"]), *depth,
    )  # fmt: skip
    return np.stack([np.asarray(c, np.float64) for c in columns], axis=1)


class _Pixels(NamedTuple):
    """Some pixels of a band: (Y, X) bool, and which object each belongs to, (N,)."""

    where: NDArray[np.bool_]
    owner: NDArray[np.integer]


def _bands(height: int) -> Iterator[tuple[slice, slice]]:
    """Rows to look at, and which of them count: so that distances around objects are those of the whole."""
    for top in range(0, height, BAND):
        seen = slice(max(0, top - HALO), min(height, top + BAND + HALO))
        yield seen, slice(top - seen.start, min(height, top + BAND) - seen.start)


def _edges(rows: NDArray[np.integer], own: slice) -> tuple[_Pixels, _Pixels, _Pixels, _Pixels]:
    """Pixels on rims, those of them that touch another object and the image's border, and those around.

    Parameters
    ----------
    rows : numpy.ndarray
        (Y, X) integers: the object of each pixel, -1 on the background.
    own : slice
        Rows that are asked for.
    """
    from scipy import ndimage

    inside = rows >= 0
    padded = np.pad(rows, 1, constant_values=-2)
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    rim, touching, at_border = (np.zeros(rows.shape, bool) for _ in range(3))
    for other in beside:
        rim |= other != rows
        touching |= (other != rows) & (other >= 0)
        at_border |= other == -2
    found = [(rim & inside & which)[own] for which in (rim, touching, at_border)]
    ring = np.zeros(rows.shape, bool)
    near = rows[:0, 0]
    if inside.any() and not inside.all():
        distance, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
        ring[own] = (distance[own] > 0) & (distance[own] <= RING)
        near = rows[tuple(nearest[:, ring])]
    on_rim, in_touch, on_border = (_Pixels(where, rows[own][where]) for where in found)
    return on_rim, in_touch, on_border, _Pixels(ring[own], near)


def best_iou(
    numbers: NDArray[np.integer], objects: NDArray[np.integer], reference: NDArray[np.integer]
) -> NDArray[np.float64]:
    """IoU of each object with the true object that it fits best.

    Parameters
    ----------
    numbers : numpy.ndarray
        (N,) numbers of objects, rising.
    objects, reference : numpy.ndarray
        (Y, X) integers, 0 background.

    Returns
    -------
    numpy.ndarray
        (N,) float64 in [0, 1]. From 0.5 on no true object belongs to two of them, but for exactly one half.
    """
    pairs = pair_objects(reference, objects)
    best = np.zeros(len(numbers))
    np.maximum.at(best, pairs.predicted, pairs.iou)
    return best


@dataclass(frozen=True, eq=False)
class ObjectConfidence:
    """From evidence to the probability that an object is right.

    Attributes
    ----------
    mean, scale, weights : numpy.ndarray
        (F,) float64: evidence is centred, divided, weighted and added up, with `offset`.
    offset : float
        Of that sum.
    sums, probabilities : numpy.ndarray
        (M,) float64, both rising: the probability at each sum, straight between them, constant beyond.
    objects, images : int
        That it was fitted on.
    model : str
        Whose validation images these are, where they are of another model: the parent of a version, a member
        of an ensemble. Empty: its own.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: float
    sums: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    objects: int = 0
    images: int = 0
    model: str = ""

    @property
    def words(self) -> str:
        """What it was fitted on: "1,097 objects of 24 validation images"."""
        found = f"{self.objects:,} objects of {self.images:,} validation image{'s' * (self.images != 1)}"
        return f"{found} of the model {self.model}" if self.model else found

    def __call__(self, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) probabilities in [0, 1] of (N, F) evidence, see ``object_evidence``."""
        total = (evidence - self.mean) / self.scale @ self.weights + self.offset
        return np.asarray(np.interp(total, self.sums, self.probabilities))

    @classmethod
    def fitted(
        cls, evidence: Sequence[NDArray[np.float64]], right: Sequence[NDArray[np.bool_]]
    ) -> ObjectConfidence | None:
        """Fit it to the objects of validation images.

        Parameters
        ----------
        evidence : sequence of numpy.ndarray
            (N, F) of each image.
        right : sequence of numpy.ndarray
            (N,) bool of each image: whether the IoU of the object is 0.5 or more.

        Returns
        -------
        ObjectConfidence or None
            None of fewer than 50 objects, or fewer than 5 right or wrong ones.

        Notes
        -----
        Isotonic regression is fitted to sums that a regression on the other images gave, in five parts: on
        the same images it would be too sure. References: Zadrozny, Elkan 2002 (isotonic calibration),
        doi:10.1145/775047.775151; Ayer et al. 1955 (pool adjacent violators), doi:10.1214/aoms/1177728423.
        """
        known = [(e, r) for e, r in zip(evidence, right, strict=True) if len(r)]
        values = np.concatenate([e for e, _ in known]) if known else np.zeros((0, len(EVIDENCE)))
        wanted = np.concatenate([r for _, r in known]) if known else np.zeros(0, bool)
        fewest = min(int(wanted.sum()), int((~wanted).sum()))
        if len(wanted) < FEWEST_OBJECTS or fewest < FEWEST_OF_A_KIND or len(known) < FOLDS:
            return None
        part = np.concatenate([np.full(len(r), n % FOLDS) for n, (_, r) in enumerate(known)])
        apart = np.zeros(len(wanted))
        for fold in range(FOLDS):
            rest = part != fold
            mean, scale, weights, offset = _logistic(values[rest], wanted[rest])
            apart[~rest] = (values[~rest] - mean) / scale @ weights + offset
        mean, scale, weights, offset = _logistic(values, wanted)
        sums, probabilities = isotonic(apart, wanted.astype(np.float64))
        # Nobody is right for certain: the ends are as if one more object was right, and one wrong.
        ends = 1 / (len(wanted) + 2)
        probabilities = np.clip(probabilities, ends, 1 - ends)
        return cls(mean, scale, weights, offset, sums, probabilities, len(wanted), len(known))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, for a model's provenance."""
        return {
            "evidence": list(EVIDENCE),
            **{name: _short(getattr(self, name)) for name in ("mean", "scale", "weights")},
            "offset": round(self.offset, DIGITS),
            "sums": _short(self.sums),
            "probabilities": _short(self.probabilities),
            "objects": self.objects,
            "images": self.images,
            **({"model": self.model} if self.model else {}),
        }

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> ObjectConfidence | None:
        """What a model has stored; None of a model that has nothing of this kind, or of another version."""
        stored = provenance.get(KEY)
        if not isinstance(stored, dict) or tuple(stored.get("evidence", ())) != EVIDENCE:
            return None
        try:
            mean, scale, weights, sums, probabilities = (
                np.array(stored[name], np.float64)
                for name in ("mean", "scale", "weights", "sums", "probabilities")
            )
            found = cls(
                mean, scale, weights, float(stored["offset"]), sums, probabilities,
                int(stored["objects"]), int(stored["images"]), str(stored.get("model", "")),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            return None
        fits = all(a.shape == (len(EVIDENCE),) for a in (mean, scale, weights))
        fits = fits and sums.ndim == 1 and len(sums) > 0 and sums.shape == probabilities.shape
        finite = fits and all(np.isfinite(a).all() for a in (mean, scale, weights, sums, probabilities))
        return found if finite and (scale > 0).all() and (np.diff(sums) >= 0).all() else None


def measure_with_confidence(
    objects: NDArray[np.integer],
    mask: NDArray[np.integer],
    image: NDArray[np.generic] | None,
    said: Said | None,
    spacing: tuple[float, float] | None = None,
    unit: str = "",
    confidence: ObjectConfidence | None = None,
    pause: Callable[[], None] = lambda: None,
) -> ObjectTable:
    """As ``measure_objects``, with the probability that each object is right as its confidence.

    Parameters
    ----------
    objects, mask, image, spacing, unit, pause
        See ``measure_objects``.
    said : tuple or None
        Probabilities (Y, X, K), and what tells objects apart, (Y, X) or None; None: no network was asked.
    confidence : ObjectConfidence or None
        Of the model; without it the mean of the probabilities stays.
    """
    probabilities = None if said is None else said[0]
    table = measure_objects(objects, mask, image, probabilities, spacing, unit, pause)
    if said is not None and confidence is not None and len(table):
        pause()
        table.columns["confidence"] = confidence(object_evidence(table, objects, *said))
    return table


def isotonic(
    values: NDArray[np.float64], wanted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The rising function that comes closest to what is wanted, by squares: pool adjacent violators.

    Parameters
    ----------
    values, wanted : numpy.ndarray
        (N,) float64, N > 0.

    Returns
    -------
    places, levels : numpy.ndarray
        (M,) each, both strictly rising: the mean value of each pool, and the mean of what is wanted there.
    """
    known, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    sums = np.bincount(place.ravel(), wanted, minlength=len(known))  # equal values are one place
    pools: list[list[float]] = []  # sum of values, sum of wanted, count
    for value, want, count in zip(known.tolist(), sums.tolist(), counts.tolist(), strict=True):
        pools.append([value * count, want, float(count)])
        while len(pools) > 1 and pools[-2][1] * pools[-1][2] >= pools[-1][1] * pools[-2][2]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    found = np.array(pools)
    return found[:, 0] / found[:, 2], found[:, 1] / found[:, 2]


def _logistic(
    values: NDArray[np.float64], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Mean, scale, weights and offset of a logistic regression with a penalty, by Newton's method."""
    mean, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    inputs = np.column_stack([(values - mean) / scale, np.ones(len(values))])
    weights, target = np.zeros(inputs.shape[1]), wanted.astype(np.float64)
    penalty = np.full(inputs.shape[1], PENALTY)
    penalty[-1] = 0
    for _ in range(STEPS):
        said = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (said - target) + penalty * weights
        curve = (inputs * (said * (1 - said))[:, None]).T @ inputs + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return mean, scale, weights[:-1], float(weights[-1])


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.{DIGITS + 1}g}") for value in values]
