"""Volumes of any size through a network of few sizes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.predict import FLIPS, average_over_flips, predict_probabilities
from napari_unet.inference.tiling import plan_volume
from napari_unet.networks.registry import build_network, input_sizes
from napari_unet.networks.sizes import InputSizes
from napari_unet.settings import InferenceSettings, NetworkSettings

SIZES = InputSizes(4, 4, along_z=InputSizes(2, 2))
SETTINGS = InferenceSettings(flips="none")


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 9, 7), (9, 30, 41), (2, 64, 3)])
@pytest.mark.parametrize("voxels", [64, 2000, 10**6])
def test_tiles_put_together_are_the_volume(shape: tuple[int, int, int], voxels: int) -> None:
    volume = np.random.default_rng(0).random((*shape, 2)).astype(np.float32)
    plan = plan_volume(shape, SIZES, voxels)
    total = np.zeros_like(volume)
    for number in range(len(plan)):
        total_before = total.copy()
        plan.add(total, number, plan.cut(volume, number))
        assert (total != total_before).any()
    np.testing.assert_allclose(total, volume, atol=1e-5)
    z, y, x = plan.tile_shape
    assert (z % 2, y % 4, x % 4) == (0, 0, 0)
    assert z * y * x <= max(voxels, 2 * 4 * 4)


def test_a_volume_that_fits_is_one_tile() -> None:
    plan = plan_volume((5, 9, 7), SIZES)
    assert len(plan) == 1
    assert plan.tile_shape == (6, 12, 8)


def test_volumes_are_flipped_slice_by_slice() -> None:
    """A network that weighs places: averaged over flips and turns its answer is the same all around."""
    volume = np.ones((1, 2, 4, 4, 1), np.float32)
    corner = np.zeros((2, 4, 4, 1), np.float32)
    corner[0, 0, 0] = 8
    found = average_over_flips(lambda batch: batch * corner, volume, FLIPS["dihedral"])[0, ..., 0]
    assert found[0].sum() == 8
    assert [found[0, y, x] for y in (0, 3) for x in (0, 3)] == [2, 2, 2, 2]
    assert found[1].sum() == 0


def test_there_are_no_seams() -> None:
    """In the middle of an overlap a tile sees all that the whole volume shows it: nine voxels either way."""
    settings = NetworkSettings(filters=2, depth=1, dimensions="3d", normalization="none")
    network = build_network(settings, 1)
    volume = np.random.default_rng(0).standard_normal((12, 20, 134, 1)).astype(np.float32)

    def answer(batch: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.asarray(network.predict_on_batch(batch))))

    sizes = input_sizes(settings)
    whole = answer(volume[None])[0]
    plan = plan_volume(volume.shape[:3], sizes, 12 * 20 * 80)
    assert [len(axis.starts) for axis in plan.axes] == [1, 1, 2]
    tiled = np.zeros_like(whole)
    for number in range(len(plan)):
        plan.add(tiled, number, answer(plan.cut(volume, number)[None])[0])
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    (found,) = predict_probabilities([volume], answer, sizes, SETTINGS)
    np.testing.assert_allclose(found, whole, atol=1e-6)
