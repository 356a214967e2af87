"""What Mask R-CNN learns from: objects of a patch, boxes matched with them, their masks, losses."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.networks.registry import build_network
from napari_unet.settings import AugmentationSettings, NetworkSettings, TrainingSettings
from napari_unet.training.feeding.augmentation import Patch
from napari_unet.training.feeding.batches import TrainingBatches
from napari_unet.training.fit import compile_network, to_numpy
from napari_unet.training.learner import learner_for
from napari_unet.training.losses import make_loss
from napari_unet.training.regions import (
    by_luck,
    chosen_regions,
    known_at,
    matched,
    mean_of,
    objects_of,
    prepare_batch,
    region_loss,
    smooth_l1,
)

pytestmark = pytest.mark.slow

SETTINGS = NetworkSettings(name="mask_rcnn", filters=2, separation="objects")


def tensor(values: object) -> object:
    from keras import ops

    return ops.convert_to_tensor(np.asarray(values, np.float32))


def patch(numbers: np.ndarray, kinds: dict[int, int] | None = None, classes: int = 1) -> np.ndarray:
    """(Y, X, K + 2): objects by number, of class 1 or as `kinds` says."""
    labels = np.zeros(numbers.shape, int)
    for number in np.unique(numbers[numbers > 0]):
        labels[numbers == number] = (kinds or {}).get(int(number), 1)
    hot = [labels == n + 1 for n in range(classes)]
    return np.stack([*hot, numbers, np.ones(numbers.shape)], axis=-1).astype(np.float32)


def test_objects_are_numbered_anew_and_scraps_are_unknown() -> None:
    numbers = np.zeros((20, 30))
    numbers[2:6, 3:10] = 40
    numbers[10:20, 20:25] = 7
    numbers[0:2, 26:30] = 11  # eight pixels: too little to tell
    numbers[15:, :5] = -1
    found, table = objects_of(patch(numbers, {40: 2}, classes=2))
    np.testing.assert_array_equal(table, [[10, 20, 20, 25, 1], [2, 3, 6, 10, 2]])
    assert found[3, 4] == 2
    assert found[12, 22] == 1
    assert (found[:2, 26:] == -1).all()
    assert (found[15:, :5] == -1).all()
    assert (found == 0).sum() == 600 - 28 - 50 - 8 - 25


def test_a_batch_is_told_in_tables_of_few_sizes() -> None:
    few, many = np.zeros((64, 64)), np.zeros((64, 64))
    for number in range(1, 21):
        row, column = divmod(number, 8)
        many[8 * row : 8 * row + 4, 8 * column : 8 * column + 4] = number
    images = np.zeros((2, 64, 64, 1), np.float32)
    (shown, numbers, objects, luck), wanted = prepare_batch(images, np.stack([patch(few), patch(many)]), 5)
    assert shown is images
    assert numbers.shape == (2, 64, 64)
    assert objects.shape == (2, 32, 5)  # 16 rows, or 32, or 64 ...
    assert not objects[0].any()
    assert (objects[1, :20, 4] == 1).all()
    assert not wanted.any()
    assert luck.shape == (2, 1)
    again = prepare_batch(images, np.stack([patch(few), patch(many)]), 5)[0][3]
    other = prepare_batch(images, np.stack([patch(few), patch(many)]), 6)[0][3]
    np.testing.assert_array_equal(again, luck)
    assert not np.array_equal(other, luck)


def test_beyond_the_image_nothing_is_known() -> None:
    weights = np.ones((4, 4), np.float32)
    weights[:, 3] = 0
    one = Patch(np.zeros((4, 4, 1), np.float32), np.ones((4, 4), np.uint8), weights, np.full((4, 4), 9.0))
    batches = TrainingBatches.__new__(TrainingBatches)
    batches.separation = "objects"
    found = batches._apart(one, slice(None))[..., 0]
    np.testing.assert_array_equal(found, np.where(weights > 0, 9, -1))


def test_boxes_are_matched_by_hand() -> None:
    objects = tensor([[[0, 0, 10, 10], [20, 20, 24, 24], [0, 0, 0, 0]]])
    tried = tensor([[[0, 0, 10, 8], [0, 0, 10, 5], [0, 8, 10, 18], [20, 20, 30, 24], [40, 40, 50, 50]]])
    # Overlaps: 0.8; 0.5, neither; 2 / 18; 0.4, but none overlaps the second object more; none.
    stands, apart, which = (to_numpy(a) for a in matched(tried, objects))
    assert stands.tolist() == [[1, 0, 0, 1, 0]]
    assert apart.tolist() == [[0, 0, 1, 0, 1]]
    assert which[0, [0, 3]].tolist() == [0, 1]


def test_luck_falls_on_what_is_wanted_and_changes() -> None:
    wanted = tensor(np.tile([0, 1, 1, 1], (1, 50)))
    one, two = (to_numpy(by_luck(wanted, tensor([[luck]]))) for luck in (0.25, 0.75))
    assert (one[0, ::4] == -1).all()
    inside = one[one >= 0]
    assert inside.max() < 1
    assert 0.35 < inside.mean() < 0.65
    assert not np.array_equal(one, two)


def test_known_is_what_lies_in_the_middle() -> None:
    numbers = np.zeros((1, 8, 8))
    numbers[0, 4:, 4:] = -1
    boxes = tensor([[[0, 0, 4, 4], [4, 4, 8, 8], [2, 2, 8, 6], [3, 3, 20, 20]]])
    assert to_numpy(known_at(boxes, tensor(numbers))).tolist() == [[1, 0, 0, 0]]


def test_small_losses_by_hand() -> None:
    wrong = tensor([[0.5, -2.0, 0.0, 0.0]])
    assert to_numpy(smooth_l1(wrong, 1.0))[0] == pytest.approx(0.125 + 1.5)
    assert float(to_numpy(mean_of(tensor([4.0, 8.0, 5.0]), tensor([1.0, 1.0, 0.0])))) == 6
    assert float(to_numpy(mean_of(tensor([4.0]), tensor([0.0])))) == 0


def test_regions_their_steps_and_masks() -> None:
    numbers = np.zeros((1, 64, 64), np.float32)
    numbers[0, 8:24, 8:24] = 1
    numbers[0, 40:, 40:] = -1
    objects = np.zeros((1, 16, 5), np.float32)
    objects[0, 0] = 8, 8, 24, 24, 1
    proposed = np.zeros((1, 4, 4), np.float32)
    proposed[0, :3] = [[8, 8, 24, 40], [30, 0, 40, 10], [44, 44, 60, 60]]  # half of it; empty; unknown
    level = np.zeros((1, 32, 32, 1))
    given = [tensor(a) for a in (proposed, numbers, objects, [[0.3]], level)]
    chosen, wanted, drawn, masks = (to_numpy(a) for a in chosen_regions()()(given))
    # 16 regions are looked at in an image of this size: four of objects and four of none.
    assert chosen.shape == (1, 8, 4)
    assert drawn.shape == (1, 4, 4)
    ours = {tuple(b): (w, m) for b, w, m in zip(drawn[0], wanted[0, :4], masks[0], strict=True) if w[1]}
    assert set(ours) == {(8, 8, 24, 24), (8, 8, 24, 40)}
    others = chosen[0, 4:][wanted[0, 4:, 1] > 0]
    assert others.tolist() == [[30, 0, 40, 10]]
    assert not wanted[0, 4:, 0].any()
    np.testing.assert_allclose(ours[8, 8, 24, 24][0], [1, 1, 0, 0, 0, 0], atol=1e-6)
    # The middle lies 8 of 32 pixels to the left, the object is half as wide; in tenths and fifths.
    np.testing.assert_allclose(ours[8, 8, 24, 40][0], [1, 1, 0, -2.5, 0, np.log(0.5) / 0.2], atol=1e-5)
    mask = ours[8, 8, 24, 40][1][2:].reshape(28, 28)
    assert (mask[:, :14] == 1).all()
    assert (mask[:, 14:] == 0).all()


def test_losses_of_a_perfect_answer_are_none() -> None:
    wanted = np.zeros((1, 2, 6))
    wanted[0, 0] = 1, 1, 0.5, 0, 0, 0
    wanted[0, 1] = 0, 1, 0, 0, 0, 0
    masks = np.concatenate([[[[1.0, 1.0]]], np.tile([1.0, 0.0, -1.0, 0.0], 196)[None, None]], axis=-1)
    named = np.array([[[-30.0, 30.0], [30.0, -30.0]]])
    moved = np.array([[[0.5, 0, 0, 0], [9.0, 9, 9, 9]]])
    drawn = np.where(masks[..., 2:] > 0, 30.0, -30.0).reshape(1, 1, 28, 28, 1)
    answer = [tensor(a) for a in (named, moved, drawn, wanted, masks)]
    np.testing.assert_allclose(to_numpy(region_loss()()(answer)), np.zeros((1, 3)), atol=1e-5)
    answer[1] = tensor(moved + 2)  # four steps, each wrong by two
    np.testing.assert_allclose(to_numpy(region_loss()()(answer)), [[0, 6, 0]], atol=1e-5)
    answer[2] = tensor(np.zeros_like(drawn))
    np.testing.assert_allclose(to_numpy(region_loss()()(answer)), [[0, 6, np.log(2)]], atol=1e-5)


def test_training_reaches_every_weight_and_lowers_the_loss() -> None:
    y, x = np.mgrid[:64, :64]
    numbers = sum(n * ((y - cy) ** 2 + (x - 30) ** 2 <= 100) for n, cy in ((1, 15), (2, 45)))
    images = (numbers[None, ..., None] > 0).astype(np.float32)
    network = build_network(SETTINGS, seed=3)
    learner, tell = learner_for(network, SETTINGS)
    training = TrainingSettings(learning_rate=5e-3, augmentation=AugmentationSettings())
    compile_network(learner, make_loss(SETTINGS, training), training)
    learner.run_eagerly = True
    before = [to_numpy(w) for w in network.trainable_variables]
    losses = []
    for step in range(6):
        shown, wanted = tell(images, patch(numbers)[None], step)
        losses.append(float(np.ravel(learner.train_on_batch(shown, wanted))[0]))
    assert losses[-1] < losses[0]
    for variable, old in zip(network.trainable_variables, before, strict=True):
        assert not np.array_equal(to_numpy(variable), old), variable.path
