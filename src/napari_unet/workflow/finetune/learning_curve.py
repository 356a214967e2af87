"""What correcting has brought so far, and what the next corrections may bring."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_unet.project.model_versions import ModelStore

NEXT = 5  # corrections that are looked ahead
FEWEST_TO_FIT = 3  # rounds; fewer show no curve
LEAST_NOISE = 1e-4  # of IoU, that no fit is better than
DEVIATIONS = 2.0  # standard deviations on each side of the forecast


@dataclass(frozen=True)
class Round:
    """A version in use that learned from corrections.

    Attributes
    ----------
    corrections : int
        Images corrected in all when it learned.
    seconds : float
        Painted in all by then.
    gain : float
        IoU that it is ahead of the version it came from, on the same held-out images.
    low, high : float or None
        Interval of that.
    """

    corrections: int
    seconds: float
    gain: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What correcting has brought, and may bring.

    Attributes
    ----------
    gain : float
        IoU gained over all rounds.
    corrections : int
        Images corrected for it.
    minutes : float
        Painted for it.
    expected, low, high : float
        IoU that the next five corrections may bring: about, at least, at most.
    sure : bool
        Whether there were enough held-out images to tell how sure the gains are.
    """

    gain: float
    corrections: int
    minutes: float
    expected: float
    low: float
    high: float
    sure: bool = True

    @property
    def sentence(self) -> str:
        """All of it for a person."""
        each = self.gain / max(self.corrections, 1)
        words = (
            f"So far {self.gain:+.3f} IoU from {self.corrections} corrected "
            f"image{'s' * (self.corrections != 1)}, {each:+.4f} each"
        )
        if self.minutes >= 0.5:
            words += f", {self.gain / self.minutes:+.4f} a minute of painting"
        about = f"{self.expected:+.3f}" if abs(self.expected) >= 0.0005 else "nothing"
        return (
            f"{words}. The next {NEXT} may bring about {about}, "
            f"between {_signed(self.low)} and {_signed(self.high)}"
            + ("." if self.sure else "; too few images are held out to be sure.")
        )


def _signed(value: float) -> str:
    return f"{value:+.3f}" if abs(value) >= 0.0005 else "0"


def rounds_of(store: ModelStore) -> list[Round]:
    """The rounds that led to the version in use, the oldest first.

    Raises
    ------
    ModelError
        If a version cannot be read.
    """
    current = store.current
    if current is None:
        return []
    versions = {v.number: v for v in store.versions()}
    line = [versions[n] for n in reversed(store.ancestors(current.number)) if n in versions]
    return [
        Round(
            len(v.corrections),
            v.seconds,
            v.scores["difference"],
            v.scores.get("low"),
            v.scores.get("high"),
        )
        for v in line
        if v.corrections and v.parent and "difference" in v.scores
    ]


def forecast_of(rounds: Sequence[Round], ceiling: float = math.inf) -> Forecast | None:
    """What rounds have brought, and what the next five corrections may bring.

    Parameters
    ----------
    rounds : sequence of Round
        The oldest first.
    ceiling : float
        IoU that is left to be gained.

    Returns
    -------
    Forecast or None
        None before the first round.

    Notes
    -----
    From three rounds with more and more corrections on, G (1 - exp(-n / t)) is fitted to the gain
    after n corrections by least squares. The interval is two standard deviations wide on each side: the
    covariance of the fit, times the noise that the rounds' intervals or the fit itself show. With
    fewer rounds, gains are expected to shrink. The upper end of the interval of the last gain is the upper
    bound, and half of its gain for each correction is the guess.
    """
    if not rounds:
        return None
    total = sum(r.gain for r in rounds)
    last = rounds[-1]
    growing = [r for i, r in enumerate(rounds) if i == 0 or r.corrections > rounds[i - 1].corrections]
    forecast = _saturating(rounds) if len(growing) >= FEWEST_TO_FIT else None
    if forecast is not None:
        expected, low, high = forecast
    else:
        before = rounds[-2].corrections if len(rounds) > 1 else 0
        fresh = max(last.corrections - before, 1)
        most = last.gain if last.high is None else last.high
        high = NEXT * max(most, 0.0) / fresh
        expected, low = NEXT * max(last.gain, 0.0) / fresh / 2, 0.0
    ceiling = max(ceiling, 0.0)
    expected, low, high = (min(v, ceiling) for v in (expected, low, high))
    sure = all(r.high is not None for r in rounds)
    return Forecast(total, last.corrections, last.seconds / 60, expected, low, high, sure)


def _saturating(rounds: Sequence[Round]) -> tuple[float, float, float] | None:
    """What a fitted curve promises for the next corrections: about, at least, at most; None without a fit."""
    from scipy.optimize import OptimizeWarning, curve_fit

    n = np.array([r.corrections for r in rounds], np.float64)
    gained = np.cumsum([r.gain for r in rounds])
    if gained.max() <= 0:
        return 0.0, 0.0, 0.0
    spread = [(r.high - r.low) / 4 for r in rounds if r.low is not None and r.high is not None]
    bounds = [0.0, n[0] / 4], [math.inf, 16 * n[-1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # says that there is no covariance, as pcov does
        (height, scale), pcov = curve_fit(
            _gained, n, gained, (gained.max(), n[-1] / 2), np.ones_like(n), absolute_sigma=True, bounds=bounds
        )
    if not np.isfinite(pcov).all():
        return None
    misfit = float(((_gained(n, height, scale) - gained) ** 2).sum())
    noise = max(
        misfit / max(len(rounds) - 2, 1),
        float(np.mean(np.square(spread))) if spread else 0.0,
        LEAST_NOISE**2,
    )
    ends = np.array([n[-1], n[-1] + NEXT])
    left = np.exp(-ends / scale)
    promised = height * (left[0] - left[1])
    slopes = ends * left / scale**2  # of `left` along the scale
    gradient = np.array([left[0] - left[1], height * (slopes[0] - slopes[1])])
    reach = DEVIATIONS * math.sqrt(noise * float(gradient @ pcov @ gradient))
    return float(promised), max(float(promised - reach), 0.0), float(promised + reach)


def _gained(corrections: NDArray[np.float64], height: float, scale: float) -> NDArray[np.float64]:
    return height * (1 - np.exp(-corrections / scale))
