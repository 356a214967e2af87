"""Pieces of a mask that is looked at part by part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.inference.joined import drop_small, join, look_at_part
from napari_unet.inference.postprocess import connected_objects, find_specks, remove_small


def parts_of(mask: np.ndarray, side: int) -> dict[tuple[int, int], np.ndarray]:
    rows, columns = (range(0, n, side) for n in mask.shape)
    return {
        (i, j): mask[y : y + side, x : x + side] for i, y in enumerate(rows) for j, x in enumerate(columns)
    }


def dropped(mask: np.ndarray, side: int, minimum: int) -> tuple[np.ndarray, int]:
    parts = parts_of(mask, side)
    joined = join({place: look_at_part(part) for place, part in parts.items()})
    out = np.zeros_like(mask)
    for (i, j), part in parts.items():
        kept = drop_small(part, joined.areas[i, j], minimum)
        out[i * side : i * side + kept.shape[0], j * side : j * side + kept.shape[1]] = kept
    return out, joined.count


@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(0.1, 0.6), st.integers(1, 30))
def test_small_pieces_are_those_of_the_whole(seed: int, side: int, share: float, minimum: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 25, 2))
    mask = np.where(rng.random(shape) < share, rng.integers(1, 3, shape), 0).astype(np.uint8)
    found, count = dropped(mask, side, minimum)
    np.testing.assert_array_equal(found, remove_small(mask, minimum))
    assert count == connected_objects(mask).max(initial=0)


@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(0.1, 0.6), st.floats(0.5, 0.99))
def test_specks_are_those_of_the_whole(seed: int, side: int, share: float, least: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 25, 2))
    mask = np.where(rng.random(shape) < share, rng.integers(1, 3, shape), 0).astype(np.uint8)
    depth = rng.random(shape).astype(np.float32)
    parts, depths = parts_of(mask, side), parts_of(depth, side)
    joined = join({place: look_at_part(part, depths[place] > least) for place, part in parts.items()})
    expected = parts_of(np.where(find_specks(mask, depth, least), 0, mask), side)
    for place, part in parts.items():
        np.testing.assert_array_equal(drop_small(part, joined.areas[place], 0), expected[place])


@pytest.mark.parametrize("turned", [False, True])
def test_a_piece_reaches_over_the_corner_of_four_parts(turned: bool) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[3, 3] = mask[4, 4] = 1
    mask = mask[:, ::-1].copy() if turned else mask
    found, count = dropped(mask, 4, 2)
    assert count == 1
    np.testing.assert_array_equal(found, mask)
    assert not dropped(mask, 4, 3)[0].any()


def test_classes_stay_apart_where_they_touch_over_an_edge() -> None:
    mask = np.zeros((4, 8), np.uint8)
    mask[1, 2:4], mask[1, 4:6] = 1, 2
    assert dropped(mask, 4, 1)[1] == 2
    assert not dropped(mask, 4, 3)[0].any()
