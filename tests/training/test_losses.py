from __future__ import annotations

import numpy as np
import pytest

from napari_unet.settings import NetworkSettings, TrainingSettings
from napari_unet.training.entropy import sigmoid_cross_entropy
from napari_unet.training.losses import cross_entropy, dice, focal, lovasz, make_loss


def target(classes: list[list[float]], weights: list[float]) -> np.ndarray:
    """One image of one row: pixels with one-hot classes, then the weight."""
    rows = [[*c, w] for c, w in zip(classes, weights, strict=True)]
    return np.array(rows, np.float32)[None, None]


def logits(values: list[list[float]]) -> np.ndarray:
    return np.array(values, np.float32)[None, None]


def value(loss: object) -> float:
    from keras import ops

    return float(ops.convert_to_numpy(loss))


LN2 = float(np.log(2))


def test_cross_entropy_of_yes_or_no_by_hand() -> None:
    from keras import ops

    # p = 1/2; p = 3/4 met, missed, and wanted to be 1/2; logits whose exponentials overflow.
    wanted = np.array([0, 1, 0, 0.5, 1, 0, 1], np.float32)
    x = np.array([0, np.log(3), np.log(3), np.log(3), 200, 200, -200], np.float32)
    expected = [LN2, np.log(4 / 3), np.log(4), np.log(4 / np.sqrt(3)), 0, 200, 200]
    found = ops.convert_to_numpy(sigmoid_cross_entropy(wanted, x))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_cross_entropy_by_hand() -> None:
    # p = 1/2 everywhere costs ln 2 a pixel, whatever the weights.
    t = target([[1], [0], [1]], [1, 2, 5])
    assert value(cross_entropy(t, logits([[0], [0], [0]]))) == pytest.approx(LN2, rel=1e-5)
    # p = 3/4 on a foreground pixel of weight 3 and p = 1/2 on background of weight 1.
    t = target([[1], [0]], [3, 1])
    expected = (3 * -np.log(0.75) + LN2) / 4
    assert value(cross_entropy(t, logits([[np.log(3)], [0]]))) == pytest.approx(expected, rel=1e-5)


def test_softmax_cross_entropy_by_hand() -> None:
    # Background, class 1, class 2 at 1/2, 1/4, 1/4: the true class is 2 once, background once.
    z = logits([[LN2, 0, 0], [LN2, 0, 0]])
    t = target([[0, 1], [0, 0]], [1, 1])
    assert value(cross_entropy(t, z, softmax=True)) == pytest.approx((np.log(4) + LN2) / 2, rel=1e-5)


def test_dice_by_hand() -> None:
    # p = 1/2, 1/2, 1/2 against 1, 0, 0 with the smoothing 1: 1 - (2 * 0.5 + 1) / (1.5 + 1 + 1).
    t = target([[1], [0], [0]], [1, 1, 1])
    assert value(dice(t, logits([[0], [0], [0]]))) == pytest.approx(1 - 2 / 3.5, rel=1e-5)


def test_focal_by_hand() -> None:
    # p = 3/4: (1/4) ** 2 * -ln(3/4).
    t = target([[1]], [1])
    assert value(focal(t, logits([[np.log(3)]]))) == pytest.approx(-np.log(0.75) / 16, rel=1e-4)


def test_lovasz_by_hand() -> None:
    # Softmax, two pixels, class 1 in the first. Errors 1 - 3/4 = 1/4 and 1/2, so sorted 1/2 (background),
    # 1/4 (foreground). Jaccard after each: 1 - 1/2 = 1/2, then 1 - 0/2 = 1; gradient 1/2, 1/2.
    z = logits([[0, np.log(3)], [0, 0]])
    t = target([[1], [0]], [1, 1])
    assert value(lovasz(t, z, softmax=True)) == pytest.approx(0.5 * 0.5 + 0.5 * 0.25, rel=1e-5)


@pytest.mark.parametrize(
    "loss", ["cross_entropy", "dice", "cross_entropy_dice", "lovasz", "cross_entropy_lovasz", "focal"]
)
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_pixels_of_weight_zero_do_not_matter(loss: str, activation: str) -> None:
    rng = np.random.default_rng(0)
    classes = 2
    network = NetworkSettings(classes=classes, activation=activation)
    compute = make_loss(network, TrainingSettings(loss=loss))
    labels = rng.integers(0, classes + 1, (2, 6, 6))
    onehot = np.stack([labels == 1, labels == 2], axis=-1).astype(np.float32)
    weights = (rng.random((2, 6, 6, 1)) < 0.6).astype(np.float32)
    z = rng.standard_normal((2, 6, 6, network.outputs)).astype(np.float32)
    other = np.where(weights > 0, z, 7.0).astype(np.float32)
    flipped = np.where(weights > 0, onehot, 1 - onehot).astype(np.float32)
    a = value(compute(np.concatenate([onehot, weights], -1), z))
    b = value(compute(np.concatenate([flipped, weights], -1), other))
    assert a == pytest.approx(b, rel=1e-4)
    assert a > 0


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "cross_entropy_dice", "lovasz", "focal"])
def test_a_perfect_prediction_costs_next_to_nothing_and_a_wrong_one_much(loss: str) -> None:
    compute = make_loss(NetworkSettings(), TrainingSettings(loss=loss))
    mask = np.zeros((1, 8, 8, 1), np.float32)
    mask[:, 2:6, 2:6] = 1
    t = np.concatenate([mask, np.ones_like(mask)], -1)
    right = value(compute(t, 30 * (2 * mask - 1)))
    wrong = value(compute(t, -30 * (2 * mask - 1)))
    assert right < 0.05
    assert wrong > 0.8


def test_a_separation_adds_its_cross_entropy_where_it_is_known() -> None:
    network = NetworkSettings(separation="distance")
    loss = make_loss(network, TrainingSettings(loss="cross_entropy"))
    # Class certain to 1/2 everywhere. Depth 3/4 met exactly, unknown, and of weight 0.
    rows = [[1, 0.75, 1], [0, -1, 1], [1, 0.2, 0]]
    z = logits([[0, np.log(3)], [0, 7], [0, -7]])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert value(loss(np.array(rows, np.float32)[None, None], z)) == pytest.approx(LN2 + entropy, rel=1e-4)
    softmax = make_loss(
        NetworkSettings(separation="border", activation="softmax"), TrainingSettings(loss="cross_entropy")
    )
    z = logits([[0, 0, np.log(3)], [0, 0, 7], [0, 0, -7]])
    assert value(softmax(np.array(rows, np.float32)[None, None], z)) == pytest.approx(LN2 + entropy, rel=1e-4)
