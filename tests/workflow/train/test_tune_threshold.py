"""Threshold, smallest piece and cores chosen on validation images: by hand-made probabilities."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.metrics.objects import tally_objects
from napari_unet.settings import InferenceSettings, Recipe
from napari_unet.workflow.segment.segment_samples import Segmentation
from napari_unet.workflow.train import tune_threshold

if TYPE_CHECKING:
    import pytest

SHAPE = (20, 20)


def one_class(format: str, masks: list[np.ndarray], probabilities: list[np.ndarray]) -> Any:
    """A model that gives these probabilities, and the data."""
    samples = tuple(
        Sample(str(n), lambda: np.zeros((*SHAPE, 1), np.uint8), lambda mask=mask: mask)
        for n, mask in enumerate(masks)
    )
    dataset = Dataset("hand", format, Path(), samples)
    model = SimpleNamespace(recipe=Recipe(), classes=("thing",))
    results = [
        Segmentation(sample, np.zeros(SHAPE, np.uint8), p[..., None].astype(np.float32), InferenceSettings())
        for sample, p in zip(samples, probabilities, strict=True)
    ]
    return model, dataset, results


def tuned(monkeypatch: pytest.MonkeyPatch, *case: object) -> tune_threshold.TunedThreshold:
    model, dataset, results = case
    monkeypatch.setattr(tune_threshold, "segment_samples", lambda *a, **k: iter(results))  # type: ignore[call-overload]
    return tune_threshold.tune_threshold(model, dataset)


def disc(value: float, background: float) -> np.ndarray:
    out = np.full(SHAPE, background)
    out[5:15, 5:15] = value
    return out


def mask(empty: bool = False) -> ReferenceMask:
    labels = np.zeros(SHAPE, np.uint8)
    if not empty:
        labels[5:15, 5:15] = 1
    return ReferenceMask(labels)


def test_of_equal_thresholds_the_nearest_to_the_present_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    # Right above 0.22 and below 0.33: of 0.25 and 0.3 the nearer to 0.5; none of the others has IoU 1.
    found = tuned(monkeypatch, *one_class("pairs", [mask()], [disc(0.33, 0.22)]))
    assert found.settings.threshold == 0.3
    assert (found.score, found.value, found.images) == ("iou", 1.0, 1)
    assert found.settings.minimum_size == 0  # nothing to gain


def test_specks_on_empty_images_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speck = np.full(SHAPE, 0.01)
    speck[2:5, 2:5] = 0.97  # nine pixels as sure as any

    def with_specks(count: int) -> tune_threshold.TunedThreshold:
        masks = [mask(), *[mask(empty=True)] * count]
        return tuned(monkeypatch, *one_class("ultrasound-nerve", masks, [disc(0.97, 0.01), *[speck] * count]))

    # Sizes tried: 8, 16, 32 (a twelfth of 400). 8 keeps the specks: Dice 1, 0, 0, 0; 16 and 32 give 1 each.
    found = with_specks(3)
    assert (found.score, found.settings.minimum_size, found.value) == ("competition", 16, 1.0)
    # Two images gain 0 and 1: 0.5 on average, with a standard error of 0.5. That may be luck.
    assert with_specks(1).settings.minimum_size == 0


def test_a_gain_within_one_standard_error_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # At 0.5 the ring around the disc is missed, IoU 100 / 144; at 0.45 and below it is found.
    ring = np.full(SHAPE, 0.01)
    ring[4:16, 4:16] = 0.46
    ring[5:15, 5:15] = 0.97
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:16, 4:16] = 1
    right = disc(0.97, 0.01)

    def threshold(missed: int, right_now: int) -> float:
        masks = [ReferenceMask(labels)] * missed + [mask()] * right_now
        case = one_class("pairs", masks, [ring] * missed + [right] * right_now)
        return tuned(monkeypatch, *case).settings.threshold

    # One gain g among n images: mean g / n, standard error g / n. Two among four: g / 2 and 0.29 g.
    assert threshold(1, 1) == threshold(1, 3) == 0.5
    assert threshold(2, 2) == 0.45


def test_a_piece_that_belongs_there_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 2:5] = 1
    found = tuned(monkeypatch, *one_class("tgs-salt", [ReferenceMask(labels)], [labels * 0.97]))
    assert (found.score, found.value, found.settings.minimum_size) == ("competition", 1.0, 0)


def test_objects_choose_how_far_from_borders_cores_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:15, 2:18] = 1
    objects = labels.astype(np.int32)
    objects[:, 10:][objects[:, 10:] > 0] = 2
    model, dataset, results = one_class("dsb2018", [ReferenceMask(labels, objects=objects)], [labels * 0.97])
    border = np.full(SHAPE, 0.05, np.float32)
    border[:, 9:11] = 0.55  # so 0.44 is left of 0.97: one core at 0.3 and 0.4, two above
    results = [Segmentation(r.sample, r.mask, r.probabilities, r.settings, border, "border") for r in results]
    model.recipe = Recipe.model_validate({"network": {"separation": "border"}})
    found = tuned(monkeypatch, model, dataset, results)
    assert found.settings.core >= 0.5
    assert (found.score, found.value) == ("competition", 1.0)


def test_objects_choose_how_deep_a_piece_must_be_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:15, 5:15] = 1
    speck = labels.copy()
    speck[0:3, 0:3] = 1  # 9 pixels, as sure as the object, and 0.3 deep

    def chosen(height: float, separation: str = "distance") -> float:
        reference = ReferenceMask(labels, objects=labels.astype(np.int32))
        model, data, results = one_class("dsb2018", [reference] * 3, [speck * 0.97] * 3)
        depth = np.where(labels > 0, height, np.where(speck > 0, 0.3, 0)).astype(np.float32)
        results = [
            Segmentation(r.sample, r.mask, r.probabilities, r.settings, depth, "distance") for r in results
        ]
        model.recipe = Recipe.model_validate({"network": {"separation": separation}})
        return tuned(monkeypatch, model, data, results).settings.least_depth

    # 0.2 keeps the speck; 0.3 is the nearest to 0 that drops it. Where objects are no deeper than it, none.
    assert chosen(0.9) == 0.3
    assert chosen(0.3) == 0
    assert chosen(0.9, "border") == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_threshold, "MOST_PIXELS", 500)
    case = one_class("pairs", [mask()] * 3, [disc(0.9, 0.1)] * 3)
    assert tuned(monkeypatch, *case).images == 2


def test_a_class_of_few_small_objects_counts_as_much_as_one_of_many() -> None:
    reference, predicted = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    reference[0, :4], predicted[0, :4] = 1, 1
    large = tally_objects(reference, predicted)  # found: 1 of 1
    small = tally_objects(reference, np.zeros_like(predicted))  # missed
    none = tally_objects(np.zeros_like(reference), np.zeros_like(predicted))
    both = tune_threshold.mean_over_classes([(large, none), (large, none), (large, small)])
    assert both == 0.5  # not 3 of 4
    assert tune_threshold.mean_over_classes([(large, none)]) == 1  # of the class that is there
    assert tune_threshold.mean_over_classes([(none, none)]) == 1  # as of one class
