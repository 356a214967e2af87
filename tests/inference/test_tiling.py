from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.errors import Cancelled
from napari_unet.inference.predict import predict_probabilities
from napari_unet.inference.tiling import plan_axis, plan_tiles
from napari_unet.networks.sizes import InputSizes
from napari_unet.progress import CancelToken
from napari_unet.settings import InferenceSettings
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Callable

PADDED = InputSizes(multiple=8, minimum=8)
UNPADDED = InputSizes(multiple=4, minimum=16, offset=0, margin=6)


def pooled_neighbourhood(x: np.ndarray, margin: int) -> np.ndarray:
    """An unpadded 'network' that, like one with pooling, repeats only when shifted by its multiple."""
    y = x[:, :-1] + 2 * x[:, 1:]
    y = np.concatenate([y, y[:, -1:]], axis=1)
    coarse = x.reshape(len(x), x.shape[1] // 4, 4, x.shape[2] // 4, 4, -1).max(axis=(2, 4))
    coarse = coarse.repeat(4, axis=1).repeat(4, axis=2)
    inner = slice(margin, -margin)
    return (coarse + y)[:, inner, inner]


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 28, 40, 64]))
def test_unpadded_tiles_equal_the_whole_image(height: int, width: int, tile: int) -> None:
    image = np.random.default_rng(height * 100 + width).random((height, width, 2)).astype(np.float32) / 8
    network = lambda x: pooled_neighbourhood(x, UNPADDED.margin)  # noqa: E731
    small = InferenceSettings(tile=tile, overlap=0)
    large = InferenceSettings(tile=512, overlap=0)
    (tiled,) = predict_probabilities([image], network, UNPADDED, small)
    (whole,) = predict_probabilities([image], network, UNPADDED, large)
    assert tiled.shape == image.shape
    np.testing.assert_array_equal(tiled, whole)


@given(st.integers(1, 300), st.integers(8, 96), st.integers(0, 64))
def test_blended_windows_sum_to_one(size: int, tile: int, overlap: int) -> None:
    plan = plan_axis(size, PADDED, tile, overlap)
    total = np.zeros(size)
    for number in range(len(plan.starts)):
        image, inside = plan.inner(number)
        total[image] += plan.windows[number][inside]
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert PADDED.fits(plan.tile)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(["none", "horizontal", "dihedral"]))
def test_a_network_that_looks_at_single_pixels_sees_no_tiles(height: int, width: int, flips: str) -> None:
    image = np.random.default_rng(0).random((height, width, 1)).astype(np.float32)
    settings = InferenceSettings(tile=24, overlap=8, flips=flips)
    (found,) = predict_probabilities([image], lambda x: x * 0.5, PADDED, settings)
    np.testing.assert_allclose(found, image * 0.5, atol=1e-6)


def test_images_of_all_sizes_come_back_in_order_and_in_few_shapes() -> None:
    rng = np.random.default_rng(0)
    images = [rng.random((n % 40 + 1, n % 7 + 30, 1)).astype(np.float32) for n in range(150)]
    seen: set[tuple[int, ...]] = set()

    def network(x: np.ndarray) -> np.ndarray:
        seen.add(x.shape)
        return x

    found = list(predict_probabilities(iter(images), network, PADDED, InferenceSettings(batch_pixels=2**14)))
    for image, result in zip(images, found, strict=True):
        np.testing.assert_allclose(result, image, atol=1e-6)
    assert len({s[1:] for s in seen}) <= 15
    assert {s[0] for s in seen} <= {1, 2, 4, 8, 16, 32, 64}


def test_flips_are_undone_before_they_are_averaged() -> None:
    image = np.random.default_rng(0).random((8, 8, 1)).astype(np.float32)

    def leans_right(x: np.ndarray) -> np.ndarray:
        ramp = np.linspace(0, 1, x.shape[2], dtype=np.float32)[None, None, :, None]
        return np.broadcast_to(ramp, x.shape).copy()

    (one,) = predict_probabilities([image], leans_right, PADDED, InferenceSettings(flips="none"))
    (both,) = predict_probabilities([image], leans_right, PADDED, InferenceSettings(flips="horizontal"))
    (all_eight,) = predict_probabilities([image], leans_right, PADDED, InferenceSettings(flips="dihedral"))
    assert one[0, -1, 0] == 1
    np.testing.assert_allclose(both, 0.5, atol=1e-6)
    np.testing.assert_allclose(all_eight, 0.5, atol=1e-6)


