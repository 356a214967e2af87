"""How far a score could be off: bootstrap over groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK = 2**22  # draws made at once


def bootstrap_interval(
    values: NDArray[np.float64],
    groups: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean of `values` when whole groups are drawn again.

    Parameters
    ----------
    values : numpy.ndarray
        (N,) one an image; NaN are left out.
    groups, confidence, resamples, seed
        As ``bootstrap_ratio_interval``.

    Returns
    -------
    low, high : float
        As ``bootstrap_ratio_interval``.
    """
    ones = np.ones(len(values))
    return bootstrap_ratio_interval(
        values, ones, groups, confidence=confidence, resamples=resamples, seed=seed
    )


def bootstrap_ratio_interval(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of sum(numerators) / sum(denominators) when whole groups are drawn again.

    With intersections and unions that is the interval of a pooled IoU.

    Parameters
    ----------
    numerators, denominators : numpy.ndarray
        (N,) one an image; images where either is not finite are left out.
    groups : sequence of str
        (N,) images of one group are drawn together.
    confidence : float
        Of the interval, between 0 and 1.
    resamples : int
        Times drawn. Draws whose denominators sum to 0 have no ratio and do not count.
    seed : int
        Same seed, same interval.

    Returns
    -------
    low, high : float
        Percentiles; NaN if there are fewer than two groups, as nothing can be said then.

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    Efron, Tibshirani 1993, doi:10.1201/9780429246593; the cluster bootstrap, Field, Welsh 2007,
    doi:10.1111/j.1467-9868.2007.00593.x.
    """
    if not len(numerators) == len(denominators) == len(groups):
        raise ValueError(
            f"{len(numerators)} numerators, {len(denominators)} denominators and {len(groups)} groups "
            "do not fit together"
        )
    low, high = bootstrap_ratio_intervals(
        numerators[:, None],
        denominators[:, None],
        groups,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )[0]
    return float(low), float(high)


def bootstrap_ratio_intervals(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: Sequence[str],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Intervals of several ratios at once, from the same draws.

    Parameters
    ----------
    numerators, denominators : numpy.ndarray
        (N, S), one row an image, one column a ratio; an image where either is not finite is left out
        of that ratio.
    groups, confidence, resamples, seed
        As ``bootstrap_ratio_interval``.

    Returns
    -------
    numpy.ndarray
        (S, 2) low and high, as ``bootstrap_ratio_interval`` gives them for each column alone.
    """
    out = np.full((numerators.shape[1], 2), np.nan)
    known = np.isfinite(numerators) & np.isfinite(denominators)
    names = np.asarray(groups)
    # Columns that know the same images share their draws.
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for number, used in enumerate(patterns.T):
        columns = np.flatnonzero(which.ravel() == number)
        if not used.any():
            continue
        _, index = np.unique(names[used], return_inverse=True)
        over, under = (
            np.stack([_group_sums(index, a[used, c]) for c in columns], axis=1)
            for a in (numerators, denominators)
        )
        if len(over) < 2:
            continue
        ratios = _ratios(over, under, resamples, np.random.default_rng(seed))
        tail = (1 - confidence) / 2
        for place, column in enumerate(columns):
            values = ratios[:, place]
            values = values[np.isfinite(values)]
            if len(values):
                out[column] = np.quantile(values, [tail, 1 - tail])
    return out


def _group_sums(index: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(index, weights=values), np.float64)


def _ratios(
    over: NDArray[np.float64], under: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(R, S) ratios of the sums over groups drawn with replacement, a block of draws at a time."""
    count = len(over)
    rows = max(1, BLOCK // count)
    ratios = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(count, size=(size, count))
        drawn += np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
        top, bottom = times @ over, times @ under
        ratio = np.full(top.shape, np.nan)
        np.divide(top, bottom, out=ratio, where=bottom > 0)
        ratios.append(ratio)
    return np.concatenate(ratios)
