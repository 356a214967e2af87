"""A network of images along z, y and x, with answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.inference.volumes.plane_blocks import PlanePlan, plan_plane_blocks
from napari_unet.inference.volumes.planes import PlaneNetwork, mean_of_planes, with_planes_around
from napari_unet.networks.sizes import InputSizes
from napari_unet.settings import InferenceSettings

SHAPE = (4, 5, 6)
PLACE = (1, 2, 3)


def one_bright() -> np.ndarray:
    """(Z, Y, X, 1) with one bright voxel."""
    volume = np.zeros((*SHAPE, 1), np.float32)
    volume[PLACE] = 1
    return volume


def to_the_right(images: np.ndarray) -> np.ndarray:
    """Says of each pixel what the one to the left of it is."""
    return np.roll(images[..., :1], 1, axis=2)


def along(network: PlaneNetwork, volume: np.ndarray, axis: int) -> np.ndarray:
    """Answers for all planes, as (Z, Y, X)."""
    moved = np.moveaxis(volume, axis, 0)
    found = np.stack(list(network.answers(moved, axis, range(len(moved)))))
    return np.moveaxis(found, 0, axis)[..., 0]


def test_planes_lie_as_their_axes_do() -> None:
    network = PlaneNetwork(to_the_right, InputSizes(multiple=1, minimum=1), InferenceSettings(flips="none"))
    found = [along(network, one_bright(), axis) for axis in range(3)]
    # Across z and y, what is to the right is further along x; across x it is further along y.
    assert [tuple(map(int, np.argwhere(one)[0])) for one in found] == [(1, 2, 4), (1, 2, 4), (1, 3, 3)]
    mean = mean_of_planes([one[..., None] for one in found])[..., 0]
    assert mean.dtype == np.float32
    assert mean[1, 2, 4] == pytest.approx(2 / 3)
    assert mean[1, 3, 3] == pytest.approx(1 / 3)
    assert mean.sum() == pytest.approx(1)


def test_neighbours_are_those_along_the_axis_and_mirrored_at_its_ends() -> None:
    volume = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 3, 1), np.float32)
    seen = [with_planes_around(volume, place, 5)[0, 0] for place in (0, 1, 3)]
    np.testing.assert_array_equal(seen, [[2, 1, 0, 1, 2], [1, 0, 1, 2, 3], [1, 2, 3, 2, 1]])


def test_channels_of_a_plane_stay_together() -> None:
    volume = np.zeros((3, 1, 1, 2), np.float32)
    volume[..., 0], volume[..., 1] = np.arange(3)[:, None, None], 10 + np.arange(3)[:, None, None]
    np.testing.assert_array_equal(with_planes_around(volume, 1, 3)[0, 0], [0, 10, 1, 11, 2, 12])


def test_planes_are_resized_along_their_own_axes() -> None:
    shapes = []

    def looking(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape[1:3])
        return images[..., :1]

    network = PlaneNetwork(
        looking, InputSizes(multiple=1, minimum=1), InferenceSettings(flips="none"), scales=(1.0, 2.0, 0.5)
    )
    for axis in range(3):
        assert along(network, one_bright(), axis).shape == SHAPE
    assert list(dict.fromkeys(shapes)) == [(10, 3), (4, 3), (4, 10)]


def plan() -> PlanePlan:
    """Slabs of 2, 2 and 3 planes over 4 x 5 x 6 voxels, in cells of 2 x 5 x 4."""
    return PlanePlan(SHAPE, (2, 5, 4), (2, 2, 3), reach=1)


def test_slabs_hold_every_plane_once() -> None:
    assert len(plan()) == 2 + 3 + 2
    found = [plan().slab(tile) for tile in range(len(plan()))]
    assert found == [(0, 0, 2), (0, 2, 4), (1, 0, 2), (1, 2, 4), (1, 4, 5), (2, 0, 3), (2, 3, 6)]
    assert plan().source(3) == (slice(0, 4), slice(1, 5), slice(0, 6))
    assert plan().wanted(3) == range(1, 3)
    assert plan().wanted(0) == range(2)


def test_cells_are_made_of_the_slabs_that_cross_them() -> None:
    assert plan().cells == 4
    assert plan().part(1) == (slice(0, 2), slice(0, 5), slice(4, 6))
    assert plan().tiles_of(1) == [0, 2, 3, 4, 6]
    assert plan().cells_of(0) == (0, 1)
    assert plan().cells_of(5) == (0, 2)


def test_a_cell_is_the_mean_of_what_slabs_say() -> None:
    voices = [np.random.default_rng(n).random((*SHAPE, 2)).astype(np.float16) for n in range(3)]

    def answer(tile: int, part: tuple[slice, slice, slice]) -> np.ndarray:
        axis, first, last = plan().slab(tile)
        return np.moveaxis(voices[axis], axis, 0)[first:last][part]

    whole = mean_of_planes(voices)
    for cell in range(plan().cells):
        np.testing.assert_array_equal(plan().blend(cell, answer), whole[plan().part(cell)])


def test_slabs_are_as_thick_as_memory_allows_and_one_plane_at_least() -> None:
    assert plan_plane_blocks((40, 50, 60), 0, 6000).slabs == (2, 2, 3)
    assert plan_plane_blocks((40, 50, 60), 0, 10).slabs == (1, 1, 1)
    assert plan_plane_blocks((40, 50, 60), 0, 10**9).slabs == (40, 50, 60)
    assert plan_plane_blocks((40, 300, 60), 0, 10**9).cell == (40, 100, 60)
