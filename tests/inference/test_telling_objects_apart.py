from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.morphology import reconstruction

from napari_unet.inference.objects import filled_up, find_objects, split_outputs
from napari_unet.settings import InferenceSettings


def how(objects: str, core: float = 0.5) -> InferenceSettings:
    return InferenceSettings(objects=objects, core=core)


def two_discs(apart: int = 14, radius: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two discs that touch: mask, truth, and for every pixel how deep in its disc it lies."""
    y, x = np.mgrid[:32, :48]
    depths = [1 - np.hypot(y - 16, x - 14 - shift) / radius for shift in (0, apart)]
    truth = np.where(np.maximum(*depths) > 0, 1 + np.argmax(depths, axis=0), 0)
    return (truth > 0).astype(np.uint8), truth, np.clip(np.maximum(*depths), 0, 1).astype(np.float32)


def test_touching_discs_are_one_piece_and_two_objects() -> None:
    mask, truth, depth = two_discs()
    assert find_objects(mask, how("connected")).max() == 1
    found = find_objects(mask, how("learned"), separation=depth, separation_kind="distance")
    # Smoothing may shift the line between the two, which is 12 pixels long, by a pixel.
    assert found.max() == 2
    assert (found != truth).sum() <= 12
    shape = find_objects(mask, how("shape"))
    assert shape.max() == 2
    assert (shape != truth).sum() <= 12


def test_a_border_cuts_where_it_is() -> None:
    mask = np.ones((5, 11), np.uint8)
    border = np.zeros((5, 11), np.float32)
    border[:, 5] = 0.9
    found = find_objects(mask, how("learned"), mask[..., None].astype(np.float32), border, "border")
    assert found.max() == 2
    assert (found[:, :5] == 1).all()
    assert (found[:, 6:] == 2).all()
    assert (found > 0).all()


@pytest.mark.parametrize(("left", "neck", "right", "objects"), [
    (0.92, 0.76, 0.9, 1),  # 0.14 from the neck up to the lower side
    (0.92, 0.74, 0.9, 2),  # 0.16
    (0.9, 0.36, 0.5, 1),  # the lower side decides, however deep the other
    (0.9, 0.34, 0.5, 2),
    (0.1, 0.0, 0.09, 1),  # nothing rises enough: the piece is whole
])  # fmt: skip
def test_a_neck_cuts_where_both_sides_are_deeper(
    left: float, neck: float, right: float, objects: int
) -> None:
    # Parts so wide that smoothing, which mixes 4 pixels either way, changes the middle of none.
    depth = np.repeat(np.float32([left, neck, right]), 12)[None].repeat(20, axis=0)
    found = find_objects(
        np.ones((20, 36), np.uint8), how("learned"), separation=depth, separation_kind="distance"
    )
    assert found.max() == objects
    if objects == 2:
        assert (found[:, :12] == 1).all()
        assert (found[:, 24:] == 2).all()


@pytest.mark.parametrize(("share", "objects"), [(0.35, 1), (0.45, 2)])
def test_how_far_from_borders_cores_begin_is_a_setting(share: float, objects: int) -> None:
    mask = np.ones((5, 11), np.uint8)
    border = np.zeros((5, 11), np.float32)
    border[:, 5] = 0.6  # so 0.4 is left of a probability of 1
    found = find_objects(mask, how("learned", share), mask[..., None].astype(np.float32), border, "border")
    assert found.max() == objects


def winding() -> tuple[np.ndarray, np.ndarray]:
    """A height with one way of 200 pixels through it, and a seed at its beginning."""
    height = np.zeros((19, 21), np.float32)
    height[::2] = 0.5
    height[1::4, -1] = height[3::4, 0] = 0.5
    seeds = np.zeros_like(height)
    seeds[0, 0] = 0.4
    return height, seeds


@pytest.mark.parametrize(("most", "side"), [(0, 256), (64, 256), (1, 5), (64, 5)])
def test_seeds_spread_as_far_as_the_height_lets_them(
    most: int, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.inference.objects.MOST_ROUNDS", most)
    monkeypatch.setattr("napari_unet.inference.objects.SQUARE", side)
    height, seeds = winding()
    np.testing.assert_array_equal(filled_up(height, seeds), np.where(height > 0, np.float32(0.4), 0))
    height[10, 7] = 0.3  # a place that lets no more through
    found = filled_up(height, seeds)
    assert {found[10, 8], found[10, 6]} == {np.float32(0.4), np.float32(0.3)}
    assert found[18, 0] == found[18, 20] == np.float32(0.3)


@pytest.mark.parametrize("side", [3, 256])
@given(data=st.data())
def test_seeds_spread_as_scikit_image_spreads_them(side: int, data: st.DataObject) -> None:
    unit = st.floats(0, 1, width=32)
    height = data.draw(arrays(np.float32, (7, 9), elements=unit))
    seeds = data.draw(arrays(np.float32, (7, 9), elements=unit))
    expected = reconstruction(np.minimum(seeds, height), height, method="dilation")
    with mock.patch("napari_unet.inference.objects.SQUARE", side):
        np.testing.assert_array_equal(filled_up(height, seeds), expected)


def test_probability_parts_at_its_saddle() -> None:
    mask, _, depth = two_discs()
    probability = (0.5 + 0.5 * depth)[..., None]
    assert find_objects(mask, how("probability"), probability).max() == 2
    flat = np.full((32, 48, 1), 0.9, np.float32)
    assert find_objects(mask, how("probability"), flat).max() == 1


def test_auto_is_the_networks_way_if_it_has_one() -> None:
    mask, _, depth = two_discs()
    assert find_objects(mask, how("auto")).max() == 1
    assert find_objects(mask, how("auto"), separation=depth, separation_kind="distance").max() == 2
    # An output whose meaning is not known cuts nothing.
    assert find_objects(mask, how("learned"), separation=depth, separation_kind="none").max() == 1


@pytest.mark.parametrize("objects", ["connected", "shape", "probability", "learned"])
@given(data=st.data())
def test_every_pixel_of_the_mask_is_of_one_object_of_one_class(objects: str, data: st.DataObject) -> None:
    mask = data.draw(arrays(np.uint8, (9, 11), elements=st.integers(0, 2)))
    unit = st.floats(0, 1, width=32)
    probabilities = data.draw(arrays(np.float32, (9, 11, 2), elements=unit))
    separation = data.draw(arrays(np.float32, (9, 11), elements=unit))
    found = find_objects(mask, how(objects), probabilities, separation, "distance")
    np.testing.assert_array_equal(found > 0, mask > 0)
    numbers = np.unique(found[found > 0])
    np.testing.assert_array_equal(numbers, np.arange(1, len(numbers) + 1))
    assert all(len(np.unique(mask[found == n])) == 1 for n in numbers)


def test_outputs_are_parted() -> None:
    outputs = np.zeros((2, 3, 3), np.float32)
    classes, separation = split_outputs(outputs, 2)
    assert classes.shape == (2, 3, 2)
    assert separation is not None
    assert separation.shape == (2, 3)
    assert split_outputs(outputs, 3)[1] is None
