"""What corrections have brought and may bring, by numbers worked out by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from napari_unet.project.model_versions import ModelStore
from napari_unet.workflow.finetune.learning_curve import Round, forecast_of, rounds_of

if TYPE_CHECKING:
    from pathlib import Path


def test_before_the_first_round_nothing_is_said() -> None:
    assert forecast_of([]) is None


def test_one_round_is_an_upper_bound_and_half_of_it_the_guess() -> None:
    effort = forecast_of([Round(10, 300.0, 0.04, 0.02, 0.06)])
    assert effort is not None
    # 0.004 a correction, 0.006 at most: five more bring at most 0.03.
    assert (effort.low, effort.expected, effort.high) == pytest.approx((0.0, 0.01, 0.03))
    assert effort.sentence == (
        "So far +0.040 IoU from 10 corrected images, +0.0040 each, +0.0080 a minute of painting. "
        "The next 5 may bring about +0.010, between 0 and +0.030."
    )


def test_the_last_round_counts_not_the_first() -> None:
    effort = forecast_of([Round(10, 300.0, 0.10), Round(15, 400.0, 0.01)])
    assert effort is not None
    assert effort.gain == pytest.approx(0.11)
    assert (effort.expected, effort.high) == pytest.approx((0.005, 0.01))


def test_a_round_that_brought_nothing_promises_nothing() -> None:
    effort = forecast_of([Round(4, 10.0, -0.02)])
    assert effort is not None
    assert (effort.expected, effort.low, effort.high) == (0, 0, 0)
    assert effort.sentence == (
        "So far -0.020 IoU from 4 corrected images, -0.0050 each. "
        "The next 5 may bring about nothing, between 0 and 0; too few images are held out to be sure."
    )


def test_a_curve_that_saturates_is_found_again() -> None:
    def gained(n: float) -> float:
        return 0.2 * (1 - math.exp(-n / 10))

    counts = [5, 10, 20, 30]
    rounds = [Round(n, 60.0 * n, gained(n) - gained(b)) for n, b in zip(counts, [0, *counts], strict=False)]
    effort = forecast_of(rounds)
    assert effort is not None
    assert effort.gain == pytest.approx(gained(30))
    assert effort.expected == pytest.approx(gained(35) - gained(30), rel=0.1)
    assert effort.low <= effort.expected <= effort.high < 2 * effort.expected


def test_wide_intervals_of_the_rounds_make_a_wide_forecast() -> None:
    sure = [
        Round(5, 0, 0.05, 0.049, 0.051),
        Round(10, 0, 0.03, 0.029, 0.031),
        Round(15, 0, 0.02, 0.019, 0.021),
    ]
    unsure = [Round(r.corrections, 0, r.gain, r.gain - 0.05, r.gain + 0.05) for r in sure]
    one, other = forecast_of(sure), forecast_of(unsure)
    assert one is not None
    assert other is not None
    assert one.expected == other.expected
    assert other.high - other.low > 2 * (one.high - one.low)


def test_nobody_gains_more_than_there_is() -> None:
    effort = forecast_of([Round(1, 0.0, 0.5)], ceiling=0.1)
    assert effort is not None
    assert (effort.expected, effort.high) == (0.1, 0.1)


def test_only_rounds_that_led_to_the_version_in_use_count(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")

    def add(gain: float | None, parent: int, seen: int, seconds: float = 0.0) -> int:
        scores = {} if gain is None else {"difference": gain, "low": gain - 0.01, "high": gain + 0.01}
        return store.add(
            lambda folder: (folder / "model.weights.h5").touch(),
            scores=scores,
            parent=parent,
            corrections={str(n): n for n in range(seen)},
            seconds=seconds,
            keep=True,
        ).number

    assert rounds_of(store) == []
    start = add(None, 0, 0)
    assert rounds_of(store) == []
    first = add(0.05, start, 4, 60.0)
    add(0.5, start, 4)  # of another line
    add(0.02, first, 9, 200.0)
    assert [(r.corrections, r.gain, r.seconds) for r in rounds_of(store)] == [
        (4, 0.05, 60.0),
        (9, 0.02, 200.0),
    ]
    store.roll_back(first)
    assert [r.gain for r in rounds_of(store)] == [0.05]
    assert rounds_of(store)[0].low == pytest.approx(0.04)
