"""Mask R-CNN piece by piece: boxes, suppression, RoIAlign, what it found, weights and operations by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.networks.graphs.cost import flop, receptive_field
from napari_unet.networks.graphs.folding import fold
from napari_unet.networks.mask_rcnn.boxes import (
    anchor_shapes,
    anchors,
    clipped,
    decode,
    encode,
    overlaps,
    rows,
    suppress,
)
from napari_unet.networks.mask_rcnn.detections import decode_detections, paint
from napari_unet.networks.mask_rcnn.heads import proposals, regions_of
from napari_unet.networks.mask_rcnn.network import input_sizes
from napari_unet.networks.mask_rcnn.region_align import align
from napari_unet.networks.registry import build_network, pixel_networks
from napari_unet.settings import NetworkSettings
from napari_unet.training.fit import to_numpy
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TINY = NetworkSettings(name="mask_rcnn", filters=2, separation="objects")


def tensors(*values: object) -> list[np.ndarray]:
    from keras import ops

    return [ops.convert_to_tensor(np.asarray(v, np.float32)) for v in values]


def test_anchors_by_hand() -> None:
    from keras import ops

    # At stride 4: sides 12 and 17; half as high as wide is 12 / sqrt 2 by 12 * sqrt 2.
    np.testing.assert_allclose(anchor_shapes(4)[:3], [[8.485, 16.971], [12, 12], [16.971, 8.485]], atol=1e-3)
    np.testing.assert_allclose(anchor_shapes(4)[4], [16.971, 16.971], atol=1e-3)
    found = to_numpy(anchors(ops.zeros((1, 2, 3, 5)), 4))
    assert found.shape == (2 * 3 * 6, 4)
    np.testing.assert_allclose(found[1], [2 - 6, 2 - 6, 2 + 6, 2 + 6])  # around the first pixel's middle
    np.testing.assert_allclose(found[6 * 5 + 1], [6 - 6, 10 - 6, 6 + 6, 10 + 6])  # second row, third pixel


def test_overlaps_by_hand() -> None:
    one, two = tensors([[[0, 0, 4, 4], [3, 3, 3, 9]]], [[[0, 2, 4, 6], [0, 0, 4, 4], [4, 4, 8, 8]]])
    np.testing.assert_allclose(to_numpy(overlaps(one, two))[0], [[8 / 24, 1, 0], [0, 0, 0]])


def test_encoding_by_hand() -> None:
    box, around = tensors([[2.0, 0.0, 6.0, 8.0]], [[0.0, 0.0, 4.0, 4.0]])
    # The middle goes from (2, 2) to (4, 4), half a side either way; twice as wide.
    np.testing.assert_allclose(to_numpy(encode(box, around))[0], [0.5, 0.5, 0, np.log(2)], atol=1e-6)


numbers = st.floats(0, 200, width=32)
sides = st.floats(1, 100, width=32)
boxes_of = st.tuples(numbers, numbers, sides, sides).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@settings(max_examples=40, deadline=None)
@given(boxes_of, boxes_of)
def test_what_is_encoded_is_decoded(box: tuple[float, ...], around: tuple[float, ...]) -> None:
    one, other = tensors([box], [around])
    np.testing.assert_allclose(to_numpy(decode(encode(one, other), other))[0], box, rtol=1e-3, atol=1e-2)


def test_regions_by_the_pixels_of_the_image() -> None:
    # At stride 4: 1024 x 1024 pixels hold 4096 times 256, which is the most; 16 are the fewest.
    sides = {256: 4096, 512: 4096, 136: 1156, 16: 16, 8: 16}
    for side, count in sides.items():
        assert regions_of(np.zeros((1, side, side, 1)), 4) == count


def test_more_than_a_thousand_objects_are_proposed() -> None:
    """544 x 544 pixels, a box of 12 x 12 around every fourth pixel of the level, 16 apart: 34 x 34."""
    logits = np.full((1, 136, 136, 6, 1), -9.0)
    logits[:, ::4, ::4, 1] = 9.0
    steps = np.zeros((1, 136 * 136 * 6, 4))
    steps[logits.reshape(1, -1) < 0, 2:] = -9  # the others are thinner than any object
    given = tensors(logits.reshape(1, -1, 1), steps, np.zeros((1, 136, 136, 1)))
    found = to_numpy(proposals()((4,))(given))[0]
    first = np.maximum(np.arange(34) * 16 + 2 - 6, 0)
    last = np.arange(34) * 16 + 2 + 6
    expected = [(first[y], first[x], last[y], last[x]) for y in range(34) for x in range(34)]
    assert len(expected) == 1156
    np.testing.assert_allclose(sorted(found.tolist()), sorted(expected), atol=1e-3)


def test_rows_are_taken_where_their_number_is_only_known_when_it_runs() -> None:
    """As with objects, of which each batch has another number."""
    tf = pytest.importorskip("tensorflow")
    unknown = tf.TensorSpec((None, None, 2)), tf.TensorSpec((None, None))
    array = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    places = np.array([[2, 0], [1, 1]], np.float32)
    expected = [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
    for take in (rows, tf.function(rows, input_signature=unknown)):
        assert np.asarray(take(array, places)).tolist() == expected


def test_boxes_are_cut_at_the_borders() -> None:
    (box,) = tensors([[-3.0, 5.0, 70.0, 30.0]])
    np.testing.assert_array_equal(to_numpy(clipped(box, 64, 20))[0], [0, 5, 64, 20])


def test_suppression_by_hand() -> None:
    # The second hides behind the first. The third overlaps that one alone, stays, hides the fourth.
    ways = [[0, 0, 10, 10], [0, 3, 10, 13], [0, 6, 10, 16], [0, 7, 10, 17], [50, 50, 60, 60]]
    boxes, valid = tensors([ways, ways], [[1, 1, 1, 1, 1], [0, 1, 1, 1, 0]])
    kept = to_numpy(suppress(boxes, valid, 0.5))
    np.testing.assert_array_equal(kept, [[1, 0, 1, 0, 1], [0, 1, 0, 1, 0]])


def greedy(boxes: np.ndarray, most: float) -> list[int]:
    both = to_numpy(overlaps(*tensors(boxes[None], boxes[None])))[0]
    kept: list[int] = []
    for number in range(len(boxes)):
        if all(both[number, k] <= most for k in kept):
            kept.append(number)
    return kept


def test_suppression_equals_the_greedy_one() -> None:
    draw = np.random.default_rng(0)
    first = draw.uniform(0, 60, (120, 2))
    boxes = np.concatenate([first, first + draw.uniform(5, 30, (120, 2))], axis=1).astype(np.float32)
    given_boxes, valid = tensors(boxes[None], np.ones((1, 120)))
    kept = np.flatnonzero(to_numpy(suppress(given_boxes, valid, 0.3))[0])
    assert kept.tolist() == greedy(boxes, 0.3)
    assert 10 < len(kept) < 110


def plane(height: int, width: int) -> np.ndarray:
    """(1, Y, X, 1): ten times the row, and the column."""
    y, x = np.mgrid[:height, :width]
    return (10 * y + x)[None, ..., None].astype(np.float32)


def test_align_by_hand() -> None:
    level, boxes = tensors(plane(4, 4), [[[0, 0, 8, 8], [3, 1, 5, 3], [6, 6, 30, 30]]])
    found = to_numpy(align([level], (2,), boxes, 2))[0, ..., 0]
    # Places 2 and 6 of 8 pixels are 0.5 and 2.5 of the level: nothing is rounded.
    np.testing.assert_allclose(found[0], [[5.5, 7.5], [25.5, 27.5]])
    # Places 3.5 and 4.5, 1.5 and 2.5: rows 1.25 and 1.75, columns 0.25 and 0.75.
    np.testing.assert_allclose(found[1], [[12.75, 13.25], [17.75, 18.25]])
    np.testing.assert_allclose(found[2], np.full((2, 2), 33.0))  # beyond the border the last pixel continues
    mean = to_numpy(align([level], (2,), boxes, 1, 2))[0, :2, 0, 0, 0]
    np.testing.assert_allclose(mean, [16.5, 15.5])  # four places in one part


def test_align_reads_large_boxes_from_coarse_levels() -> None:
    levels = tensors(np.full((1, 64, 64, 1), 1), np.full((1, 32, 32, 1), 2), np.full((1, 16, 16, 1), 3))
    boxes = [[0, 0, side, side] for side in (55, 57, 111, 113)]
    found = to_numpy(align(levels, (2, 4, 8), tensors([boxes])[0], 1))[0, :, 0, 0, 0]
    np.testing.assert_array_equal(found, [1, 2, 2, 3])


def reference(level: np.ndarray, stride: int, box: np.ndarray, size: int) -> np.ndarray:
    """One place in each part, pixel by pixel."""
    out = np.zeros((size, size, level.shape[-1]))
    for i in range(size):
        for j in range(size):
            at = []
            for n, low, high, length in ((i, 0, 2, level.shape[0]), (j, 1, 3, level.shape[1])):
                place = box[low] + (n + 0.5) / size * (box[high] - box[low])
                at.append(min(max(place / stride - 0.5, 0), length - 1))
            (y, x), (b, a) = (int(v) for v in at), (v % 1 for v in at)
            below, right = min(y + 1, level.shape[0] - 1), min(x + 1, level.shape[1] - 1)
            top = (1 - a) * level[y, x] + a * level[y, right]
            out[i, j] = (1 - b) * top + b * ((1 - a) * level[below, x] + a * level[below, right])
    return out


def test_align_equals_a_plain_reference() -> None:
    draw = np.random.default_rng(1)
    levels = [draw.standard_normal((2, 24 >> n, 32 >> n, 3)).astype(np.float32) for n in range(3)]
    first = draw.uniform(0, 20, (2, 6, 2))
    boxes = np.concatenate([first, first + draw.uniform(5, 160, (2, 6, 2))], axis=-1).astype(np.float32)
    found = to_numpy(align(tensors(*levels), (2, 4, 8), tensors(boxes)[0], 5))
    used = set()
    for image in range(2):
        for region in range(6):
            box = boxes[image, region]
            root = np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
            level = int(np.clip(np.floor(np.log2(root / 56)) + 1, 0, 2))
            used.add(level)
            expected = reference(levels[level][image], 2 << level, box, 5)
            np.testing.assert_allclose(found[image, region], expected, atol=1e-4)
    assert len(used) > 1


def find(box: tuple[float, ...], score: float, kind: int, mask: np.ndarray) -> np.ndarray:
    return np.concatenate([[*box, score, kind], mask.ravel()]).astype(np.float32)


def test_finds_are_painted_the_surest_first() -> None:
    whole, left = np.ones((28, 28)), np.zeros((28, 28))
    left[:, :14] = 1
    finds = np.stack(
        [
            find((2, 2, 6, 10), 0.9, 1, left),
            find((4, 4, 8, 8), 0.8, 2, whole),
            find((5, -3, 9.5, 2), 0.6, 1, whole),
            find((0, 0, 10, 12), 0.4, 1, whole),  # not sure enough
        ]
    )
    numbers, probabilities = paint(finds[:3], (10, 12), 2)
    expected = np.zeros((10, 12), int)
    expected[4:8, 4:8] = 2
    expected[2:6, 2:6] = 1
    expected[5:9, :2] = 3  # pixels count whose middles are in the box: not row 9
    expected[9, :2] = 0
    np.testing.assert_array_equal(numbers, expected)
    assert probabilities[5, 5].tolist() == [1, 1]
    both = decode_detections(finds[None], (10, 12), 2)
    assert both.shape == (1, 10, 12, 3)
    np.testing.assert_array_equal(both[0, ..., :2], probabilities)
    assert ((both[0, ..., 2] > 0) == (expected > 0)).all()
    assert both[..., 2].max() == 1


def test_a_mask_is_enlarged_between_its_middles() -> None:
    mask = np.repeat(np.arange(28)[None] / 28, 28, axis=0)
    _, probabilities = paint(find((0, 0, 7, 56), 1, 1, mask)[None], (8, 60), 1)
    # Pixel 0 lies before the middle of the first column, pixel 2 a quarter before that of the second.
    np.testing.assert_allclose(probabilities[3, [0, 1, 2, 3], 0] * 28, [0, 0.25, 0.75, 1.25], atol=1e-5)
    assert not probabilities[7].any()
    assert not probabilities[:, 56:].any()


def test_weights_and_operations_by_hand() -> None:
    f, side = 2, 256
    network = build_network(TINY.model_copy(update={"normalization": "none", "block": "plain"}))
    halved: list[tuple[int, int, int, int]] = []  # kernel, channels in, channels out, halvings
    before = 1
    for level in range(5):
        wide = f * 2**level
        halved += [(3, before, wide, level), (3, wide, wide, level)]
        halved += [(1, wide, 2 * f, level), (3, 2 * f, 2 * f, level)] if level else []
        before = wide
    tried = [(3, 2 * f, 2 * f), (1, 2 * f, 6), (1, 2 * f, 24)]  # six boxes: a logit and four steps each
    products = sum(k * k * a * b * (side >> n) ** 2 for k, a, b, n in halved)
    products += sum(k * k * a * b * (side >> n) ** 2 for k, a, b in tried for n in (2, 3, 4, 5))
    dense = [(49 * 2 * f, 8 * f), (8 * f, 8 * f), (8 * f, 2), (8 * f, 4)]
    drawing = [*[(3, 2 * f, 2 * f, 14)] * 4, (2, 2 * f, 2 * f, 14), (1, 2 * f, 1, 28)]
    regions = side * side // 256
    products += regions * sum(a * b for a, b in dense)
    products += regions * sum(k * k * a * b * n * n for k, a, b, n in drawing)
    assert flop(network, (side, side)) == 2 * products
    weights = sum(k * k * a * b + b for k, a, b, _ in (*halved, *drawing))
    weights += sum(k * k * a * b + b for k, a, b in tried) + sum(a * b + b for a, b in dense)
    assert network.count_params() == weights
    assert receptive_field(network) is None


def test_output_at_two_sizes_and_after_a_reload(tmp_path: Path) -> None:
    network = build_network(TINY, seed=1)
    assert input_sizes(TINY).multiple == 32
    for shape, regions in (((64, 64), 16), ((96, 128), 48)):
        x = np.random.default_rng(0).standard_normal((2, *shape, 1)).astype(np.float32)
        found = to_numpy(network(x, training=False))
        assert found.shape == (2, regions, 6 + 784)
        boxes, scores = found[..., :4], found[..., 4]
        there = scores > 0
        assert there.any()
        assert (boxes[there][:, 2:] - boxes[there][:, :2] >= 2).all()
        assert (boxes >= 0).all()
        assert (boxes[..., [2, 3]] <= shape).all()
        assert set(np.unique(found[..., 5])) <= {0, 1}
    network.save_weights(tmp_path / "a.weights.h5")
    again = build_network(TINY, seed=2)
    again.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(to_numpy(again(x, training=False)), found)


def test_mixed_precision_keeps_weights_and_finds_in_float32() -> None:
    network = build_network(TINY, precision="mixed_bfloat16")
    assert {w.dtype for w in network.get_weights()} == {np.dtype("float32")}
    assert network.get_layer("mask_head").compute_dtype == "bfloat16"
    found = to_numpy(network(np.ones((1, 32, 32, 1), np.float32), training=False))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_its_pyramid_folds() -> None:
    import keras

    network = build_network(TINY, seed=1)
    folded = fold(network)
    assert len(folded.pairs) == 10
    x = np.random.default_rng(0).standard_normal((1, 64, 64, 1)).astype(np.float32)
    one, two = (
        to_numpy(keras.Model(net.input, net.get_layer("level3").output)(x, training=False))
        for net in (network, folded.network)
    )
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_another_separation_is_refused() -> None:
    with raises_code("settings.separation.unsupported"):
        build_network(TINY.model_copy(update={"separation": "star"}))
    assert "mask_rcnn" not in pixel_networks()
