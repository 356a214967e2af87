"""Objects of large images that cross blocks have one class each, as in images that fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.export.label_store import PROBABILITIES, RAW, LabelStore, unfinished
from napari_unet.export.ome_zarr import LabelShape
from napari_unet.inference.object_classes import classes_of_objects
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.workflow.large_images import finish
from napari_unet.workflow.large_images.finish import finish_labels
from napari_unet.workflow.large_images.layers import layer_mask
from napari_unet.workflow.large_images.layers.layer_mask import MaskRule, finish_layer
from support.large_masks import write_large_mask

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (100, 160)
RULE = MaskRule(0.5, 20, "softmax", whole_objects=True)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects cross the borders of parts."""
    monkeypatch.setattr(finish, "PART", 32)
    monkeypatch.setattr(layer_mask, "PART", 32)


@pytest.fixture
def probabilities() -> np.ndarray:
    """(Y, X, 2): an object over four parts, mostly of class 2; one that is a tie; a speck; one of class 1."""
    found = np.zeros((*SHAPE, 2), np.float32)
    found[20:50, 20:50] = 0.2, 0.7
    found[20:50, 20:30] = 0.8, 0.1  # a third of it looks like class 1
    found[60:90, 60:90] = 0.46, 0.45
    found[5:8, 5:8] = 0.1, 0.9
    found[10:20, 120:140] = 0.9, 0.05
    return found


def wanted(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objects and classes by looking at the whole image at once."""
    objects = ndimage.label(probabilities.sum(axis=2) > 0.5, np.ones((3, 3)))[0]
    sizes = np.bincount(objects.ravel())
    objects = np.where(sizes[objects] < 20, 0, objects)
    numbers = np.unique(objects)
    objects = np.searchsorted(numbers, objects).astype(np.int32)
    labels = np.concatenate([[0], classes_of_objects(probabilities, objects).labels])
    return objects, labels[objects]


def test_a_mask_in_the_window_has_one_class_an_object(probabilities: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_large_mask(path, probabilities, chunk=32, classes=("one", "two"))
    store = LabelStore.open(path)
    assert finish_layer(store, RULE, True, ignore_progress, CancelToken()) == 3
    objects, mask = wanted(probabilities)
    assert sorted(np.unique(mask[objects > 0]).tolist()) == [1, 2]
    assert set(mask[20:50, 20:50].ravel().tolist()) == {2}
    np.testing.assert_array_equal(np.asarray(store.array(0)), mask)


@pytest.mark.parametrize("objects", [True, False])
def test_a_file_has_one_class_an_object_and_says_it(
    objects: bool, probabilities: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "a.ome.zarr"
    shape = LabelShape((), SHAPE, (32, 32), "uint32" if objects else "uint8")
    classes = ("one", "two")
    store = LabelStore.create(
        unfinished(out), shape, "a", () if objects else classes, {}, raw=True, probabilities=2
    )
    everything = slice(0, SHAPE[0]), slice(0, SHAPE[1])
    mask = RULE.of_probabilities(probabilities)
    assert (mask[20:50, 20:30] == 1).all()  # until all of the object is there
    store.write_probabilities((), *everything, RULE.keep(probabilities, mask))
    store.write(RAW, (), *everything, mask)
    finish_labels(store, 20, ignore_progress, CancelToken(), objects=objects, classes=classes)
    done = store.finish(out)
    assert PROBABILITIES not in done.group
    assert RAW not in done.group
    numbers, of_class = wanted(probabilities)
    found = np.asarray(done.array(0))
    said = done.read_numbered()
    if not objects:
        np.testing.assert_array_equal(found, of_class)
        assert said is None
        return
    assert said is not None
    assert said.names == classes
    np.testing.assert_array_equal(said.classes[found], of_class)
    tied = int(found[70, 70])
    assert said.ties == (tied,)
    pairs = np.unique(np.stack([found.ravel(), numbers.ravel()]), axis=1)
    assert pairs.shape[1] == 4  # one to one, background included


def test_an_image_without_an_object_has_an_empty_table(tmp_path: Path) -> None:
    out = tmp_path / "a.ome.zarr"
    store = LabelStore.create(
        unfinished(out), LabelShape((), (40, 40), (32, 32), "uint32"), "a", (), {}, raw=True, probabilities=2
    )
    store.write(RAW, (), slice(0, 40), slice(0, 40), np.zeros((40, 40), np.uint8))
    finish_labels(store, 20, ignore_progress, CancelToken(), objects=True, classes=("one", "two"))
    said = store.finish(out).read_numbered()
    assert said is not None
    assert said.classes.tolist() == [0]
    assert said.ties == ()
