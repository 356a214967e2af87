from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.settings import AugmentationSettings
from napari_unet.training.feeding.augmentation import Patch, change_intensities, cut_patch, mirrored_indices

STILL = AugmentationSettings(symmetry="none")


def picture(shape: tuple[int, int], channels: int = 1) -> Patch:
    """An image whose values tell where each pixel came from, and labels that follow the image."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.repeat((y * 1000 + x)[..., None], channels, axis=2).astype(np.float32)
    labels = ((x // 4 + y // 4) % 3).astype(np.uint8)
    return Patch(image, labels, np.ones(shape, np.float32))


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 20))
def test_mirroring_is_numpys_reflection(start: int, count: int, size: int) -> None:
    before, after = max(0, -start), max(0, start + count - size)
    padded = np.pad(np.arange(size), (before, after), mode="reflect")
    expected = padded[start + before :][:count]
    np.testing.assert_array_equal(mirrored_indices(start, count, size), expected)


def test_an_unchanged_patch_is_a_window() -> None:
    source = picture((20, 30))
    patch = cut_patch(source, (9.5, 12.5), (8, 10), STILL, np.random.default_rng(0))
    np.testing.assert_array_equal(patch.image, source.image[6:14, 8:18])
    np.testing.assert_array_equal(patch.labels, source.labels[6:14, 8:18])


def test_outside_the_image_it_is_mirrored_with_weight_zero() -> None:
    source = picture((5, 5))
    patch = cut_patch(source, (2.0, 2.0), (9, 9), STILL, np.random.default_rng(0))
    np.testing.assert_array_equal(patch.image, np.pad(source.image, ((2, 2), (2, 2), (0, 0)), mode="reflect"))
    assert patch.weights.sum() == 25
    assert (patch.weights[2:7, 2:7] == 1).all()


@pytest.mark.parametrize("symmetry", ["horizontal", "dihedral"])
def test_flips_and_turns_move_image_and_labels_together(symmetry: str) -> None:
    source = picture((16, 16))
    settings = AugmentationSettings(symmetry=symmetry)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        patch = cut_patch(source, (7.5, 7.5), (16, 16), settings, rng)
        y, x = np.divmod(patch.image[..., 0].astype(int), 1000)
        np.testing.assert_array_equal(patch.labels, source.labels[y, x])
        seen.add(patch.image.tobytes())
    assert len(seen) == {"horizontal": 2, "dihedral": 8}[symmetry]


def test_a_turn_by_ninety_degrees_and_a_zoom_are_where_they_should_be() -> None:
    source = picture((41, 41), channels=6)
    warped = AugmentationSettings(symmetry="none", rotation=30, scale=0.5, elastic=3)
    rng = np.random.default_rng(1)
    for _ in range(5):
        patch = cut_patch(source, (20, 20), (21, 21), warped, rng)
        assert patch.image.shape == (21, 21, 6)
        y = patch.image[..., 0] // 1000  # linear between neighbours, so the row is right to a pixel
        x = patch.image[..., 0] - 1000 * np.round(patch.image[..., 0] / 1000)
        assert np.isfinite(y).all()
        assert np.isfinite(x).all()
        assert set(np.unique(patch.labels)) <= {0, 1, 2}


def test_warped_labels_follow_the_image() -> None:
    blob = np.zeros((64, 64), np.uint8)
    blob[20:44, 16:40] = 1
    source = Patch(blob[..., None].astype(np.float32), blob, np.ones((64, 64), np.float32))
    settings = AugmentationSettings(symmetry="dihedral", rotation=45, scale=0.3, elastic=4)
    rng = np.random.default_rng(2)
    for _ in range(10):
        patch = cut_patch(source, (31.5, 31.5), (64, 64), settings, rng)
        assert (np.abs(patch.image[..., 0] - patch.labels) <= 0.75).all()
        assert patch.labels.any()


def test_same_seed_same_patch() -> None:
    source = picture((32, 32))
    settings = AugmentationSettings(rotation=20, scale=0.2, elastic=2, brightness=0.3, noise=0.2, gamma=0.2)
    one, two = (cut_patch(source, (15, 15), (16, 16), settings, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.image, two.image)


def test_brightness_shifts_and_contrast_scales() -> None:
    image = np.array([[[0.0], [1.0]]], np.float32)
    rng = np.random.default_rng(0)
    shifted = change_intensities(image, AugmentationSettings(brightness=0.5), rng)
    assert shifted[0, 1, 0] - shifted[0, 0, 0] == pytest.approx(1)
    assert 0 < abs(shifted[0, 0, 0]) <= 0.5
    scaled = change_intensities(image, AugmentationSettings(contrast=0.5), rng)
    assert scaled[0, 0, 0] == 0
    assert 1 / 1.5 <= scaled[0, 1, 0] <= 1.5
    bent = change_intensities(image, AugmentationSettings(gamma=0.5), rng)
    np.testing.assert_allclose(bent, image)  # the ends of the range stay


def test_shading_is_smooth_and_within_its_limits() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((64, 48, 2), 3, np.float32)  # nothing is above the darkest pixel: only lifted or lowered
    lifted = change_intensities(flat, AugmentationSettings(shading=0.5), rng)
    np.testing.assert_array_equal(lifted[..., 0], lifted[..., 1])
    assert 2.5 <= lifted.min() < 3 < lifted.max() <= 3.5
    assert max(np.abs(np.diff(lifted, axis=axis)).max() for axis in (0, 1)) < 0.1
    spots = np.zeros((64, 48, 1), np.float32)
    spots[::2, ::2] = 1
    shaded = change_intensities(spots, AugmentationSettings(shading=0.5), rng)
    gain = shaded[::2, ::2, 0] - shaded[1::2, 1::2, 0]
    assert 1 / 1.5 - 0.05 < gain.min() < 1 < gain.max() < 1.5 + 0.05


def test_blur_keeps_the_mean_and_takes_the_contrast() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((64, 64, 3)).astype(np.float32)
    blurred = change_intensities(noise, AugmentationSettings(blur=3), rng)
    assert blurred.shape == noise.shape
    assert blurred.mean() == pytest.approx(noise.mean(), abs=0.02)
    assert blurred.std() < 0.7 * noise.std()


def test_what_parts_objects_moves_with_the_image() -> None:
    source = picture((16, 16))
    source = Patch(source.image, source.labels, source.weights, source.labels.astype(np.float32) / 2)
    settings = AugmentationSettings(symmetry="dihedral", rotation=30, scale=1.0, warp_probability=0.7)
    rng = np.random.default_rng(0)
    for _ in range(20):
        patch = cut_patch(source, (7.5, 7.5), (12, 12), settings, rng)
        assert patch.separation is not None
        np.testing.assert_array_equal(patch.separation, patch.labels.astype(np.float32) / 2)


def test_bright_and_dark_are_exchanged_in_so_many_patches() -> None:
    image = picture((4, 4)).image
    rng = np.random.default_rng(0)
    results = [change_intensities(image, AugmentationSettings(invert=0.25), rng) for _ in range(400)]
    inverted = sum(np.array_equal(r, -image) for r in results)
    assert 70 < inverted < 130
    assert inverted + sum(np.array_equal(r, image) for r in results) == 400
