"""Whether an image looks like those that a model was trained on.

A model keeps what some dozens of its training images look like, number by number. The distance of another
image is that to the most similar of them. Images that are farther away than nearly all training images are
from those of other groups do not look like them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_unet.models.image_statistics import NAMES, OCTAVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_unet.models.image_statistics import ImageStatistics
    from napari_unet.models.normalization import Normalization

KEY = "likeness"  # in a model's provenance
MOST_ROWS = 64  # training images of which the numbers are stored
FEWEST_GROUPS = 5  # of training images; from fewer nothing can be said
FALSE_ALARMS = 0.05  # of images of the same kind that are called unlike
DIGITS = 3
# The least by which images of one kind may differ in each number.
LEAST_SCALE = dict(
    zip(NAMES, (0.06, 0.06, 0.15, 0.06, 0.15, 0.05, *(0.05,) * OCTAVES, 0.05, 0.05), strict=True)
)
INTENSITIES = ("median", "bright_share", "skewness", "brightness", "contrast")
TEXTURE = ("fine_share", *(f"octave_{n}" for n in range(1, OCTAVES + 1)))
REASONS = {"direction": "structures of another direction", "colourfulness": "other colours"}
SHIFTED = 0.25  # octaves by which structures are called finer or coarser


class Unlike(NamedTuple):
    """How an image compares with the training images of a model.

    Attributes
    ----------
    distance : float
        To the most similar training image, in shares of the limit; above 1 it does not look like them.
    why : str
        What differs most, in words; empty where it looks like them.
    """

    distance: float
    why: str

    @property
    def is_unlike(self) -> bool:
        """Whether a person should be warned."""
        return self.distance > 1


@dataclass(frozen=True, eq=False)
class Likeness:
    """What the training images of a model look like.

    Attributes
    ----------
    names : tuple of str
        Of the numbers that are compared: those that the network can see.
    rows : numpy.ndarray
        (N, len(names)) float64, one training image each.
    scale : numpy.ndarray
        (len(names),) float64, by which differences are divided.
    limit : float
        Distance up to which an image looks like them.
    false_alarms : float
        Share of images of the same kind that are farther away, 0 to 1.
    measured_on, measured : int
        Images that were not trained on, and how many of them are farther away.
    """

    names: tuple[str, ...]
    rows: NDArray[np.float64]
    scale: NDArray[np.float64]
    limit: float
    false_alarms: float = FALSE_ALARMS
    measured_on: int = 0
    measured: int = 0

    @classmethod
    def of_training(
        cls,
        looks: Sequence[ImageStatistics],
        groups: Sequence[str],
        normalization: Normalization,
        others: Sequence[ImageStatistics] = (),
        variants: Sequence[ImageStatistics] = (),
    ) -> Likeness | None:
        """Measure it.

        Parameters
        ----------
        looks : sequence of ImageStatistics
            Of training images, by ``describe_image``.
        groups : sequence of str
            Of each of them: the distance of an image is measured to those of other groups.
        normalization : Normalization
            How the model prepares images: numbers that it evens out are not compared.
        others : sequence of ImageStatistics
            Of images of the same kind that are not trained on, on which false alarms are counted.
        variants : sequence of ImageStatistics
            Further looks that the model was trained to bear, such as the same images at half the size.

        Returns
        -------
        Likeness or None
            None of fewer than 5 groups, or where the images are equal. The limit is such that 5 % of the
            training images are farther from those of all other groups; the farthest of fewer than 19 groups.
        """
        count = len(set(groups))
        if count < FEWEST_GROUPS:
            return None
        names = visible_numbers(normalization)
        values = np.array([_numbers(look, names) for look in looks])
        scale = np.hypot(values.std(axis=0), [LEAST_SCALE[name] for name in names])
        kept = evenly_spaced(len(values), MOST_ROWS)
        rows = values[kept]
        known = np.array(groups)
        same = known[:, None] == known[kept][None]
        away = np.sort(np.where(same, np.inf, _distances(values, rows, scale)).min(axis=1))
        away = away[np.isfinite(away)]
        share = max(FALSE_ALARMS, 1 / (count + 1))
        limit = away[min(int(np.ceil((len(away) + 1) * (1 - share))), len(away)) - 1]
        if not limit > 0:
            return None
        more = [_numbers(look, names) for look in variants]
        rows = np.vstack([rows, *(more[n] for n in evenly_spaced(len(more), MOST_ROWS))])
        found = cls(names, rows, scale, float(limit), share)
        unlike = sum(found.compare(look).is_unlike for look in others)
        return cls(names, rows, scale, float(limit), share, len(others), unlike)

    @classmethod
    def of_model(cls, provenance: Mapping[str, Any]) -> Likeness | None:
        """What a model says of its training images; None if it says nothing that is understood."""
        said: Any = provenance.get(KEY)
        try:
            names = tuple(map(str, said["numbers"]))
            rows, scale = np.array(said["rows"], np.float64), np.array(said["scale"], np.float64)
            limit = float(said["limit"])
            right = rows.ndim == 2 and rows.shape[1] == scale.size == len(names) > 0 and len(rows) > 0
            if not right or not set(names) <= set(NAMES) or not limit > 0 or not (scale > 0).all():
                return None
            counted = said.get("measured_on", {})
            return cls(
                names, rows, scale, limit, float(said["false_alarms"]),
                int(counted.get("images", 0)), int(counted.get("unlike", 0)),
            )  # fmt: skip
        except (AttributeError, KeyError, TypeError, ValueError):
            return None  # of an older program, or damaged

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, for a model's provenance."""
        return {
            "numbers": list(self.names),
            "scale": [round(float(v), DIGITS) for v in self.scale],
            "limit": round(self.limit, 4),
            "false_alarms": round(self.false_alarms, 4),
            "measured_on": {"images": self.measured_on, "unlike": self.measured},
            "rows": [[round(float(v), DIGITS) for v in row] for row in self.rows],
        }

    def with_more(self, looks: Iterable[ImageStatistics]) -> Likeness:
        """The same after further images were learned from; the limit stays."""
        more = [_numbers(look, self.names) for look in looks]
        rows = np.unique(np.vstack([self.rows, *more]).round(DIGITS), axis=0)
        rows = rows[evenly_spaced(len(rows), 4 * MOST_ROWS)]
        return Likeness(
            self.names, rows, self.scale, self.limit, self.false_alarms, self.measured_on, self.measured
        )

    def compare(self, look: ImageStatistics) -> Unlike:
        """Compare an image with the training images.

        Parameters
        ----------
        look : ImageStatistics
            By ``describe_image``.
        """
        own = _numbers(look, self.names)
        distances = _distances(own[None], self.rows, self.scale)[0]
        nearest = int(distances.argmin())
        distance = float(distances[nearest]) / self.limit
        return Unlike(distance, self._why(own, self.rows[nearest]) if distance > 1 else "")

    def _why(self, own: NDArray[np.float64], nearest: NDArray[np.float64]) -> str:
        """What differs most from the most similar image, in words."""
        squares = dict(zip(self.names, ((own - nearest) / self.scale) ** 2, strict=True))
        difference = dict(zip(self.names, own - nearest, strict=True))
        sums = {
            "intensities": sum(squares.get(name, 0.0) for name in INTENSITIES),
            "texture": sum(squares.get(name, 0.0) for name in TEXTURE),
            **{name: squares.get(name, 0.0) for name in REASONS},
        }
        most = max(sums, key=lambda name: sums[name])
        if most == "intensities":
            largest = max((name for name in INTENSITIES if name in squares), key=lambda name: squares[name])
            if largest == "contrast":
                return "more contrast" if difference[largest] > 0 else "less contrast"
            brighter = (difference[largest] > 0) != (largest == "skewness")
            return "brighter" if brighter else "darker"
        if most == "texture":
            shift = self._size(own) - self._size(nearest)
            if abs(shift) < SHIFTED:
                return "another texture"
            return "coarser structures" if shift > 0 else "finer structures"
        return REASONS[most]

    def _size(self, values: NDArray[np.float64]) -> float:
        """Mean octave of the details; what lies in none is in the next."""
        shares = [(TEXTURE.index(n), v**2) for n, v in zip(self.names, values, strict=True) if "octave" in n]
        rest = max(1 - sum(share for _, share in shares), 0.0)
        return float(sum(n * share for n, share in shares) + (OCTAVES + 1) * rest)


