"""Joining fragments, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.inference.agglomeration import Contacts, agglomerate, may_be_core, over_borders
from napari_unet.inference.objects import find_objects
from napari_unet.inference.volumes.volume_objects import find_volume_objects
from napari_unet.settings import InferenceSettings

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = np.ones((1, 6), np.uint8)


def row(*numbers: float) -> np.ndarray:
    return np.array([numbers], np.float32)


def joined(fragments: list[int], inside: list[float], least: float, mask: np.ndarray = ONE) -> list[int]:
    found = agglomerate(np.array([fragments]), mask, row(*inside)[..., None], least)
    return [int(number) for number in found[0]]


def test_the_lower_probability_at_a_face_decides() -> None:
    inside = [0.9, 0.9, 0.8, 0.9, 0.3, 0.9]
    assert joined([1, 1, 2, 2, 3, 3], inside, 0.8) == [1, 1, 1, 1, 2, 2]
    assert joined([1, 1, 2, 2, 3, 3], inside, 0.81) == [1, 1, 2, 2, 3, 3]
    assert joined([1, 1, 2, 2, 3, 3], inside, 0.3) == [1, 1, 1, 1, 1, 1]


def test_background_and_other_classes_part() -> None:
    assert joined([1, 1, 0, 2, 2, 3], [0.9] * 6, 0.5) == [1, 1, 0, 2, 2, 2]
    mask = np.array([[1, 1, 1, 2, 2, 2]], np.uint8)
    both = np.full((1, 6, 2), 0.9, np.float32)
    found = agglomerate(np.array([[1, 1, 2, 3, 4, 4]]), mask, both, 0.5)
    assert found.tolist() == [[1, 1, 1, 2, 2, 2]]


def test_after_a_join_the_means_are_those_of_what_was_joined() -> None:
    """1 and 2 are joined by a face of 0.9. 3 touches 1 by 0.7 and 2 by 0.3: 0.5 is not enough.

    2 2
    1 3
    """
    fragments = np.array([[2, 2], [1, 3]])
    inside = np.array([[0.9, 0.3], [0.9, 0.7]], np.float32)[..., None]
    mask = np.ones((2, 2), np.uint8)
    assert agglomerate(fragments, mask, inside, 0.6).tolist() == [[1, 1], [1, 2]]
    assert agglomerate(fragments, mask, inside, 0.5).tolist() == [[1, 1], [1, 1]]


def dumbbell(neck: float) -> np.ndarray:
    """Probability of two discs and a neck between them."""
    y, x = np.mgrid[:21, :41]
    discs = np.minimum(np.hypot(y - 10, x - 10), np.hypot(y - 10, x - 30)) < 9
    bridge = (abs(y - 10) < 4) & (x > 10) & (x < 30)
    return np.where(discs, 0.95, np.where(bridge, neck, 0.05)).astype(np.float32)


def test_a_neck_parts_two_discs_only_where_the_network_sees_a_border() -> None:
    for neck, count in ((0.9, 1), (0.55, 2)):
        probability = dumbbell(neck)
        mask = (probability > 0.5).astype(np.uint8)
        by_shape = find_objects(mask, InferenceSettings(objects="shape"), probability[..., None])
        assert by_shape.max() == 2
        settings = InferenceSettings(objects="agglomerate")
        assert find_objects(mask, settings, probability[..., None]).max() == count
        volume, probabilities = np.stack([mask] * 9), np.stack([probability[..., None]] * 9)
        assert find_volume_objects(volume, settings, probabilities).max() == count
        assert find_volume_objects(volume, settings).max() == 2  # nothing but the shape is known


def bars(gap: float, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask and probability of a bar of 9 by 25 whose middle seven columns the network is less sure of."""
    mask = np.zeros((depth, 15, 31), np.uint8)
    mask[:, 3:12, 3:28] = 1
    probability = np.where(mask > 0, 0.95, 0.05).astype(np.float32)
    probability[:, 3:12, 12:19] = gap
    return mask, probability[..., None]


@pytest.mark.parametrize("way", [find_objects, find_volume_objects])
def test_where_the_network_is_not_sure_fragments_end(way: Callable[..., np.ndarray]) -> None:
    """Nothing of the shape parts the bar. Its two fragments meet in nine faces of the gap and, on the
    background that they grow over, two of 0.05: the mean is (9 x 0.65 + 2 x 0.05) / 11 = 0.54, or 0.46.
    """
    settings = InferenceSettings(objects="agglomerate", join=0.5)

    def objects(gap: float) -> int:
        mask, probability = bars(gap, 9)
        if way is find_objects:
            mask, probability = mask[0], probability[0]
        found = way(mask, settings, probability)
        np.testing.assert_array_equal(found > 0, mask > 0)
        return int(found.max())

    assert [objects(gap) for gap in (0.95, 0.65, 0.55)] == [1, 1, 2]
    assert objects(0.05) == 1  # a person painted it, who is sure


