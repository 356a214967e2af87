from __future__ import annotations

import numpy as np
import pytest

from napari_unet.metrics.boundaries import pixel_error

REFERENCE = np.array([[1, 1, 0, 0]], np.uint8)
PROBABLE = np.array([[0.9, 0.4, 0.6, 0.5]], np.float32)


def test_the_share_of_wrong_pixels_by_hand() -> None:
    # Above 0.5 are the first and third pixel: the second and third are wrong; 0.5 is not above 0.5.
    assert pixel_error(REFERENCE, PROBABLE) == pytest.approx(2 / 4)
    assert pixel_error(REFERENCE, PROBABLE, threshold=0.35) == pytest.approx(2 / 4)
    assert pixel_error(REFERENCE, PROBABLE, threshold=0.8) == pytest.approx(1 / 4)


def test_labels_are_compared_as_they_are() -> None:
    assert pixel_error(np.array([[3, 1, 0]]), np.array([[3, 2, 1]])) == pytest.approx(2 / 3)
    assert pixel_error(REFERENCE > 0, PROBABLE > 0.35) == pytest.approx(2 / 4)


def test_pixels_that_nobody_knows_do_not_count() -> None:
    weights = np.array([[1, 0, 1, 1]], np.float32)
    assert pixel_error(REFERENCE, PROBABLE, weights=weights) == pytest.approx(1 / 3)
    assert np.isnan(pixel_error(REFERENCE, PROBABLE, weights=weights * 0))


def test_it_is_the_mean_squared_difference_of_binary_images() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 17, 23))
    assert pixel_error(a, b) == pytest.approx(((a - b) ** 2).mean())
