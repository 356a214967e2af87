"""How likely objects are right: evidence by hand, isotonic regression, and a calibration that holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.metrics.object_confidence import (
    EVIDENCE,
    KEY,
    ObjectConfidence,
    best_iou,
    isotonic,
    measure_with_confidence,
    object_evidence,
)
from napari_unet.metrics.object_measures import measure_objects

ROW = {name: place for place, name in enumerate(EVIDENCE)}


def evidence_of(
    objects: np.ndarray, probabilities: np.ndarray, separation: np.ndarray | None = None
) -> np.ndarray:
    table = measure_objects(objects, (objects > 0).astype(np.uint8))
    return object_evidence(table, objects, probabilities[..., None], separation)


def test_evidence_by_hand() -> None:
    objects = np.zeros((12, 12), np.int32)
    objects[4:8, 2:6], objects[4:8, 6:10] = 1, 2  # two squares of 4 that touch
    probabilities = np.full((12, 12), 0.1, np.float32)
    probabilities[objects == 1] = 0.9
    probabilities[objects == 2] = 0.6
    probabilities[5, 3] = 0.5  # one pixel inside the first
    separation = np.where(objects == 1, 0.25, 0.0).astype(np.float32)
    separation[5, 4] = 0.75
    found = evidence_of(objects, probabilities, separation)
    first = {name: found[0, place] for name, place in ROW.items()}
    assert first["mean"] == pytest.approx((15 * 0.9 + 0.5) / 16)
    assert first["low"] == pytest.approx(0.9)  # the second lowest of sixteen
    assert first["unsure"] == pytest.approx(1 / 16)
    assert found[1, ROW["unsure"]] == 1
    assert first["rim"] == pytest.approx(0.9)  # the odd one is inside
    assert first["around"] == pytest.approx(0.1)
    assert first["contrast"] == pytest.approx(first["mean"] - 0.1)
    assert first["contact"] == pytest.approx(4 / 12)
    assert first["border"] == 0
    assert first["size"] == pytest.approx(np.log(16))
    assert first["relative_size"] == 0
    assert first["solidity"] == 1
    assert first["deepest"] == pytest.approx(0.75)
    assert first["depth"] == pytest.approx((15 * 0.25 + 0.75) / 16)
    assert first["contact_depth"] == pytest.approx(0.25)


def test_objects_at_the_border_and_none() -> None:
    objects = np.zeros((6, 6), np.int32)
    objects[0:3, 0:3] = 1
    found = evidence_of(objects, np.ones((6, 6), np.float32))
    assert found[0, ROW["border"]] == pytest.approx(5 / 8)
    assert evidence_of(np.zeros((6, 6), np.int32), np.ones((6, 6), np.float32)).shape == (0, len(EVIDENCE))


def test_best_iou_by_hand() -> None:
    objects = np.array([[1, 1, 0, 3, 3, 3]], np.int32)
    reference = np.array([[5, 5, 5, 0, 0, 2]], np.int32)
    assert best_iou(np.array([1, 3]), objects, reference).tolist() == [2 / 3, 1 / 3]


def test_pools_of_an_isotonic_regression_by_hand() -> None:
    places, levels = isotonic(np.array([1.0, 2, 3, 4]), np.array([0.0, 1, 0, 1]))
    assert places.tolist() == [1, 2.5, 4]
    assert levels.tolist() == [0, 0.5, 1]


@given(st.lists(st.tuples(st.integers(-30, 30), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_isotonic_regression_is_that_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    from sklearn.isotonic import IsotonicRegression

    values = np.array([float(value) for value, _ in pairs])
    wanted = np.array([float(want) for _, want in pairs])
    places, levels = isotonic(values, wanted)
    assert np.all(np.diff(places) > 0)
    assert np.all(np.diff(levels) > 0)
    truth = IsotonicRegression().fit(values, wanted).predict(values)
    assert sorted(set(np.round(levels, 9))) == sorted(set(np.round(truth, 9)))


def test_equal_sums_are_one_place() -> None:
    places, levels = isotonic(np.array([1.0, 1, 1, 2]), np.array([0.0, 1, 1, 1]))
    assert places.tolist() == [1, 2]
    assert levels == pytest.approx([2 / 3, 1])


def test_objects_that_look_alike_are_as_likely_right_as_all_of_them() -> None:
    alike = np.tile(np.arange(len(EVIDENCE), dtype=float), (12, 1))
    right = [np.arange(12) < 9] * 5  # three of four
    confidence = ObjectConfidence.fitted([alike] * 5, right)
    assert confidence is not None
    assert confidence(alike) == pytest.approx(np.full(12, 0.75))
    assert confidence.words == "60 objects of 5 validation images"


def made_up(images: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Objects that are right with a probability that two pieces of evidence tell together."""
    rng = np.random.default_rng(seed)
    evidence, right = [], []
    for _ in range(images):
        one = rng.standard_normal((40, len(EVIDENCE)))
        chance = 1 / (1 + np.exp(-(1.5 + 2 * one[:, 0] - 1.5 * one[:, 10])))
        evidence.append(one)
        right.append(rng.random(40) < chance)
    return evidence, right


