"""Images of few values are prepared value by value, and come out as pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.models import normalization
from napari_unet.models.normalization import Normalization
from napari_unet.models.value_tables import has_few_values, percentiles, percentiles_by_count, value_counts


@pytest.mark.parametrize("intensities", ["image", "robust"])
@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 4000)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_table_gives_what_arithmetic_gives(
    intensities: str, dtype: str, top: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).gamma(2, 20, (90, 80, channels)).clip(0, top).astype(dtype)
    image[0, :3] = top
    prepare = Normalization(intensities=intensities, channels=channels).prepare
    assert has_few_values(image)
    by_table = prepare(image)
    monkeypatch.setattr(normalization, "has_few_values", lambda _: False)
    np.testing.assert_allclose(by_table, prepare(image), rtol=1e-5, atol=2e-6)


def test_one_channel_is_given_to_a_network_of_several() -> None:
    image = np.arange(400, dtype=np.uint16).reshape(20, 20)
    found = Normalization(channels=2).prepare(image)
    assert found.shape == (20, 20, 2)
    np.testing.assert_allclose(found.mean(), 0, atol=1e-6)
    np.testing.assert_array_equal(found[..., 0], found[..., 1])


def test_percentiles_of_four_pixels_are_between_their_neighbours() -> None:
    image = np.array([[[0], [2]], [[2], [4]]], np.uint8)
    counts = value_counts(image)
    np.testing.assert_array_equal(counts[:, 0], [1, 0, 2, 0, 1])
    # Of 0, 2, 2, 4 a quarter of the way to the last is at place 0.75: 0 + 0.75 * 2.
    values = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(
        percentiles_by_count(counts, values, (0, 25, 50, 100)), [[0], [1.5], [2], [4]]
    )


@pytest.mark.parametrize("count", [1, 2, 999])
def test_percentiles_are_those_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).standard_normal((count, 3)).astype(np.float32)
    expected = np.percentile(values, (0.1, 50, 99.9), axis=0)
    np.testing.assert_allclose(percentiles(values, (0.1, 50, 99.9)), expected, rtol=1e-6, atol=1e-7)


def test_a_small_image_of_many_values_needs_no_table() -> None:
    assert not has_few_values(np.full((9, 9, 1), 65535, np.uint16))
    assert has_few_values(np.full((9, 9, 1), 80, np.uint16))
    assert not has_few_values(np.zeros((300, 300, 1), np.float32))
