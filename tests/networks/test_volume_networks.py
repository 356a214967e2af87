"""The U-Net in three dimensions: sizes, flat levels, and that it is that of images where all are flat."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.networks.graphs.cost import multiplications
from napari_unet.networks.graphs.folding import fold
from napari_unet.networks.registry import architectures, build_network, input_sizes
from napari_unet.networks.sizes import InputSizes
from napari_unet.settings import NetworkSettings
from support.errors import raises_code

VOLUMES = NetworkSettings(filters=4, depth=2, dimensions="3d")


def answers(settings: NetworkSettings, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    volume = np.random.default_rng(seed).standard_normal((1, *shape, 1)).astype(np.float32)
    return np.asarray(build_network(settings, 1).predict_on_batch(volume))


def test_it_is_as_large_as_its_input_along_all_axes() -> None:
    assert answers(VOLUMES, (4, 8, 12)).shape == (1, 4, 8, 12, 1)
    assert answers(VOLUMES.model_copy(update={"flat_levels": 2}), (3, 8, 4)).shape == (1, 3, 8, 4, 1)


@pytest.mark.parametrize(("flat", "multiple"), [(0, 16), (1, 8), (3, 2), (4, 1)])
def test_sizes_along_z_follow_the_poolings_that_are_not_flat(flat: int, multiple: int) -> None:
    sizes = input_sizes(NetworkSettings(dimensions="3d", flat_levels=flat))
    assert (sizes.multiple, sizes.minimum) == (16, 16)
    assert sizes.along_z == InputSizes(multiple, multiple)
    assert sizes.per_axis(3) == (sizes.along_z, sizes, sizes)


def test_where_all_levels_are_flat_it_is_the_network_of_images_slice_by_slice() -> None:
    flat = build_network(VOLUMES.model_copy(update={"flat_levels": 3}), 1)
    images = build_network(NetworkSettings(filters=4, depth=2), 2)
    shapes = [w.shape for w in flat.get_weights()]
    images_weights = images.get_weights()
    flat.set_weights([w.reshape(shape) for w, shape in zip(images_weights, shapes, strict=True)])
    volume = np.random.default_rng(3).standard_normal((1, 3, 8, 12, 1)).astype(np.float32)
    together = np.asarray(flat.predict_on_batch(volume))[0]
    one_by_one = np.asarray(images.predict_on_batch(volume[0]))
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)


def test_what_is_seen_of_other_slices_ends_where_levels_are_flat() -> None:
    """A pixel three slices away changes nothing where convolutions and poolings stay within a slice."""
    for flat, seen in ((3, False), (0, True)):
        network = build_network(VOLUMES.model_copy(update={"flat_levels": flat}), 1)
        volume = np.zeros((2, 8, 8, 8, 1), np.float32)
        volume[1, 4, 4, 4] = 10
        before, after = np.asarray(network.predict_on_batch(volume))
        assert (before[1] != after[1]).any() == seen
        assert (before[4] != after[4]).any()


def test_normalizations_fold_into_convolutions_of_volumes() -> None:
    network = build_network(VOLUMES, 1)
    rng = np.random.default_rng(0)
    network.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in network.get_weights()])
    volume = rng.standard_normal((1, 4, 8, 8, 1)).astype(np.float32)
    folded = fold(network)
    assert len(folded.pairs) == 10
    expected = np.asarray(network(volume, training=False))
    np.testing.assert_allclose(np.asarray(folded.network(volume)), expected, rtol=1e-4, atol=1e-4)


def test_a_network_of_images_says_so() -> None:
    able = [name for name, one in architectures().items() if one.takes_volumes]
    assert able == ["unet"]
    with raises_code("settings.dimensions.network", "segnet"):
        build_network(NetworkSettings(name="segnet", dimensions="3d"))


@pytest.mark.parametrize("change", [{"padding": "valid"}, {"presence": True}, {"separation": "star"}])
def test_what_is_for_two_dimensions_is_refused(change: dict[str, object]) -> None:
    with raises_code("settings.dimensions.setting"):
        build_network(VOLUMES.model_copy(update=change))


def test_slices_have_one_in_the_middle() -> None:
    assert NetworkSettings(dimensions="2.5d", slices=7).slices == 7
    with pytest.raises(ValueError, match="odd"):
        NetworkSettings(dimensions="2.5d", slices=4)


def test_multiplications_of_volumes_by_hand() -> None:
    kernel = {"kernel_size": (3, 3, 3), "groups": 1}
    conv = type("Conv3D", (), kernel)()
    up = type("Conv3DTranspose", (), {"kernel_size": (2, 2, 2)})()
    assert multiplications(conv, (1, 4, 5, 6, 2), (1, 4, 5, 6, 7)) == 4 * 5 * 6 * 27 * 2 * 7
    assert multiplications(up, (1, 2, 3, 4, 8), (1, 4, 6, 8, 5)) == 2 * 3 * 4 * 8 * 8 * 5
