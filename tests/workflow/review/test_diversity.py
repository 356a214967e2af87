"""The order in which each image stands for many that a model gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.workflow.review import diversity
from napari_unet.workflow.review.diversity import appearance, mix_in, representative_order
from napari_unet.workflow.review.quality_estimate import MemberAgreement
from napari_unet.workflow.review.queue import review_queue


def test_appearance_by_hand() -> None:
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, 2:, 0] = 90  # red on the right: grey 0 0 30 30
    found = appearance(image, np.array([[[0.5], [1], [0], [0]]] * 2, np.float32))
    # Mean 15, deviation 15; the channels of the right half are 60, 30, 30 from their mean.
    np.testing.assert_allclose(np.expm1(found[:3]), [15, 15, 20], rtol=1e-6)
    # One step of 30 among three along x, none along y: (10 + 0) / 2 / 15.
    assert found[3] == pytest.approx(1 / 3)
    assert found[4:] == pytest.approx((0.375, 0.0625))


def test_a_constant_image_and_one_pixel_have_an_appearance() -> None:
    for shape in ((5, 5, 1), (1, 1, 2)):
        found = appearance(np.full(shape, np.nan), np.zeros((*shape[:2], 1), np.float32))
        assert np.isfinite(found).all()


def test_what_stands_for_most_that_is_wrong_comes_first() -> None:
    # One odd image, the worst, and three of a kind; each kind is told by 1 number, 2.3 deviations apart.
    iou = np.array([0.1, 0.4, 0.5, 0.6])
    kinds = np.array([[9.0], [0.0], [0.0], [0.0]])
    # Of the kind the first adds 0.6 + 0.5 + 0.4 = 1.5, the odd one 0.9; the copies then add nothing.
    assert representative_order(iou, kinds)[:2] == [1, 0]
    # That kind was corrected already.
    assert representative_order(iou, kinds, np.array([[0.0]]))[0] == 0
    # A kind that is segmented right can wait, however frequent it is.
    assert representative_order(np.array([0.1, 0.9, 0.9, 0.9]), kinds)[0] == 0


def test_images_that_look_alike_come_worst_first() -> None:
    assert representative_order(np.array([0.1, 0.2, 0.3]), np.ones((3, 2))) == [0, 1, 2]
    assert representative_order(np.zeros(0), np.zeros((0, 6))) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(0, 1000))
def test_every_image_has_one_place(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = representative_order(np.sort(rng.random(count)), rng.random((count, 3)), rng.random((2, 3)))
    assert sorted(order) == list(range(count))
    assert order[50:] == sorted(order[50:])


def test_no_single_first_choice_would_have_stood_for_more() -> None:
    rng = np.random.default_rng(3)
    iou, appearances = np.sort(rng.random(20)), rng.random((20, 2))
    scaled = (
        2.563
        * appearances
        / (np.percentile(appearances, 90, axis=0) - np.percentile(appearances, 10, axis=0))
    )
    likeness = np.exp(-((scaled[:, None] - scaled[None]) ** 2).mean(axis=2) / 0.5)
    assert representative_order(iou, appearances)[0] == int(np.argmax((1 - iou) @ likeness))


def test_the_queue_offers_what_others_are_like_and_says_so() -> None:
    def measured(name: str, agreement: float, kind: float) -> MemberAgreement:
        return MemberAgreement(name, agreement, agreement, appearance=(kind, 1.0))

    # Drawn are, in the order of their hashes: b, a, odd.
    found = [measured("odd", 0.30, 9), measured("a", 0.40, 0), measured("b", 0.42, 0)]
    queue = review_queue(found)
    assert [queued.id for queued in queue] == ["a", "b", "odd"]
    assert queue[0].reason.endswith("stands for others like it")
    assert queue[1].reason.endswith("drawn at random, so that what is usual is learned too")
    assert not queue[2].reason.endswith(("like it", "too"))
    assert review_queue(found, done=[measured("x", 0.9, 0)])[0].id == "odd"
    # Where the look of one is not known, the estimate alone decides.
    assert [t.id for t in review_queue([*found, MemberAgreement("d", 0.35, 0.35)])] == ["odd", "d", "a", "b"]


def test_two_of_five_are_drawn() -> None:
    # Places 1, 3, 6, 8 are of the draw 11, 10, ...: what was taken already is passed over.
    drawn = list(range(11, -1, -1))
    assert mix_in(list(range(12)), drawn) == [0, 11, 1, 10, 2, 3, 9, 4, 8, 5, 6, 7]
    assert mix_in([2, 1, 0], [2, 1, 0]) == [2, 1, 0]
    assert mix_in([], []) == []
    front = mix_in(list(range(60)), list(range(59, -1, -1)))
    assert sorted(front) == list(range(60))
    assert front[50:] == list(range(30, 40))  # 20 were drawn from the end


def test_a_large_set_is_ordered_without_comparing_all_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    plain = diversity._likeness
    monkeypatch.setattr(diversity, "_likeness", lambda a, b: compared.append((len(a), len(b))) or plain(a, b))
    rng = np.random.default_rng(0)
    iou = np.sort(rng.random(20_000))
    order = representative_order(iou, rng.random((20_000, 6)))
    assert sorted(order) == list(range(20_000))
    assert compared == [(diversity.STOOD_FOR, diversity.CANDIDATES)]
    assert len({round(iou[n], 1) for n in order[:50]}) > 3  # from the whole range


def test_what_shows_nothing_comes_last_and_stretches_no_scale() -> None:
    def measured(name: str, agreement: float, image: np.ndarray) -> MemberAgreement:
        flat = np.zeros((*image.shape[:2], 1), np.float32)
        return MemberAgreement(name, agreement, agreement, appearance=appearance(image, flat))

    rng = np.random.default_rng(0)
    shown = [measured(f"s{n}", 0.5 + n / 100, rng.normal(90 + 9 * n, 4, (8, 8, 1))) for n in range(5)]
    black = measured("black", 0.1, np.zeros((8, 8, 1)))
    grey = measured("grey", 0.2, np.full((8, 8, 1), 0.1, np.float32))
    queue = review_queue([*shown, black, grey])
    assert [queued.id for queued in queue] == [*(t.id for t in review_queue(shown)), "black", "grey"]
    assert queue[-1].reason == "the image has one grey value everywhere"
    assert [t.id for t in review_queue([black])] == ["black"]
    again = review_queue(shown, done=[black])  # one that was corrected stands for nothing
    assert [t.id for t in again] == [t.id for t in review_queue(shown)]


def test_the_reason_says_who_disagrees() -> None:
    flips, members = (MemberAgreement("a", 0.3, 0.8, by_members=by) for by in (False, True))
    assert review_queue([flips])[0].reason == "estimated IoU 0.49: predictions of the flipped image differ"
    assert review_queue([members])[0].reason == "estimated IoU 0.49: members of the ensemble differ"
