from __future__ import annotations

import numpy as np
import pytest

from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.training.feeding.weight_maps import (
    border_map,
    border_weights,
    class_weights,
    separate_objects,
)


def test_equation_two_by_hand() -> None:
    objects = np.zeros((1, 9), np.int32)
    objects[0, :2], objects[0, 6:] = 1, 2
    weights = border_weights(objects, 10.0, 5.0)
    # Between them lie pixels 2 to 5; at pixel 2 the distances are 1 and 4, at pixel 3 they are 2 and 3.
    assert weights[0, 2] == pytest.approx(10 * np.exp(-25 / 50), rel=1e-5)
    assert weights[0, 3] == pytest.approx(10 * np.exp(-25 / 50), rel=1e-5)
    assert (weights[objects > 0] == 0).all()


def test_a_narrow_gap_weighs_more_than_a_wide_one() -> None:
    objects = np.zeros((20, 40), np.int32)
    objects[:, :10], objects[:, 12:20], objects[:, 30:] = 1, 2, 3
    weights = border_weights(objects)
    assert weights[10, 10] > 8
    assert weights[10, 25] < weights[10, 11] / 4


def test_one_object_has_no_border() -> None:
    objects = np.zeros((12, 12), np.int32)
    objects[4:8, 4:8] = 1
    assert not border_weights(objects).any()


def test_the_window_around_each_object_changes_nothing() -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    objects = np.zeros((90, 110), np.int32)
    for number, (y, x) in enumerate(rng.integers(5, 85, (12, 2)), start=1):
        objects[y - 3 : y + 4, x - 3 : x + 4] = number
    distances = np.sort(
        [ndimage.distance_transform_edt(objects != n) for n in np.unique(objects[objects > 0])], axis=0
    )
    expected = np.where(objects == 0, 10 * np.exp(-((distances[0] + distances[1]) ** 2) / 50), 0)
    np.testing.assert_allclose(border_weights(objects), expected, atol=1e-4)


def test_touching_objects_are_parted_by_one_pixel() -> None:
    objects = np.zeros((3, 6), np.int32)
    objects[:, :3], objects[:, 3:] = 1, 2
    expected = np.ones((3, 6), bool)
    expected[:, 3] = False
    np.testing.assert_array_equal(separate_objects(objects), expected)


def test_class_weights_by_hand() -> None:
    weights = class_weights(np.array([75, 25, 0]))
    np.testing.assert_allclose(weights, [100 / (2 * 75), 2.0, 0.0])
    assert (weights * [0.75, 0.25, 0]).sum() == pytest.approx(1)


def test_depth_is_one_in_the_middle_of_every_object_whatever_its_size() -> None:
    objects = np.zeros((9, 20), np.int32)
    objects[1:8, 1:8] = 1  # 7 x 7: distances 1, 2, 3, 4 along the middle row
    objects[3:6, 8:11] = 2  # 3 x 3, which touches it
    depth = distance_map(objects)
    np.testing.assert_allclose(depth[4, :12], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0.5, 1, 0.5, 0])
    assert (depth[objects == 0] == 0).all()


def test_depth_goes_on_beyond_the_border_of_the_image() -> None:
    objects = np.zeros((4, 6), np.int32)
    objects[:, :3] = 1
    np.testing.assert_allclose(distance_map(objects), np.tile([1, 2 / 3, 1 / 3, 0, 0, 0], (4, 1)))
    assert (distance_map(np.ones((3, 3), np.int32)) == 1).all()


def test_a_border_is_where_two_objects_are_near() -> None:
    objects = np.zeros((5, 12), np.int32)
    objects[:, :4], objects[:, 5:9] = 1, 2
    # Within two pixels of both: pixels 3 to 5; what has background alone beside it is none.
    np.testing.assert_array_equal(border_map(objects)[2], [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
