"""Objects between two slices: shapes whose answer is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.edits.fill_between import fill_between
from support.errors import raises_code


def square(row: int, column: int, side: int, room: int = 24) -> np.ndarray:
    mask = np.zeros((room, room), bool)
    mask[row : row + side, column : column + side] = True
    return mask


def test_an_object_that_stays_is_the_same_in_between() -> None:
    filled = fill_between(square(5, 6, 7), square(5, 6, 7), 4)
    assert filled.shape == (4, 24, 24)
    for part in filled:
        np.testing.assert_array_equal(part, square(5, 6, 7))


def test_an_object_that_moves_is_shifted_even_where_its_shapes_do_not_overlap() -> None:
    filled = fill_between(square(9, 2, 4), square(9, 14, 4), 3)
    # 12 columns in 4 steps of 3.
    for part, column in zip(filled, (5, 8, 11), strict=True):
        np.testing.assert_array_equal(part, square(9, column, 4))


def test_an_object_that_grows_has_sides_in_between() -> None:
    filled = fill_between(square(10, 10, 3), square(6, 6, 11), 3)
    # Half sides 1.5 and 5.5: 2.5, 3.5 and 4.5 in between.
    assert [int(part[11].sum()) for part in filled] == [5, 7, 9]
    assert [int(part[:, 11].sum()) for part in filled] == [5, 7, 9]
    middle = filled[1][:23, :23]  # of the image, too, is where the object has its centre
    np.testing.assert_array_equal(middle, middle[::-1, ::-1])


def test_an_object_at_the_border_of_the_image_stays_at_the_border() -> None:
    half = np.zeros((12, 12), bool)
    half[:, :5] = True
    whole = np.ones((12, 12), bool)
    np.testing.assert_array_equal(fill_between(half, half, 1)[0], half)
    np.testing.assert_array_equal(fill_between(whole, whole, 1)[0], whole)


def steps(*edges: int) -> np.ndarray:
    """(Z, 20, 24) probability: 1 to the left of an edge, 0 to the right."""
    return np.stack([np.tile(np.arange(24) < edge, (20, 1)) for edge in edges]).astype(np.float32)


def left(edge: int) -> np.ndarray:
    return steps(edge)[0] > 0


def test_the_probability_moves_an_outline_towards_the_edge_that_it_sees() -> None:
    # Between painted edges at column 12 the network sees one at 14, and one at 10.
    for seen, moved in ((14, 13), (12, 12), (10, 11)):
        filled = fill_between(left(12), left(12), 1, steps(12, seen, 12))
        np.testing.assert_array_equal(filled[0], left(moved))


def ridges(*edges: int) -> np.ndarray:
    """(Z, 20, 24) probability: 1, but for a ridge of three columns, 0.5, 0 and 0.5, around an edge."""
    found = np.ones((len(edges), 20, 24), np.float32)
    for part, edge in zip(found, edges, strict=True):
        part[:, [edge - 1, edge + 1]], part[:, edge] = 0.5, 0
    return found


def test_a_ridge_of_low_probability_parts_objects() -> None:
    # The painted object ends on the ridge at column 12; in between the ridge moves by two columns.
    still = fill_between(left(12), left(12), 1, ridges(12, 12, 12))[0]
    assert abs(int(still[10].sum()) - 12) <= 1
    for seen, direction in ((14, 1), (10, -1)):
        filled = fill_between(left(12), left(12), 1, ridges(12, seen, 12))[0]
        assert direction * (int(filled[10].sum()) - 12) >= 1


def test_a_probability_that_knows_nothing_changes_nothing() -> None:
    first, last = square(10, 10, 3), square(6, 6, 11)
    nothing = np.full((5, 24, 24), 0.5, np.float32)
    np.testing.assert_array_equal(fill_between(first, last, 3, nothing), fill_between(first, last, 3))


@pytest.mark.parametrize("last", [np.zeros((24, 24), bool), np.ones((23, 24), bool)])
def test_an_object_is_in_both_slices(last: np.ndarray) -> None:
    with raises_code("data.fill.empty"):
        fill_between(square(1, 1, 3), last, 1)
