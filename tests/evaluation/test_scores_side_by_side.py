"""Probabilities against scikit-learn, masks moved by a pixel against a few lines of NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.confidence import count_probabilities, reliability
from napari_unet.evaluation.score import Evaluation

if TYPE_CHECKING:
    from pathlib import Path


def test_reliability_agrees_with_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(0)
    likely = rng.random((80, 90)).astype(np.float32)
    labels = (rng.random(likely.shape) < likely**2).astype(np.uint8)
    counts = count_probabilities(labels, likely[..., None])
    found = reliability(counts.binned, counts.positive, counts.summed)
    assert found is not None
    true, promised = calibration_curve(labels.ravel(), likely.ravel().astype(np.float64), n_bins=20)
    np.testing.assert_allclose(found.true, true, atol=1e-9)
    np.testing.assert_allclose(found.promised, promised, atol=1e-9)
    share = np.histogram(likely.astype(np.float64), 20, (0, 1))[0] / likely.size
    assert found.error == pytest.approx((share * np.abs(true - promised)).sum(), abs=1e-9)


def moved(mask: np.ndarray) -> np.ndarray:
    """One pixel to the right; what leaves the image is lost."""
    out = np.zeros_like(mask)
    out[:, 1:] = mask[:, :-1]
    return out


def check_salt(folder: Path, most: int | None = None) -> None:
    dataset = open_dataset(folder)
    exact, shifted = (Evaluation(dataset.classes, competition=dataset.format) for _ in range(2))
    iou, dice, wrong, score = [], [], [], []
    for sample in dataset.samples[:most]:
        mask = sample.read_mask()
        exact.add(sample.id, sample.id, "unseen", mask, mask.labels)
        shifted.add(sample.id, sample.id, "unseen", ReferenceMask(mask.labels), moved(mask.labels))
        a, b = mask.labels > 0, moved(mask.labels) > 0
        both, union = int((a & b).sum()), int((a | b).sum())
        iou.append(both / union if union else 1.0)
        dice.append(2 * both / int(a.sum() + b.sum()) if union else 1.0)
        wrong.append(np.mean(a != b))
        score.append(np.mean([both > t / 100 * union for t in range(50, 100, 5)]) if union else 1.0)
    for name, found in exact.overall()["scores"].items():
        assert found["mean"] == (0 if name in {"pixel_error", "hausdorff_95"} else 1), name
    overall = shifted.overall()
    assert overall["mean_iou"] == pytest.approx(np.mean(iou), abs=1e-9)
    assert overall["mean_dice"] == pytest.approx(np.mean(dice), abs=1e-9)
    assert overall["pixel_error"] == pytest.approx(np.mean(wrong), abs=1e-9)
    assert overall["competition"]["score"] == pytest.approx(np.mean(score), abs=1e-9)
    assert 0.5 < overall["mean_iou"] < 1


def test_masks_against_themselves_and_moved_by_a_pixel(salt_folder: Path) -> None:
    check_salt(salt_folder)


@pytest.mark.slow
def test_the_real_salt_masks_against_themselves_and_moved_by_a_pixel(data_root: Path) -> None:
    check_salt(data_root / "tgs-salt.zip", 400)


def test_the_square_moved_by_a_pixel_by_hand() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[2:8, 2:8] = 1
    evaluation = Evaluation()
    found = evaluation.add("a", "a", "unseen", ReferenceMask(mask), moved(mask)).values
    # 36 pixels each, 30 shared, 42 together, 12 of 100 wrong.
    assert found["iou"] == pytest.approx(30 / 42)
    assert found["dice"] == pytest.approx(60 / 72)
    assert found["pixel_error"] == pytest.approx(0.12)
    assert found["mean_iu"] == pytest.approx((30 / 42 + 58 / 70) / 2)
    assert found["fw_iu"] == pytest.approx(0.36 * 30 / 42 + 0.64 * 58 / 70)
    assert found["hausdorff_95"] == 1
