from __future__ import annotations

import numpy as np

from napari_unet.inference.postprocess import mask_from_probabilities, remove_small


def test_the_most_probable_class_above_the_threshold_wins() -> None:
    probabilities = np.array([[[0.5, 0.2], [0.6, 0.7], [0.51, 0.1], [0.0, 0.0]]], np.float32)
    np.testing.assert_array_equal(mask_from_probabilities(probabilities), [[0, 2, 1, 0]])
    np.testing.assert_array_equal(mask_from_probabilities(probabilities, 0.65), [[0, 2, 0, 0]])


def test_small_pieces_are_dropped_class_by_class() -> None:
    mask = np.array([[1, 1, 0, 2], [0, 1, 0, 2], [2, 0, 0, 0]], np.uint8)
    np.testing.assert_array_equal(remove_small(mask, 2), [[1, 1, 0, 2], [0, 1, 0, 2], [0, 0, 0, 0]])
    np.testing.assert_array_equal(remove_small(mask, 3), [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
