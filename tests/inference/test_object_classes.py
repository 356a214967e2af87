"""Classes of objects, read off inside them: worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.object_classes import classes_of_objects, one_class_in_each, reads_classes
from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import mask_from_probabilities
from napari_unet.settings import InferenceSettings

AUTO = InferenceSettings()


def two_objects() -> np.ndarray:
    """(6, 12, 2) softmax: an object of 16 pixels, a quarter of which says class 2, and one of class 2."""
    probabilities = np.zeros((6, 12, 2), np.float32)
    probabilities[1:5, 1:5] = 0.9, 0.05
    probabilities[1:5, 1] = 0.05, 0.9
    probabilities[1:5, 7:11] = 0.1, 0.8
    return probabilities


def test_the_class_of_an_object_is_what_its_pixels_speak_for() -> None:
    objects = np.zeros((6, 12), np.int32)
    objects[1:5, 1:5], objects[1:5, 7:11] = 1, 2
    found = classes_of_objects(two_objects(), objects)
    # (12 * 0.9 + 4 * 0.05) / (16 * 0.95) and 0.1 / 0.9
    np.testing.assert_allclose(found.shares, [[11 / 15.2, 4.2 / 15.2], [1 / 9, 8 / 9]], rtol=1e-6)
    assert found.labels.tolist() == [1, 2]
    assert found.ties.tolist() == []


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.85])
def test_no_object_is_cut_by_its_classes(activation: str, threshold: float) -> None:
    probabilities = two_objects()
    before = mask_from_probabilities(probabilities, threshold, activation=activation)  # type: ignore[arg-type]
    assert find_objects(before, AUTO).max() > 1
    agreed, found = one_class_in_each(probabilities, None, "none", AUTO, activation)  # type: ignore[arg-type]
    after = mask_from_probabilities(agreed, threshold, activation=activation)  # type: ignore[arg-type]
    assert (after[1:5, 1:5] == 1).all()
    assert found.labels.tolist() == [1, 2]
    if activation == "softmax":
        assert (after[1:5, 7:11] == 2).all()
        assert find_objects(after, AUTO).max() == 2


def test_a_tie_is_said_and_the_first_class_is_taken() -> None:
    probabilities = np.zeros((4, 8, 3), np.float32)
    probabilities[1:3, 1:3] = 0.1, 0.4, 0.45  # shares 0.474 and 0.421: nearer than 0.1
    probabilities[1:3, 5:7] = 0.3, 0.3, 0.3
    agreed, found = one_class_in_each(probabilities, None, "none", AUTO, "softmax")
    assert found.ties.tolist() == [1, 2]
    mask = mask_from_probabilities(agreed, activation="softmax")
    assert mask[1].tolist() == [0, 3, 3, 0, 0, 1, 1, 0]


def test_touching_objects_of_two_classes_stay_two() -> None:
    """The network's own depth parts them, whatever their classes are."""
    probabilities = np.zeros((8, 16, 2), np.float32)
    probabilities[1:7, 1:8] = 0.9, 0.0
    probabilities[1:7, 8:15] = 0.0, 0.9
    probabilities[3, 3:5] = 0.0, 0.9
    depth = np.zeros((8, 16), np.float32)
    depth[2:6, 2:7] = depth[2:6, 9:14] = 1
    agreed, found = one_class_in_each(probabilities, depth, "distance", AUTO, "softmax")
    assert found.labels.tolist() == [1, 2]
    mask = mask_from_probabilities(agreed, activation="softmax")
    assert mask[3].tolist() == [0, *[1] * 7, *[2] * 7, 0]
    assert find_objects(mask, AUTO, agreed, depth, "distance").max() == 2


def test_an_image_without_objects() -> None:
    nothing = np.zeros((4, 5, 2), np.float32)
    agreed, found = one_class_in_each(nothing, None, "none", AUTO, "softmax")
    np.testing.assert_array_equal(agreed, nothing)
    assert found.shares.shape == (0, 2)
    assert found.ties.tolist() == []


def test_when_classes_are_read_off() -> None:
    assert reads_classes(AUTO, 2, "distance")
    assert not reads_classes(AUTO, 2, "none")
    assert not reads_classes(AUTO, 1, "distance")
    assert reads_classes(InferenceSettings(class_of="objects"), 2, "none")
    assert not reads_classes(InferenceSettings(class_of="pixels"), 2, "distance")
