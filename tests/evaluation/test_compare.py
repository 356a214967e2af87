"""The gate between an old and a new model, worked by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_unet.evaluation.compare import Comparison, compare

IDS = [f"i{n}" for n in range(8)]
OLD = np.array([0.5, 0.6, 0.7, 0.4, 0.5, 0.6, 0.7, 0.4])


def test_the_same_gain_everywhere_is_better_and_its_interval_is_that_gain() -> None:
    found = compare(IDS, OLD, OLD + 0.1)
    assert found.verdict == "better"
    assert (found.wins, found.losses, found.ties) == (8, 0, 0)
    assert found.difference == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    assert found.old_iou == pytest.approx(0.55)
    assert found.new_iou == pytest.approx(0.65)
    assert found.sentence.startswith("better: mean IoU 0.550 before, 0.650 now on 8 held-out images (+0.100")


def test_the_same_loss_everywhere_is_worse() -> None:
    found = compare(IDS, OLD, OLD - 0.05)
    assert found.verdict == "worse"
    assert (found.wins, found.losses, found.ties) == (0, 8, 0)
    assert found.high == pytest.approx(-0.05)


def test_gains_and_losses_of_one_size_are_no_clear_difference() -> None:
    found = compare(IDS, OLD, OLD + np.tile([0.1, -0.1], 4))
    assert found.verdict == "no clear difference"
    assert (found.wins, found.losses, found.ties) == (4, 4, 0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.difference == pytest.approx(0.0)


def test_a_model_against_itself_ties() -> None:
    found = compare(IDS, OLD, OLD + 0.0005)
    assert (found.wins, found.losses, found.ties) == (0, 0, 8)
    assert compare(IDS, OLD, OLD).verdict == "no clear difference"  # an interval from 0 to 0 contains 0


def test_images_of_one_group_count_once() -> None:
    # One group of four images wins much, seven others lose a little: by images better, by groups unclear.
    change = np.array([0.3] * 20 + [-0.02] * 5)
    ids = [str(n) for n in range(25)]
    by_image = compare(ids, np.full(25, 0.5), 0.5 + change)
    by_group = compare(ids, np.full(25, 0.5), 0.5 + change, ["a"] * 20 + ["b", "c", "d", "e", "f"])
    assert by_image.verdict == "better"
    assert by_group.verdict == "no clear difference"
    assert by_group.difference == by_image.difference == pytest.approx((20 * 0.3 - 5 * 0.02) / 25)


def test_few_groups_settle_nothing() -> None:
    found = compare(IDS[:4], OLD[:4], OLD[:4] + 0.2)
    assert found.verdict == "no clear difference"
    assert found.low is None
    assert found.wins == 4
    assert "too few to tell" in found.sentence
    assert compare(IDS[:5], OLD[:5], OLD[:5] + 0.2).verdict == "better"


def test_the_interval_of_few_is_as_wide_as_students() -> None:
    # Standard error of 10 differences with deviation s is s / sqrt(10); t of 9 degrees is 2.262.
    rng = np.random.default_rng(1)
    change = rng.normal(0, 0.1, 10)
    found = compare([str(n) for n in range(10)], np.full(10, 0.5), 0.5 + change)
    assert found.low is not None
    assert found.high is not None
    half = 2.262 * change.std(ddof=1) / math.sqrt(10)
    assert (found.high - found.low) / 2 == pytest.approx(half, abs=1e-3)


def test_images_without_a_score_are_left_out_and_none_is_said() -> None:
    found = compare(IDS, np.where(np.arange(8) == 0, np.nan, OLD), OLD)
    assert found.images == tuple(IDS[1:])
    nothing = compare([], [], [])
    assert nothing.verdict == "no clear difference"
    assert nothing.difference is None
    assert "no held-out image" in nothing.sentence


def test_json_and_back() -> None:
    for found in (compare(IDS, OLD, OLD + 0.1, note="hm"), compare([], [], [])):
        assert Comparison.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_lengths_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit together"):
        compare(IDS, OLD, OLD[:3])
