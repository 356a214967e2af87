"""Weights between an old network and what it became, and which of them a judge prefers.

Weights on the line from the old network to the fine-tuned one often forget less than the end of the line,
and gain nearly as much (Wortsman et al. 2022, Robust fine-tuning of zero-shot models,
doi:10.1109/CVPR52688.2022.00780).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

POINTS = (0.25, 0.5, 0.75, 1.0)
WITHOUT_JUDGE = 0.5  # the place that the paper recommends where nothing can be measured
ALLOWED = 0.002  # of IoU that may be lost on what the model knew, before it counts
LOSS_WEIGHT = 30.0  # of what is lost beyond that, against what is gained


@dataclass(frozen=True)
class LineChoice:
    """Where on the line the new weights are.

    Attributes
    ----------
    point : float
        0 is the old network, 1 the end of the training.
    gains, losses : mapping
        Point to change of IoU on the new kind and on the old kind; NaN where nothing measures it.
    """

    point: float
    gains: Mapping[float, float]
    losses: Mapping[float, float]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, with None where nothing measures a change."""
        tried = [
            {"point": p, **{name: None if math.isnan(v) else round(v, 5) for name, v in changes.items()}}
            for p in sorted(self.gains)
            for changes in ({"new": self.gains[p], "old": self.losses[p]},)
        ]
        return {"point": self.point, "tried": tried}


def between(
    old: Sequence[NDArray[np.float32]], new: Sequence[NDArray[np.float32]], point: float
) -> list[NDArray[np.float32]]:
    """Weights at a point of the line, array by array: (1 - point) old + point new.

    Parameters
    ----------
    old, new : sequence of numpy.ndarray
        float32 weights, of equal shapes.
    point : float
        0 to 1.
    """
    if point == 1:
        return [w.copy() for w in new]
    return [(a + (b - a) * a.dtype.type(point)).astype(a.dtype) for a, b in zip(old, new, strict=True)]


def value_of(gain: float, change: float) -> float:
    """What a network is worth: its gain on the new kind, less what it lost on the old beyond a little.

    Parameters
    ----------
    gain, change : float
        Of IoU on the new kind and on the old; NaN where it is not measured, which counts as no change.
    """
    lost = 0.0 if math.isnan(change) else min(0.0, change + ALLOWED)
    return (0.0 if math.isnan(gain) else gain) + LOSS_WEIGHT * lost


def choose_point(gains: Mapping[float, float], losses: Mapping[float, float]) -> LineChoice:
    """The point of most worth; of equal ones the furthest.

    Parameters
    ----------
    gains, losses : mapping
        Point to change of IoU on the new kind, and on the old; NaN where nothing measures it.
    """
    points = sorted(gains)
    if all(math.isnan(gains[p]) and math.isnan(losses[p]) for p in points):
        return LineChoice(WITHOUT_JUDGE, gains, losses)
    best = max(points, key=lambda p: (value_of(gains[p], losses[p]), p))
    return LineChoice(best, gains, losses)
