"""Learning from strokes: unknown pixels count for nothing, classes are drawn alike, rounds continue."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from napari_unet.networks.registry import build_network
from napari_unet.settings import AugmentationSettings, NetworkSettings, TrainingSettings
from napari_unet.training.feeding.stroke_patches import StrokedImage, StrokePatches
from napari_unet.training.losses import make_loss
from napari_unet.training.strokes import StrokeTraining
from support.tiny_models import without_graphs

NETWORK = NetworkSettings(filters=2, depth=1, normalization="none")
PLAIN = AugmentationSettings(symmetry="none")
TRAINING = TrainingSettings(batch_size=4, patch=8, learning_rate=1e-2, averaging=0.5, augmentation=PLAIN)


def stroked() -> StrokedImage:
    """A bright half and a dark one; three pixels of the one are painted, and one of the other."""
    values = np.zeros((16, 16, 1), np.float32)
    values[:, 8:] = 1
    labels, known = np.zeros((16, 16), np.uint8), np.zeros((16, 16), bool)
    labels[4:7, 12] = 1
    known[4:7, 12] = known[3, 2] = True
    return StrokedImage.of(values, labels, known)


def test_unknown_pixels_have_no_part_in_the_loss() -> None:
    # Painted: an object with probability 1/2, and background with probability 3/4 of being an object.
    target = np.array([[[[1, 1], [0, 1]], [[0, 0], [1, 0]]]], np.float32)
    logits = np.array([[[[0], [math.log(3)]], [[50], [-50]]]], np.float32)  # the unknown ones quite wrong
    entropy = (math.log(2) + math.log(4)) / 2
    dice = 1 - (2 * 0.5 + 1) / (0.5 + 0.75 + 1 + 1)
    loss = make_loss(NETWORK, TRAINING)
    assert float(loss(target, logits)) == pytest.approx(entropy + dice, abs=1e-4)
    assert entropy + dice == pytest.approx(1.0397 + 0.3846, abs=1e-4)


def test_every_class_is_drawn_alike_however_little_is_painted() -> None:
    patches = StrokePatches(TRAINING, 1)
    patches.images["one"] = stroked()
    assert patches.counts.tolist() == [1, 3]
    images, targets = patches.batch(0)
    assert (images.shape, targets.shape) == ((4, 8, 8, 1), (4, 8, 8, 2))
    # Patches take turns: around background, around an object. Nothing but what is painted has a weight.
    painted = targets[..., 1].sum(axis=(1, 2))
    objects = (targets[..., 0] * targets[..., 1]).sum(axis=(1, 2))
    assert (painted > 0).all()
    assert painted.max() <= 4
    assert (objects[1::2] > 0).all()
    assert (objects[::2] == 0).all()
    again = patches.batch(0)
    np.testing.assert_array_equal(again[0], images)


def test_strokes_follow_an_image_to_the_scale_of_the_network() -> None:
    labels, known = np.zeros((16, 16), np.uint8), np.zeros((16, 16), bool)
    labels[:, :4], known[:, :4] = 1, True
    half = StrokedImage.of(np.zeros((8, 8, 1), np.float32), labels, known, 0.5)
    assert half.whole.weights.sum() == 8 * 2
    assert set(half.places) == {1}
    assert len(half.places[1]) == 16


def test_guesses_count_little_where_the_network_is_sure_and_never_against_a_stroke() -> None:
    probabilities = np.full((16, 16, 1), 0.5, np.float32)
    probabilities[:, :4], probabilities[:, 10:] = 0.05, 0.95
    probabilities[4:7, 12] = 0.01  # painted as an object
    found = stroked().guess(probabilities)
    guessed = found.guessed
    assert guessed is not None
    assert guessed.labels[5, 12] == guessed.labels[0, 15] == 1
    assert guessed.labels[0, 0] == guessed.labels[3, 2] == 0
    assert guessed.weights[5, 12] == guessed.weights[3, 2] == 1
    assert (guessed.weights[:3, :4] == np.float32(0.3)).all()
    assert (guessed.weights[:3, 10:] == np.float32(0.3)).all()
    assert not guessed.weights[:, 4:10].any()
    assert found.whole.weights.sum() == 4  # what is painted stays what it was
    # Of three classes: the background is what is left.
    two = np.zeros((16, 16, 2), np.float32)
    two[:8, :, 1] = 0.95
    two[8:, :, 0] = 0.5
    guessed = stroked().guess(two).guessed
    assert guessed is not None
    assert guessed.labels[0, 0] == 2
    assert guessed.weights[9, 0] == 0  # half and half
    # Half of the patches are cut anywhere then, so some without a stroke; before, none is.
    patches = StrokePatches(TRAINING, 1)
    patches.images["one"] = found
    drawn = np.concatenate([patches.batch(step)[1][..., 1] for step in range(8)])
    assert (drawn.max(axis=(1, 2)) < 1).any()
    assert patches.counts.tolist() == [1, 3]


@pytest.fixture
def eager() -> Any:
    without_graphs()
    yield
    without_graphs(False)


@pytest.mark.slow
def test_a_round_continues_from_the_weights_of_the_one_before(eager: Any) -> None:
    told: list[int] = []
    network = build_network(NETWORK, 0)
    patches = StrokePatches(TRAINING, 1, 2)
    patches.images["one"] = stroked()
    training = StrokeTraining(
        network, patches, make_loss(NETWORK, TRAINING), TRAINING, lambda: told.append(1)
    )
    first = network.get_weights()
    assert training.learn(lambda: training.step >= 6) == 6
    average = network.get_weights()
    latest = training._latest
    assert any(np.abs(a - b).max() > 0 for a, b in zip(average, first, strict=True))
    assert any(
        np.abs(a - b).max() > 0 for a, b in zip(average, latest, strict=True)
    )  # what is left is the mean
    patches.images["two"] = stroked()  # painted meanwhile
    before = training.loss_value
    assert training.learn(lambda: training.step >= 26) == 20
    assert training.step == 26
    assert training.loss_value < before
    assert told
    latest = [w.copy() for w in training._latest]
    training.settings = TRAINING.model_copy(update={"learning_rate": 1e-9})
    training.learn(lambda: True)
    for now, then in zip(training._latest, latest, strict=True):  # the mean is elsewhere
        np.testing.assert_allclose(now, then, atol=1e-6)
    assert network.predict_on_batch(stroked().whole.image[None])[0, 5, 12, 0] > 0
