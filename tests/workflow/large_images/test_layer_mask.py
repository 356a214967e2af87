"""The mask of a large image from its probabilities on disk: as by the network, counted, of any threshold."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_unet.engine.inline import run_inline
from napari_unet.export.label_store import SEPARATION, LabelStore
from napari_unet.inference.objects import find_objects
from napari_unet.inference.postprocess import (
    connected_objects,
    find_specks,
    mask_from_probabilities,
    remove_small,
)
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.settings import InferenceSettings
from napari_unet.workflow.export.whole_mask import number_whole, read_whole_mask
from napari_unet.workflow.large_images import finish
from napari_unet.workflow.large_images.layers import layer_mask
from napari_unet.workflow.large_images.layers.layer_mask import (
    OBJECTS_BY,
    CountObjectsTask,
    LayerObjects,
    MaskRule,
    finish_layer,
)
from napari_unet.workflow.large_images.layers.measure_mask import MeasureMaskTask
from support.errors import raises_code
from support.large_masks import halved, levels_of, write_large_mask

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.inference.postprocess import Activation
    from napari_unet.settings import Separation

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


def test_specks_are_dropped_on_disk_and_come_back(smooth: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_large_mask(path, smooth, chunk=32)
    noise = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal(SHAPE), 5)
    depth = (0.5 + 6 * noise).clip(0, 1).astype(np.float16)
    store = LabelStore.open(path)
    store.scratch(SEPARATION, "float16", 1)
    store.write_channels(SEPARATION, (), slice(0, SHAPE[0]), slice(0, SHAPE[1]), depth[None])
    every = (np.rint(smooth[..., 0] * 255) / 255 > 0.6).astype(np.uint8)
    specks = find_specks(every, depth.astype(np.float32), 0.7)
    assert 0.01 < specks.mean() < every.mean() / 2
    for least, expected in ((0.7, np.where(specks, 0, every)), (0.0, every)):
        rule = MaskRule(0.6, 0, "sigmoid", least_depth=least)
        count = finish_layer(store, rule, True, ignore_progress, CancelToken())
        np.testing.assert_array_equal(levels_of(path)[0], expected)
        assert count == connected_objects(expected).max()


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


@pytest.mark.parametrize("way", ["distance", "border", "probability", "shape", "agglomerate"])
def test_objects_that_touch_are_counted_and_measured_as_in_memory(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("told_apart", "numbering"):
        monkeypatch.setattr(f"napari_unet.workflow.large_images.{module}.PART", 64)
    noise = np.random.default_rng(4).standard_normal((3, 150, 170))
    inside, other, depth = (ndimage.gaussian_filter(one, 4) for one in noise)
    probabilities = np.stack([0.5 + 6 * inside, 0.5 + 6 * other - 0.1], axis=-1).clip(0, 1)
    probabilities = (np.rint(255 * probabilities) / 255).astype(np.float32)  # as they are stored
    separation = (0.5 + 6 * depth).clip(0, 1).astype(np.float16)
    path = tmp_path / "m.zarr"
    mask = write_large_mask(path, probabilities, classes=("a", "b"))
    store = LabelStore.open(path)
    store.scratch(SEPARATION, "float16", 1)
    whole = slice(0, 150), slice(0, 170)
    store.write_channels(SEPARATION, (), *whole, separation[None])
    how = "learned" if way in ("distance", "border") else way
    kind: Separation = way if how == "learned" else "none"  # type: ignore[assignment]
    told_apart = LayerObjects(how, kind, 0.5, 2)
    store.set_state({**store.state, OBJECTS_BY: asdict(told_apart)})
    # Somebody paints a bar over several objects, and a corner that nobody knows.
    mask[70:80, 20:150] = 1
    mask[:30, :30] = 255
    store.write(0, (), *whole, mask)
    settings = InferenceSettings(objects=how)
    known = np.where(mask == 255, 0, mask).astype(np.uint8)
    apart = separation.astype(np.float32) if how == "learned" else None
    expected = find_objects(known, settings, probabilities, apart, kind)
    assert expected.max() > connected_objects(known).max() + 5
    assert run_inline(CountObjectsTask(path)) == expected.max()
    found = run_inline(MeasureMaskTask(path))
    areas = np.bincount(expected.ravel())[1:]
    assert sorted(found.table.columns["area_px"].astype(int).tolist()) == sorted(areas.tolist())
    row, column = found.pixels.T
    np.testing.assert_array_equal(areas[expected[row, column] - 1], found.table.columns["area_px"])
