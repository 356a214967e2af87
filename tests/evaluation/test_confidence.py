from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.evaluation import confidence
from napari_unet.evaluation.confidence import (
    THRESHOLDS,
    Activation,
    count_probabilities,
    reliability,
    threshold_curve,
)
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.metrics.overlap import image_scores


def test_iou_at_thresholds_by_hand() -> None:
    labels = np.array([[1, 1, 0, 0]], np.uint8)
    likely = np.array([[0.9, 0.4, 0.6, 0.0]], np.float32)[..., None]
    iou = count_probabilities(labels, likely).iou()
    at = dict(zip(THRESHOLDS.tolist(), iou.tolist(), strict=True))
    assert at[0.0] == pytest.approx(2 / 3)  # 0.9 0.4 | 0.6
    assert at[0.4] == pytest.approx(1 / 3)  # exactly 0.4 is not above it
    assert at[0.5] == pytest.approx(1 / 3)
    assert at[0.6] == pytest.approx(1 / 2)
    assert at[0.9] == 0
    assert at[1.0] == 0


@given(
    seed=st.integers(0, 2**31 - 1),
    classes=st.integers(1, 3),
    softmax=st.booleans(),
    ignored=st.booleans(),
    rule=st.sampled_from(["one", "zero", "skip"]),
)
def test_every_threshold_gives_what_the_mask_made_with_it_scores(
    seed: int, classes: int, softmax: bool, ignored: bool, rule: str
) -> None:
    rng = np.random.default_rng(seed)
    shape = (9, 7)
    # As kept: half precision, and often exactly on a threshold.
    likely = np.round(rng.random((*shape, classes)), 2).astype(np.float16).astype(np.float32)
    if softmax and classes > 1:
        likely = (likely / (likely.sum(axis=-1, keepdims=True) + 0.3)).astype(np.float32)
    labels = (rng.integers(0, classes + 1, shape) * (rng.random() > 0.3)).astype(np.uint8)
    weights = (rng.random(shape) > 0.3).astype(np.float32) if ignored else None
    activation = "softmax" if softmax else "sigmoid"
    counts = count_probabilities(labels, likely, weights, activation)  # type: ignore[arg-type]
    found = counts.iou(rule)  # type: ignore[arg-type]
    for number in (0, 17, 50, 83, 100):
        mask = mask_from_probabilities(likely, float(THRESHOLDS[number]), activation=activation)  # type: ignore[arg-type]
        expected = image_scores(labels, mask, classes, weights, rule).iou  # type: ignore[arg-type]
        if softmax and classes > 1:
            # Its rule divides elsewhere: a pixel on the very threshold may fall on either side.
            assert found[number] == pytest.approx(expected, abs=0.05, nan_ok=True)
        else:
            assert found[number] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_pixels_may_be_counted_piece_by_piece(activation: Activation) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (9, 11)).astype(np.uint8)
    probabilities = (rng.random((9, 11, 2)) / 2).astype(np.float32)
    weights = rng.integers(0, 2, (9, 11)).astype(np.float32)
    for known in (None, weights):
        whole = count_probabilities(labels, probabilities, known, activation)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(confidence, "PIECE", 10)
            pieces = count_probabilities(labels, probabilities, known, activation)
        for name in ("both", "predicted", "reference", "binned", "positive"):
            np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
        np.testing.assert_allclose(pieces.summed, whole.summed, rtol=1e-12)


def test_reliability_by_hand() -> None:
    labels = np.array([[1, 0, 0, 0, 1]], np.uint8)
    likely = np.array([[0.82, 0.82, 0.82, 0.82, 1.0]], np.float32)[..., None]
    counts = count_probabilities(labels, likely, np.array([[1, 1, 1, 0, 1]], np.float32))
    found = reliability(counts.binned, counts.positive, counts.summed)
    assert found is not None
    assert found.promised == pytest.approx([0.82, 1.0])
    assert found.true == pytest.approx([1 / 3, 1.0])
    assert found.pixels.tolist() == [3, 1]
    assert found.error == pytest.approx(3 / 4 * (0.82 - 1 / 3), abs=1e-6)


def test_curves_of_images_are_averaged_and_the_middle_of_the_best_is_taken() -> None:
    one, two = np.linspace(1, 0, 101), np.full(101, 0.5)
    curve = threshold_curve([one, two])
    assert curve is not None
    assert curve.at(0.25) == pytest.approx((0.75 + 0.5) / 2)
    assert curve.at(0.255) == pytest.approx((0.745 + 0.5) / 2)
    assert curve.images == 2
    flat = threshold_curve([two])
    assert flat is not None
    assert flat.best == 0.5
    assert threshold_curve([]) is None
    gap = np.where(THRESHOLDS > 0.9, np.nan, 0.5)
    assert threshold_curve([gap]) is None
    filled = threshold_curve([gap, one])
    assert filled is not None
    assert filled.at(1.0) == 0.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        count_probabilities(np.zeros((2, 2), np.uint8), np.zeros((2, 3, 1), np.float32))
