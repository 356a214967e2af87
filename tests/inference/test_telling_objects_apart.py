from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.inference.objects import find_objects, split_outputs
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


def test_a_core_that_is_too_shallow_cuts_nothing() -> None:
    mask, _, depth = two_discs()
    saddle = 0.3  # the discs meet 7 pixels from either middle: depth 1 - 7 / 8 there
    assert find_objects(mask, how("learned", 0.05), separation=depth, separation_kind="distance").max() == 1
    assert find_objects(mask, how("learned", saddle), separation=depth, separation_kind="distance").max() == 2
    # Nothing is as deep as 1: every piece is whole.
    assert find_objects(mask, how("learned", 1.0), separation=depth, separation_kind="distance").max() == 1


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
