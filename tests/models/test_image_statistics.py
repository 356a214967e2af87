from __future__ import annotations

import numpy as np
import pytest

from napari_unet.models.image_statistics import ALIKE, closest_kind, describe_image, summarize_statistics


def blobs(seed: int, dark: bool = True) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 10, (80, 70)).astype(np.uint8)
    for y, x in rng.integers(5, 60, (8, 2)):
        image[y : y + 9, x : x + 9] += 100
    return image if dark else 255 - image


def test_a_look_by_hand() -> None:
    image = np.zeros((40, 40), np.uint8)
    image[:, :10] = 100  # a quarter bright; one step to the left and right, none up and down
    median, above, skewness, fine, direction, colour = describe_image(image)[:6]
    assert (median, above, colour) == (0, 0.25, 0)
    # Of a variable that is 1 with probability 1/4: (1 - 2 p) / sqrt(p (1 - p)).
    assert skewness == pytest.approx(0.5 / np.sqrt(3 / 16), rel=1e-4)
    assert direction < -5
    assert 0 < fine < 1
    assert describe_image(image.T)[4] > 5


def test_bits_contrast_and_alpha_do_not_matter() -> None:
    image = blobs(0)
    look = describe_image(image)
    for other in (image.astype(np.uint16) * 40 + 300, image.astype(np.float32) / 7 - 3):
        np.testing.assert_allclose(describe_image(other)[:-2], look[:-2], atol=1e-4)  # not as they are stored
    alpha = np.dstack([image] * 3 + [np.full_like(image, 255)])
    np.testing.assert_allclose(describe_image(alpha), look, atol=1e-4)
    assert describe_image(np.full((9, 9), 4, np.uint8)) == (0.0,) * 13
    assert describe_image(np.array([[np.nan]])) == (0.0,) * 13


def test_octaves_by_hand() -> None:
    squares = np.indices((64, 64)).sum(axis=0) % 2  # of one pixel: the mean of any four is the same
    wide = np.tile(np.array([0, 0, 1, 1]), (64, 16))  # stripes of two pixels: lost when four become one
    np.testing.assert_allclose(describe_image(squares.astype(np.uint8))[6:11], (1, 0, 0, 0, 0), atol=1e-5)
    np.testing.assert_allclose(describe_image(wide.astype(np.uint8))[6:11], (0, 1, 0, 0, 0), atol=1e-5)


def test_intensities_as_they_are_by_hand() -> None:
    image = np.full((20, 20), 51, np.uint8)
    image[:, 10:] = 204
    assert describe_image(image)[-2:] == pytest.approx((0.5, 0.6), abs=1e-5)  # of 255
    assert describe_image(image.astype(np.float32))[-2:] == pytest.approx((0.5, 0.6), abs=1e-5)
    dim = image.astype(np.uint16)  # 16 bits of which eight are used
    assert describe_image(dim)[-2:] == pytest.approx((127.5 / 65535, 153 / 65535), rel=1e-4)


def test_images_of_a_kind_are_alike_and_others_are_not() -> None:
    training = [("dark", describe_image(blobs(n))) for n in range(10)]
    training += [("bright", describe_image(blobs(n, dark=False))) for n in range(10, 20)]
    kinds = summarize_statistics(training)
    assert [k["kind"] for k in kinds] == ["bright", "dark"]
    for dark in (True, False):
        kind, difference = closest_kind(describe_image(blobs(50, dark)), kinds)
        assert kind == ("dark" if dark else "bright")
        assert difference < ALIKE
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    assert closest_kind(describe_image(noise), kinds)[1] > ALIKE
    assert closest_kind(describe_image(noise), [{"kind": "odd", "mean": "?"}]) == ("", float("inf"))


def test_an_image_one_pixel_high_has_a_look_of_numbers() -> None:
    line = np.arange(50, dtype=np.uint8)[None]
    assert np.isfinite(describe_image(line)).all()
    assert np.isfinite(describe_image(line.T)).all()
