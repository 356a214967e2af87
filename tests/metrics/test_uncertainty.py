from __future__ import annotations

import numpy as np
import pytest

from napari_unet.metrics.uncertainty import bootstrap_interval, bootstrap_ratio_interval


def test_the_interval_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.7, 0.1, 400)
    low, high = bootstrap_interval(values, [str(i) for i in range(400)], resamples=4000)
    # The normal interval of the mean is 0.7 +- 1.96 * 0.1 / 20.
    assert low == pytest.approx(values.mean() - 0.0098, abs=0.0015)
    assert high == pytest.approx(values.mean() + 0.0098, abs=0.0015)


def test_images_of_one_group_are_worth_one_draw() -> None:
    values = np.repeat([0.2, 0.4, 0.6, 0.8], 50)
    alone = bootstrap_interval(values, [str(i) for i in range(200)])
    grouped = bootstrap_interval(values, [str(i // 50) for i in range(200)])
    assert grouped[1] - grouped[0] > 4 * (alone[1] - alone[0])


def test_the_interval_of_a_ratio_weighs_by_size() -> None:
    low, high = bootstrap_ratio_interval(np.array([90.0, 1.0]), np.array([100.0, 10.0]), ["a", "b"])
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.9)


def test_one_group_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval(np.ones(3), ["a"] * 3)).all()
    assert np.isnan(bootstrap_interval(np.full(3, np.nan), ["a", "b", "c"])).all()


def test_images_without_a_score_are_left_out() -> None:
    values = np.array([0.2, np.nan, 0.8, 0.5])
    known = np.isfinite(values)
    groups = np.array(["a", "b", "c", "d"])
    assert bootstrap_interval(values, groups) == bootstrap_interval(values[known], groups[known])


def test_draws_without_any_foreground_have_no_ratio() -> None:
    # Two groups, one of them empty: a draw of the empty one twice tells nothing of a pooled IoU of 0.25.
    found = bootstrap_ratio_interval(np.array([1.0, 0.0]), np.array([4.0, 0.0]), ["a", "b"])
    assert found == (0.25, 0.25)
    assert np.isnan(bootstrap_ratio_interval(np.zeros(2), np.zeros(2), ["a", "b"])).all()


def test_the_same_seed_gives_the_same_interval_and_more_confidence_a_wider_one() -> None:
    values = np.random.default_rng(1).random(50)
    groups = [str(i) for i in range(50)]
    assert bootstrap_interval(values, groups, seed=3) == bootstrap_interval(values, groups, seed=3)
    assert bootstrap_interval(values, groups, seed=3) != bootstrap_interval(values, groups, seed=4)
    narrow = bootstrap_interval(values, groups, confidence=0.5)
    wide = bootstrap_interval(values, groups, confidence=0.99)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        bootstrap_interval(np.ones(3), ["a", "b"])