def test_the_tiles_of_the_paper() -> None:
    paper = InputSizes(multiple=16, minimum=188, offset=12, margin=92)
    plan = plan_tiles((512, 512), paper, 572, 0)
    assert plan.tile_shape == (572, 572)
    # 388 come out; 384, a multiple of 16, are kept, so that pooling falls alike in every tile.
    assert plan.rows.starts == (0, 384)


def test_an_empty_image_is_refused_and_cancel_is_heard() -> None:
    with raises_code("size.empty"):
        plan_axis(0, PADDED, 64, 8)
    cancel = CancelToken()
    cancel.cancel()
    image = np.zeros((8, 8, 1), np.float32)
    with pytest.raises(Cancelled):
        list(predict_probabilities([image], lambda x: x, PADDED, InferenceSettings(), cancel))


@pytest.mark.slow
def test_the_real_unpadded_network_gives_the_same_in_tiles_and_whole() -> None:
    from napari_unet.networks.registry import build_network, input_sizes
    from napari_unet.settings import NetworkSettings

    settings = NetworkSettings(filters=2, depth=2, padding="valid", normalization="none", block="plain")
    network, sizes = build_network(settings), input_sizes(settings)
    image = np.random.default_rng(0).standard_normal((101, 77, 1)).astype(np.float32)

    def run(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-network.predict_on_batch(x)))

    (tiled,) = predict_probabilities([image], run, sizes, InferenceSettings(tile=72, overlap=0))
    (whole,) = predict_probabilities([image], run, sizes, InferenceSettings(tile=512, overlap=0))
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


THREE_CONVOLUTIONS = InputSizes(multiple=1, minimum=7, offset=0, margin=3)
POOLED = InputSizes(multiple=2, minimum=10, offset=0, margin=4)
KERNELS = np.random.default_rng(7).standard_normal((3, 3, 3)).astype(np.float32) / 3


def convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(N, Y, X, 1) through a 3 x 3 convolution without padding and a rectifier."""
    from scipy.ndimage import correlate

    full = correlate(x[..., 0], kernel[None], mode="constant")
    return np.maximum(full[:, 1:-1, 1:-1], 0)[..., None]


def three_convolutions(x: np.ndarray) -> np.ndarray:
    for kernel in KERNELS:
        x = convolved(x, kernel)
    return x


def one_level_down_and_up(x: np.ndarray) -> np.ndarray:
    """A U-Net of depth 1 without its skip: 2 pixels a side are lost below, each worth two above."""
    x = convolved(x, KERNELS[0])
    n, height, width, _ = x.shape
    pooled = x.reshape(n, height // 2, 2, width // 2, 2, 1).max(axis=(2, 4))
    below = convolved(pooled, KERNELS[1])
    return convolved(below.repeat(2, axis=1).repeat(2, axis=2), KERNELS[2])


SHAPES = [(1, 1), (1, 23), (23, 1), (2, 2), (3, 40), (7, 7), (37, 53), (64, 33), (100, 101)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("sizes", "network"), [(THREE_CONVOLUTIONS, three_convolutions), (POOLED, one_level_down_and_up)]
)
def test_unpadded_convolutions_in_tiles_equal_the_whole_padded_by_numpy(
    shape: tuple[int, int], sizes: InputSizes, network: Callable[[np.ndarray], np.ndarray]
) -> None:
    image = np.random.default_rng(sum(shape)).standard_normal((*shape, 1)).astype(np.float32)
    after = [(sizes.margin, sizes.for_output(n) - n - sizes.margin) for n in shape]
    whole = network(np.pad(image[..., 0], after, mode="reflect")[None, ..., None])
    expected = whole[0, : shape[0], : shape[1]]
    for tile in (16, 21, 44):
        plan = plan_tiles(shape, sizes, tile, 0)
        total = np.zeros((*shape, 1), np.float32)
        for number in range(len(plan)):
            plan.add(total, number, network(plan.cut(image, number)[None])[0])
        np.testing.assert_allclose(total, expected, atol=1e-6)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([PADDED, UNPADDED, POOLED]))
def test_borders_are_mirrored_as_numpy_does(height: int, width: int, sizes: InputSizes) -> None:
    image = np.random.default_rng(height * 20 + width).random((height, width, 2)).astype(np.float32)
    plan = plan_tiles((height, width), sizes, 64, 0)
    assert len(plan) == 1
    before = [sizes.margin - axis.starts[0] for axis in (plan.rows, plan.columns)]
    around = [(b, t - b - n) for b, t, n in zip(before, plan.tile_shape, (height, width), strict=True)]
    np.testing.assert_array_equal(plan.cut(image, 0), np.pad(image, [*around, (0, 0)], mode="reflect"))


def test_tiles_that_meet_no_border_are_plain_pieces_of_the_image() -> None:
    image = np.random.default_rng(0).random((60, 40, 3)).astype(np.float32)
    plan = plan_tiles((60, 40), PADDED, 16, 8)
    columns = len(plan.columns.starts)
    assert plan.rows.starts[1] == plan.columns.starts[2] // 2 == 8
    cut = plan.cut(image, columns + 2)
    np.testing.assert_array_equal(cut, image[8:24, 16:32])
    assert not np.shares_memory(cut, image)


@given(st.integers(1, 150), st.integers(1, 150), st.integers(8, 64), st.integers(0, 64))
def test_every_pixel_of_a_blended_image_is_answered_with_weights_that_sum_to_one(
    height: int, width: int, tile: int, overlap: int
) -> None:
    plan = plan_tiles((height, width), PADDED, tile, overlap)
    total = np.zeros((height, width, 1), np.float32)
    for number in range(len(plan)):
        plan.add(total, number, np.ones((*plan.tile_shape, 1), np.float32))
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_a_tile_is_not_asked_near_its_own_border() -> None:
    """The overlap is blended over its middle 32 pixels: 80 pixels of context at the least."""
    overlap = InferenceSettings().overlap
    plan = plan_axis(2000, PADDED, 512, overlap)
    step = plan.starts[1] - plan.starts[0]
    shared = plan.output - step
    assert shared >= overlap >= 2 * 80 + 32
    window = plan.windows[1]
    quiet = (shared - 32) // 2
    assert not window[:quiet].any()
    assert not window[plan.output - quiet :].any()
    assert (np.diff(window[quiet : quiet + 32]) > 0).all()
    np.testing.assert_allclose(window[shared - quiet : step + quiet], 1, atol=1e-6)


def test_blending_leaves_no_seam() -> None:
    plan = plan_tiles((32, 200), PADDED, 64, 32)
    total = np.zeros((32, 200, 1), np.float32)
    for number in range(len(plan)):  # neighbours that disagree as much as they can
        plan.add(total, number, np.full((*plan.tile_shape, 1), number % 2, np.float32))
    # Over 32 pixels half a cosine climbs by at most pi / 2 / 32 a pixel.
    assert np.abs(np.diff(total[0, :, 0])).max() <= 1.02 * np.pi / 2 / 32
    assert total.min() == 0
    assert total.max() == pytest.approx(1)


def test_an_overlap_as_large_as_the_tile_does_not_multiply_the_tiles() -> None:
    assert plan_axis(1000, PADDED, 64, 64) == plan_axis(1000, PADDED, 64, 32)
    assert len(plan_axis(1000, PADDED, 64, 4096).starts) == 31


def test_tiles_may_be_longer_than_wide() -> None:
    plan = plan_tiles((20, 300), PADDED, 64, 16)
    assert plan.tile_shape == (24, 64)
    assert len(plan.rows.starts) == 1


def test_an_images_result_does_not_depend_on_the_images_around_it() -> None:
    rng = np.random.default_rng(3)
    shapes = [(40, 33), (9, 70), (40, 33), (1, 1), (64, 64)]
    images = [rng.standard_normal((*shape, 1)).astype(np.float32) for shape in shapes]

    def run(chosen: list[np.ndarray], pixels: int) -> list[np.ndarray]:
        settings = InferenceSettings(tile=32, batch_pixels=pixels)
        return list(predict_probabilities(chosen, three_convolutions, THREE_CONVOLUTIONS, settings))

    together = run(images, 2**14)
    alone = [run([image], 1)[0] for image in images]
    backwards = run(images[::-1], 2**12)[::-1]
    for one, two, three in zip(together, alone, backwards, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
