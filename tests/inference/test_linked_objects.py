"""Objects of a stack have one number each, linked or not: slices drawn by hand."""

from __future__ import annotations

import numpy as np

from napari_unet.inference.linked_objects import StackNumbers, partners


def slice_of(*boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """(12, 20) int32 with boxes: number, first row, row behind the last, and the columns likewise."""
    objects = np.zeros((12, 20), np.int32)
    for number, top, bottom, left, right in boxes:
        objects[top:bottom, left:right] = number
    return objects


def classes(objects: np.ndarray, **of: int) -> np.ndarray:
    """The class of every pixel: 1, unless another is given by number."""
    mask = (objects > 0).astype(np.uint8)
    for number, label in of.items():
        mask[objects == int(number[1:])] = label
    return mask


def numbered(linked: bool, *slices: np.ndarray) -> list[np.ndarray]:
    numbers = StackNumbers(linked)
    return [numbers.number(objects, classes(objects)) for objects in slices]


def test_an_object_has_its_number_in_all_slices() -> None:
    # A moves down by one row of four: 12 of 20 pixels overlap. B is there twice. C comes in the last slice.
    a0, a1, a2 = (1, 0, 4, 0, 4), (2, 1, 5, 0, 4), (1, 2, 6, 0, 4)
    b0, b1 = (2, 0, 4, 10, 14), (1, 0, 4, 10, 14)
    first, second, third = numbered(
        True, slice_of(a0, b0), slice_of(a1, b1), slice_of(a2, (2, 8, 12, 16, 20))
    )
    np.testing.assert_array_equal(first, slice_of(a0, b0))
    np.testing.assert_array_equal(second, slice_of((1, 1, 5, 0, 4), (2, 0, 4, 10, 14)))
    np.testing.assert_array_equal(third, slice_of((1, 2, 6, 0, 4), (3, 8, 12, 16, 20)))


def test_unlinked_objects_never_share_a_number() -> None:
    box = (1, 0, 4, 0, 4)
    first, second = numbered(False, slice_of(box, (2, 6, 8, 6, 8)), slice_of(box))
    np.testing.assert_array_equal(np.unique(first), [0, 1, 2])
    np.testing.assert_array_equal(np.unique(second), [0, 3])


def test_too_little_overlap_is_no_link() -> None:
    # 4 x 4 moved by 2 and by 3 columns: 8 of 24 pixels are a third, 4 of 28 a seventh.
    box = slice_of((1, 0, 4, 0, 4))
    assert numbered(True, box, slice_of((1, 0, 4, 2, 6)))[1].max() == 1
    assert numbered(True, box, slice_of((1, 0, 4, 3, 7)))[1].max() == 2


def test_an_object_that_splits_stays_itself_in_the_larger_part() -> None:
    whole = slice_of((1, 0, 4, 0, 10))
    parts = slice_of((1, 0, 4, 0, 3), (2, 0, 4, 3, 10))  # 12 and 28 of 40
    assert partners(whole, classes(whole), parts, classes(parts)) == [(1, 2)]
    second = numbered(True, whole, parts)[1]
    assert (second[0, 0], second[0, 5]) == (2, 1)
    # And where they merge, the larger one gives its number.
    merged = numbered(True, parts, whole)[1]
    np.testing.assert_array_equal(np.unique(merged), [0, 2])


def test_a_gap_of_one_slice_ends_an_object() -> None:
    box = slice_of((1, 0, 4, 0, 4))
    empty = slice_of()
    assert [int(s.max()) for s in numbered(True, box, empty, box)] == [1, 0, 2]


def test_objects_of_two_classes_are_not_linked() -> None:
    box = slice_of((1, 0, 4, 0, 4))
    numbers = StackNumbers(True)
    assert numbers.number(box, classes(box)).max() == 1
    assert numbers.number(box, classes(box, n1=2)).max() == 2


def test_a_stack_of_another_time_begins_without_links() -> None:
    box = slice_of((1, 0, 4, 0, 4))
    numbers = StackNumbers(True)
    assert numbers.number(box, classes(box)).max() == 1
    numbers.start_again()
    assert numbers.number(box, classes(box)).max() == 2


def test_numbers_that_are_not_free_are_passed_over() -> None:
    numbers = StackNumbers(False, lambda number: number != 2)
    first = numbers.number(slice_of((5, 0, 2, 0, 2), (9, 4, 6, 4, 6)), classes(slice_of()))
    np.testing.assert_array_equal(np.unique(first), [0, 1, 3])
