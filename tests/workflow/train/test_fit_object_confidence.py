"""Confidence of objects from validation images: which objects are right, and whose numbers a model has."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.metrics.object_confidence import EVIDENCE, KEY, ObjectConfidence
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.segment.segment_samples import Segmentation
from napari_unet.workflow.train import fit_object_confidence as fitting
from napari_unet.workflow.train.fit_object_confidence import (
    fit_object_confidence,
    inherited,
    judged_objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.progress import Progress

CLASSES = ("round", "long")


def squares(*where: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(20, 60): squares of 6 with a class, at a row and a column."""
    mask = np.zeros((20, 60), np.uint8)
    for row, column, label in where:
        mask[row : row + 6, column : column + 6] = label
    return mask


def segmentation(mask: NDArray[np.uint8], sample: Sample | None = None) -> Segmentation:
    """What a network without an output for objects would say: sure everywhere."""
    said = np.stack([(mask == label) * 0.9 for label in (1, 2)], axis=-1).astype(np.float32)
    return Segmentation(sample or Sample("x", lambda: mask[..., None]), mask, said)


def test_an_object_is_right_if_it_fits_a_true_one_of_its_class() -> None:
    found = segmentation(squares((2, 2, 1), (2, 20, 1), (2, 40, 2)))
    # The first is two columns off (24 of 48), the second is of the other class, the third is there.
    truth = ReferenceMask(squares((2, 4, 1), (2, 20, 2), (2, 40, 2)))
    evidence, iou, counts = judged_objects(found, truth)
    assert evidence.shape == (3, len(EVIDENCE))
    assert iou.tolist() == [0.5, 0, 1]
    assert counts.tolist() == [True, True, True]


def test_numbered_objects_that_touch_are_told_apart() -> None:
    mask = np.zeros((20, 60), np.uint8)
    mask[2:8, 2:14] = 1
    numbers = np.zeros((20, 60), np.int32)
    numbers[2:8, 2:8], numbers[2:8, 8:14] = 4, 9
    found = segmentation(mask)
    assert judged_objects(found, ReferenceMask(mask, numbers))[1].tolist() == [0.5]
    assert judged_objects(found, ReferenceMask(mask))[1].tolist() == [1]


def test_where_the_truth_is_not_known_an_object_does_not_count() -> None:
    mask = squares((2, 2, 1), (2, 20, 1))
    weights = np.ones(mask.shape, np.float32)
    weights[2:8, 2:5] = 0  # just half of the first
    assert judged_objects(segmentation(mask), ReferenceMask(mask, weights=weights))[2].tolist() == [
        False, True,
    ]  # fmt: skip


def model(separation: str = "none") -> Any:
    settings = NetworkSettings(classes=2, activation="softmax").model_copy(update={"separation": separation})
    return SimpleNamespace(recipe=Recipe(network=settings), classes=CLASSES)


def images(count: int, numbered: bool = False) -> list[Sample]:
    """12 squares of class 1 each, of which the network finds all and the annotator drew 9."""
    every = [(row, column, 1) for row in (0, 10) for column in range(2, 60, 10)]
    truth = squares(*every[:9])
    numbers = np.zeros(truth.shape, np.int32)
    for number, (row, column, _) in enumerate(every[:9], start=1):
        numbers[row : row + 6, column : column + 6] = number
    mask = ReferenceMask(truth, numbers if numbered else None)
    picture = squares(*every)[..., None]
    return [Sample(f"image {n}", lambda: picture, lambda: mask) for n in range(count)]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A network that says what the image is; ids of what it was asked about."""
    asked: list[str] = []

    def answer(samples: Any, *_: Any) -> Iterator[Segmentation]:
        for sample in samples:
            asked.append(sample.id)
            yield segmentation(sample.read_image()[..., 0], sample)

    monkeypatch.setattr(fitting, "segment_samples", answer)
    return asked


def test_pieces_are_the_objects_of_a_model_that_tells_none_apart(answered: list[str]) -> None:
    said: list[Progress] = []
    found = fit_object_confidence(model(), as_dataset("validation", images(6), CLASSES), None, said.append)
    assert [(one.done, one.total) for one in said] == [(n, 6) for n in range(1, 7)]
    assert found is not None
    assert (found.objects, found.images, found.model) == (72, 6, "")
    assert len(answered) == 6
    # All squares of a column of the image look alike: 9 of 12 are right.
    evidence = judged_objects(segmentation(images(1)[0].read_image()[..., 0]), images(1)[0].read_mask())[0]
    assert float(found(evidence).mean()) == pytest.approx(0.75, abs=0.03)


def test_a_model_that_tells_objects_apart_needs_numbered_ones(answered: list[str]) -> None:
    assert fit_object_confidence(model("distance"), as_dataset("v", images(6), CLASSES)) is None
    assert answered == []
    assert fit_object_confidence(model("distance"), as_dataset("v", images(6, True), CLASSES)) is not None
    assert len(answered) == 6
    # Where it is not known of an object where it ends, the image tells nothing.
    unsure = ReferenceMask(squares((0, 2, 1)), -squares((0, 2, 1)).astype(np.int32))
    samples = [replace(s, load_mask=lambda: unsure) for s in images(6)]
    assert fit_object_confidence(model(), as_dataset("v", samples, CLASSES)) is None
    assert len(answered) == 6


def test_what_is_inherited_says_of_whom() -> None:
    ones = np.ones(len(EVIDENCE))
    own = ObjectConfidence(ones, ones, ones, 0.5, np.array([0.0]), np.array([0.5]), 60, 5)
    once = inherited({KEY: own.to_json()}, "v001")
    found = ObjectConfidence.of(once)
    assert found is not None
    assert found.words == "60 objects of 5 validation images of the model v001"
    # A version of a version names the model that was measured.
    again = ObjectConfidence.of(inherited(once, "v002"))
    assert again is not None
    assert again.model == "v001"
    assert inherited({}, "v001") == {}
