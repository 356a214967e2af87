"""How many intervals hold the truth: simulated scores of 5, 8, 12 and 36 groups.

    python benchmarks/interval_coverage.py

Groups differ in difficulty and in size, images vary within a group, a few fail outright: mean IoU about
0.7, skewed to the left. Beside our intervals stand percentiles of a bootstrap over groups, plain and
expanded (Hesterberg 2015, doi:10.1080/00031305.2015.1089789). Ends with 1 if ours cover less than 93 % or
more than 97 % anywhere.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from napari_unet.metrics.uncertainty import ANY, SHARE, ratio_intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUPS = (5, 8, 12, 36)
TIMES = 4000
DRAWS = 1000
WANTED = (0.93, 0.97)
CONCENTRATION = 6.0  # of an image's IoU about its group's


def simulated(
    kind: str, groups: int, times: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums over each group, (times, groups) float64: of scores (or intersections), of ones (or unions)."""
    sizes = (
        np.ones((times, groups), int) if kind == "one image a group" else rng.integers(1, 9, (times, groups))
    )
    shape = (times, groups, int(sizes.max()))
    there = np.arange(shape[2]) < sizes[..., None]
    level = 0.02 + 0.95 * rng.beta(6, 1.5, (times, groups, 1))

    def scores(level: NDArray[np.float64]) -> NDArray[np.float64]:
        found = rng.beta(level * CONCENTRATION, (1 - level) * CONCENTRATION, shape)
        return np.where(rng.random(shape) < 0.05, 0.0, found)

    if kind == "difference":
        better = np.clip(level + 0.02 + 0.05 * rng.standard_normal(level.shape), 0.02, 0.98)
        values, weights = scores(better) - scores(level), np.ones(shape)
    else:
        weights = rng.gamma(3.0, 1.0, shape) if kind == "pooled" else np.ones(shape)
        values = scores(level) * weights
    return (values * there).sum(2), (weights * there).sum(2)


def ours(kind: str, over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """(times, 2) float64, as the program gives them."""
    names = [str(n) for n in range(over.shape[1])]
    bounds = [ANY if kind == "difference" else SHARE] * len(over)
    return ratio_intervals(over.T, under.T, names, bounds)


def percentiles(
    over: NDArray[np.float64], under: NDArray[np.float64], rng: np.random.Generator, *, expanded: bool
) -> NDArray[np.float64]:
    """(times, 2) float64, of a bootstrap over groups."""
    count = over.shape[1]
    tail = 0.025
    if expanded:
        tail = float(stats.norm.cdf(-stats.t.ppf(0.975, count - 1) * math.sqrt(count / (count - 1))))
    drawn = rng.multinomial(count, np.full(count, 1 / count), DRAWS).astype(float)
    ratios = (over @ drawn.T) / (under @ drawn.T)
    return np.asarray(np.quantile(ratios, [tail, 1 - tail], axis=1).T)


def main() -> int:
    """Print a table of coverage and median width."""
    failed = False
    print(f"{TIMES} simulations each; share of 95 % intervals that hold the truth, and their median width\n")
    print("| scores | groups | ours | percentiles | expanded percentiles |\n| --- | --- | --- | --- | --- |")
    for kind in ("mean of images", "one image a group", "pooled", "difference"):
        over, under = simulated(kind, 100, 20_000, np.random.default_rng(99))
        truth = over.sum() / under.sum()
        for groups in GROUPS:
            rng = np.random.default_rng(groups)
            over, under = simulated(kind, groups, TIMES, rng)
            texts = []
            for found in (
                ours(kind, over, under),
                percentiles(over, under, rng, expanded=False),
                percentiles(over, under, rng, expanded=True),
            ):
                share = np.mean((found[:, 0] <= truth) & (truth <= found[:, 1]))
                texts.append(f"{share:.1%} ({np.median(found[:, 1] - found[:, 0]):.3f})")
                if len(texts) == 1:
                    failed |= not WANTED[0] <= share <= WANTED[1]
            print(f"| {kind} | {groups} | " + " | ".join(texts) + " |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
