from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.models.intensities import Intensities, measure, prepare_part
from napari_unet.models.normalization import (
    Normalization,
    intensity_sums,
    measure_intensities,
    resize,
    to_float,
)
from support.errors import raises_code


def test_integers_are_scaled_by_their_range() -> None:
    np.testing.assert_allclose(to_float(np.array([[0, 255]], np.uint8))[0, :, 0], [0, 1])
    np.testing.assert_allclose(to_float(np.array([[0, 65535]], np.uint16))[0, :, 0], [0, 1])
    np.testing.assert_allclose(to_float(np.array([[True, False]]))[0, :, 0], [1, 0])


def test_what_is_not_finite_becomes_the_minimum() -> None:
    image = np.array([[np.nan, 2.0, -1.0, np.inf]])
    np.testing.assert_array_equal(to_float(image)[0, :, 0], [-1, 2, -1, -1])
    np.testing.assert_array_equal(to_float(np.full((1, 2), np.nan))[0, :, 0], [0, 0])


def test_each_image_gets_mean_zero_and_deviation_one() -> None:
    image = np.random.default_rng(0).integers(0, 4000, (20, 30, 1)).astype(np.uint16)
    values = Normalization().prepare(image)
    assert values.mean() == pytest.approx(0, abs=1e-4)
    assert values.std() == pytest.approx(1, abs=1e-3)
    assert not Normalization().prepare(np.full((5, 5), 77, np.uint8)).any()  # constant: no blow-up


def test_over_the_data_set() -> None:
    images = [np.full((2, 2, 1), 51, np.uint8), np.full((2, 2, 1), 153, np.uint8)]
    mean, deviation = measure_intensities([intensity_sums(image, 1) for image in images], 1)
    assert mean == pytest.approx((0.4,))
    assert deviation == pytest.approx((0.2,))
    normalization = Normalization(intensities="dataset", mean=mean, deviation=deviation)
    np.testing.assert_allclose(normalization.prepare(images[0]), -1, atol=1e-5)


def test_channels_are_matched_where_there_is_one_way() -> None:
    grey = Normalization(channels=1, intensities="range")
    colour = Normalization(channels=3, intensities="range")
    rgba = np.zeros((1, 1, 4), np.uint8)
    rgba[0, 0] = 255, 0, 0, 9
    assert grey.prepare(rgba[..., :3])[0, 0, 0] == pytest.approx(0.299)
    np.testing.assert_allclose(colour.prepare(rgba[..., :3])[0, 0], [1, 0, 0])
    for four in (grey, colour):  # what the fourth is nobody says here: transparency is left out by the reader
        with raises_code("model.channels.count", "got 4"):
            four.prepare(rgba)
    np.testing.assert_allclose(colour.prepare(np.full((1, 1), 255, np.uint8))[0, 0], [1, 1, 1])
    with raises_code("model.channels.count", "img7", "3 channels", "got 5"):
        colour.prepare(np.zeros((2, 2, 5)), "img7")


def test_grey_stored_as_colour_is_grey() -> None:
    image = np.random.default_rng(0).integers(0, 255, (9, 9, 1)).astype(np.uint8)
    one = Normalization(channels=1).prepare(image)
    two = Normalization(channels=1).prepare(np.repeat(image, 3, axis=2))
    np.testing.assert_allclose(one, two, atol=1e-4)


@given(
    arrays(
        np.float32, array_shapes(min_dims=3, max_dims=3, max_side=12), elements=st.floats(-1e6, 1e6, width=32)
    ),
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
)
def test_everything_comes_out_finite_and_scaled(image: np.ndarray, scale: float) -> None:
    values = Normalization(channels=image.shape[2], scale=scale).prepare(image)
    assert np.isfinite(values).all()
    assert values.dtype == np.float32
    assert values.shape[0] == max(1, round(image.shape[0] * scale))


def test_shrinking_averages_and_labels_stay_labels() -> None:
    image = np.array([[[0.0], [2.0]], [[4.0], [6.0]]], np.float32)
    assert resize(image, (1, 1))[0, 0, 0] == 3
    many = np.random.default_rng(0).random((8, 8, 7)).astype(np.float32)
    np.testing.assert_allclose(resize(many, (4, 4))[0, 0], many[:2, :2].mean(axis=(0, 1)), atol=1e-6)
    labels = np.array([[[1], [3]]], np.uint8)
    assert set(np.unique(resize(labels, (5, 9), nearest=True))) == {1, 3}


