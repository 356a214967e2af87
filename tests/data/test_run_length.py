from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_unet.data.masks.run_length import decode_run_lengths, encode_run_lengths
from support.errors import raises_code


def test_pixels_count_from_one_down_the_columns() -> None:
    mask = decode_run_lengths("2 2 5 1", (3, 2))
    # Column 0 holds pixels 1 to 3, column 1 pixels 4 to 6.
    assert mask.tolist() == [[0, 0], [1, 1], [1, 0]]
    assert mask.dtype == np.uint8


def test_a_run_goes_on_in_the_next_column() -> None:
    assert decode_run_lengths("3 2", (3, 2)).tolist() == [[0, 1], [0, 0], [1, 0]]
    assert encode_run_lengths(np.array([[0, 1], [0, 0], [1, 0]])) == "3 2"


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_no_text_is_an_empty_mask(text: str) -> None:
    mask = decode_run_lengths(text, (4, 5))
    assert mask.shape == (4, 5)
    assert not mask.any()


def test_an_empty_mask_is_no_text_and_a_full_one_a_single_run() -> None:
    assert encode_run_lengths(np.zeros((4, 5))) == ""
    assert encode_run_lengths(np.ones((4, 5), bool)) == "1 20"


def test_any_value_but_zero_is_foreground() -> None:
    assert encode_run_lengths(np.array([[65535, 0], [-3, 0]], np.int32)) == "1 2"


def test_runs_may_come_in_any_order_and_touch() -> None:
    assert np.array_equal(decode_run_lengths("5 1 2 2 4 1", (3, 2)), decode_run_lengths("2 4", (3, 2)))


@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_round_trip(mask: Any) -> None:
    assert np.array_equal(decode_run_lengths(encode_run_lengths(mask), mask.shape), mask)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_runs_are_rising_and_as_long_as_can_be(mask: Any) -> None:
    numbers = [int(word) for word in encode_run_lengths(mask).split()]
    starts, lengths = numbers[0::2], numbers[1::2]
    assert sum(lengths) == mask.sum()
    assert all(a + n < b for a, n, b in zip(starts, lengths, starts[1:], strict=False))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1", "data.runs.malformed"),
        ("1 2 3", "data.runs.malformed"),
        ("a b", "data.runs.malformed"),
        ("1.5 2", "data.runs.malformed"),
        ("1e1 2", "data.runs.malformed"),
        ("1_0 2", "data.runs.malformed"),
        ("-1 2", "data.runs.malformed"),
        ("\u0661 1", "data.runs.malformed"),  # a digit, but not of ours
        ("0 1", "data.runs.outside"),
        ("1 0", "data.runs.outside"),
        ("6 2", "data.runs.outside"),
        ("7 1", "data.runs.outside"),
        ("9223372036854775807 1", "data.runs.outside"),
        ("1 9223372036854775807", "data.runs.outside"),
        ("1 99999999999999999999999999", "data.runs.outside"),
        ("1 2 2 1", "data.runs.overlap"),
        ("1 1 1 1", "data.runs.overlap"),
        (" ".join(["1 1"] * 256), "data.runs.overlap"),  # as often as would wrap around in 8 bits
    ],
)
def test_bad_runs_are_told(text: Any, reason: str) -> None:
    with raises_code(reason) as caught:
        decode_run_lengths(text, (3, 2), "tile7")
    assert "tile7" in str(caught.value)


def test_only_masks_of_two_dimensions_are_encoded() -> None:
    with raises_code("data.runs.shape"):
        encode_run_lengths(np.zeros((2, 2, 1)))
