"""How far a score could be off: bootstrap over groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK = 2**22  # draws made at once


def bootstrap_interval(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of sum(numerators) / sum(denominators) when whole groups are drawn again.

    With denominators of 1 that is the interval of a mean; with unions, of a pooled IoU.

    Parameters
    ----------
    numerators, denominators : numpy.ndarray
        (N,) one an image; images whose numerator is NaN are left out.
    groups : sequence of str
        (N,) images of one group are drawn together.
    confidence : float
        Of the interval.
    resamples : int
        Times drawn.
    seed : int
        Same seed, same interval.

    Returns
    -------
    low, high : float
        Percentiles; NaN if there are fewer than two groups, as nothing can be said then.

    References
    ----------
    Efron, Tibshirani 1993, doi:10.1201/9780429246593; the cluster bootstrap, Field, Welsh 2007,
    doi:10.1111/j.1467-9868.2007.00593.x.
    """
    known = np.isfinite(numerators)
    if not known.any():
        return float("nan"), float("nan")
    _, index = np.unique(np.asarray(groups)[known], return_inverse=True)
    over = np.bincount(index, numerators[known])
    under = np.bincount(index, denominators[known])
    count = len(over)
    if count < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    ratios = []
    rows = max(1, BLOCK // count)
    for start in range(0, resamples, rows):
        drawn = rng.integers(count, size=(min(rows, resamples - start), count))
        bottom = under[drawn].sum(axis=1)
        ratios.append(np.divide(over[drawn].sum(axis=1), bottom, out=np.ones(len(drawn)), where=bottom > 0))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return float(low), float(high)
