"""The order that does not offer the same kind of image again and again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.workflow.review import Doubt, review_queue
from napari_unet.workflow.variety import REPEATED, appearance, varied_order


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


def test_near_copies_wait_until_another_kind_was_offered() -> None:
    iou = np.array([0.30, 0.31, 0.32, 0.40])
    kinds = np.array([[0.0], [0.0], [0.0], [1.0]])
    # The copies count as 0.51 and 0.52 once the first is out.
    assert varied_order(iou, kinds) == [0, 3, 1, 2]
    far = np.array([0.30, 0.31, 0.32, 0.32 + REPEATED])
    assert varied_order(far, kinds) == [0, 1, 2, 3]
    # That kind was corrected already: the other comes first.
    assert varied_order(iou, kinds, np.array([[0.0]]))[0] == 3


def test_images_that_look_alike_come_worst_first() -> None:
    assert varied_order(np.array([0.1, 0.2, 0.3]), np.ones((3, 2))) == [0, 1, 2]
    assert varied_order(np.zeros(0), np.zeros((0, 6))) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(0, 1000))
def test_every_image_has_one_place_and_none_waits_for_much_better_ones(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    iou = np.sort(rng.random(count))
    order = varied_order(iou, rng.random((count, 3)), rng.random((2, 3)))
    assert sorted(order) == list(range(count))
    for place, number in enumerate(order):
        assert iou[number] <= iou[order[place:]].min() + REPEATED + 1e-9


def test_the_queue_is_varied_and_says_why() -> None:
    def doubt(name: str, agreement: float, kind: float) -> Doubt:
        return Doubt(name, agreement, agreement, appearance=(kind, 0.0))

    found = [doubt("a", 0.30, 0), doubt("b", 0.32, 0), doubt("c", 0.40, 1)]
    queue = review_queue(found)
    assert [turn.id for turn in queue] == ["a", "c", "b"]
    assert queue[1].reason.endswith("unlike those before")
    assert not queue[2].reason.endswith("unlike those before")
    assert review_queue(found, done=[doubt("x", 0.9, 0)])[0].id == "c"
    # Where the look of one is not known, the estimate alone decides.
    assert [t.id for t in review_queue([*found, Doubt("d", 0.35, 0.35)])] == ["a", "b", "d", "c"]
