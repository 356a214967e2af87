"""Scores that the window shows are of the threshold as it is, whatever runs meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.session.images.collection import Collection
from napari_unet.session.overall_score import overall_of
from napari_unet.settings import EvaluationSettings


def collection(scored_with: list[tuple[float, int] | None], part: str = "unseen") -> Collection:
    """Images with IoU 0.1, 0.2, ..., scored with these thresholds."""
    samples = [Sample(str(n), lambda: np.zeros((4, 4, 1), np.uint8)) for n in range(len(scored_with))]
    found = Collection("images", samples)
    for number, (entry, how) in enumerate(zip(found.entries.values(), scored_with, strict=True)):
        entry.iou, entry.scored_with, entry.part = (number + 1) / 10, how, part
        entry.prediction = SimpleNamespace(file=None)  # type: ignore[assignment]
    return found


def test_an_overall_score_leaves_out_scores_of_another_threshold() -> None:
    images = collection([(0.5, 0), (0.5, 0), (0.9, 0), (0.5, 8), None])
    overall = overall_of(images, EvaluationSettings(), (0.5, 0))
    assert overall is not None
    # 0.1 and 0.2, and the corrected one with 0.5, whose mask no threshold has made.
    assert overall.values == pytest.approx((0.1, 0.2, 0.5))
    assert overall.mean_iou == pytest.approx(0.8 / 3)
    assert overall.stale == 2
    assert overall.no_interval == "no interval: 3 groups, at least 5 are needed"


def test_an_overall_score_says_of_how_many_images_nothing_is_recorded() -> None:
    overall = overall_of(collection([None] * 5, "not known"), EvaluationSettings())
    assert overall is not None
    assert overall.unknown == overall.images == 5
    assert overall.low < overall.mean_iou < overall.high
