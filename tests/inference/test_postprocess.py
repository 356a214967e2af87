from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.inference.postprocess import (
    connected_objects,
    fade_specks,
    fill_enclosed,
    find_specks,
    mask_from_probabilities,
    remove_small,
)


def test_the_most_probable_class_above_the_threshold_wins() -> None:
    probabilities = np.array([[[0.5, 0.2], [0.6, 0.7], [0.51, 0.1], [0.0, 0.0]]], np.float32)
    np.testing.assert_array_equal(mask_from_probabilities(probabilities), [[0, 2, 1, 0]])
    np.testing.assert_array_equal(mask_from_probabilities(probabilities, 0.65), [[0, 2, 0, 0]])


def test_small_pieces_are_dropped_class_by_class() -> None:
    mask = np.array([[1, 1, 0, 2], [0, 1, 0, 2], [2, 0, 0, 0]], np.uint8)
    np.testing.assert_array_equal(remove_small(mask, 2), [[1, 1, 0, 2], [0, 1, 0, 2], [0, 0, 0, 0]])
    np.testing.assert_array_equal(remove_small(mask, 3), [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


def test_specks_are_pieces_that_are_nowhere_deep() -> None:
    mask = np.array([[1, 1, 0, 2], [0, 1, 0, 2], [2, 0, 0, 0]], np.uint8)
    depth = np.array([[0.1, 0.2, 0.9, 0.4], [0.9, 0.5, 0.9, 0.3], [0.4, 0.9, 0.9, 0.9]], np.float32)
    # The piece of class 1 is as deep as 0.5, both of class 2 as deep as 0.4; outside the mask nothing counts.
    assert not find_specks(mask, depth, 0.3).any()
    np.testing.assert_array_equal(find_specks(mask, depth, 0.4), mask == 2)
    np.testing.assert_array_equal(find_specks(mask, depth, 0.5), mask > 0)


@pytest.mark.parametrize(("classes", "activation"), [(1, "sigmoid"), (3, "sigmoid"), (3, "softmax")])
@pytest.mark.parametrize("threshold", [0.01, 0.5, 0.99])
def test_faded_specks_are_below_the_threshold_as_they_are_stored(
    classes: int, activation: str, threshold: float
) -> None:
    values = np.random.default_rng(0).dirichlet(np.full(classes + 1, 0.3), (40, 50)).astype(np.float32)
    values = values[..., :classes]
    values[0, 0] = 0
    values[0, 0, 0] = 1
    specks = np.zeros((40, 50), bool)
    specks[:, :25] = True
    before = mask_from_probabilities(values, threshold, activation=activation)
    faded = fade_specks(values, specks, threshold)
    after = mask_from_probabilities(
        faded.astype(np.float16).astype(np.float32), threshold, activation=activation
    )
    assert before[:, :25].any()
    assert not after[:, :25].any()
    np.testing.assert_array_equal(faded[:, 25:], values[:, 25:])
    # A lower threshold shows what was there, in the same classes.
    strongest = values[:, :25].max(axis=-1) > 0.5
    shown = mask_from_probabilities(faded, 0.3 * threshold, activation=activation)[:, :25]
    np.testing.assert_array_equal(shown[strongest], values[:, :25].argmax(axis=-1)[strongest] + 1)


def test_softmax_takes_the_most_probable_of_classes_and_background() -> None:
    # Backgrounds 0.4, 0.2, 0.3, 0.
    probabilities = np.array([[[0.35, 0.25], [0.45, 0.35], [0.35, 0.35], [0.0, 1.0]]], np.float32)
    found = mask_from_probabilities(probabilities, activation="softmax")
    np.testing.assert_array_equal(found, [[0, 1, 1, 2]])
    np.testing.assert_array_equal(mask_from_probabilities(probabilities), [[0, 0, 0, 2]])
    # At 0.8 a class must be four times as probable as the background.
    strict = mask_from_probabilities(probabilities, 0.8, activation="softmax")
    np.testing.assert_array_equal(strict, [[0, 0, 0, 2]])
    lax = mask_from_probabilities(probabilities, 0.1, activation="softmax")
    np.testing.assert_array_equal(lax, [[1, 1, 1, 2]])


@given(arrays(np.float32, (4, 5, 3), elements=st.floats(0, 1, width=32)))
def test_softmax_at_a_half_is_argmax_with_the_background(raw: np.ndarray) -> None:
    logits = np.concatenate([np.full((4, 5, 1), 0.43), raw * 3], axis=-1)
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = mask_from_probabilities(shares[..., 1:], activation="softmax")
    apart = np.abs(shares[..., 0] - shares[..., 1:].max(axis=-1)) > 1e-6
    np.testing.assert_array_equal(found[apart], shares.argmax(axis=-1)[apart])


@given(arrays(np.float32, (3, 4, 1), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
def test_one_class_is_foreground_above_the_threshold_whatever_it_came_from(
    probabilities: np.ndarray, threshold: float
) -> None:
    expected = (probabilities[..., 0] > threshold).astype(np.uint8)
    for activation in ("sigmoid", "softmax"):
        found = mask_from_probabilities(probabilities, threshold, activation=activation)
        np.testing.assert_array_equal(found, expected)


def test_masks_of_no_class_or_too_many_are_refused() -> None:
    for classes in (0, 256):
        with pytest.raises(ValueError, match="1 to 255 classes"):
            mask_from_probabilities(np.zeros((2, 2, classes), np.float32))
    most = np.zeros((1, 1, 255), np.float32)
    most[..., -1] = 1
    assert mask_from_probabilities(most)[0, 0] == 255


RING = np.array(
    [
        [1, 1, 1, 1, 0],
        [1, 0, 2, 1, 0],
        [1, 1, 1, 1, 2],
        [0, 0, 0, 2, 0],
    ],
    np.uint8,
)


def test_holes_are_filled_but_not_what_lies_in_them() -> None:
    filled = RING.copy()
    filled[1, 1] = 1
    np.testing.assert_array_equal(fill_enclosed(RING), filled)
    swapped = np.array([0, 2, 1], np.uint8)
    np.testing.assert_array_equal(fill_enclosed(swapped[RING]), swapped[filled])
    probabilities = np.stack([RING == 1, RING == 2], axis=-1).astype(np.float32)
    found = remove_small(fill_enclosed(mask_from_probabilities(probabilities)), 3)
    # The piece of class 2 within is one pixel, that outside two, joined over a corner.
    expected = filled.copy()
    expected[1, 2] = expected[2, 4] = expected[3, 3] = 0
    np.testing.assert_array_equal(found, expected)


def test_objects_are_numbered_class_by_class() -> None:
    objects = connected_objects(RING)
    assert objects.dtype == np.int32
    expected = np.array([[1, 1, 1, 1, 0], [1, 0, 2, 1, 0], [1, 1, 1, 1, 3], [0, 0, 0, 3, 0]])
    np.testing.assert_array_equal(objects, expected)
    assert connected_objects(np.zeros((2, 2), np.uint8)).max() == 0


@given(arrays(np.uint8, (9, 11), elements=st.integers(0, 2)), st.integers(1, 6))
def test_pieces_agree_with_scikit_image(mask: np.ndarray, minimum: int) -> None:
    from skimage.measure import label, regionprops

    theirs = label(mask, background=0, connectivity=2)
    ours = connected_objects(mask)
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    kept = mask.copy()
    for region in regionprops(theirs):
        if region.area < minimum:
            kept[theirs == region.label] = 0
    np.testing.assert_array_equal(remove_small(mask, minimum), kept)
