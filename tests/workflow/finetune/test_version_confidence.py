"""A fine-tuned version has its own confidence of objects, or its parent's, which is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.metrics.object_confidence import EVIDENCE, KEY, ObjectConfidence
from napari_unet.settings import InferenceSettings, Recipe
from napari_unet.workflow.finetune import provenance
from napari_unet.workflow.finetune.provenance import confidence_of_version, forecast
from napari_unet.workflow.inputs.labelled_images import as_dataset

CLASSES = ("nucleus",)
ONES = np.ones(len(EVIDENCE))
MODEL: Any = SimpleNamespace(
    classes=CLASSES, recipe=Recipe(inference=InferenceSettings(flips="horizontal")), provenance={}
)


def of(objects: int) -> ObjectConfidence:
    return ObjectConfidence(ONES, ONES, ONES, 0.0, np.array([0.0]), np.array([0.5]), objects, 5)


def gate(*names: str) -> Any:
    image, mask = np.zeros((4, 4, 1), np.uint8), ReferenceMask(np.zeros((4, 4), np.uint8))
    samples = [Sample(name, lambda: image, lambda: mask) for name in (*names, "judges")]
    held_out = as_dataset("held out", samples, CLASSES)
    return SimpleNamespace(held_out=held_out, live=tuple(samples[:-1]), look_seconds=2.0)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands in for the fit: what it was given, and what it answers."""
    found = SimpleNamespace(ids=[], answer=of(80))

    def fit(model: Any, dataset: Any, cancel: Any) -> ObjectConfidence | None:
        found.ids = [s.id for s in dataset.samples]
        assert all(s.read_image().shape == (4, 4, 1) for s in dataset.samples)
        answer: ObjectConfidence | None = found.answer
        return answer

    monkeypatch.setattr(provenance, "fit_object_confidence", fit)
    return found


def test_it_is_measured_on_the_images_that_choose_the_weights(fitted: Any) -> None:
    found = confidence_of_version(
        MODEL, {KEY: of(60).to_json()}, "nuclei", [gate("a", "b"), gate("c")], in_time=True
    )
    assert fitted.ids == ["a", "b", "c"]  # and on none that judges
    assert found.provenance[KEY]["objects"] == 80
    assert "model" not in found.provenance[KEY]
    assert found.sentence == ""


@pytest.mark.parametrize(("in_time", "why"), [(True, "too few objects"), (False, "no time")])
def test_else_it_is_the_parents_and_that_is_said(fitted: Any, in_time: bool, why: str) -> None:
    fitted.answer = None
    found = confidence_of_version(MODEL, {KEY: of(60).to_json()}, "nuclei", [gate("a")], in_time=in_time)
    assert (found.provenance[KEY]["objects"], found.provenance[KEY]["model"]) == (60, "nuclei")
    assert found.sentence == f"the confidence of objects is that of nuclei: {why} to measure it again"
    assert bool(fitted.ids) == in_time


def test_without_any_nothing_is_said(fitted: Any) -> None:
    fitted.answer = None
    found = confidence_of_version(MODEL, {}, "nuclei", [gate()], in_time=True)
    assert (found.provenance, found.sentence) == ({}, "")


def test_the_forecast_by_hand() -> None:
    # Two looks of 2 s, each with two views, and half as much again.
    assert forecast(MODEL, [gate("a"), gate("b")]) == 12
