"""How far a score could be off: an interval over groups of images that covers what it claims."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Four of four coin tosses fall on one side once in eight times, five of five once in sixteen.
FEWEST_GROUPS = 5
FEWEST_DEGREES = 1.0  # of freedom, where one group outweighs all others


class Bounds(NamedTuple):
    """Least and greatest value that a score can have.

    With both, the interval is made on the scale of log odds; with a least value of 0 and no greatest one,
    of logarithms; with neither, as is. So it never leaves the bounds, and it reaches further to the side
    where a skewed score has more room.
    """

    low: float = -math.inf
    high: float = math.inf


SHARE = Bounds(0.0, 1.0)  # IoU, Dice, F1
POSITIVE = Bounds(0.0)  # distances, counts
ANY = Bounds()  # differences


def why_no_interval(groups: int) -> str:
    """Why there is no interval over so many groups; empty if there is one.

    Parameters
    ----------
    groups : int
        That have a score.
    """
    if groups >= FEWEST_GROUPS:
        return ""
    return f"no interval: {groups} group{'s' * (groups != 1)}, at least {FEWEST_GROUPS} are needed"


def mean_interval(
    values: NDArray[np.float64], groups: Sequence[str], bounds: Bounds = SHARE, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of `values`, images of one group counting as one draw.

    Parameters
    ----------
    values : numpy.ndarray
        (N,) float64, one an image; NaN are left out.
    groups, bounds, confidence
        As ``ratio_interval``.

    Returns
    -------
    low, high : float
        As ``ratio_interval``.
    """
    return ratio_interval(values, np.ones(len(values)), groups, bounds, confidence=confidence)


def ratio_interval(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: Sequence[str],
    bounds: Bounds = SHARE,
    *,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Interval of sum(numerators) / sum(denominators), images of one group counting as one draw.

    With intersections and unions that is the interval of a pooled IoU.

    Parameters
    ----------
    numerators, denominators : numpy.ndarray
        (N,) float64, one an image, denominators at least 0; images where either is not finite are left out.
    groups : sequence of str
        (N,) names.
    bounds : Bounds
        Of the ratio.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    low, high : float
        NaN with fewer than 5 groups, see ``why_no_interval``.

    Raises
    ------
    ValueError
        If the lengths differ.

    Notes
    -----
    The standard error is that of the jackknife over groups, se^2 = (G - 1) / G sum (r_g - r)^2 with r_g the
    ratio without group g. The interval is r -+ t se, on the scale of ``Bounds``, with t of Student's
    distribution. Groups of unequal size count as fewer: its degrees of freedom are
    (sum d)^2 / sum d^2 - 1 with d the groups' denominators, which is G - 1 where all are alike.
    Of 95 % intervals of skewed scores over 5, 8, 12 and 36 groups 94.0 to 95.9 % hold the truth; of plain
    percentiles of a bootstrap 81, 87, 90, 93 % do, of expanded percentiles (Hesterberg 2015) 90, 92, 93,
    94 %: ``benchmarks/interval_coverage.py``.

    References
    ----------
    Cluster jackknife: Cameron, Miller 2015, doi:10.3368/jhr.50.2.317; effective number of clusters:
    Carter, Schnepel, Steigerwald 2017, doi:10.1162/REST_a_00639; expanded percentiles: Hesterberg 2015,
    doi:10.1080/00031305.2015.1089789.
    """
    if not len(numerators) == len(denominators) == len(groups):
        raise ValueError(
            f"{len(numerators)} numerators, {len(denominators)} denominators and {len(groups)} groups "
            "do not fit together"
        )
    low, high = ratio_intervals(
        numerators[:, None], denominators[:, None], groups, [bounds], confidence=confidence
    )[0]
    return float(low), float(high)


def ratio_intervals(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: Sequence[str],
    bounds: Sequence[Bounds],
    *,
    confidence: float = 0.95,
) -> NDArray[np.float64]:
    """Intervals of several ratios of the same images.

    Parameters
    ----------
    numerators, denominators : numpy.ndarray
        (N, S) float64, one row an image, one column a ratio; an image where either is not finite is left
        out of that ratio.
    groups : sequence of str
        (N,) names.
    bounds : sequence of Bounds
        (S,) of each ratio.
    confidence : float
        As ``ratio_interval``.

    Returns
    -------
    numpy.ndarray
        (S, 2) float64, low and high, as ``ratio_interval`` gives them for each column alone.
    """
    out = np.full((numerators.shape[1], 2), np.nan)
    if not len(groups):
        return out
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    known = np.isfinite(numerators) & np.isfinite(denominators)
    for column in range(len(out)):
        used = known[:, column]
        over, under = (
            np.bincount(index[used], weights=array[used, column]).astype(np.float64)
            for array in (numerators, denominators)
        )
        tells = under > 0  # a group without anything to divide by tells nothing of the ratio
        out[column] = _interval(over[tells], under[tells], bounds[column], confidence)
    return out


def _interval(
    over: NDArray[np.float64], under: NDArray[np.float64], bounds: Bounds, confidence: float
) -> tuple[float, float]:
    """Interval of a ratio of sums from the groups' sums, (G,) float64 each."""
    from scipy.special import stdtrit

    count = len(over)
    if count < FEWEST_GROUPS:
        return math.nan, math.nan
    top, bottom = float(over.sum()), float(under.sum())
    ratio = top / bottom
    without = (top - over) / (bottom - under)
    error = math.sqrt((count - 1) / count * float(((without - ratio) ** 2).sum()))
    if error <= 1e-12 * max(1.0, abs(ratio)):
        return ratio, ratio
    effective = bottom**2 / float((under**2).sum())
    reach = error * float(stdtrit(max(effective - 1, FEWEST_DEGREES), (1 + confidence) / 2))
    if not bounds.low < ratio < bounds.high:
        return ratio - reach, ratio + reach
    if math.isfinite(bounds.high):
        width = bounds.high - bounds.low
        share = (ratio - bounds.low) / width
        odds, step = math.log(share / (1 - share)), reach / width / (share * (1 - share))
        low, high = (1 / (1 + math.exp(-_bounded(odds + sign * step))) for sign in (-1, 1))
        return bounds.low + width * low, bounds.low + width * high
    if math.isfinite(bounds.low):
        above = ratio - bounds.low
        low, high = (above * math.exp(_bounded(sign * reach / above)) for sign in (-1, 1))
        return bounds.low + low, bounds.low + high
    return ratio - reach, ratio + reach


def _bounded(exponent: float) -> float:
    """An exponent that does not overflow."""
    return min(max(exponent, -700.0), 700.0)
