"""The mask of a large image from its probabilities on disk: as by the network, counted, of any threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.export.label_store import LabelStore
from napari_unet.inference.postprocess import mask_from_probabilities, remove_small
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.workflow.export.whole_mask import number_whole, read_whole_mask
from napari_unet.workflow.large_images import finish, layer_mask
from napari_unet.workflow.large_images.layer_mask import CountObjectsTask, MaskRule, finish_layer
from support.errors import raises_code
from support.large_masks import halved, levels_of, write_large_mask

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.inference.postprocess import Activation

SHAPE = (310, 420)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects cross the borders of parts."""
    monkeypatch.setattr(finish, "PART", 64)
    monkeypatch.setattr(layer_mask, "PART", 64)
    monkeypatch.setattr("napari_unet.workflow.export.whole_mask.PART", 64)


@pytest.fixture
def smooth() -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), 5)
    return (1 / (1 + np.exp(-40 * noise))).astype(np.float32)[..., None]


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("classes", [1, 3])
def test_probabilities_of_8_bits_make_the_same_mask(classes: int, activation: Activation) -> None:
    chance = np.random.default_rng(classes)
    values = chance.dirichlet(np.ones(classes + 1), (60, 50))[..., :classes].astype(np.float32)
    values[:10] = np.float32(0.5) + chance.normal(0, 1e-4, (10, 50, classes)).astype(np.float32) / classes
    rule = MaskRule(0.5, 0, activation)
    mask = mask_from_probabilities(values, 0.5, activation=activation)
    kept = rule.keep(values, mask)
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(rule.mask(kept), mask)
    # Only those beside the threshold were moved, by no more than their rounding.
    assert np.abs(np.moveaxis(kept, 0, -1) / 255 - values).max() < 3 / 255


def test_another_threshold_and_size_are_made_on_disk_and_counted(smooth: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_large_mask(path, smooth, chunk=32)
    rule = MaskRule(0.7, 40, "sigmoid")
    store = LabelStore.open(path)
    count = finish_layer(store, rule, True, ignore_progress, CancelToken())
    rounded = np.rint(smooth[..., 0] * 255) / 255
    expected = remove_small((rounded > 0.7).astype(np.uint8), 40)
    found = levels_of(path)
    np.testing.assert_array_equal(found[0], expected)
    for level, wanted in zip(found, halved(expected, len(found)), strict=True):
        np.testing.assert_array_equal(level, wanted)
    assert count == ndimage.label(expected, np.ones((3, 3)))[1]
    assert count > 5
    assert CountObjectsTask(path).run(ignore_progress, CancelToken()) == count


def test_all_of_a_mask_is_read_and_its_objects_numbered(smooth: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    mask = write_large_mask(path, smooth, chunk=32)
    np.testing.assert_array_equal(read_whole_mask(path, "a"), mask)
    objects = number_whole(mask, "a")
    wanted, count = ndimage.label(mask, np.ones((3, 3)))
    assert objects.max() == count
    pairs = np.unique(np.stack([objects.ravel(), wanted.ravel()]), axis=1)
    assert pairs.shape[1] == count + 1  # one to one


def test_a_part_is_not_exported_as_if_it_was_all(smooth: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_large_mask(path, smooth, chunk=32, share=0.07)
    with raises_code("data.mask.part", "7 %"):
        read_whole_mask(path, "a")
    with raises_code("data.store.missing"):
        read_whole_mask(tmp_path / "b.ome.zarr", "b")


def test_objects_of_very_large_masks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.workflow.export.whole_mask.MOST_PIXELS", 99)
    with raises_code("output.mask.large"):
        number_whole(np.zeros((10, 10), np.uint8), "a")
