"""What the numbers of a Labels layer stand for: read as mask files are, when saved and as a reference."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unet.plugin import export_writer
from napari_unet.widgets.canvas.images.layer_images import layer_samples, read_labels

# Two classes in two and three pieces: 4, 2 pixels and 2, 2, 1 pixels.
CLASSES = np.array(
    [
        [1, 1, 0, 2, 2, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 1, 1],
        [0, 0, 0, 2, 2, 0, 0, 0],
        [2, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.uint8,
)


def saved(tmp_path: Path, data: Any, **more: Any) -> list[tuple[str, int]]:
    """Class and area of every object of a table that the layer is saved as, in its order."""
    from napari.layers import Labels

    about = Labels(data, name="cells", **more).as_layer_data_tuple()[1]
    (path,) = export_writer.write_measurements(str(tmp_path / "a.csv"), data, about)
    with Path(path).open(encoding="utf-8", newline="") as file:
        return [(row["class"], int(row["area_px"])) for row in csv.DictReader(file)]


def kept(tmp_path: Path, data: Any) -> None:
    (path,) = export_writer.write_ome_tiff(str(tmp_path / "a"), data, {"name": "cells"})
    np.testing.assert_array_equal(tifffile.imread(path), data)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_numbers_in_many_pieces_are_classes(tmp_path: Path, dtype: Any) -> None:
    labels = CLASSES.astype(dtype)
    wanted = [("class 1", 2), ("class 1", 4), ("class 2", 1), ("class 2", 2), ("class 2", 2)]
    assert sorted(saved(tmp_path, labels)) == wanted
    (path,) = export_writer.write_coco(str(tmp_path / "a.json"), labels, {})
    content = json.loads(Path(path).read_text())
    assert [c["name"] for c in content["categories"]] == ["class 1", "class 2"]
    kept(tmp_path, labels)


def test_numbers_far_apart_are_classes_by_their_own_names(tmp_path: Path) -> None:
    labels = np.array([0, 205, 420], np.uint16)[CLASSES]
    assert {name for name, _ in saved(tmp_path, labels)} == {"class 205", "class 420"}
    kept(tmp_path, labels)


def test_white_alone_is_foreground_in_pieces(tmp_path: Path) -> None:
    labels = (CLASSES == 1).astype(np.uint8) * 255
    assert saved(tmp_path, labels) == [("foreground", 4), ("foreground", 2)]
    kept(tmp_path, labels)


def test_255_among_classes_is_unknown_and_no_object(tmp_path: Path) -> None:
    labels = CLASSES.copy()
    labels[3, 3:] = 255
    assert len(saved(tmp_path, labels)) == 5
    kept(tmp_path, labels)


def test_in_doubt_numbers_are_objects(tmp_path: Path) -> None:
    assert saved(tmp_path, np.array([[1, 1, 0, 2]], np.uint8)) == [("object", 2), ("object", 1)]
    # Five cells through a stack, at most two in a plane.
    stack = np.zeros((9, 8, 8), np.uint8)
    for number in range(1, 6):
        stack[number : number + 2, number, :4] = number
    assert saved(tmp_path, stack) == [("object", 4)] * 10
    kept(tmp_path, stack)


def test_a_layer_of_256_objects_or_more_is_saved(tmp_path: Path) -> None:
    labels = np.arange(1, 401, dtype=np.uint16).reshape(20, 20).repeat(3, 0).repeat(3, 1)
    assert saved(tmp_path, labels) == [("object", 9)] * 400


def layers(labels: Any, **more: Any) -> tuple[Any, Any]:
    from napari.layers import Image, Labels

    return Image(np.zeros(labels.shape, np.uint8), name="s"), Labels(labels, name="truth", **more)


def test_slices_that_nobody_drew_on_are_no_masks() -> None:
    labels = np.zeros((15, 8, 8), np.uint8)
    labels[4, 1:3, 1:3] = labels[4, 5:7, 5:7] = 1
    image, reference = layers(labels)
    _, samples = layer_samples([image], reference)
    assert [s.id for s in samples if s.has_mask] == ["s [4]"]
    mask = samples[4].read_mask()
    assert mask.labels.sum() == 8
    assert mask.objects is None  # one number tells nothing apart
    # One mask serves all slices.
    image, flat = layers(labels)[0], layers(labels[4])[1]
    assert sum(s.has_mask for s in layer_samples([image], flat)[1]) == 15


def test_empty_slices_of_a_file_are_empty_masks(tmp_path: Path) -> None:
    from napari.layers import Layer

    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, 2:4] = 1
    image = layers(labels)[0]
    of_a_file = Layer.create(labels, {"name": "truth"}, "labels")
    of_a_file._source = of_a_file.source.model_copy(update={"path": str(tmp_path / "masks.tif")})
    assert [s.has_mask for s in layer_samples([image], of_a_file)[1]] == [True] * 3
    assert read_labels(of_a_file).drawn is None


def test_references_are_read_as_mask_files_are() -> None:
    image, reference = layers(np.where(CLASSES == 2, 255, CLASSES))
    # 1 beside 255 in one mask is a class beside what is unknown.
    (sample,) = layer_samples([image], reference)[1]
    mask = sample.read_mask()
    assert mask.labels.sum() == 6
    assert mask.weights is not None
    assert (mask.weights == 0).sum() == 5
    # 0 and 1 in one slice, 0 and 255 in another: one class.
    stack = np.stack([CLASSES == 1, (CLASSES == 2) * 255]).astype(np.uint8)
    image, reference = layers(stack)
    reading = read_labels(reference)
    assert reading.classes == ("foreground",)
    assert [s.read_mask().labels.sum() for s in layer_samples([image], reference, reading)[1]] == [6, 5]


def test_the_classes_of_a_reference_are_those_of_its_numbers() -> None:
    image, reference = layers(np.array([0, 205, 420], np.uint16)[CLASSES])
    reading = read_labels(reference)
    assert reading.classes == ("class 1", "class 2")
    (sample,) = layer_samples([image], reference, reading, lambda: 2)[1]
    np.testing.assert_array_equal(sample.read_mask().labels, CLASSES)
    # A model of one class takes both for foreground.
    (sample,) = layer_samples([image], reference, reading, lambda: 1)[1]
    assert sample.read_mask().labels.sum() == 11
