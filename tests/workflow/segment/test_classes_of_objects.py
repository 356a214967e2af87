"""A model of several classes that numbers objects: each object has one class, and ties are said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import Sample
from napari_unet.export.formats import FORMATS
from napari_unet.inference.object_classes import classes_of_objects
from napari_unet.metrics.object_measures import measure_objects
from napari_unet.metrics.object_words import objects_in_words
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.workflow.export.mask_sources import segmented
from napari_unet.workflow.segment import predict_task
from napari_unet.workflow.segment import segment_samples as module
from napari_unet.workflow.segment.prediction import Region, tied_numbers
from support.file_builders import png

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLASSES = ("small", "large")


def outputs() -> np.ndarray:
    """(8, 16, 3): an object, a fifth of which looks like the other class, and one of either; depth."""
    found = np.zeros((8, 16, 3), np.float32)
    found[1:6, 1:6, :2] = 0.9, 0.05
    found[1:6, 1, :2] = 0.05, 0.9
    found[1:6, 9:14, :2] = 0.45, 0.5
    found[2:5, 2:5, 2] = found[2:5, 10:13, 2] = 1
    return found


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Segments an image with a made-up network, whose class is read off as wanted."""

    def by_one(samples: Any, *_: Any) -> Iterator[Any]:
        for sample in samples:
            yield sample, outputs(), None

    monkeypatch.setattr("napari_unet.workflow.segment.network_answers._by_one", by_one)

    def segment(class_of: str = "auto") -> module.Segmentation:
        network = NetworkSettings(classes=2, activation="softmax", separation="distance")
        recipe = Recipe(network=network)
        model: Any = SimpleNamespace(recipe=recipe, classes=CLASSES)
        settings = recipe.inference.model_copy(update={"class_of": class_of})
        sample = Sample("a", lambda: np.zeros((8, 16, 1), np.uint8))
        (result,) = module.segment_samples([sample], model, settings)
        return result

    return segment


def test_each_object_has_one_class_and_ties_are_said(results: Any, caplog: pytest.LogCaptureFixture) -> None:
    by_pixel = results("pixels")
    assert by_pixel.objects.max() == 3
    assert by_pixel.read_off is None
    assert not caplog.records
    result = results()
    wanted = np.zeros((8, 16), np.uint8)
    wanted[1:6, 1:6], wanted[1:6, 9:14] = 1, 2
    np.testing.assert_array_equal(result.mask, wanted)
    np.testing.assert_array_equal(result.objects, wanted)
    assert result.read_off.ties.tolist() == [2]
    (record,) = caplog.records
    assert record.getMessage().startswith("1 of 2 objects")


@pytest.mark.parametrize("kind", ["coco", "geojson", "imagej-roi"])
def test_objects_with_classes_come_back_from_every_export(kind: str, results: Any, tmp_path: Path) -> None:
    result = results()
    image = segmented(result.sample, result.mask, CLASSES, result.objects)
    entry = FORMATS[kind]
    path = tmp_path / f"a{entry.suffix}"
    if entry.gather is not None:
        with entry.gather(path, "objects") as add:
            add(image)
    else:
        assert entry.write is not None
        entry.write(path, image, "objects")
    (tmp_path / "a.png").write_bytes(png(np.zeros((8, 16), np.uint8)))
    dataset = open_dataset(tmp_path)
    assert dataset.classes == CLASSES
    back = dataset.samples[0].read_mask()
    np.testing.assert_array_equal(back.labels, result.mask)
    assert back.objects is not None
    np.testing.assert_array_equal(back.objects, result.objects)


def test_ties_are_known_in_the_window_until_a_person_decides(results: Any) -> None:
    result = results()
    assert result.ties == (2,)
    points = predict_task._ties(result, Region(5, 7, 13, 23))  # of a part of the image
    ((row, column, label),) = points
    assert label == 2
    whole, objects = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.int32)
    whole[5:13, 7:23], objects[5:13, 7:23] = result.mask, result.objects
    assert objects[row, column] == 2
    assert tied_numbers(points, objects, whole) == (2,)
    assert tied_numbers(points, np.where(objects == 2, 9, 0).astype(np.int32), whole) == (9,)
    assert tied_numbers(points, objects, np.where(whole == 2, 1, whole).astype(np.uint8)) == ()
    assert tied_numbers(points, np.zeros_like(objects), np.zeros_like(whole)) == ()


def test_the_dock_says_how_many_classes_are_in_doubt() -> None:
    table = measure_objects(np.array([[1, 1, 0, 2]], np.int32), np.array([[1, 1, 0, 2]], np.uint8))
    assert objects_in_words(table, CLASSES) == "1 small and 1 large, median area 2 px"
    table.columns["tie"] = np.array([0.0, 1.0])
    assert objects_in_words(table, CLASSES) == "1 small and 1 large, median area 2 px; class in doubt: 1"


def test_two_classes_with_equal_shares_are_a_tie_of_the_first() -> None:
    probabilities = np.full((4, 4, 2), 0.4, np.float32)
    objects = np.ones((4, 4), np.int32)
    found = classes_of_objects(probabilities, objects)
    assert found.shares.tolist() == [[0.5, 0.5]]
    assert found.labels.tolist() == [1]
    assert found.ties.tolist() == [1]
    assert found.ties_in(np.zeros((4, 4), np.int32)) == ()
    other = np.where(np.arange(4) < 3, 5, 6) * objects
    assert found.ties_in(other.astype(np.int32)) == (5,)
