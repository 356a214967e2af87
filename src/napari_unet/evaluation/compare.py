"""The gate: an old and a new model on the same images, and what may be said of the difference."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet.metrics.uncertainty import ANY, FEWEST_GROUPS, mean_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Verdict = Literal["better", "no clear difference", "worse"]
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
        Interval of the difference over groups; None with fewer than 5 groups.
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
    note : str
        Stored with the result.

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
    The interval is of the mean of the paired differences, see ``metrics.uncertainty.mean_interval``.
    With fewer than 5 groups no interval is given, and no clear difference is claimed.
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
        low, high = mean_interval(change, groups, ANY, confidence=confidence)
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