@pytest.mark.parametrize("way", [find_objects, find_volume_objects])
def test_a_cell_of_which_nothing_is_sure_is_one_of_its_own(way: Callable[..., np.ndarray]) -> None:
    """Two squares of 9 by 9, a membrane of one pixel between them; of the right one all is 0.6."""
    mask = np.zeros((9, 15, 25), np.uint8)
    mask[:, 3:12, 3:12] = mask[:, 3:12, 13:22] = 1
    probability = np.where(mask > 0, 0.95, 0.05).astype(np.float32)
    probability[:, 3:12, 13:22] = 0.6
    settings = InferenceSettings(objects="agglomerate", join=0.6)
    if way is find_objects:
        mask, probability = mask[0], probability[0]
    found = way(mask, settings, probability[..., None])
    assert found.max() == 2
    np.testing.assert_array_equal(found[..., 3:12] == 1, mask[..., 3:12] > 0)
    np.testing.assert_array_equal(found[..., 13:22] == 2, mask[..., 13:22] > 0)


def test_what_may_be_core_by_hand() -> None:
    """Above 0.7 or up to 0.3, and what is more than eight steps of the mask from there."""
    weak = [0.6] * 10
    row = np.array([[0.9, *weak, 0.0, *weak, 0.2, 0.6]], np.float32)
    inside = row > 0
    core = [1] + 8 * [0] + 2 * [1] + [0] + 2 * [1] + 8 * [0] + [1, 0]
    assert may_be_core(inside, row).astype(int).tolist() == [core]
    nowhere = np.full((3, 99), 0.6, np.float32)
    assert may_be_core(nowhere > 0, nowhere).all()  # no piece is without a core


@pytest.mark.parametrize("way", [find_objects, find_volume_objects])
def test_a_network_that_is_sure_nowhere_has_fragments_all_the_same(way: Callable[..., np.ndarray]) -> None:
    """Two discs with a neck in which the network sees a border, all below 0.7 and 200 pixels wide."""
    y, x = np.mgrid[:81, :211]
    discs = np.minimum(np.hypot(y - 40, x - 40), np.hypot(y - 40, x - 170)) < 36
    bridge = (abs(y - 40) < 6) & (x > 40) & (x < 170)
    probability = np.where(discs, 0.69, np.where(bridge, 0.51, 0.05)).astype(np.float32)
    if way is find_volume_objects:
        probability = np.repeat(probability[None], 9, axis=0)
    settings = InferenceSettings(objects="agglomerate", join=0.6)
    found = way((probability > 0.5).astype(np.uint8), settings, probability[..., None])
    assert found.max() == 2


def test_cells_that_a_thin_membrane_parts_meet_there_and_stay_apart() -> None:
    """Two cells with a membrane of two pixels, which leaks at one place."""
    probability = np.full((12, 22), 0.9, np.float32)
    probability[:, 10:12] = 0.2
    probability[6, 10:12] = 0.8  # the leak
    mask = (probability > 0.5).astype(np.uint8)
    assert find_objects(mask, InferenceSettings(), probability[..., None]).max() == 1
    found = find_objects(mask, InferenceSettings(objects="agglomerate"), probability[..., None])
    assert found.max() == 2
    assert len({int(n) for n in found[:, :10].ravel()}) == 1
    assert (found[mask == 0] == 0).all()
    assert (found[mask > 0] > 0).all()


def test_a_border_of_one_pixel_is_of_the_class_next_to_it() -> None:
    mask = np.array([[1, 1, 0, 2, 0, 0, 0, 0]], np.uint8)
    assert over_borders(mask).tolist() == [[1, 1, 1, 2, 2, 0, 0, 0]]


def test_of_classes_across_a_corner_and_an_edge_the_edge_is_nearer() -> None:
    mask = np.array([[1, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]], np.uint8)
    assert over_borders(mask).tolist() == [[1, 1, 2, 2], [1, 2, 2, 2], [0, 2, 2, 2]]
    volume = np.zeros((3, 3, 3), np.uint8)
    volume[1, 1, 1] = 3
    assert (over_borders(volume) > 0).sum() == 19  # corners are 1.7 voxels away


def test_borders_that_lie_in_several_parts_are_added_up() -> None:
    """Of the faces between 1 and 2 the lower probabilities are 0.25 and 0.5, one in each part."""
    fragments = np.array([[1, 2], [1, 2], [3, 3]])
    inside = np.array([[0.25, 1], [1, 0.5], [0.75, 1]], np.float32)
    mask = np.ones((3, 2), np.uint8)
    parts = [
        Contacts.of_part(fragments[:2], mask[:2], inside[:2], (1, 2)),
        Contacts.of_part(fragments[1:], mask[1:], inside[1:], (2, 2)),
    ]
    for found in (Contacts.of_part(fragments, mask, inside), Contacts.of_parts(parts)):
        assert found.pairs.tolist() == [[1, 2], [1, 3], [2, 3]]
        assert found.sums.tolist() == [0.75, 0.75, 0.5]
        assert found.faces.tolist() == [2, 1, 1]
        assert found.joined(3, 0.5).tolist() == [0, 1, 2, 1]
