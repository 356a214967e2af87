"""Batches of volumes: what patches are like, what is turned, and what weighs nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import input_sizes
from napari_unet.settings import AugmentationSettings, NetworkSettings, TrainingSettings
from napari_unet.training.feeding.augmentation import Patch
from napari_unet.training.feeding.volume_batches import VolumeBatches
from napari_unet.training.feeding.volume_patches import cut_volume_patch
from napari_unet.workflow.train.fit_dimensions import flat_levels

PLAIN = AugmentationSettings(symmetry="none")
NETWORK = NetworkSettings(filters=4, depth=2, dimensions="3d")


def numbered(shape: tuple[int, int, int] = (6, 10, 12)) -> Patch:
    """A volume in which every voxel has its number, and one slice that nobody annotated."""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    weights = np.ones(shape, np.float32)
    weights[2] = 0
    return Patch(values[..., None], (values % 2).astype(np.uint8), weights)


def dataset(shape: tuple[int, int, int], weights: np.ndarray | None = None) -> Dataset:
    luck = np.random.default_rng(0)
    image = luck.integers(0, 255, (*shape, 1)).astype(np.uint8)
    labels = (image[..., 0] > 127).astype(np.uint8)
    sample = Sample("v", lambda: image, lambda: ReferenceMask(labels, weights=weights))
    return Dataset("volumes", "test", Path(), (sample,))


def batches(
    shape: tuple[int, int, int],
    network: NetworkSettings = NETWORK,
    anisotropy: float | None = 1.0,
    weights: np.ndarray | None = None,
    separation: str = "none",
    **settings: object,
) -> VolumeBatches:
    training = TrainingSettings(augmentation=PLAIN, **settings)
    return VolumeBatches(
        dataset(shape, weights), Normalization(), training, input_sizes(network), 1,
        separation=separation, anisotropy=anisotropy,
    )  # fmt: skip


def test_a_patch_is_the_window_around_its_centre() -> None:
    source = numbered()
    patch = cut_volume_patch(source, (3.5, 4.5, 5.5), (4, 6, 8), PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(patch.image, source.image[2:6, 2:8, 2:10])
    np.testing.assert_array_equal(patch.labels, source.labels[2:6, 2:8, 2:10])
    assert list(patch.weights[:, 0, 0]) == [0, 1, 1, 1]


def test_beyond_the_volume_it_is_mirrored_and_weighs_nothing() -> None:
    source = numbered()
    patch = cut_volume_patch(source, (1.5, 4.5, 5.5), (8, 10, 12), PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(patch.image[2:], source.image)
    np.testing.assert_array_equal(patch.image[:2], source.image[2:0:-1])
    assert list(patch.weights[:, 0, 0]) == [0, 0, 1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(("cubic", "orders"), [(False, 2), (True, 6)])
def test_cubic_voxels_are_turned_about_all_axes_and_others_within_slices(cubic: bool, orders: int) -> None:
    """Of a volume that grows along Z, the axis along which a patch grows tells how it was turned."""
    z, y, x = np.mgrid[:12, :12, :12].astype(np.float32)
    volume = (100 * z + 10 * y + x)[..., None]
    whole = Patch(volume, np.zeros((12, 12, 12), np.uint8), np.ones((12, 12, 12), np.float32))
    settings = AugmentationSettings(symmetry="dihedral")
    seen, flips = set(), set()
    for seed in range(120):
        patch = cut_volume_patch(
            whole, (5.5, 5.5, 5.5), (4, 6, 8), settings, np.random.default_rng(seed), cubic=cubic
        )
        assert patch.image.shape == (4, 6, 8, 1)
        steps = [float(np.diff(patch.image[..., 0], axis=axis).flat[0]) for axis in range(3)]
        seen.add(tuple(round(abs(step)) for step in steps))
        flips.add(tuple(step < 0 for step in steps))
    assert len(seen) == orders
    assert len(flips) == 8
    if not cubic:
        assert {step[0] for step in seen} == {100}


def test_warps_move_all_slices_alike() -> None:
    z, _, x = np.mgrid[:4, :32, :32].astype(np.float32)
    whole = Patch((x + 100 * z)[..., None], np.zeros((4, 32, 32), np.uint8), np.ones((4, 32, 32), np.float32))
    settings = AugmentationSettings(symmetry="none", rotation=20, elastic=2)
    patch = cut_volume_patch(whole, (1.5, 15.5, 15.5), (4, 16, 16), settings, np.random.default_rng(1))
    for number in range(1, 4):
        np.testing.assert_allclose(patch.image[number] - patch.image[0], 100 * number, atol=1e-2)
    assert not np.allclose(patch.image[0, ..., 0], np.arange(8, 24)[None, :])


def test_patches_are_about_as_deep_as_wide_in_units_of_length() -> None:
    """2 ** 17 voxels: 51 along each axis of cubic ones; 11 slices of 109 where they are ten times as thick.

    Sides are multiples of four.
    """
    assert batches((100, 200, 200)).shape == (52, 48, 48)
    thick = NETWORK.model_copy(update={"flat_levels": 2})
    z, y, x = batches((100, 400, 400), thick, 10.0).shape
    assert (z, y, x) == (11, 108, 108)
    assert batches((4, 200, 200), NETWORK, None).shape == (4, 180, 180)
    assert batches((100, 200, 200), patch_depth=8, patch=64).shape == (8, 64, 64)


def test_a_batch_is_the_same_whenever_it_is_asked_for_and_holds_what_is_annotated() -> None:
    weights = np.ones((12, 40, 40), np.float32)
    weights[::2] = 0
    made = batches((12, 40, 40), weights=weights, patch_depth=12, patch=40, batch_size=2)
    images, targets = made.batch(3)
    assert images.shape == (2, 12, 40, 40, 1)
    assert targets.shape == (2, 12, 40, 40, 2)
    np.testing.assert_array_equal(images, made.batch(3)[0])
    assert list(targets[0, :, 20, 20, -1]) == [0, 1] * 6
    assert (targets[0, ..., 0] == (images[0, ..., 0] > 0)).mean() > 0.98
    assert made.pixels_a_step == 2 * 12 * 40 * 40


def test_depth_in_objects_counts_thick_slices_as_thick() -> None:
    """One object through all of a volume of three slices lies one slice, or three pixels, deep."""
    labels = np.zeros((3, 9, 9), np.uint8)
    labels[1, 3:6, 3:6] = 1
    sample = Sample("v", lambda: labels[..., None], lambda: ReferenceMask(labels, labels.astype(np.int32)))
    whole = Dataset("one", "test", Path(), (sample,))
    for thick, at_the_edge in ((1.0, 1.0), (3.0, 0.5)):
        made = VolumeBatches(
            whole, Normalization(), TrainingSettings(augmentation=PLAIN), input_sizes(NETWORK), 1,
            separation="distance", anisotropy=thick,
        )  # fmt: skip
        deep = made._prepared(0).whole.separation
        assert deep[1, 4, 4] == 1
        assert deep[1, 3, 3] == pytest.approx(at_the_edge)
        assert deep[0].max() == 0


def test_levels_are_flat_until_voxels_are_about_cubic() -> None:
    assert [flat_levels(thick, 4) for thick in (None, 0.5, 1.0, 1.9, 2.0, 4.5, 10.3, 100.0)] == [
        0, 0, 0, 0, 1, 2, 3, 4,
    ]  # fmt: skip
