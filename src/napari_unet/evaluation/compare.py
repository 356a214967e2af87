"""The gate: an old and a new model on the same images, and what may be said of the difference."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.metrics.uncertainty import bootstrap_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Verdict = Literal["better", "no clear difference", "worse"]
# Four of four coin tosses fall on one side once in eight times, five of five once in sixteen.
FEWEST_GROUPS = 5
TIE = 1e-3  # of IoU: less than this is nobody's win
DECIMALS = 9


@dataclass(frozen=True)
class Comparison:
    """Old against new on the same images.

    Attributes
    ----------
    images, groups : tuple of str
        Ids of the images, and the group of each.
    old, new : tuple of float
        IoU of each image, 0 to 1.
    difference : float or None
        Mean of new minus old; None without images.
    low, high : float or None
        Interval of the difference when whole groups are drawn again; None with fewer than 5 groups.
    confidence : float
        Of the interval.
    wins, losses, ties : int
        Images on which the new one is ahead, behind, or within 0.001.
    verdict : str
        "better" if the interval is above 0, "worse" if below, else "no clear difference".
    note : str
        What a person should know besides.
    """

    images: tuple[str, ...]
    groups: tuple[str, ...]
    old: tuple[float, ...]
    new: tuple[float, ...]
    difference: float | None
    low: float | None
    high: float | None
    confidence: float
    wins: int
    losses: int
    ties: int
    verdict: Verdict
    note: str = ""

    @property
    def old_iou(self) -> float | None:
        """Mean IoU of the old model."""
        return float(np.mean(self.old)) if self.old else None

    @property
    def new_iou(self) -> float | None:
        """Mean IoU of the new model."""
        return float(np.mean(self.new)) if self.new else None

    @property
    def sentence(self) -> str:
        """All of it for a person, on one line."""
        if not self.images:
            return "no clear difference: there is no held-out image to judge by"
        count = len(self.images)
        text = (
            f"{self.verdict}: mean IoU {self.old_iou:.3f} before, {self.new_iou:.3f} now "
            f"on {count} held-out image{'s' * (count != 1)}"
        )
        if self.low is not None and self.high is not None:
            text += (
                f" ({self.difference:+.3f}, {100 * self.confidence:.0f} % interval "
                f"{self.low:+.3f} to {self.high:+.3f})"
            )
        text += f"; {self.wins} better, {self.losses} worse, {self.ties} the same"
        return f"{text}; {self.note}" if self.note else text

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Comparison:
        """Back from plain JSON."""
        values: dict[str, Any] = {}
        for name in (field.name for field in fields(cls)):
            value = content[name]
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)


def compare(
    images: Sequence[str],
    old: NDArray[np.float64] | Sequence[float],
    new: NDArray[np.float64] | Sequence[float],
    groups: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    note: str = "",
) -> Comparison:
    """Compare two models image by image.

    Parameters
    ----------
    images : sequence of str
        Ids.
    old, new : numpy.ndarray
        (N,) IoU of each image; images where either is NaN are left out.
    groups : sequence of str, optional
        Of each image; every image is its own if not given.
    confidence : float
        Of the interval, between 0 and 1.
    resamples, seed : int
        Of the bootstrap over groups.
    note : str
        Kept with the result.

    Returns
    -------
    Comparison
        With the verdict in words.

    Raises
    ------
    ValueError
        If the lengths differ.

    Notes
    -----
    The interval is of the mean of the paired differences, by drawing whole groups again. Percentiles
    of so few draws lie too close together: they are taken further out, at
    Phi(-t sqrt(n / (n - 1))) with t of Student's distribution with n - 1 degrees of freedom, as for a
    mean. With fewer than 5 groups no interval is given, and no clear difference is claimed.

    References
    ----------
    Efron, Tibshirani 1993, doi:10.1201/9780429246593; Hesterberg 2015 (expanded percentiles),
    doi:10.1080/00031305.2015.1089789.
    """
    groups = list(images) if groups is None else list(groups)
    before, after = np.asarray(old, np.float64), np.asarray(new, np.float64)
    if not len(images) == len(before) == len(after) == len(groups):
        raise ValueError(
            f"{len(images)} images, {len(groups)} groups and {len(before)} and {len(after)} scores "
            "do not fit together"
        )
    known = np.flatnonzero(np.isfinite(before) & np.isfinite(after)).tolist()
    before, after = before[known], after[known]
    groups = [groups[i] for i in known]
    change = np.round(after - before, DECIMALS)
    low = high = math.nan
    count = len(set(groups))
    if count >= FEWEST_GROUPS:
        low, high = bootstrap_interval(
            change, groups, confidence=_expanded(confidence, count), resamples=resamples, seed=seed
        )
    elif groups:
        few = f"{count} group{'s' * (count != 1)} of images {'are' if count != 1 else 'is'} too few to tell"
        note = f"{few} ({FEWEST_GROUPS} needed)" + (f"; {note}" if note else "")
    verdict: Verdict = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
    wins, losses = int((change > TIE).sum()), int((change < -TIE).sum())
    return Comparison(
        images=tuple(images[i] for i in known),
        groups=tuple(groups),
        old=tuple(map(float, before)),
        new=tuple(map(float, after)),
        difference=float(change.mean()) if len(change) else None,
        low=None if math.isnan(low) else low,
        high=None if math.isnan(high) else high,
        confidence=confidence,
        wins=wins,
        losses=losses,
        ties=len(change) - wins - losses,
        verdict=verdict,
        note=note,
    )


def _expanded(confidence: float, count: int) -> float:
    """The confidence whose percentiles, of `count` groups drawn again, keep what was asked for."""
    from scipy import stats

    t = stats.t.ppf((1 + confidence) / 2, count - 1)
    return float(1 - 2 * stats.norm.cdf(-t * math.sqrt(count / (count - 1))))
