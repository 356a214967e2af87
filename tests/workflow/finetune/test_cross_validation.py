"""Cross-validation over few corrections: who teaches, who judges, and that no pixel does both."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.workflow.finetune.cross_validation import FoldScores, half_known, make_folds
from napari_unet.workflow.inputs.labelled_images import as_dataset

LABELS = np.arange(24, dtype=np.uint8).reshape(4, 6) % 2


def sample(name: str, weights: np.ndarray | None = None, group: str | None = None) -> Sample:
    image = np.zeros((4, 6, 1), np.uint8)
    return Sample(name, lambda: image, lambda: ReferenceMask(LABELS, weights=weights), group=group)


def folds_of(samples: list[Sample], known: tuple[str, ...] = ()) -> list[tuple[set[str], set[str]]]:
    dataset = as_dataset("corrections", samples, ("foreground",))
    folds = make_folds(samples, dataset, lambda s: s.id not in known)
    return [({s.id for s in fold.teach}, {s.id for s in fold.judge}) for fold in folds]


def test_every_image_judges_once_and_never_where_it_teaches() -> None:
    names = {"a", "b", "c", "d", "e"}
    folds = folds_of([sample(n) for n in sorted(names)])
    assert len(folds) == 2
    for teach, judge in folds:
        assert teach | judge == names
        assert not teach & judge
        assert teach
    assert folds[0][1] | folds[1][1] == names


def test_an_image_that_the_old_model_knows_teaches_but_does_not_judge() -> None:
    folds = folds_of([sample(n) for n in "abc"], known=("a",))
    assert [judge for _, judge in folds] in ([{"b"}, {"c"}], [{"c"}, {"b"}])
    assert all("a" in teach for teach, _ in folds)
    assert folds_of([sample(n) for n in "abc"], known=("a", "b", "c")) == []


def test_images_of_one_group_stay_together() -> None:
    samples = [sample(n, group="stack 1") for n in "abc"] + [sample(n, group="stack 2") for n in "de"]
    folds = folds_of(samples)
    assert sorted(map(sorted, (judge for _, judge in folds))) == [["a", "b", "c"], ["d", "e"]]
    # With one group alone there is nothing else to do: the images are parted.
    one = folds_of([sample(n, group="stack") for n in "ab"])
    assert [len(judge) for _, judge in one] == [1, 1]


def test_the_halves_of_a_single_image_judge_each_other() -> None:
    only = sample("a")
    dataset = as_dataset("corrections", [only], ("foreground",))
    first, second = make_folds([only], dataset, lambda s: True)
    left, right = first.teach[0].read_mask().weights, first.judge[0].read_mask().weights
    np.testing.assert_array_equal(left, np.repeat([[1, 1, 1, 0, 0, 0]], 4, axis=0))  # along the longer side
    np.testing.assert_array_equal(right, np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0))
    assert second.teach[0].id == first.judge[0].id
    assert first.teach[0].id != first.judge[0].id  # caches tell samples apart by their ids


def test_strokes_in_one_half_alone_cannot_judge() -> None:
    weights = np.zeros((4, 6), np.float32)
    weights[:, :2] = 1
    assert folds_of([sample("a", weights)]) == []


def test_a_half_is_known_as_far_as_it_was() -> None:
    weights = np.ones((4, 6), np.float32)
    weights[0, 5] = 0
    found = half_known(ReferenceMask(LABELS, weights=weights), 0, False).weights
    assert found is not None
    assert found[:2].sum() == 11
    assert found[2:].sum() == 0
    assert weights.sum() == 23  # what was given stays as it was


def test_the_change_at_a_point_by_hand() -> None:
    scores = FoldScores(
        {"a": 0.5, "b": 0.4, "c": float("nan")},
        {1.0: {"a": 0.7, "b": 0.3, "c": 0.9}},
        {"a": "a", "b": "b", "c": "c"},
        "",
    )
    assert scores.change(1.0) == pytest.approx((0.2 - 0.1) / 2)
