from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.score import Evaluation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["ultrasound-nerve", "tgs-salt"])
def test_an_empty_submission_scores_the_share_of_empty_masks(data_root: Path, name: str) -> None:
    archive = data_root / f"{name}.zip"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not among the real data sets")
    dataset = open_dataset(archive)
    chosen = dataset.samples[:300]
    perfect, nothing = (Evaluation(dataset.classes, competition=dataset.format) for _ in range(2))
    empty = 0
    for sample in chosen:
        reference = sample.read_mask()
        empty += not reference.labels.any()
        perfect.add(sample.id, sample.id, "unseen", reference, reference.labels)
        nothing.add(sample.id, sample.id, "unseen", reference, np.zeros_like(reference.labels))
    assert 0.25 < empty / len(chosen) < 0.75  # both sets are known to hold many empty masks
    best, worst = perfect.overall(), nothing.overall()
    assert best["competition"]["score"] == best["mean_iou"] == best["pooled_iou"] == 1
    for score in (worst["competition"]["score"], worst["mean_iou"], worst["mean_dice"]):
        assert score == pytest.approx(empty / len(chosen))
    assert worst["pooled_iou"] == 0


def test_classes_and_ignored_pixels_of_real_masks(data_root: Path) -> None:
    archive = data_root / "usgra-seg.zip"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not among the real data sets")
    dataset = open_dataset(archive)
    evaluation = Evaluation(dataset.classes)
    # What is predicted is the mask itself, but nerves are missed wherever anything is known.
    expected = []
    for sample in dataset.samples[:10]:
        labels = sample.read_mask().labels
        weights = np.ones(labels.shape, np.float32)
        weights[: len(labels) // 2] = 0
        known = labels[len(labels) // 2 :]
        present = [bool((known == label).any()) for label in (1, 2)]
        expected.append(present[1] / sum(present) if any(present) else 1.0)
        predicted = np.where(labels == 1, 0, labels).astype(np.uint8)
        evaluation.add(sample.id, sample.id, "unseen", ReferenceMask(labels, weights=weights), predicted)
    assert [s.iou for s in evaluation.scores] == pytest.approx(expected)
    assert 0 < sum(expected) < len(expected)
