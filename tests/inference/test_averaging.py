"""Averages of opinions by hand, ways to look at an image, and which models are chosen."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.errors import ModelError
from napari_unet.inference.ensembles.ensemble import (
    EnsembleMember,
    RunningMean,
    flip_back,
    flip_image,
    flips_of,
    predict_members,
)
from napari_unet.inference.ensembles.selection import SquaredError, greedy_weights
from napari_unet.inference.predict import FLIPS
from napari_unet.networks.sizes import InputSizes
from napari_unet.settings import InferenceSettings
from support.errors import raises_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

RNG = np.random.default_rng(0)
IMAGES = [RNG.random((9, 13, 1)).astype(np.float32), RNG.random((7, 7, 1)).astype(np.float32)]
NAMES = ["wide", "square"]
PLAIN = InferenceSettings(flips="none", tile=16, overlap=0)


def voice(factor: float, weight: float, **more: Any) -> EnsembleMember:
    return EnsembleMember(
        lambda image, _: image.astype(np.float32),
        lambda images: images * np.float32(factor),
        InputSizes(),
        PLAIN,
        weight,
        **more,
    )


def test_the_eight_ways_to_look_at_an_image_are_all_there_are() -> None:
    image = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    looks = [flip_image(image, flip) for flip in FLIPS["dihedral"]]
    turned = [np.rot90(m, k) for k in range(4) for m in (image, image[:, ::-1])]
    assert {(a.shape, a.tobytes()) for a in looks} == {(a.shape, a.tobytes()) for a in turned}
    assert len({(a.shape, a.tobytes()) for a in looks}) == 8
    for flip, look in zip(FLIPS["dihedral"], looks, strict=True):
        assert (flip_back(look, flip) == image).all()
    assert len(flips_of("dihedral", 8)) == 8


def test_mean_and_spread_by_hand() -> None:
    opinions = RunningMean((1, 2))
    for values, weight in (((0.0, 0.4), 0.25), ((1.0, 0.4), 0.5), ((1.0, 0.8), 0.25)):
        opinions.add(np.array(values, np.float32).reshape(1, 2, 1), weight)
    np.testing.assert_allclose(opinions.mean[0, :, 0], [0.75, 0.5], atol=1e-6)
    # Variances: 0.25 * 0.75^2 + 0.75 * 0.25^2 = 0.1875, and 0.75 * 0.1^2 + 0.25 * 0.3^2 = 0.03.
    np.testing.assert_allclose(opinions.spread(1)[0], np.sqrt([0.1875, 0.03]), atol=1e-6)


def test_half_against_half_lies_a_half_apart() -> None:
    opinions = RunningMean((1, 1))
    for value in (0.0, 1.0, 0.0, 1.0):
        opinions.add(np.full((1, 1, 2), value, np.float32), 0.25)
    assert opinions.spread(2).item() == pytest.approx(0.5)


def test_voices_are_weighed_and_asked_one_after_another() -> None:
    alive: list[float] = []

    def voices() -> Any:
        for factor, weight in ((0.2, 0.75), (0.6, 0.25)):
            alive.append(factor)
            yield voice(factor, weight)

    found = predict_members(IMAGES, NAMES, voices())
    assert alive == [0.2, 0.6]
    for image, opinions in zip(IMAGES, found, strict=True):
        assert opinions is not None
        np.testing.assert_allclose(opinions.mean, 0.3 * image, atol=1e-6)
        np.testing.assert_allclose(opinions.spread(1), np.sqrt(0.03) * image[..., 0], atol=1e-6)


def test_a_voice_that_looks_otherwise_answers_the_right_way_round() -> None:
    ramp = np.linspace(0, 1, 8 * 8, dtype=np.float32).reshape(8, 8, 1)
    for flip in FLIPS["dihedral"]:
        (found,) = predict_members([ramp], ["ramp"], [voice(1.0, 1.0, flip=flip)])
        assert found is not None
        np.testing.assert_allclose(found.mean, ramp, atol=1e-6)


def test_answers_at_another_resolution_come_back_as_large_as_the_image() -> None:
    half = EnsembleMember(lambda image, _: image[::2, ::2], lambda x: x, InputSizes(), PLAIN)  # type: ignore[return-value]
    (found,) = predict_members([np.full((10, 8, 1), 0.5, np.float32)], ["even"], [half, voice(1.0, 1.0)])
    assert found is not None
    assert found.mean.shape == (10, 8, 1)
    np.testing.assert_allclose(found.mean, 0.5, atol=1e-6)


def test_an_image_that_does_not_fit_one_voice_is_left_out() -> None:
    def picky(image: NDArray[np.generic], name: str) -> NDArray[np.float32]:
        if name == "wide":
            raise ModelError("wide does not fit", code="model.channels.count")
        return image.astype(np.float32)

    odd = EnsembleMember(picky, lambda x: x, InputSizes(), PLAIN)
    told = []
    found = predict_members(
        IMAGES, NAMES, [voice(1.0, 1.0), odd], None, lambda n, e: told.append((n, e.sentence))
    )
    assert found[0] is None
    assert found[1] is not None
    assert told == [(0, "wide does not fit")]
    with raises_code("model.channels.count"):
        predict_members(IMAGES, NAMES, [odd])


def test_greedy_adds_what_helps_and_takes_the_best_round() -> None:
    # Models that are wrong by +3, -1 and +8; the best average of at most 4 is (1, 3, 0) / 4, which is right.
    wrong = np.array([3.0, -1.0, 8.0])
    weights, score = greedy_weights(3, lambda w: -abs(float(w @ wrong)), 4)
    np.testing.assert_allclose(weights, [0.25, 0.75, 0])
    assert score == 0
    alone, _ = greedy_weights(3, lambda w: float(w[1]), 5)
    np.testing.assert_array_equal(alone, [0, 1, 0])


def test_the_weights_are_those_with_the_smallest_squared_error() -> None:
    truth = (RNG.random(4000) < 0.5).astype(np.float32)
    good = truth + RNG.normal(0, 0.1, 4000)
    fair = truth + RNG.normal(0, 0.2, 4000)
    bad = RNG.random(4000)
    answers = np.stack([bad, fair, good]).astype(np.float32)
    sums = SquaredError(3)
    for part in np.array_split(np.arange(4000), 7):
        sums.add(answers[:, part], truth[part])
    weights = sums.weights()
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    # Independent errors are weighed by 1 / variance: 4 to 1.
    np.testing.assert_allclose(weights, [0, 0.2, 0.8], atol=0.03)
    best = ((weights @ answers - truth) ** 2).mean()
    for other in itertools.product(np.linspace(0, 1, 21), repeat=2):
        if sum(other) <= 1:
            trial = np.array([*other, 1 - sum(other)])
            assert ((trial @ answers - truth) ** 2).mean() >= best - 1e-5


def test_equal_models_share_their_weight() -> None:
    truth = np.array([0, 1, 1, 0], np.float32)
    sums = SquaredError(2)
    sums.add(np.stack([truth * 0.8, truth * 0.8]), truth)
    assert sums.weights() == pytest.approx([0.5, 0.5], abs=0.02)
