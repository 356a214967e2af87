"""The line between old and new weights, the verdict of two numbers, and what is offered first."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from napari_unet.evaluation.compare import Comparison, compare
from napari_unet.workflow.finetune.fine_tuned import FineTuned, sentence_of, verdict_of
from napari_unet.workflow.finetune.held_out_gate import worst_kind
from napari_unet.workflow.finetune.weight_line import between, choose_point, value_of

NAN = math.nan


def kind(gain: float, images: int = 8) -> Comparison:
    return compare([f"image {n}" for n in range(images)], [0.5] * images, [0.5 + gain] * images)


def tuned(new: Comparison, old: Comparison | None) -> FineTuned:
    return FineTuned(Path("new"), new, (), (), (), "nothing", 1, 1.0, forgetting=old)


def test_weights_on_the_line_by_hand() -> None:
    old = [np.array([0.0, 4.0], np.float32), np.array([[1.0]], np.float32)]
    new = [np.array([8.0, 0.0], np.float32), np.array([[3.0]], np.float32)]
    first, second = between(old, new, 0.25)
    np.testing.assert_array_equal(first, np.array([2.0, 3.0], np.float32))
    np.testing.assert_array_equal(second, np.array([[1.5]], np.float32))
    for a, b in zip(between(old, new, 1.0), new, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a is not b


def test_a_small_loss_on_the_old_kind_is_free_and_a_larger_one_counts() -> None:
    assert value_of(0.02, -0.002) == pytest.approx(0.02)
    assert value_of(0.02, 0.3) == pytest.approx(0.02)
    assert value_of(0.02, -0.012) == pytest.approx(0.02 - 30 * 0.01)
    assert value_of(0.02, NAN) == pytest.approx(0.02)
    assert value_of(NAN, -0.012) == pytest.approx(-0.3)


def test_the_judge_chooses_the_point() -> None:
    gains = {0.25: 0.02, 0.5: 0.05, 0.75: 0.06, 1.0: 0.065}
    unknown = dict.fromkeys(gains, NAN)
    assert choose_point(gains, unknown).point == 1.0
    # The furthest gains 0.005 more, and loses 0.001 more than is free, which counts as 0.03.
    lost = {0.25: 0.0, 0.5: -0.001, 0.75: -0.002, 1.0: -0.003}
    assert choose_point(gains, lost).point == 0.75
    # Much may be gained for a little: 0.6 - 0.3 is more than 0.02.
    assert choose_point({0.5: 0.02, 1.0: 0.6}, {0.5: 0.0, 1.0: -0.012}).point == 1.0
    # With the old kind alone to judge by, the furthest that loses nothing; with nothing, half of the way.
    assert choose_point(unknown, lost).point == 0.75
    assert choose_point(unknown, unknown).point == 0.5


def test_one_kind_does_not_hide_what_another_lost() -> None:
    names = [f"image {n}" for n in range(10)]
    both = compare(names, [0.5] * 10, [0.7] * 5 + [0.4] * 5, note="n")
    assert both.difference == pytest.approx(0.05)
    kinds = {name: "bright" if n < 5 else "dark" for n, name in enumerate(names)}
    found = worst_kind(both, kinds)
    assert found.images == tuple(names[5:])
    assert found.difference == pytest.approx(-0.1)
    assert found.verdict == "worse"
    assert found.note == "the dark ones, which lost most; of all 10 +0.050; n"
    # Ids of the gate begin with "labelled/", those of a comparison do not.
    assert worst_kind(both, {f"labelled/{i}": kind for i, kind in kinds.items()}).images == found.images
    assert worst_kind(both, {}) is both
    assert worst_kind(both, {**kinds, "image 4": "dark"}) is both  # four bright ones are too few


def test_both_kinds_make_the_verdict() -> None:
    assert verdict_of(kind(0.1), kind(0.0)) == "better"
    assert verdict_of(kind(0.1), None) == "better"
    assert verdict_of(kind(0.1), kind(-0.02)) == "worse"
    assert verdict_of(kind(0.0), kind(0.1)) == "no clear difference"
    # Too few images for an interval: a small loss is no verdict, one beyond 0.01 is.
    assert kind(-0.02, 2).verdict == "no clear difference"
    assert verdict_of(kind(-0.02, 2), None) == "worse"
    assert verdict_of(kind(-0.009, 2), None) == "no clear difference"
    assert verdict_of(kind(0.1), kind(-0.02, 2)) == "worse"
    assert verdict_of(kind(0.1), kind(-0.009, 2)) == "better"


def test_what_is_offered_first() -> None:
    assert tuned(kind(0.1), kind(0.0)).first_button == "keep"
    assert tuned(kind(0.1), kind(-0.1)).first_button == "discard"
    assert tuned(kind(0.0), kind(0.0)).first_button == "either"
    # Too few for an interval, but ahead on each.
    assert tuned(kind(0.2, 2), kind(0.0)).first_button == "keep"
    assert tuned(kind(0.2, 2), kind(-0.02)).first_button == "discard"
    assert tuned(kind(0.009, 2), kind(0.0)).first_button == "either"
    mixed = compare(["a", "b"], [0.5, 0.5], [0.9, 0.4])
    assert tuned(mixed, kind(0.0)).first_button == "either"
    nothing = compare([], [], [])
    assert not tuned(nothing, None).judged
    assert tuned(nothing, None).first_button == "discard"
    assert tuned(nothing, kind(0.0)).judged
    assert tuned(nothing, kind(0.0)).first_button == "either"


def test_the_sentence_has_a_number_for_each_kind() -> None:
    words = sentence_of(kind(0.1), kind(-0.02))
    assert words.startswith("worse: new kind: mean IoU 0.500 before, 0.600 now on 8 held-out images")
    assert "old kind: mean IoU 0.500 before, 0.480 now on 8 held-out images" in words
    assert words.count("worse:") == 1
    assert sentence_of(kind(0.1), None) == kind(0.1).sentence
    replayed = FineTuned(
        Path("new"), kind(0.1), (), (), (), "rehearsal set", 1, 1.0, replay_sentence="replayed 9 crops"
    )
    assert replayed.sentence == f"{kind(0.1).sentence}; replayed 9 crops"
    assert sentence_of(compare([], [], []), None).startswith("not judged")
    assert sentence_of(compare([], [], []), kind(0.0)).startswith("no clear difference: new kind: not judged")
    # Without an interval the verdict in the sentence is that of both kinds, not of the interval.
    assert sentence_of(kind(-0.02, 2), None).startswith("worse: mean IoU 0.500 before, 0.480 now")
