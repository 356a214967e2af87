"""The queue without references: doubt by hand, calibration, order and reasons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from napari_unet.data.sample import Sample
from napari_unet.inference.ensembles.ensemble import flips_of
from napari_unet.inference.postprocess import SOFT
from napari_unet.models.model import Model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe
from napari_unet.workflow.review.quality_estimate import (
    Calibration,
    MemberAgreement,
    agreement_of_members,
    calibrate,
    measure_agreement,
)
from napari_unet.workflow.review.queue import at_random, worst_first


def map_of(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)[..., None]


def test_members_that_agree_and_are_sure_leave_no_doubt() -> None:
    sure = map_of([1, 1, 0, 0], [1, 1, 0, 0])
    found = measure_agreement("a", [sure, sure], 0.5, "sigmoid")
    assert (found.agreement, found.expected, found.empty) == (1.0, 1.0, False)


def test_doubt_by_hand() -> None:
    one, other = map_of([0.9, 0.9, 0.0, 0.0]), map_of([0.9, 0.3, 0.0, 0.4])
    found = measure_agreement("a", [one, other], 0.5, "sigmoid")
    # The mean is 0.9 0.6 0 0.2: two pixels in its mask. The members have IoU 1 and 1/2 with it.
    assert found.agreement == pytest.approx(0.75)
    small = SOFT * 4
    assert found.expected == pytest.approx((1.5 + small) / (2 + 0.2 + small))
    assert found.raw == pytest.approx((found.agreement * found.expected) ** 0.5)


def test_an_empty_mask_is_doubted_as_far_as_something_might_be_there() -> None:
    nothing = np.zeros((50, 50, 1), np.float32)
    maybe = nothing.copy()
    maybe[:20, :20] = 0.4
    calm = measure_agreement("a", [nothing, nothing], 0.5, "sigmoid")
    uneasy = measure_agreement("b", [maybe, maybe], 0.5, "sigmoid")
    assert calm.empty
    assert uneasy.empty
    assert calm.expected == pytest.approx(1.0)
    assert uneasy.expected == pytest.approx(5 / (160 + 5), rel=1e-4)


def test_several_classes_count_alike() -> None:
    p = np.zeros((2, 4, 2), np.float32)
    p[0, :, 0], p[1, :, 1] = 1.0, 0.6
    found = measure_agreement("a", [p], 0.5, "softmax")
    small = SOFT * 8
    assert found.expected == pytest.approx((1 + (2.4 + small) / (4 + small)) / 2, rel=1e-5)
    assert found.agreement == 1.0


def known_set(count: int = 60) -> tuple[list[MemberAgreement], list[float]]:
    """Agreement tells, expectation is noise."""
    rng = np.random.default_rng(0)
    agreement = rng.uniform(0.2, 1.0, count)
    found = [
        MemberAgreement(f"i{n}", a, b)
        for n, (a, b) in enumerate(zip(agreement, rng.random(count), strict=True))
    ]
    return found, [float(a**3) for a in agreement]


def test_calibration_finds_what_tells_and_what_iou_goes_with_it() -> None:
    found, iou = known_set()
    calibration = calibrate(found[:40], iou[:40])
    assert calibration.known == 40
    assert calibration.weights[0] > 10 * calibration.weights[1]
    estimate = calibration.estimate(found[40:])
    assert spearmanr(estimate, iou[40:]).statistic > 0.97
    assert np.abs(estimate - iou[40:]).mean() < 0.05
    raw = np.array([d.raw for d in found[40:]])
    assert np.abs(raw - iou[40:]).mean() > 0.1
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_more_agreement_never_means_less_iou() -> None:
    rng = np.random.default_rng(1)
    found = [MemberAgreement(str(n), float(a), 0.5) for n, a in enumerate(np.linspace(0.1, 0.9, 30))]
    calibration = calibrate(found, rng.random(30).tolist())  # nothing to be learned
    estimate = calibration.estimate(found)
    assert (np.diff(estimate) >= -1e-12).all()
    assert ((estimate >= 0) & (estimate <= 1)).all()


def test_few_known_images_calibrate_nothing() -> None:
    found, iou = known_set(5)
    calibration = calibrate(found, iou)
    np.testing.assert_allclose(calibration.estimate(found), [d.raw for d in found])
    assert calibration.estimate([]).shape == (0,)


def test_the_worst_comes_first_and_the_reason_is_told() -> None:
    found = [
        MemberAgreement("good", 0.99, 0.95),
        MemberAgreement("torn", 0.3, 0.8),
        MemberAgreement("grey", 0.9, 0.5),
    ]
    found.append(MemberAgreement("nothing", 1.0, 0.2, empty=True))
    queue = worst_first(found)
    # The square roots of 1.0 x 0.2, 0.3 x 0.8, 0.9 x 0.5 and 0.99 x 0.95.
    assert [queued.id for queued in queue] == ["nothing", "torn", "grey", "good"]
    assert [queued.iou for queued in queue] == pytest.approx([0.447, 0.490, 0.671, 0.970], abs=1e-3)
    assert "nothing found, but not for certain" in queue[0].reason
    assert "flipped" in queue[1].reason
    assert "unsure" in queue[2].reason


def test_the_reason_says_who_disagrees() -> None:
    flips, members = (MemberAgreement("a", 0.3, 0.8, by_members=by) for by in (False, True))
    assert worst_first([flips])[0].reason == "estimated IoU 0.49: predictions of the flipped image differ"
    assert worst_first([members])[0].reason == "estimated IoU 0.49: members of the ensemble differ"


@given(st.sets(st.text(), max_size=20))
def test_a_draw_depends_on_the_images_alone(ids: set[str]) -> None:
    order = at_random(sorted(ids))
    assert sorted(order) == sorted(ids)
    assert at_random(reversed(sorted(ids))) == order  # however they were listed
    without = [i for i in order if i != order[0]]
    assert at_random(without) == without  # an image that is done changes no other's place


def test_a_draw_does_not_follow_names() -> None:
    ids = [f"{n:03}" for n in range(200)]
    places = np.array([ids.index(i) for i in at_random(ids)])
    # Spearman's correlation of 200 random places has a deviation of 1 / sqrt(199) = 0.07.
    assert abs(np.corrcoef(places, np.arange(200))[0, 1]) < 0.25


def test_a_network_is_asked_under_the_flips_it_knows() -> None:
    assert len(flips_of("horizontal")) == len(flips_of("none")) == 2
    assert len(flips_of("dihedral")) == 4
    assert flips_of("dihedral")[0] == (False, False, False)
    network = NetworkSettings(filters=2, depth=2)
    recipe = Recipe(network=network, inference=InferenceSettings(flips="dihedral"))
    model = Model(recipe, Normalization(), ("foreground",), build_network(network, 0))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (20 + n, 33, 1)).astype(np.uint8) for n in range(3)]
    samples = [Sample(str(n), lambda image=image: image) for n, image in enumerate(images)]  # type: ignore[misc]
    wrong = Sample("wrong", lambda: np.zeros((9, 9, 7), np.uint8))
    found = agreement_of_members([samples[0], wrong, *samples[1:]], model)
    assert [d.id for d in found] == ["0", "1", "2"]
