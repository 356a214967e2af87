"""Parts of an image are prepared as the whole is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.models.intensities import measure, prepare_part
from napari_unet.models.normalization import Normalization

if TYPE_CHECKING:
    from collections.abc import Iterator

RNG = np.random.default_rng(0)
SHAPE = (70, 90)


def images() -> dict[str, np.ndarray]:
    floats = (RNG.standard_normal((*SHAPE, 1)) * 50 - 3).astype(np.float32)
    floats[3, 4], floats[50, 60] = np.nan, np.inf
    return {
        "uint8": RNG.integers(0, 255, (*SHAPE, 1), dtype=np.uint8),
        "uint16": (RNG.gamma(2, 900, (*SHAPE, 1))).astype(np.uint16),
        "colour": RNG.integers(0, 255, (*SHAPE, 3), dtype=np.uint8),
        "bool": RNG.random((*SHAPE, 1)) > 0.5,
        "floats with holes": floats,
        "constant": np.full((*SHAPE, 1), 7, np.uint8),
    }


@pytest.mark.parametrize("name", list(images()))
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("intensities", ["image", "robust", "dataset", "range"])
def test_parts_are_prepared_as_the_whole(name: str, channels: int, intensities: str) -> None:
    image = images()[name]
    about = Normalization(
        channels=channels, intensities=intensities, mean=(0.2,) * channels, deviation=(0.1,) * channels
    )

    def parts() -> Iterator[tuple[slice, slice, np.ndarray]]:
        for top in range(0, SHAPE[0], 32):
            for left in range(0, SHAPE[1], 41):
                rows, columns = slice(top, min(top + 32, SHAPE[0])), slice(left, min(left + 41, SHAPE[1]))
                yield rows, columns, image[rows, columns]

    found = measure(about, parts, SHAPE)
    whole = about.prepare(image)
    for rows, columns, values in parts():
        np.testing.assert_allclose(
            prepare_part(about, values, found), whole[rows, columns], rtol=2e-5, atol=2e-5
        )


def test_percentiles_are_of_the_pixels_that_are_looked_at_in_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_unet.models.normalization.LOOKED_AT", 500)
    monkeypatch.setattr("napari_unet.models.intensities.LOOKED_AT", 500)
    image = images()["uint16"]
    about = Normalization(intensities="robust")
    whole = [(slice(0, SHAPE[0]), slice(0, SHAPE[1]), image)]
    found = measure(about, lambda: whole, SHAPE)
    np.testing.assert_allclose(prepare_part(about, image, found), about.prepare(image), rtol=2e-5, atol=2e-5)


def test_what_is_given_is_left_as_it_is() -> None:
    image = RNG.random((*SHAPE, 1)).astype(np.float32)
    before = image.copy()
    about = Normalization(intensities="image")
    prepare_part(about, image, measure(about, lambda: [(slice(0, 70), slice(0, 90), image)], SHAPE))
    np.testing.assert_array_equal(image, before)
