"""EfficientNet-Lite0: its shape by hand, its weights against the original, what is done with networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.networks.encoders import efficientnet_lite as lite
from napari_unet.networks.encoders.vgg import PREFIX
from napari_unet.networks.graphs.cost import cost_of, flop, reach, receptive_field
from napari_unet.networks.graphs.folding import fold
from napari_unet.networks.graphs.partial_output import partial_output
from napari_unet.networks.registry import architecture, build_network, input_sizes
from napari_unet.networks.transfer import freeze_encoder, use_pretrained
from napari_unet.settings import NetworkSettings
from napari_unet.training.fit import to_numpy
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

TAPS = {
    1: "block0_project_norm",
    2: "block2_add",
    3: "block4_add",
    4: "block10_add",
    5: "block15_project_norm",
}
# Features of the picture below that PyTorch computes from the published checkpoint in float32, eight of each
# size from first to last: printed by benchmarks/convert_lite0.py.
ORIGINAL = {
    1: [1.9783, 14.3085, 5.2955, 17.3496, -0.9041, -9.2545, 4.2684, -0.1313],
    2: [-3.0821, 10.6148, 10.0302, 25.1961, 7.8599, -0.4034, -7.7395, 5.2129],
    3: [-0.7378, -8.8529, 10.6357, 1.9622, -6.9958, 2.0281, -2.3386, -4.7478],
    4: [-0.8115, -2.186, 4.6331, 1.636, 6.6984, 2.3977, 4.4696, 3.8779],
    5: [0.3711, -1.3411, -1.0929, 0.9597, 1.5349, -4.0968, -0.6929, -1.0868],
}
# Blocks of table 1 of Tan, Le 2019, one a row: kernel, channels in, inside, out, halvings before and after.
BLOCKS = [
    (3, 32, 32, 16, 1, 1),
    (3, 16, 96, 24, 1, 2), (3, 24, 144, 24, 2, 2),
    (5, 24, 144, 40, 2, 3), (5, 40, 240, 40, 3, 3),
    (3, 40, 240, 80, 3, 4), (3, 80, 480, 80, 4, 4), (3, 80, 480, 80, 4, 4),
    (5, 80, 480, 112, 4, 4), (5, 112, 672, 112, 4, 4), (5, 112, 672, 112, 4, 4),
    (5, 112, 672, 192, 4, 5), (5, 192, 1152, 192, 5, 5), (5, 192, 1152, 192, 5, 5), (5, 192, 1152, 192, 5, 5),
    (3, 192, 1152, 320, 5, 5),
]  # fmt: skip


def settings(**changes: Any) -> NetworkSettings:
    return NetworkSettings(**{"name": "encoder_unet", "encoder": lite.NAME, "filters": 2, **changes})


def built(seed: int = 0, **changes: Any) -> Any:
    """A network with ImageNet weights in its encoder."""
    network = build_network(settings(**changes), seed)
    use_pretrained(network, settings(**changes), "")
    return network


def picture(side: int = 64, channels: int = 3) -> NDArray[np.float32]:
    """A random image of mean 0 and deviation 1, the same as in benchmarks/convert_lite0.py."""
    return np.random.default_rng(18).standard_normal((1, side, side, channels)).astype(np.float32)


def at_tap(network: Any, halved: int, image: NDArray[np.float32]) -> NDArray[np.float32]:
    import keras

    output = network.get_layer(f"{PREFIX}{TAPS[halved]}").output
    return to_numpy(keras.Model(network.input, output)(image, training=False))


def weights_by_hand(depth: int, channels: int) -> int:
    """Kernels, and two numbers a channel for each normalization."""
    total = 9 * channels * 32 + 2 * 32
    for kernel, entering, inside, leaving, _, after in BLOCKS:
        if after <= depth:
            widening = entering * inside + 2 * inside if inside != entering else 0
            total += widening + kernel**2 * inside + 2 * inside + inside * leaving + 2 * leaving
    return total


def products_by_hand(depth: int, channels: int, side: int) -> int:
    """Multiplications: a depthwise convolution reads a single channel for each that it makes."""
    total = 9 * channels * 32 * (side // 2) ** 2
    for kernel, entering, inside, leaving, before, after in BLOCKS:
        if after <= depth:
            widening = entering * inside * (side >> before) ** 2 if inside != entering else 0
            total += widening + (kernel**2 * inside + inside * leaving) * (side >> after) ** 2
    return total


def encoder_of(network: Any, depth: int) -> Any:
    import keras

    return keras.Model(network.input, network.get_layer(f"{PREFIX}{TAPS[depth]}").output)


@pytest.mark.parametrize(("depth", "channels"), [(4, 1), (5, 3)])
def test_weights_and_operations_by_hand(depth: int, channels: int) -> None:
    network = build_network(settings(depth=depth, input_channels=channels))
    encoder = encoder_of(network, depth)
    cost = cost_of(encoder)
    assert cost.parameters == weights_by_hand(depth, channels)
    assert flop(encoder, (256, 256)) == 2 * products_by_hand(depth, channels, 256)
    # No layer of the encoder is left over, and none is there that nobody reads.
    names = {layer.name for layer in network.layers if layer.name.startswith(PREFIX)}
    assert names == {layer.name for layer in encoder.layers if layer.name.startswith(PREFIX)}


def test_the_published_figures() -> None:
    # 4,652,008 weights with a last convolution of 320 to 1280 and the classifier of 1000.
    assert weights_by_hand(5, 3) == 4_652_008 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000) == 2_958_848
    assert weights_by_hand(4, 3) == 700_768
    # 407 million multiplications at 224 x 224, with those of that convolution and the classifier.
    whole = products_by_hand(5, 3, 224) + 320 * 1280 * 7**2 + 1280 * 1000
    assert whole / 1e6 == pytest.approx(407, rel=0.06)


def test_features_by_size() -> None:
    network = build_network(settings(depth=5))
    shapes = [at_tap(network, n, picture(channels=1)).shape for n in TAPS]
    assert shapes == [(1, 32, 32, 16), (1, 16, 16, 24), (1, 8, 8, 40), (1, 4, 4, 112), (1, 2, 2, 320)]
    # What the decoder reads at each size is these, and nothing at the size of the image.
    read = {level: network.get_layer(f"merge{level}").input[0].name for level in (1, 2, 3, 4)}
    assert read == {n: network.get_layer(f"{PREFIX}{TAPS[n]}").output.name for n in read}
    assert network.get_layer("up4").input is network.get_layer(f"{PREFIX}{TAPS[5]}").output
    assert "merge0" not in {layer.name for layer in network.layers}


def test_what_one_pixel_sees_by_hand() -> None:
    # Depth 1, backwards: a 3x3 convolution in block 0 and one of stride 2 before it: 3 pixels of half the
    # size, 7 of the image. The decoder's two 3x3 convolutions read 5 pixels, of up to 3 of half the size: 4
    # more pixels of the image than one of them.
    assert receptive_field(build_network(settings(depth=1))) == 7 + 4
    assert receptive_field(encoder_of(build_network(settings(depth=5)), 5)) is not None


@pytest.mark.parametrize("depth", [4, 5])
def test_sizes_are_those_of_its_depth(depth: int) -> None:
    sizes = input_sizes(settings(depth=depth))
    step = 2**depth
    assert (sizes.multiple, sizes.minimum) == (step, step)
    image = picture(2 * step, 1)[:, :step]
    assert build_network(settings(depth=depth))(image, training=False).shape == (1, step, 2 * step, 1)


def test_depths_it_does_not_have_are_refused_in_words() -> None:
    with raises_code("settings.depth.range", "most 5", "1 to 5", "6"):
        build_network(settings(depth=6))


def test_the_depth_of_other_encoders_still_changes_nothing() -> None:
    other = {"encoder": "MobileNetV2"}
    chosen = architecture("encoder_unet")
    assert chosen.differing(settings(**other, depth=3), settings(**other, depth=5)) == []
    assert chosen.differing(settings(depth=3), settings(depth=5)) == ["depth"]
    assert "depth" in chosen.settings_that_matter(settings())
    assert "depth" not in chosen.settings_that_matter(settings(**other))
    assert input_sizes(settings(**other, depth=3)).multiple == 32


def test_the_weights_are_the_published_ones() -> None:
    """Half precision changes features of a deviation of 2 to 11 by some hundredths."""
    network = built(depth=5, input_channels=3)
    for halved, wanted in ORIGINAL.items():
        found = at_tap(network, halved, picture()).reshape(-1)
        places = np.arange(8) * (found.size - 1) // 7
        np.testing.assert_allclose(found[places], wanted, atol=0.06)
        assert 1 < found.std() < 12
    shallow = built(depth=4, input_channels=3)
    np.testing.assert_allclose(at_tap(shallow, 4, picture()), at_tap(network, 4, picture()), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_grey_image_is_answered_as_in_equal_channels(channels: int) -> None:
    grey = picture(channels=1)
    colour = to_numpy(built(depth=3, input_channels=3)(np.repeat(grey, 3, axis=-1), training=False))
    network = built(depth=3, input_channels=channels)
    found = to_numpy(network(np.repeat(grey, channels, axis=-1), training=False))
    assert colour.std() > 1e-2
    np.testing.assert_allclose(found, colour, atol=1e-4 * np.abs(colour).max())


def test_the_first_kernel_by_hand() -> None:
    kernel = np.zeros((3, 3, 3, 32), np.float32)
    kernel[1, 1, :, 0] = 2, 4, 8
    assert lite.fitted(kernel, 3)[1, 1, :, 0].tolist() == [1, 2, 4]  # made for images of deviation 0.5
    assert lite.fitted(kernel, 1)[1, 1, :, 0].tolist() == [7]
    assert lite.fitted(kernel, 2)[1, 1, :, 0].tolist() == [3.5, 3.5]


def test_images_of_deviation_1_have_the_variances_that_the_first_normalization_expects() -> None:
    """On noise whose amplitude falls with the frequency, as that of photographs does."""
    import keras

    network = built(depth=1, input_channels=3)
    draw = np.random.default_rng(0)
    side = 256
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side)] * 2)) + 1 / side
    grey = np.fft.ifft2(np.fft.fft2(draw.standard_normal((side, side))) / frequency).real
    image = np.repeat(((grey - grey.mean()) / grey.std())[None, ..., None], 3, axis=-1).astype(np.float32)
    output = network.get_layer(f"{PREFIX}stem").output
    found = to_numpy(keras.Model(network.input, output)(image, training=False)).var(axis=(0, 1, 2))
    expected = to_numpy(network.get_layer(f"{PREFIX}stem_norm").moving_variance)
    alive = expected > 1e-3  # some channels never answer
    assert 0.6 < float(np.median(found[alive] / expected[alive])) < 1.5


def test_the_same_seed_builds_the_same_network() -> None:
    one, same, other = (build_network(settings(depth=2), seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    kernels = [(a, b) for a, b in zip(one, other, strict=True) if a.ndim == 4]
    assert not any(np.array_equal(a, b) for a, b in kernels)


def test_random_weights_keep_the_size_of_what_goes_through() -> None:
    """He et al. 2015; a depthwise convolution with nine weights a channel has a deviation of sqrt(2 / 9)."""
    network = build_network(settings(depth=5))
    kernel = to_numpy(network.get_layer(f"{PREFIX}block7_depthwise").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / 9), rel=0.05)


def test_weights_of_the_program_are_taken_unless_others_or_none_are_wanted(tmp_path: Path) -> None:
    network = build_network(settings(depth=2), 3)
    at_random = network.get_weights()
    assert use_pretrained(network, settings(depth=2), "none") is None
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), at_random, strict=True))
    for source in ("", "imagenet"):
        taken = use_pretrained(network, settings(depth=2), source)
        assert taken is not None
        assert taken.licence == "Apache-2.0"
    stem = to_numpy(network.get_layer(f"{PREFIX}stem").kernel)
    copy = tmp_path / "own.h5"
    copy.write_bytes(lite.WEIGHTS_FILE.read_bytes())
    other = build_network(settings(depth=2), 4)
    assert use_pretrained(other, settings(depth=2), str(copy)) is None  # whose it is nobody knows
    np.testing.assert_array_equal(to_numpy(other.get_layer(f"{PREFIX}stem").kernel), stem)
    # An encoder without weights in the program stays at random where none are asked for.
    plain = NetworkSettings(filters=1, depth=1)
    unet = build_network(plain)
    before = unet.get_weights()
    assert use_pretrained(unet, plain, "") is None
    assert use_pretrained(unet, plain, "none") is None
    assert all(np.array_equal(a, b) for a, b in zip(unet.get_weights(), before, strict=True))


@pytest.mark.parametrize("content", [None, b"", b"not HDF5", b"other layers"])
def test_weights_that_cannot_be_read_are_refused_in_words(content: bytes | None, tmp_path: Path) -> None:
    import h5py

    file = tmp_path / "own.h5"
    if content == b"other layers":
        with h5py.File(file, "w") as made:
            made["stem/kernel"] = np.zeros((3, 3, 3, 16), np.float32)
    elif content is not None:
        file.write_bytes(content)
    network = build_network(settings(depth=1))
    with raises_code("model.pretrained.unreadable", "EfficientNetLite0"):
        use_pretrained(network, settings(depth=1), str(file))


def test_the_file_of_weights_is_small_and_has_its_licence() -> None:
    assert lite.WEIGHTS_FILE.stat().st_size <= 6_000_000
    licence, notice = ((lite.WEIGHTS_FILE.parent / name).read_text("utf-8") for name in ("LICENSE", "NOTICE"))
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    for word in ("TensorFlow Authors", "ML Illustrated", lite.WEIGHTS_FILE.name, "What was changed"):
        assert word in notice


@pytest.mark.parametrize("depth", [4, 5])
def test_normalizations_are_folded_away(depth: int) -> None:
    network = built(depth=depth)
    folded = fold(network)
    kinds = {type(layer).__name__ for layer in folded.network.layers}
    assert "BatchNormalization" not in kinds
    assert any(name.endswith("_depthwise") for name in folded.pairs)
    wanted = to_numpy(network(picture(channels=1), training=False))
    found = to_numpy(folded.network(picture(channels=1), training=False))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, float(np.abs(wanted).max())))


def test_a_part_is_answered_as_on_the_whole_tile() -> None:
    network = built(depth=3)
    found = partial_output(network)
    assert found is not None
    halo = -(-(reach(network) or 0) // 8) * 8
    part = (32, 48)
    tile = (part[0] + 2 * halo, part[1] + 2 * halo)
    image = np.random.default_rng(0).standard_normal((1, *tile, 1)).astype(np.float32)
    whole = to_numpy(network(image, training=False))
    narrow = found.build(tile, part)
    for y, x in [(halo, halo), (0, 2 * halo)]:
        answer = to_numpy(narrow([image, np.array([y, x], np.int32)]))
        np.testing.assert_allclose(answer, whole[:, y : y + 32, x : x + 48], atol=1e-4 * whole.std())
    assert found.flop(tile, part) < 0.85 * flop(network, tile)


def test_an_encoder_that_is_kept_does_not_learn() -> None:
    network = built(depth=2)
    names = [layer.name for layer in network.layers if layer.name.startswith(PREFIX) and layer.weights]
    assert len(names) == 2 + 4 + 6 + 6  # the first convolution, and three blocks; each with its normalization
    assert freeze_encoder(network, 1.0) == len(names)
    assert not any(w.path.startswith(PREFIX) for w in network.trainable_weights)


def test_bfloat16_is_left_to_what_gains_by_it() -> None:
    import keras

    network = build_network(settings(depth=1), precision="mixed_bfloat16")
    expected = "float32" if keras.backend.backend() == "tensorflow" else "bfloat16"
    assert network.get_layer(f"{PREFIX}block0_depthwise").compute_dtype == expected
    assert network.get_layer(f"{PREFIX}block0_project").compute_dtype == "bfloat16"
    found = to_numpy(network(picture(channels=1), training=False))
    wanted = to_numpy(build_network(settings(depth=1))(picture(channels=1), training=False))
    np.testing.assert_allclose(found, wanted, atol=0.05 * np.abs(wanted).max())
