"""Networks that answer for a part of a tile: the same numbers, for less work and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.inference.predict import (
    FLIPS,
    PartNetwork,
    average_over_flips,
    average_part_over_flips,
)
from napari_unet.networks.graphs.cost import flop, held_values, reach
from napari_unet.networks.graphs.partial_output import partial_output
from napari_unet.networks.registry import architectures, build_network
from napari_unet.settings import NetworkSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

NARROW = ["attention_unet", "deep_contextual", "segnet", "unet", "unet_plus_plus"]


def built(name: str, **changes: Any) -> Any:
    return build_network(NetworkSettings(name=name, filters=2, depth=2, **changes), 0)


@pytest.mark.parametrize("name", NARROW)
def test_a_part_is_answered_as_on_the_whole_tile(name: str) -> None:
    network = built(name)
    found = partial_output(network)
    assert found is not None
    sees = reach(network)
    assert sees is not None
    halo = -(-sees // 8) * 8
    part = (32, 48)
    tile = (part[0] + 2 * halo, part[1] + 2 * halo)
    image = np.random.default_rng(0).standard_normal((1, *tile, 1)).astype(np.float32)
    whole = np.asarray(network.predict_on_batch(image))
    narrow = found.build(tile, part)
    # In the middle, and where the border of the tile is that of the image.
    for y, x in [(halo, halo), (0, 0), (2 * halo, halo), (0, 2 * halo)]:
        answer = np.asarray(narrow.predict_on_batch([image, np.array([y, x], np.int32)]))
        np.testing.assert_allclose(answer, whole[:, y : y + 32, x : x + 48], atol=1e-4 * whole.std())
    assert found.flop(tile, part) < 0.85 * flop(network, tile)
    assert found.held_values(tile, part) <= held_values(network, tile)


def test_what_is_answered_for_the_whole_tile_costs_as_much_as_the_network() -> None:
    network = built("unet")
    found = partial_output(network)
    assert found is not None
    assert found.flop((64, 96), (64, 96)) == flop(network, (64, 96))


def test_work_and_memory_by_hand() -> None:
    import keras

    image = keras.Input((None, None, 1))
    skip = keras.layers.Conv2D(2, 3, padding="same")(image)
    below = keras.layers.Conv2D(4, 9, padding="same")(keras.layers.MaxPooling2D(2)(skip))
    both = keras.layers.Concatenate()([skip, keras.layers.Conv2DTranspose(3, 2, strides=2)(below)])
    network = keras.Model(image, both)
    # A transposed convolution without padding is not narrowed.
    assert partial_output(network) is None
    up = keras.layers.Conv2DTranspose(3, 2, strides=2, padding="same")(below)
    found = partial_output(keras.Model(image, keras.layers.Concatenate()([skip, up])))
    assert found is not None
    # The bottom sees 4 of its pixels around: 8 of the image, and one more by the first convolution, which
    # is less than pays. So all is computed on the tile, and the answer is cut.
    assert sum(step.operation is None for step in found.steps) == 1
    wide = keras.layers.Conv2D(4, 13, padding="same")(keras.layers.MaxPooling2D(2)(skip))
    up = keras.layers.Conv2DTranspose(3, 2, strides=2, padding="same")(wide)
    found = partial_output(keras.Model(image, keras.layers.Concatenate()([skip, up])))
    assert found is not None
    # 6 of its pixels and one: 13 of the image are spared behind the bottom; tile 40, part 10.
    first, bottom, upward = 40 * 40 * 9 * 2, 20 * 20 * 169 * 2 * 4, 5 * 5 * 4 * 4 * 3
    assert found.flop((40, 40), (10, 10)) == 2 * (first + bottom + upward)
    # At the first convolution and the cut of what it made: image, skip, and the skip's middle.
    assert found.held_values((40, 40), (10, 10)) == 1600 * 1 + 1600 * 2


@pytest.mark.parametrize("name", sorted(set(architectures()) - set(NARROW)))
def test_networks_with_other_pieces_are_left_whole(name: str) -> None:
    if name == "encoder_unet":
        pytest.skip("its weights are large, and its pieces are those of test_cost")
    assert partial_output(built(name)) is None


def test_a_network_that_normalizes_over_the_image_sees_all_of_it() -> None:
    assert reach(built("unet", normalization="group")) is None
    assert partial_output(built("unet", normalization="group")) is None


@pytest.mark.parametrize("flips", sorted(FLIPS))
def test_parts_are_averaged_over_flips_as_tiles_are(flips: str) -> None:
    """A network that says where a pixel lies, so that every turn gives another answer."""
    tile = np.random.default_rng(0).random((12, 20, 1)).astype(np.float32)

    def network(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        place = np.arange(batch.shape[1])[:, None] + 100 * np.arange(batch.shape[2])
        return batch * place[None, ..., None]

    def build(size: tuple[int, int], part: tuple[int, int]) -> Any:
        def answer(image: NDArray[np.float32], offset: tuple[int, int]) -> NDArray[np.float32]:
            assert image.shape[1:3] == size
            y, x = offset
            return network(image)[:, y : y + part[0], x : x + part[1]]

        return answer

    whole = average_over_flips(network, tile[None], FLIPS[flips])[0]
    part = average_part_over_flips(PartNetwork(build, (6, 8)), tile, (2, 7), FLIPS[flips])
    np.testing.assert_allclose(part, whole[2:8, 7:15], rtol=1e-6)