def visible_numbers(normalization: Normalization) -> tuple[str, ...]:
    """Names of the numbers that a network sees: not colours made grey, not brightness that is evened out."""
    hidden: set[str] = set()
    if normalization.channels != 3:
        hidden.add("colourfulness")
    if normalization.intensities in {"image", "robust"}:
        hidden |= {"brightness", "contrast"}
    lost = int(np.log2(1 / normalization.scale)) if normalization.scale < 1 else 0  # octaves, by shrinking
    hidden |= {f"octave_{n}" for n in range(1, lost + 1)}
    if lost:
        hidden.add("fine_share")
    return tuple(name for name in NAMES if name not in hidden)


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most so many positions, from all of a list."""
    return list(range(count)) if count <= most else [n * count // most for n in range(most)]


def _numbers(look: ImageStatistics, names: Sequence[str]) -> NDArray[np.float64]:
    """Those of these names: roots of shares, and skewness squeezed, so that steps are alike everywhere."""
    by_name = dict(zip(NAMES, look, strict=True))
    found = []
    for name in names:
        value = by_name[name]
        if name.startswith("octave"):
            value = float(np.sqrt(max(value, 0.0)))
        elif name == "skewness":
            value = float(np.arcsinh(value))
        found.append(value)
    return np.array(found, np.float64)


def _distances(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N, M): root mean square of the differences in scales."""
    return np.asarray(np.sqrt((((ours[:, None] - theirs[None]) / scale) ** 2).mean(axis=2)))
