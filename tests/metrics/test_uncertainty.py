from __future__ import annotations

import math

import numpy as np
import pytest

from napari_unet.metrics.uncertainty import (
    ANY,
    POSITIVE,
    SHARE,
    mean_interval,
    ratio_interval,
    ratio_intervals,
    why_no_interval,
)

FIVE = list("abcde")
T4 = 2.7764451  # of Student's distribution with 4 degrees of freedom, two-sided 95 %


def test_of_images_that_are_each_a_group_it_is_students_interval() -> None:
    values = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    # Standard error: deviation 0.1581 over sqrt(5) = 0.0707.
    low, high = mean_interval(values, FIVE, ANY)
    assert low == pytest.approx(0.7 - T4 * 0.0707107, abs=1e-6)
    assert high == pytest.approx(0.7 + T4 * 0.0707107, abs=1e-6)


def test_an_interval_of_a_share_stays_between_0_and_1_and_reaches_further_down() -> None:
    values = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    # On log odds: ln(0.7 / 0.3) = 0.8473; the error there is 0.0707107 / (0.7 * 0.3) = 0.33672.
    low, high = mean_interval(values, FIVE)
    reach = T4 * 0.336718
    assert low == pytest.approx(1 / (1 + math.exp(-(0.847298 - reach))), abs=1e-5)
    assert high == pytest.approx(1 / (1 + math.exp(-(0.847298 + reach))), abs=1e-5)
    low, high = mean_interval(np.array([1.0, 1.0, 1.0, 1.0, 0.2]), FIVE)
    assert 0 < low < 0.84 < high < 1
    assert 0.84 - low > high - 0.84


def test_an_interval_of_a_distance_stays_above_0() -> None:
    low, high = mean_interval(np.array([0.1, 0.2, 9.0, 0.3, 0.1]), FIVE, POSITIVE)
    assert 0 < low < 1.94 < high


def test_images_of_one_group_are_worth_one_draw() -> None:
    values = np.repeat([0.2, 0.4, 0.6, 0.8, 0.5], 50)
    alone = mean_interval(values, [str(i) for i in range(250)], ANY)
    grouped = mean_interval(values, [str(i // 50) for i in range(250)], ANY)
    of_means = mean_interval(np.array([0.2, 0.4, 0.6, 0.8, 0.5]), FIVE, ANY)
    assert grouped == pytest.approx(of_means)
    assert grouped[1] - grouped[0] > 9 * (alone[1] - alone[0])


def test_groups_of_unequal_size_count_as_fewer() -> None:
    over, under = np.array([5.0, 6.0, 7.0, 8.0, 36.0]), np.array([10.0, 10.0, 10.0, 10.0, 40.0])
    # Ratio 62 / 80; without each group 57 / 70, 56 / 70, 55 / 70, 54 / 70, 26 / 40.
    left = np.array([57 / 70, 56 / 70, 55 / 70, 54 / 70, 26 / 40]) - 62 / 80
    error = math.sqrt(4 / 5 * (left**2).sum())
    # 80^2 / (4 * 10^2 + 40^2) = 3.2 groups of one size: 2.2 degrees of freedom, t 3.95.
    low, high = ratio_interval(over, under, FIVE, ANY)
    assert (high - low) / 2 == pytest.approx(3.95 * error, rel=2e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_fewer_than_five_groups_have_no_interval(count: int) -> None:
    values, groups = np.linspace(0.3, 0.9, 40), [str(i % count) for i in range(40)]
    assert np.isnan(mean_interval(values, groups)).all()
    plural = "s" * (count != 1)
    assert why_no_interval(count) == f"no interval: {count} group{plural}, at least 5 are needed"
    assert why_no_interval(5) == ""


def test_no_image_has_no_interval() -> None:
    assert np.isnan(mean_interval(np.array([]), [])).all()
    assert np.isnan(mean_interval(np.full(6, np.nan), list("abcdef"))).all()


def test_images_without_a_score_are_left_out() -> None:
    values = np.array([0.2, np.nan, 0.8, 0.5, 0.6, 0.9])
    known = np.isfinite(values)
    groups = np.array(list("abcdef"))
    assert mean_interval(values, groups) == mean_interval(values[known], groups[known])


def test_a_group_without_any_foreground_tells_nothing_of_a_pooled_score() -> None:
    over, under = np.array([1.0, 2.0, 3.0, 3.0, 2.0, 0.0]), np.array([4.0, 4.0, 4.0, 4.0, 4.0, 0.0])
    assert ratio_interval(over, under, list("abcdef")) == ratio_interval(over[:5], under[:5], FIVE)
    assert np.isnan(ratio_interval(over[1:], under[1:], FIVE)).all()
    assert np.isnan(ratio_interval(np.zeros(6), np.zeros(6), list("abcdef"))).all()


def test_images_that_are_all_alike_leave_no_doubt() -> None:
    assert mean_interval(np.ones(6), list("abcdef")) == (1.0, 1.0)
    assert mean_interval(np.full(6, 0.3), list("abcdef")) == pytest.approx((0.3, 0.3))


def test_more_confidence_makes_it_wider() -> None:
    values = np.random.default_rng(1).random(50)
    groups = [str(i) for i in range(50)]
    narrow = mean_interval(values, groups, confidence=0.5)
    wide = mean_interval(values, groups, confidence=0.99)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        mean_interval(np.ones(3), ["a", "b"])


@pytest.mark.parametrize("kind", ["mean", "pooled", "difference"])
@pytest.mark.parametrize("count", [5, 8, 12, 36])
def test_of_95_percent_intervals_93_to_97_in_a_hundred_hold_the_truth(kind: str, count: int) -> None:
    """Groups of 1 to 8 images and of unequal difficulty; scores skewed to the left, one in 20 is 0."""

    def draw(times: int, groups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        shape = (times, groups, 8)
        there = np.arange(8) < rng.integers(1, 9, (times, groups, 1))
        level = 0.02 + 0.95 * rng.beta(6, 1.5, (times, groups, 1))

        def scores(level: np.ndarray) -> np.ndarray:
            found = rng.beta(6 * level, 6 * (1 - level), shape)
            return np.where(rng.random(shape) < 0.05, 0.0, found)

        weights = rng.gamma(3.0, 1.0, shape) if kind == "pooled" else np.ones(shape)
        values = scores(level) * weights
        if kind == "difference":
            values = scores(np.clip(level + 0.05 * rng.standard_normal(level.shape), 0.02, 0.98)) - values
        return (values * there).sum(2), (weights * there).sum(2)

    over, under = draw(20_000, 36, 0)
    truth = over.sum() / under.sum()
    over, under = draw(4_000, count, count)
    bounds = [ANY if kind == "difference" else SHARE] * len(over)
    found = ratio_intervals(over.T, under.T, [str(n) for n in range(count)], bounds)
    share = np.mean((found[:, 0] <= truth) & (truth <= found[:, 1]))
    assert 0.93 <= share <= 0.97
