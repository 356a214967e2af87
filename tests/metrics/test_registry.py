from __future__ import annotations

import math

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.score import Evaluation
from napari_unet.metrics.boundaries import count_outlines
from napari_unet.metrics.objects import tally_objects
from napari_unet.metrics.overlap import count_overlap
from napari_unet.metrics.regions import count_regions
from napari_unet.metrics.registry import SCORES, Counted, scores_of
from napari_unet.settings import EvaluationSettings


def pictures(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks, and the same with some of their pixels changed."""
    rng = np.random.default_rng(seed)
    one = np.kron(rng.integers(0, 2, (6, 6)), np.ones((6, 6), int)).astype(np.uint8)
    return one, one ^ (rng.random(one.shape) < 0.05)


def everything(a: np.ndarray, b: np.ndarray) -> Counted:
    return Counted(count_overlap(a, b), tally_objects(a, b), count_outlines(a, b), count_regions(a, b))


def test_every_score_has_what_a_table_needs_and_stays_in_its_range() -> None:
    for seed in range(5):
        a, b = pictures(seed)
        for name, value in scores_of(everything(a, b)).items():
            score = SCORES[name]
            assert score.name == name
            assert name.isidentifier()
            assert score.title
            assert score.about[0].isupper()
            assert score.low <= value <= score.high
    assert len({s.title for s in SCORES.values()}) == len(SCORES)


def test_a_mask_against_itself_has_the_best_of_every_score() -> None:
    a, b = pictures(0)
    best, worse = scores_of(everything(a, a)), scores_of(everything(a, b))
    assert best.keys() == SCORES.keys()
    for name, score in SCORES.items():
        if score.better != "none":
            assert best[name] == (score.high if score.better == "higher" else score.low)
            gain = best[name] - worse[name]
            assert gain >= 0 if score.better == "higher" else gain <= 0


def test_what_was_not_counted_has_no_score() -> None:
    a, b = pictures(0)
    pixels = Counted(count_overlap(a, b))
    assert {SCORES[name].family for name in scores_of(pixels)} == {"overlap"}
    assert math.isnan(SCORES["f1_50"](pixels))
    pool = everything(a, b) + pixels
    assert (pool.objects, pool.outlines, pool.regions) == (None, None, None)
    assert SCORES["pixel_error"](pool) == pytest.approx((a != b).mean())


@pytest.mark.parametrize(
    ("scores", "competition", "families"),
    [
        ("overlap", "isbi2012", {"overlap"}),
        ("auto", "", {"overlap", "outlines"}),
        ("auto", "isbi2012", {"overlap", "outlines", "regions"}),
        ("all", "", {"overlap", "outlines", "regions"}),
    ],
)
def test_the_setting_says_which_scores_are_had(scores: str, competition: str, families: set[str]) -> None:
    evaluation = Evaluation(settings=EvaluationSettings(scores=scores), competition=competition)
    a, b = pictures(0)
    found = evaluation.add("a", "a", "unseen", ReferenceMask(a), b)
    assert {SCORES[name].family for name in found.values} == families


def test_overall_scores_are_means_and_pools_by_hand() -> None:
    evaluation = Evaluation()
    one = np.array([[1, 1, 1, 1, 0, 2, 2]], np.int32)
    two = np.array([[1, 1, 1, 0, 0, 0, 0]], np.int32)
    for name, reference, predicted in (("a", one, one), ("b", one, two)):
        mask = ReferenceMask((reference > 0).astype(np.uint8), reference)
        objects = reference, predicted
        evaluation.add(name, name, "unseen", mask, (predicted > 0).astype(np.uint8), objects)
    scores = evaluation.overall()["scores"]
    # a: two of two; b: one object found at IoU 3 / 4, one missed.
    assert scores["f1_50"]["mean"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["f1_50"]["pooled"] == pytest.approx(2 * 3 / 7)
    assert scores["f1_50"]["interval"] == [None, None]  # two images are too few
    assert scores["pixel_accuracy"]["pooled"] == pytest.approx(11 / 14)
    assert scores["hausdorff_95"]["pooled"] is None
    assert scores["iou"]["pooled"] == pytest.approx(9 / 12)
    assert scores["ap"]["images"] == 2


def test_objects_are_matched_within_their_class() -> None:
    evaluation = Evaluation(("one", "two"), EvaluationSettings(scores="all"))
    labels = np.array([[1, 1, 0, 2, 2]], np.uint8)
    objects = np.array([[1, 1, 0, 2, 2]], np.int32)
    found = evaluation.add(
        "a", "a", "unseen", ReferenceMask(labels), np.array([[2, 2, 0, 2, 2]], np.uint8), (objects, objects)
    )
    # The first object lies where it should, but is of the other class.
    assert found.values["f1_50"] == pytest.approx(1 / 2)
    assert "v_rand" not in found.values  # of one class alone
