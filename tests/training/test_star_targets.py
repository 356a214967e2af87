"""Distances along rays by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.settings import NetworkSettings, TrainingSettings
from napari_unet.training.feeding.star_targets import star_distances, star_targets
from napari_unet.training.losses import make_loss


def square() -> np.ndarray:
    objects = np.zeros((15, 17), np.int32)
    objects[4:9, 5:12] = 3
    return objects


def test_rays_of_a_rectangle_end_at_its_border() -> None:
    found = star_distances(square())
    # Rows 4 to 8, columns 5 to 11: from (6, 8) it is 3.5 to the right and left, 2.5 up and down.
    assert found[6, 8, [0, 8, 16, 24]].tolist() == [3.5, 2.5, 3.5, 2.5]
    assert found[4, 5, [0, 8, 16, 24]].tolist() == [6.5, 4.5, 0.5, 0.5]
    assert (found[square() == 0] == -1).all()
    assert (found[square() == 3] > 0).all()


def test_a_ray_ends_at_the_next_object_and_is_unknown_beyond_the_image() -> None:
    objects = np.ones((9, 9), np.int32)
    objects[:, 5:] = 2
    found = star_distances(objects)
    assert found[4, 2, 0] == 2.5
    assert found[4, 2, 16] == -1
    assert found[4, 7, 16] == 2.5
    chosen = np.zeros(objects.shape, bool)
    chosen[3, 1] = True
    some = star_distances(objects, chosen)
    assert (some[~chosen] == -1).all()
    np.testing.assert_array_equal(some[3, 1], found[3, 1])


def test_rays_are_measured_at_pixels_of_every_row_and_column_of_poolings() -> None:
    targets = star_targets(np.pad(np.ones((90, 90), np.float32), 5))
    y, x = np.nonzero((targets[..., 1:] >= 0).any(axis=-1))
    assert len(y) == 2000
    for parity in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert 400 < ((y % 2 == parity[0]) & (x % 2 == parity[1])).sum() < 600


def test_a_disc_is_as_far_in_all_directions() -> None:
    y, x = np.mgrid[:41, :41] - 20
    found = star_distances((y**2 + x**2 <= 15**2).astype(np.int32))
    np.testing.assert_allclose(found[20, 20], 15.5, atol=1.0)


def test_targets_are_in_units_and_unknown_objects_teach_nothing() -> None:
    targets = star_targets(square().astype(np.float32))
    assert targets.shape == (15, 17, 33)
    assert targets[6, 8, 1] == pytest.approx(3.5 / 16)
    assert targets[6, 8, 0] == 1
    assert targets[0, 0, 0] == 0
    unknown = star_targets(np.full((6, 6), -1, np.float32))
    assert (unknown == -1).all()


def test_the_loss_is_that_of_classes_depth_and_rays() -> None:
    plain = make_loss(NetworkSettings(), TrainingSettings(loss="cross_entropy"))
    deep = make_loss(NetworkSettings(separation="distance"), TrainingSettings(loss="cross_entropy"))
    star = make_loss(NetworkSettings(separation="star"), TrainingSettings(loss="cross_entropy"))
    rng = np.random.default_rng(0)
    targets = star_targets(square().astype(np.float32))
    one = (square() > 0).astype(np.float32)[..., None]
    target = np.concatenate([one, targets, np.ones_like(one)], axis=-1)[None]
    logits = rng.standard_normal((1, 15, 17, 34)).astype(np.float32)
    wrong = np.abs(targets[..., 1:] - logits[0, ..., 2:])
    known = (targets[..., 1:] >= 0) * targets[..., :1]
    rays = 3.2 * (known * wrong).sum() / known.sum()
    alone = np.concatenate([target[..., :2], target[..., -1:]], axis=-1)
    without = float(deep(alone, logits[..., :2]))
    assert float(star(target, logits)) == pytest.approx(without + rays, rel=1e-4)
    classes = np.concatenate([target[..., :1], target[..., -1:]], axis=-1)
    of_classes = float(plain(classes, logits[..., :1]))
    assert without > of_classes
    target[..., 1:-1] = -1
    assert float(star(target, logits)) == pytest.approx(of_classes, rel=1e-4)
