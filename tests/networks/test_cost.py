"""Weights, operations and receptive fields, held against counts by hand from the papers' layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.networks.graphs.cost import cost_of, flop, receptive_field, seen_by
from napari_unet.networks.registry import architecture, build_network, pixel_networks
from napari_unet.settings import NetworkSettings
from napari_unet.training.fit import to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterable

SIDE = 256
Layer = tuple[int, int, int, int]  # kernel, channels in, channels out, how often the image has been halved


def operations(layers: Iterable[Layer]) -> int:
    """Two for each product, at 256x256; transposed convolutions count where they read."""
    return sum(2 * k * k * a * b * (SIDE >> halved) ** 2 for k, a, b, halved in layers)


def weights(layers: Iterable[Layer]) -> int:
    return sum(k * k * a * b + b for k, a, b, _ in layers)


def pair(a: int, b: int, level: int) -> list[Layer]:
    return [(3, a, b, level), (3, b, b, level)]


def vgg(first: int, channels: int, levels: int = 5) -> list[Layer]:
    """The 13 convolutions of VGG-16, table 1 D of its paper."""
    out: list[Layer] = []
    for level, (count, width) in enumerate(zip((2, 2, 3, 3, 3), (1, 2, 4, 8, 8), strict=True)):
        for _ in range(count):
            out.append((3, channels, first * width, level))
            channels = first * width
    return out[: sum((2, 2, 3, 3, 3)[:levels])]


def unet(f: int, depth: int = 4) -> list[Layer]:
    out = [layer for n in range(depth) for layer in pair(f * 2**n // 2 if n else 1, f * 2**n, n)]
    out += pair(f * 2**depth // 2, f * 2**depth, depth)
    for n in range(depth):
        out += [(2, f * 2 ** (n + 1), f * 2**n, n + 1), *pair(f * 2 ** (n + 1), f * 2**n, n)]
    return [*out, (1, f, 1, 0)]


def hand_count(name: str, f: int) -> list[Layer]:
    """Convolutions of each network without normalization, one channel in and out, plain blocks, depth 4."""
    if name == "unet":
        return unet(f)
    if name == "attention_unet":
        gates = [
            layer
            for n in range(4)
            for layer in (
                (1, f * 2 ** (n + 1), f * 2**n, n + 1),
                (1, f * 2**n, 1, n + 1),
                (2, f * 2**n, f * 2**n, n + 1),
            )
        ]
        return unet(f) + gates
    if name == "unet_plus_plus":  # figure 1 of its paper
        out = [layer for n in range(5) for layer in pair(f * 2**n // 2 if n else 1, f * 2**n, n)]
        for column in range(1, 5):
            for row in range(5 - column):
                w = f * 2**row
                out += [(2, 2 * w, w, row + 1), *pair((column + 1) * w, w, row)]
        return [*out, (1, f, 1, 0)]
    if name.startswith("fcn"):  # fc6 and fc7 of figure 2, scores, and kernels of twice the stride
        out = [*vgg(f, 1), (7, 8 * f, 64 * f, 5), (1, 64 * f, 64 * f, 5), (1, 64 * f, 1, 5)]
        skips = {32: [], 16: [(1, 8 * f, 1, 4)], 8: [(1, 8 * f, 1, 4), (1, 4 * f, 1, 3)]}
        return out + skips[int(name[3:-1])]
    if name == "segnet":
        down = vgg(f, 1, 4)
        up = [(k, b, a, n) for k, a, b, n in reversed(down)]  # a mirror, its last layer the classifier
        return down + up
    if name == "deep_contextual":
        out, channels = [], 1
        for level, count in enumerate((2, 2, 3, 3)):
            for _ in range(count):
                out.append((3, channels, f * 2**level, level))
                channels = f * 2**level
        for n in (1, 2, 3):
            out += [(2 * 2**n, f * 2**n, f, n), (3, f, f, 0), (1, f, 1, 0)]
        return out
    if name == "deeplab":
        return deeplab(f)
    raise AssertionError(name)


def deeplab(f: int) -> list[Layer]:
    """ResNet-18 with its last stage at stride 16, five branches, the decoder of figure 2."""
    out: list[Layer] = [(7, 1, f, 1)]
    before = f
    for stage, level in enumerate((2, 3, 4, 4)):
        w = f * 2**stage
        out += [(3, before, w, level), (3, w, w, level), (3, w, w, level), (3, w, w, level)]
        out += [(1, before, w, level)] if before != w else []
        before = w
    wide = 4 * f
    out += [(1, 8 * f, wide, 4), *[(3, 8 * f, wide, 4)] * 3, (1, 8 * f, wide, 8), (1, 5 * wide, wide, 4)]
    return [*out, (1, f, 3 * f // 4, 2), (3, wide + 3 * f // 4, wide, 2), (3, wide, wide, 2), (1, wide, 1, 2)]


NAMES = (
    "unet",
    "attention_unet",
    "unet_plus_plus",
    "fcn8s",
    "fcn16s",
    "segnet",
    "deep_contextual",
    "deeplab",
)
UNBIASED = {"fcn8s": 4 * 4 + 4 * 4 + 16 * 16, "fcn16s": 4 * 4 + 32 * 32}  # enlargers, twice the factor wide


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_operations_by_hand(name: str) -> None:
    f = 4
    network = build_network(NetworkSettings(name=name, filters=f, normalization="none", block="plain"))
    layers = hand_count(name, f)
    enlarging = {
        "fcn8s": 2 * (16 * 8**2 + 16 * 16**2 + 256 * 32**2),
        "fcn16s": 2 * (16 * 8**2 + 1024 * 16**2),
    }
    assert flop(network, (SIDE, SIDE)) == operations(layers) + enlarging.get(name, 0)
    gates_without_bias = sum(f * 2**n for n in range(4)) if name == "attention_unet" else 0
    assert network.count_params() == weights(layers) + UNBIASED.get(name, 0) - gates_without_bias


def test_the_papers_own_figures() -> None:
    # At 64 filters: 96.2 GFLOP for the padded U-Net; 14.7 million weights in VGG-16's convolutions.
    assert operations(unet(64)) / 1e9 == pytest.approx(96.2, abs=0.1)
    assert weights(vgg(64, 3)) == 14_714_688
    # FCN: a classifier of 138,357,544 weights less its last layer of 4096 x 1000, plus scores.
    fcn32 = [*vgg(64, 3), (7, 512, 4096, 5), (1, 4096, 4096, 5)]
    assert weights(fcn32) == 138_357_544 - 4096 * 1000 - 1000
    # SegNet: "29.45 million", with scales and shifts of 25 normalizations, for 12 classes.
    down = vgg(64, 3)
    up = [(k, b, a, n) for k, a, b, n in reversed(down)][:-1]
    classifier = (3, 64, 12, 0)
    assert weights([*down, *up, classifier]) == pytest.approx(29.45e6, rel=0.01)


# Gates that are wide open, and maxima that were elsewhere, keep the farthest pixels from being heard.
CONDITIONAL = {"attention_unet", "segnet"}


def settled(network: Any) -> None:
    """All weights positive, so that nothing a pixel says is lost on the way."""
    draw = np.random.default_rng(0)
    for layer in network.layers:
        layer.set_weights([draw.uniform(0.05, 0.1, w.shape).astype(np.float32) for w in layer.get_weights()])


@pytest.mark.parametrize("name", sorted(set(pixel_networks()) - {"scse_unet", "deeplab", "encoder_unet"}))
def test_the_receptive_field_is_where_a_pixel_matters_and_ends_there(name: str) -> None:
    settings = NetworkSettings(name=name, filters=2, depth=2, normalization="none")
    network = build_network(settings)
    settled(network)
    middle = 704 if name.startswith("fcn") else 224
    first, last = seen_by(network, middle + 3) or (0, 0)
    assert last - first + 1 <= (receptive_field(network) or 0)
    line = np.full((5, 32, 2 * middle, 1), 1.0, np.float32)
    for row, column in enumerate((first - 1, first, last, last + 1)):
        line[row + 1, :, column] = 1e4
    # One by one: not all rows of a batch are summed in the same order, which changes the last bit.
    answers = [to_numpy(network(one[None], training=False))[0, 16, middle + 3, 0] for one in line]
    changed = [answers[n] != answers[0] for n in (1, 2, 3, 4)]
    assert not changed[0]
    assert not changed[3]
    if name not in CONDITIONAL:
        assert changed[1:3] == [True, True]


def test_receptive_fields_of_the_papers() -> None:
    def field(name: str, **changes: Any) -> int | None:
        return receptive_field(build_network(NetworkSettings(name=name, filters=1, **changes)))

    # VGG-16 up to fc7 sees 404 pixels (FCN, section 4.1); enlarging by 32 reads two of its outputs.
    assert field("fcn32s") == 404 + 32
    # By hand, depth 1: 5 pixels of the decoder read 3 of the bottom, those 7, or 14 of the image, and 4 more.
    assert field("unet", depth=1) == 18
    assert field("scse_unet", depth=1) is None


def test_the_cost_of_a_network_leaves_out_statistics() -> None:
    network = build_network(NetworkSettings(filters=2, depth=1))
    cost = cost_of(network)
    assert cost.parameters < network.count_params()
    assert cost.gflop == pytest.approx(flop(network, (256, 256)) / 1e9)
    assert architecture("unet").when.endswith(".")