def test_probabilities_are_calibrated_on_other_objects() -> None:
    confidence = ObjectConfidence.fitted(*made_up(30, 1))
    assert confidence is not None
    assert (confidence.objects, confidence.images) == (1200, 30)
    evidence, right = made_up(60, 2)
    said, wanted = confidence(np.concatenate(evidence)), np.concatenate(right)
    bins = np.minimum((said * 10).astype(int), 9)
    error = sum(
        abs(said[bins == b].mean() - wanted[bins == b].mean()) * np.mean(bins == b) for b in np.unique(bins)
    )
    assert error < 0.04
    assert said[wanted].mean() - said[~wanted].mean() > 0.3
    assert np.all((said > 0) & (said < 1))


def test_what_is_stored_says_the_same() -> None:
    confidence = ObjectConfidence.fitted(*made_up(10, 3))
    assert confidence is not None
    stored = json.loads(json.dumps({KEY: confidence.to_json()}, allow_nan=False))
    again = ObjectConfidence.of(stored)
    assert again is not None
    evidence = made_up(5, 4)[0][0]
    np.testing.assert_allclose(again(evidence), confidence(evidence), atol=1e-3)


def test_too_little_is_no_evidence() -> None:
    evidence, right = made_up(10, 5)
    assert ObjectConfidence.fitted([], []) is None
    assert ObjectConfidence.fitted(evidence, [np.ones(40, bool)] * 10) is None
    assert ObjectConfidence.fitted(evidence[:1], right[:1]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"evidence": ["mean"]}, {"mean": [1.0]}, {"sums": []}, {"scale": [0.0] * len(EVIDENCE)},
        {"offset": "x"},
        {"sums": [2.0, 1.0], "probabilities": [0.1, 0.2]}, {"weights": [float("inf")] * len(EVIDENCE)},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_not_used(change: dict[str, object]) -> None:
    confidence = ObjectConfidence.fitted(*made_up(10, 6))
    assert confidence is not None
    assert ObjectConfidence.of({KEY: confidence.to_json() | change}) is None
    assert ObjectConfidence.of({}) is None


def test_confidence_replaces_the_mean_probability() -> None:
    objects = np.zeros((12, 12), np.int32)
    objects[4:8, 2:6] = 1
    mask, said = (objects > 0).astype(np.uint8), np.full((12, 12, 1), 0.8, np.float32)
    confidence = ObjectConfidence.fitted(*made_up(10, 7))
    plain = measure_with_confidence(objects, mask, None, (said, None))
    assert plain.columns["confidence"].tolist() == pytest.approx([0.8])
    table = measure_with_confidence(objects, mask, None, (said, None), confidence=confidence)
    wanted = confidence(object_evidence(table, objects, said))
    assert table.columns["confidence"].tolist() == wanted.tolist()


def test_evidence_is_the_same_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(3)
    noise = ndimage.gaussian_filter(draw.standard_normal((61, 47)), 2.0)
    objects, _ = ndimage.label(noise > 0.02)
    objects = np.where(noise > 0.14, objects + 100, objects)  # objects that touch others
    probabilities = draw.random((61, 47, 1)).astype(np.float32)
    separation = draw.random((61, 47)).astype(np.float32)
    table = measure_objects(objects, (objects > 0).astype(np.uint8), None, probabilities)
    whole = object_evidence(table, objects, probabilities, separation)
    assert (whole[:, EVIDENCE.index("contact")] > 0).any()
    assert (whole[:, EVIDENCE.index("around")] > 0).any()
    for band in (1, 5, 16, 60):
        monkeypatch.setattr("napari_unet.metrics.object_confidence.BAND", band)
        np.testing.assert_allclose(
            object_evidence(table, objects, probabilities, separation), whole, atol=1e-12
        )
