from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.metrics.competition import tgs_salt_score, ultrasound_nerve_score
from napari_unet.metrics.overlap import count_overlap, image_score
from napari_unet.metrics.uncertainty import bootstrap_interval

A = np.array([[1, 1, 0], [0, 0, 0]], np.uint8)
B = np.array([[1, 0, 0], [1, 0, 0]], np.uint8)
EMPTY = np.zeros((2, 3), np.uint8)


def test_overlap_by_hand() -> None:
    counts = count_overlap(A, B)
    assert counts.iou()[0] == pytest.approx(1 / 3)
    assert counts.dice()[0] == pytest.approx(1 / 2)
    assert counts.pixel_error == pytest.approx(2 / 6)


def test_the_empty_rules() -> None:
    counts = count_overlap(EMPTY, EMPTY)
    assert counts.iou("one")[0] == 1
    assert counts.iou("zero")[0] == 0
    assert np.isnan(counts.iou("skip")[0])
    assert image_score(counts.iou("one"), counts, "one") == 1
    assert count_overlap(EMPTY, A).iou("one")[0] == 0
    assert count_overlap(A, EMPTY).dice("one")[0] == 0


def test_ignored_pixels_do_not_count() -> None:
    weights = np.ones((2, 3), np.float32)
    weights[0, 1] = weights[1, 0] = 0
    counts = count_overlap(A, B, weights=weights)
    assert counts.iou()[0] == 1
    assert counts.pixels == 4


def test_several_classes_by_hand() -> None:
    reference = np.array([[1, 1, 2, 0]], np.uint8)
    predicted = np.array([[1, 2, 2, 0]], np.uint8)
    counts = count_overlap(reference, predicted, 3)
    np.testing.assert_allclose(counts.iou("skip"), [1 / 2, 1 / 2, np.nan])
    # Class 3 is in neither mask: the image's score is the mean of the other two.
    assert image_score(counts.iou(), counts) == pytest.approx(0.5)


def test_masks_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        count_overlap(A, A.T)
    with pytest.raises(ValueError, match="above the number of classes"):
        count_overlap(A, A + 3)


masks = arrays(np.uint8, (7, 9), elements=st.integers(0, 3))


@given(masks, masks)
def test_overlap_agrees_with_sets_of_pixels_and_with_scikit_learns_rule(a: np.ndarray, b: np.ndarray) -> None:
    counts = count_overlap(a, b, 3)
    for label in (1, 2, 3):
        one, two = a == label, b == label
        union = (one | two).sum()
        expected = (one & two).sum() / union if union else 1.0
        assert counts.iou()[label - 1] == pytest.approx(expected, abs=1e-12)
        iou = counts.iou("skip")[label - 1]
        if union:  # Dice = 2 IoU / (1 + IoU)
            assert counts.dice()[label - 1] == pytest.approx(2 * iou / (1 + iou), abs=1e-12)
    assert counts.pixel_error == pytest.approx((a != b).mean(), abs=1e-12)


@given(masks, masks, masks, masks)
def test_pooling_is_scoring_one_large_image(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> None:
    pooled = count_overlap(a, b, 3) + count_overlap(c, d, 3)
    whole = count_overlap(np.concatenate([a, c]), np.concatenate([b, d]), 3)
    np.testing.assert_array_equal(pooled.iou(), whole.iou())
    assert pooled.wrong == whole.wrong


def row(reference: int, predicted: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of one row with so many pixels."""
    a, b = np.zeros((1, 400), np.uint8), np.zeros((1, 400), np.uint8)
    a[0, :reference] = 1
    b[0, reference - both : reference - both + predicted] = 1
    return a, b


@pytest.mark.parametrize(
    ("reference", "predicted", "both", "score"),
    [
        (0, 0, 0, 1.0),
        (0, 5, 0, 0.0),
        (5, 0, 0, 0.0),
        (100, 100, 100, 1.0),
        (100, 100, 0, 0.0),
        (100, 72, 72, 0.5),  # 0.72 is above 0.5, 0.55, 0.6, 0.65, 0.7
        (100, 50, 50, 0.0),  # 0.5 is not above 0.5
        (100, 55, 55, 0.1),  # 0.55 is above 0.5 alone
        (100, 95, 95, 0.9),
        (100, 96, 96, 1.0),
    ],
)
def test_the_salt_competitions_score(reference: int, predicted: int, both: int, score: float) -> None:
    a, b = row(reference, predicted, both)
    assert tgs_salt_score(count_overlap(a, b)) == pytest.approx(score)


def test_the_nerve_competitions_score() -> None:
    assert ultrasound_nerve_score(count_overlap(EMPTY, EMPTY)) == 1
    assert ultrasound_nerve_score(count_overlap(EMPTY, A)) == 0
    assert ultrasound_nerve_score(count_overlap(A, B)) == pytest.approx(0.5)


def test_the_interval_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.7, 0.1, 400)
    low, high = bootstrap_interval(values, np.ones(400), [str(i) for i in range(400)], resamples=4000)
    # The normal interval of the mean is 0.7 +- 1.96 * 0.1 / 20.
    assert low == pytest.approx(values.mean() - 0.0098, abs=0.0015)
    assert high == pytest.approx(values.mean() + 0.0098, abs=0.0015)


def test_images_of_one_group_are_worth_one_draw() -> None:
    values = np.repeat([0.2, 0.4, 0.6, 0.8], 50)
    alone = bootstrap_interval(values, np.ones(200), [str(i) for i in range(200)])
    grouped = bootstrap_interval(values, np.ones(200), [str(i // 50) for i in range(200)])
    assert grouped[1] - grouped[0] > 4 * (alone[1] - alone[0])


def test_the_interval_of_a_ratio_weighs_by_size() -> None:
    low, high = bootstrap_interval(np.array([90.0, 1.0]), np.array([100.0, 10.0]), ["a", "b"])
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.9)


def test_one_group_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval(np.ones(3), np.ones(3), ["a"] * 3)).all()
    assert np.isnan(bootstrap_interval(np.full(3, np.nan), np.ones(3), ["a", "b", "c"])).all()
