"""Scores of volumes, by hand and beside scikit-image."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.metrics.volumes import score_volume


def volume(*slices: list[int]) -> np.ndarray:
    return np.array(slices, np.int32)[:, None, :]


def test_scores_by_hand() -> None:
    """Of two objects of four voxels each one is found, and one falls apart between the slices."""
    reference = volume([1, 1, 2, 2], [1, 1, 2, 2])
    predicted = volume([5, 5, 6, 6], [5, 5, 7, 7])
    scores = score_volume(reference, predicted)
    # Ordered pairs in one object: 12 + 2 + 2 in both, 12 + 12 of the reference, 12 + 2 + 2 of the prediction.
    assert scores.volume.adapted_rand_error == pytest.approx(1 - 2 * 16 / (24 + 16))
    assert scores.volume.variation_of_information == pytest.approx(0.5)  # half of the voxels, one bit each
    assert scores.volume.to_json()["f1_50"] == pytest.approx(2 / 5)
    assert scores.volume.to_json()["objects_predicted"] == 3
    assert [one.adapted_rand_error for one in scores.slices] == [0, 0]
    assert [one.to_json()["pq"] for one in scores.slices] == [1, 1]


def test_background_inside_an_object_is_an_error_and_outside_counts_for_nothing() -> None:
    reference = volume([1, 1, 1, 1, 0, 0])
    assert score_volume(reference, volume([1, 1, 1, 1, 9, 9])).volume.adapted_rand_error == 0
    # Two voxels alone: 2 of the 12 ordered pairs of the reference are left, and no others.
    scores = score_volume(reference, volume([1, 1, 0, 0, 0, 0]))
    assert scores.volume.adapted_rand_error == pytest.approx(1 - 2 * 2 / (12 + 2))


def test_what_nobody_annotated_counts_for_nothing() -> None:
    reference, predicted = volume([1, 1, 2, 2], [1, 1, 1, 1]), volume([1, 1, 2, 2], [3, 4, 5, 6])
    weights = np.array([1, 0], np.float32)[:, None, None] * np.ones((2, 1, 4), np.float32)
    scores = score_volume(reference, predicted, weights)
    assert scores.volume.adapted_rand_error == 0
    assert np.isnan(scores.slices[1].adapted_rand_error)
    assert scores.worst_first == [0, 1]


def test_the_worst_slice_comes_first() -> None:
    reference = volume([1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 2])
    predicted = volume([1, 1, 2, 2], [1, 2, 3, 4], [1, 1, 1, 1])
    assert score_volume(reference, predicted).worst_first[-1] == 0


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_scikit_image(seed: int) -> None:
    from skimage.metrics import adapted_rand_error, variation_of_information

    luck = np.random.default_rng(seed)
    reference = luck.integers(0, 6, (4, 9, 8)).astype(np.int32)
    predicted = luck.integers(1, 9, (4, 9, 8)).astype(np.int32)
    ours = score_volume(reference, predicted).volume
    assert ours.adapted_rand_error == pytest.approx(adapted_rand_error(reference, predicted)[0])
    everywhere = reference + 1
    found = score_volume(everywhere, predicted).volume.variation_of_information
    assert found == pytest.approx(sum(variation_of_information(everywhere, predicted)))


def test_matching_is_that_of_stardist() -> None:
    from stardist.matching import matching

    luck = np.random.default_rng(0)
    coarse = luck.permutation(32).reshape(2, 4, 4)
    reference = coarse.repeat(3, 0).repeat(4, 1).repeat(3, 2).astype(np.int32)
    predicted = np.roll(reference, 1, axis=1)  # three of four rows stay: IoU 0.6
    predicted[:2] = 0
    theirs = matching(reference, predicted, thresh=0.5)
    ours = score_volume(reference, predicted).volume.objects
    assert (ours.f1(0.5), ours.panoptic_quality()) == pytest.approx((theirs.f1, theirs.panoptic_quality))
