from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.engine.task import CancelToken
from napari_unet.errors import Cancelled, SizeError
from napari_unet.inference.predict import predict_probabilities
from napari_unet.inference.tiling import plan_axis, plan_tiles
from napari_unet.networks.sizes import InputSizes
from napari_unet.settings import InferenceSettings

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
        image, inside = plan.kept(number)
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
    with pytest.raises(SizeError, match="without pixels"):
        plan_axis(0, PADDED, 64, 8)
    cancel = CancelToken()
    cancel.cancel()
    image = np.zeros((8, 8, 1), np.float32)
    with pytest.raises(Cancelled):
        list(predict_probabilities([image], lambda x: x, PADDED, InferenceSettings(), cancel))


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
