from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.metrics.overlap import count_overlap, image_score, image_scores

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


def test_image_scores_by_hand() -> None:
    scores = image_scores(np.array([[1, 1, 2, 0]], np.uint8), np.array([[1, 2, 2, 2]], np.uint8), 3)
    # Class 1: 1 of 2; class 2: 1 of 3; class 3 is nowhere.
    np.testing.assert_allclose(scores.per_class_iou, [1 / 2, 1 / 3, 1])
    np.testing.assert_allclose(scores.per_class_dice, [2 / 3, 2 / 4, 1])
    assert scores.iou == pytest.approx(5 / 12)
    assert scores.dice == pytest.approx(7 / 12)
    assert (scores.empty_reference, scores.empty_prediction) == (False, False)


@pytest.mark.parametrize(("rule", "value"), [("one", 1.0), ("zero", 0.0), ("skip", np.nan)])
def test_an_image_without_any_class_follows_the_rule(rule: str, value: float) -> None:
    scores = image_scores(EMPTY, EMPTY, 2, empty=rule)  # type: ignore[arg-type]
    np.testing.assert_equal([scores.iou, scores.dice, *scores.per_class_iou], [value] * 4)
    assert (scores.empty_reference, scores.empty_prediction) == (True, True)
    assert image_scores(EMPTY, A, empty=rule).iou == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["one", "zero", "skip"])
def test_an_image_of_which_nothing_is_known_has_no_score(rule: str) -> None:
    scores = image_scores(A, B, weights=np.zeros((2, 3), np.float32), empty=rule)  # type: ignore[arg-type]
    assert np.isnan([scores.iou, scores.dice, scores.counts.pixel_error]).all()


def test_large_labels_do_not_wrap_around() -> None:
    # 256 and 65536 are 0 in the narrow types that pairs of labels are counted in.
    for label in (2, 256, 65536, -1):
        mask = np.full((2, 3), label, np.int64)
        for pair in ((A, mask), (mask, A)):
            with pytest.raises(ValueError, match="a label is"):
                count_overlap(*pair)
    most = np.array([[255, 0, 254]], np.uint8)
    np.testing.assert_array_equal(count_overlap(most, most, 255).both[[253, 254]], [1, 1])
    many = np.array([[400, 0, 299]], np.uint16)
    np.testing.assert_array_equal(count_overlap(many, many, 400).both[[298, 399]], [1, 1])
    with pytest.raises(ValueError, match="whole numbers"):
        count_overlap(A, A * 0.5)
    with pytest.raises(ValueError, match="weights of"):
        count_overlap(A, A, weights=np.ones((3, 2), np.float32))


def test_truth_values_are_masks_too() -> None:
    assert count_overlap(A > 0, B > 0).iou()[0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 7, 15, 16])
@pytest.mark.parametrize("known", [None, 0.5])
def test_few_classes_and_many_are_counted_alike(classes: int, known: float | None) -> None:
    rng = np.random.default_rng(classes)
    a, b = rng.integers(0, classes + 1, (2, 19, 23), dtype=np.uint8)
    weights = None if known is None else (rng.random((19, 23)) < known).astype(np.float32)
    counts = count_overlap(a, b, classes, weights)
    where = np.ones((19, 23), bool) if weights is None else weights > 0
    assert counts.pixels == where.sum()
    assert counts.wrong == ((a != b) & where).sum()
    for label in range(1, classes + 1):
        found = counts.both[label - 1], counts.reference[label - 1], counts.predicted[label - 1]
        one, other = (a == label) & where, (b == label) & where
        assert found == ((one & other).sum(), one.sum(), other.sum())
    for field in (counts.both, counts.reference, counts.predicted):
        assert field.dtype == np.int64
        assert field.shape == (classes,)


def test_the_scores_of_the_fcn_paper_by_hand() -> None:
    counts = count_overlap(np.array([[1, 1, 2, 0, 0]], np.uint8), np.array([[1, 2, 2, 0, 2]], np.uint8), 3)
    # Right: one of two background pixels, one of two of class 1, the one of class 2.
    assert counts.pixel_accuracy == pytest.approx(3 / 5)
    assert counts.mean_accuracy() == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    # IoU: background 1 / 2, class 1 1 / 2, class 2 1 / 3; class 3 is nowhere.
    assert counts.mean_iu() == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert counts.frequency_weighted_iu() == pytest.approx((2 / 2 + 2 / 2 + 1 / 3) / 5)
    # Of the four pixels with a predicted class two are right; of the three with one in the reference, two.
    assert counts.precision() == pytest.approx(2 / 4)
    assert counts.recall() == pytest.approx(2 / 3)


def test_precision_and_recall_by_the_empty_rules() -> None:
    nothing = count_overlap(EMPTY, EMPTY)
    for rule, value in (("one", 1.0), ("zero", 0.0), ("skip", np.nan)):
        np.testing.assert_equal([nothing.precision(rule), nothing.recall(rule)], [value] * 2)  # type: ignore[arg-type]
    assert (count_overlap(A, EMPTY).precision("skip"), count_overlap(EMPTY, A).recall("skip")) == (0, 0)
    assert (nothing.mean_iu(), nothing.frequency_weighted_iu(), nothing.mean_accuracy()) == (1, 1, 1)
    unknown = count_overlap(A, B, weights=np.zeros((2, 3), np.float32))
    told = [unknown.mean_iu(), unknown.frequency_weighted_iu(), unknown.mean_accuracy()]
    assert np.isnan([*told, unknown.pixel_accuracy]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [1, 3])
def test_overlap_agrees_with_scikit_learn(seed: int, classes: int) -> None:
    from sklearn import metrics

    rng = np.random.default_rng(seed)
    a = rng.integers(0, classes + 1, (23, 31), dtype=np.uint8)
    b = np.where(rng.random(a.shape) < 0.6, a, rng.integers(0, classes + 1, a.shape, dtype=np.uint8))
    weights = (rng.random(a.shape) < 0.8).astype(np.float32)
    counts = count_overlap(a, b, classes, weights)
    pair = a[weights > 0], b[weights > 0]
    named = list(range(1, classes + 1))
    told = [
        (counts.iou(), metrics.jaccard_score(*pair, labels=named, average=None)),
        (counts.dice(), metrics.f1_score(*pair, labels=named, average=None)),
        (counts.pixel_accuracy, metrics.accuracy_score(*pair)),
        (counts.mean_accuracy(), metrics.balanced_accuracy_score(*pair)),
        (counts.mean_iu(), metrics.jaccard_score(*pair, average="macro")),
        (counts.frequency_weighted_iu(), metrics.jaccard_score(*pair, average="weighted")),
        (counts.precision(), metrics.precision_score(*pair, labels=named, average="micro")),
        (counts.recall(), metrics.recall_score(*pair, labels=named, average="micro")),
    ]
    for ours, theirs in told:
        np.testing.assert_allclose(ours, theirs, atol=1e-9, rtol=0)  # type: ignore[call-overload]
