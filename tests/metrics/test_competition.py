from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.metrics.competition import tgs_salt_score, ultrasound_nerve_score
from napari_unet.metrics.overlap import count_overlap

A = np.array([[1, 1, 0], [0, 0, 0]], np.uint8)
B = np.array([[1, 0, 0], [1, 0, 0]], np.uint8)
EMPTY = np.zeros((2, 3), np.uint8)


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


@given(st.integers(1, 400), st.data())
def test_the_salt_score_is_the_precision_of_one_object_at_ten_thresholds(
    union: int, data: st.DataObject
) -> None:
    both = data.draw(st.integers(0, union))
    a, b = np.zeros((1, 401), np.uint8), np.zeros((1, 401), np.uint8)
    a[0, :union] = 1
    b[0, :both] = 1
    b[0, 400] = both == 0  # not empty, whatever is shared
    # An IoU above t in hundredths is 100 both > t union; a hit is TP 1, a miss FP 1 and FN 1.
    precisions = [1.0 if 100 * both > t * union else 0.0 for t in range(50, 100, 5)]
    assert tgs_salt_score(count_overlap(a, b)) == pytest.approx(np.mean(precisions), abs=1e-12)
