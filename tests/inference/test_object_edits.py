"""Deleting, cutting and joining objects: pixels worked out by hand, and what holds of any objects."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_unet.inference.edits.object_edits import (
    _pixels,
    delete_object,
    join_numbers,
    merge_objects,
    split_objects,
)
from support.errors import raises_code

AROUND = np.ones((3, 3), bool)


def two_that_touch() -> tuple[np.ndarray, np.ndarray]:
    """A bar of 4 by 8 pixels that is cut between its columns 4 and 5."""
    mask = np.zeros((8, 12), np.uint8)
    mask[2:6, 1:9] = 1
    objects = np.zeros(mask.shape, np.int32)
    objects[2:6, 1:5], objects[2:6, 5:9] = 1, 2
    return mask, objects


def test_one_of_two_that_touch_is_deleted() -> None:
    mask, objects = two_that_touch()
    edit = delete_object(mask, objects, 2)
    assert edit.mask.sum() == 16
    assert edit.mask[2:6, 1:5].all()
    assert edit.joined is None
    with raises_code("data.object.missing"):
        delete_object(mask, objects, 3)
    with raises_code("data.object.missing"):
        delete_object(mask, objects, 0)


def test_a_stroke_cuts_along_a_line_of_background() -> None:
    mask, _ = two_that_touch()
    objects = mask.astype(np.int32)
    # It begins and ends one row outside.
    edit = split_objects(mask, objects, np.array([[1.0, 4.2], [6.0, 4.2]]))
    wanted = mask.copy()
    wanted[2:6, 4] = 0
    np.testing.assert_array_equal(edit.mask, wanted)
    # One that ends a pixel within the object is made longer.
    np.testing.assert_array_equal(
        split_objects(mask, objects, np.array([[3.0, 4.0], [4.0, 4.0]])).mask, wanted
    )
    with raises_code("data.object.uncut"):
        split_objects(mask, objects, np.array([[4.0, -1.0], [4.0, 3.0]]))
    with raises_code("data.object.uncut"):
        split_objects(mask, objects, np.array([[0.0, 0.0], [0.0, 9.0]]))
    with raises_code("data.object.uncut"):
        split_objects(mask, objects, np.array([[4.0, 4.0]]))


def test_a_slanting_cut_leaves_no_corner() -> None:
    mask = np.zeros((30, 30), np.uint8)
    mask[3:27, 3:27] = 2
    edit = split_objects(mask, (mask > 0).astype(np.int32), np.array([[0.0, 2.0], [29.0, 25.0]]))
    assert ndimage.label(edit.mask, AROUND)[1] == 2
    assert set(np.unique(edit.mask)) == {0, 2}


def test_a_neighbour_that_is_only_grazed_stays_whole() -> None:
    mask, objects = two_that_touch()
    edit = split_objects(mask, objects, np.array([[1.0, 2.0], [6.0, 2.0]]))
    assert edit.mask[2:6, 5:9].all()
    assert not edit.mask[:, 2].any()


def test_two_that_touch_become_one_without_a_new_pixel() -> None:
    mask, objects = two_that_touch()
    edit = merge_objects(mask, objects, np.array([[3.0, 2.0], [3.0, 7.0]]))
    np.testing.assert_array_equal(edit.mask, mask)
    assert edit.joined is not None
    assert np.argwhere(edit.joined).tolist() == [[3, column] for column in range(2, 8)]
    np.testing.assert_array_equal(join_numbers(objects, edit.joined, mask), mask)


def test_a_gap_between_two_is_bridged() -> None:
    mask = np.zeros((9, 14), np.uint8)
    mask[2:7, 1:5], mask[2:7, 8:12] = 1, 1
    objects, _ = ndimage.label(mask)
    edit = merge_objects(mask, objects.astype(np.int32), np.array([[4.0, 2.0], [4.0, 10.0]]))
    wanted = mask.copy()
    wanted[3:6, 5:8] = 1
    np.testing.assert_array_equal(edit.mask, wanted)
    assert ndimage.label(edit.mask)[1] == 1
    with raises_code("data.object.single"):
        merge_objects(mask, objects, np.array([[4.0, 2.0], [4.0, 6.0]]))
    mask[2:7, 8:12] = 2
    with raises_code("data.object.classes"):
        merge_objects(mask, objects, np.array([[4.0, 2.0], [4.0, 10.0]]))


def test_chains_are_joined_and_numbers_have_no_gaps() -> None:
    objects = np.array([[1, 1, 2, 2, 3, 3, 0, 4, 5, 5]], np.int32)
    mask = (objects > 0).astype(np.uint8)
    joined = np.array([[0, 0, 0, 1, 1, 0, 0, 1, 1, 0]], bool)
    assert join_numbers(objects, joined, mask).tolist() == [[1, 1, 2, 2, 2, 2, 0, 3, 3, 3]]
    assert join_numbers(objects, None, mask) is objects
    mask[0, 8:] = 2  # another class now: it stays apart
    assert join_numbers(objects, joined, mask).tolist() == [[1, 1, 2, 2, 2, 2, 0, 3, 4, 4]]


@given(st.lists(st.tuples(st.floats(-3, 22), st.floats(-3, 17)), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_pixels_of_a_path_hang_together_over_edges(points: list[tuple[float, float]]) -> None:
    found = _pixels(np.array(points) + 5, (40, 40))
    steps = np.abs(np.diff(found, axis=0)).sum(axis=1)
    assert np.all(steps == 1) or len(found) < 2
    assert found[0].tolist() == [int(np.floor(c + 5.5)) for c in points[0]]
    assert found[-1].tolist() == [int(np.floor(c + 5.5)) for c in points[-1]]


@given(arrays(np.uint8, (10, 12), elements=st.integers(0, 1)), arrays(np.bool_, (10, 12)))
@settings(max_examples=50, deadline=None)
def test_joining_only_ever_takes_objects_together(mask: np.ndarray, joined: np.ndarray) -> None:
    objects = ndimage.label(mask)[0].astype(np.int32)
    found = join_numbers(objects, joined, mask)
    np.testing.assert_array_equal(found > 0, objects > 0)
    assert np.unique(found[found > 0]).tolist() == list(range(1, int(found.max()) + 1))
    for number in range(1, int(objects.max()) + 1):
        assert len(np.unique(found[objects == number])) == 1