def test_robust_intensities_are_those_of_the_image_without_its_hot_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(100, 1100, (100, 100, 1)).astype(np.uint16)
    plain = Normalization(intensities="robust").prepare(image)
    hot = image.copy()
    hot[3, 4] = hot[50, 60] = 65535
    robust = Normalization(intensities="robust").prepare(hot)
    known = hot[..., 0] < 2000
    np.testing.assert_allclose(robust[known], plain[known], atol=0.02)
    spoilt = Normalization().prepare(hot)
    assert np.abs(spoilt[known] - plain[known]).max() > 0.3
    # The number of bits does not matter, and a constant image is 0.
    eight = (image // 8).astype(np.uint8)
    np.testing.assert_allclose(
        Normalization(intensities="robust").prepare(eight.astype(np.uint16) * 8),
        Normalization(intensities="robust").prepare(eight), atol=1e-4,
    )  # fmt: skip
    assert not Normalization(intensities="robust").prepare(np.full((5, 5, 1), 7, np.uint8)).any()


PICTURE = np.random.default_rng(1).integers(0, 255, (40, 50, 1)).astype(np.uint8)


@pytest.mark.parametrize("intensities", ["image", "robust"])
@pytest.mark.parametrize(
    "dtype", ["uint16", "int16", "int32", "uint32", "int64", "uint64", "float16", "float64"]
)
@pytest.mark.parametrize("factor", [1, 1e-6, 1e6])
def test_intensities_follow_the_data_not_the_type(intensities: str, dtype: str, factor: float) -> None:
    if factor != 1 and not (dtype == "float64" or (factor > 1 and dtype.endswith(("32", "64")))):
        pytest.skip("the type cannot hold it")
    about = Normalization(intensities=intensities)
    same = (PICTURE.astype(np.float64) * factor).astype(dtype)
    np.testing.assert_allclose(about.prepare(same), about.prepare(PICTURE), atol=2e-4)


def test_few_counts_in_a_wide_type_are_an_image() -> None:
    counts = (PICTURE // 100).astype(np.uint16)
    assert Normalization().prepare(counts).std() == pytest.approx(1, abs=1e-4)


def test_pixels_without_data_are_left_out_of_mean_and_deviation() -> None:
    image = PICTURE.astype(np.float32)
    image[:20] = np.nan
    found = Normalization().prepare(image)
    np.testing.assert_allclose(found[20:], Normalization().prepare(PICTURE[20:]), atol=1e-4)
    assert np.isfinite(found).all()


def test_channels_are_picked_by_their_names() -> None:
    both = np.concatenate([PICTURE, 255 - PICTURE], axis=2)
    about = Normalization(channels=2, channel_names=("GFP", "DAPI"))
    np.testing.assert_array_equal(about.pick(both, ("DAPI", "GFP"), False), both[..., ::-1])
    with raises_code("model.channels.count", "got 2", "0 (DAPI), 1 (GFP)"):
        Normalization().pick(both, ("DAPI", "GFP"), False)
    measured = np.repeat(PICTURE, 3, axis=2)
    assert Normalization().pick(measured, (), True) is measured
    with raises_code("model.channels.count", "got 3", "0 to 2"):
        Normalization().pick(measured, (), False)


@pytest.mark.parametrize(
    ("dtype", "lowest"), [(np.uint64, 2**60), (np.int64, -(2**62)), (np.uint64, 2**64 - 200)]
)
def test_long_integers_are_scaled_exactly(dtype: type[np.generic], lowest: int) -> None:
    """A float with 53 bits could not tell these values apart."""
    small = np.random.default_rng(0).integers(0, 200, (20, 30, 1), np.uint8)
    long = (small.astype(np.uint64) + np.uint64(lowest % 2**64)).astype(dtype)
    for intensities in ("image", "robust"):
        about = Normalization(intensities=intensities)
        np.testing.assert_allclose(about.prepare(long), about.prepare(small), atol=1e-4)
        measured = measure(about, lambda: [(np.s_[0:20], np.s_[0:30], long)], (20, 30))
        again = Intensities.model_validate_json(measured.model_dump_json())
        np.testing.assert_allclose(prepare_part(about, long, again), about.prepare(small), atol=1e-4)
