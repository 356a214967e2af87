"""Blocks of a large result: each by itself gives what the whole would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.inference.blocks import plan_block_axis, plan_blocks
from napari_unet.inference.resample import Resampling, apply
from napari_unet.models.normalization import resize
from napari_unet.networks.sizes import InputSizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH = 5


def padded_network(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Looks 5 pixels around, and takes nothing for what is beyond the border, as padded networks do."""
    return np.asarray(ndimage.uniform_filter(tile, (2 * REACH + 1, 2 * REACH + 1, 0), mode="constant"))


def pooling_network(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Its answer depends on where the squares of 4 pixels lie that it pools."""
    y, x, c = tile.shape
    pooled = tile.reshape(y // 4, 4, x // 4, 4, c).max(axis=(1, 3))
    return np.asarray(pooled.repeat(4, 0).repeat(4, 1))


def by_blocks(image: Any, network: Any, shown: Any, sizes: Any, halo: Any, most: Any) -> Any:
    plan = plan_blocks(image.shape[:2], shown, sizes, halo, most)
    result = np.full(image.shape, np.nan, np.float32)
    for number in range(len(plan)):
        tile = plan.cut(image[plan.source(number)], number)
        assert tile.shape[:2] == plan.tile_shape
        result[plan.result(number)] = plan.finish(network(tile), number)
    return plan, result


@pytest.mark.parametrize("shape", [(64, 96), (61, 250), (200, 33), (7, 9)])
def test_a_padded_network_answers_as_on_the_whole(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((*shape, 2), np.float32)
    plan, found = by_blocks(image, padded_network, shape, InputSizes(), REACH, 48)
    assert len(plan) > 1 or max(shape) <= 48
    np.testing.assert_allclose(found, padded_network(image), atol=1e-6)


def test_less_context_than_the_network_sees_leaves_seams() -> None:
    image = np.random.default_rng(0).random((96, 96, 1), np.float32)
    _, found = by_blocks(image, padded_network, (96, 96), InputSizes(), REACH - 1, 48)
    assert np.abs(found - padded_network(image)).max() > 1e-3


def test_tiles_lie_on_the_grid_of_a_network_that_pools() -> None:
    image = np.random.default_rng(0).random((100, 180, 1), np.float32)
    _, found = by_blocks(image, pooling_network, (100, 180), InputSizes(multiple=4), 3, 60)
    np.testing.assert_array_equal(found, pooling_network(image))


def test_an_unpadded_network_sees_the_border_mirrored() -> None:
    image = np.random.default_rng(0).random((70, 90, 1), np.float32)

    def network(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        return padded_network(tile)[REACH:-REACH, REACH:-REACH]

    whole = ndimage.uniform_filter(image, (2 * REACH + 1, 2 * REACH + 1, 0), mode="mirror")
    _, found = by_blocks(image, network, (70, 90), InputSizes(minimum=2 * REACH + 1, margin=REACH), 0, 48)
    np.testing.assert_allclose(found, whole, atol=1e-6)


@pytest.mark.parametrize("scale", [0.5, 0.37, 1.6])
def test_resized_images_come_out_as_when_the_whole_is_resized(scale: float) -> None:
    image = np.random.default_rng(0).random((150, 203, 1), np.float32)
    shown = round(150 * scale), round(203 * scale)
    _, found = by_blocks(image, padded_network, shown, InputSizes(multiple=4), REACH, 44)
    # Multiples of four see what is mirrored instead of the border, which is left out here.
    whole = resize(padded_network(resize(image, shown)), (150, 203))
    rim = int(np.ceil((2 * REACH + 8) / scale))
    np.testing.assert_allclose(found[rim:-rim, rim:-rim], whole[rim:-rim, rim:-rim], atol=1e-5)


@given(st.integers(1, 3000), st.integers(1, 5), st.integers(0, 40), st.integers(48, 700), st.floats(0.2, 2.0))
def test_blocks_cover_all_and_tiles_hold_what_they_need(
    full: int, power: int, halo: int, most: int, scale: float
) -> None:
    sizes = InputSizes(multiple=2**power)
    size = max(1, round(full * scale))
    axis = plan_block_axis(full, size, sizes, halo, most, size < full)
    covered = np.concatenate([np.arange(full)[axis.result(n)] for n in range(len(axis))])
    np.testing.assert_array_equal(covered, np.arange(full))
    for number in range(len(axis)):
        first, last = axis.needed(number)
        start = axis.start(number)
        assert start % 2**power == 0
        assert start <= max(first - halo, 0)
        assert start + axis.tile >= min(last + halo, size)
        source = axis.source(number)
        assert 0 <= source.start < source.stop <= full


def test_blocks_of_what_was_begun_are_whole_files() -> None:
    axis = plan_block_axis(1000, 1000, InputSizes(multiple=16), 16, 400, False, piece=96)
    assert axis.block % 96 == 0
    assert axis.tile <= 400


@pytest.mark.parametrize(("before", "after"), [(100, 50), (100, 37), (101, 50), (37, 100), (50, 50), (5, 1)])
def test_a_part_is_resized_as_opencv_resizes_the_whole(before: int, after: int) -> None:
    image = np.random.default_rng(0).random((before, before, 3), np.float32)
    whole = resize(image, (after, after))
    how = Resampling(before, after, after < before)
    first, last = after // 3, min(after // 3 + 12, after)
    start, stop = how.reads(first, last)
    weights = how.matrix(np.arange(first, last), start, stop)
    part = apply(weights, weights, image[start:stop, start:stop])
    np.testing.assert_allclose(part, whole[first:last, first:last], atol=2e-6)
