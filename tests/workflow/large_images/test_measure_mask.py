"""Objects of a mask on disk, measured strip by strip, are those of the mask in memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.engine.inline import run_inline
from napari_unet.engine.task import FromCaller
from napari_unet.errors import Cancelled
from napari_unet.export.label_store import LabelStore
from napari_unet.inference.postprocess import connected_objects
from napari_unet.metrics.object_measures import measure_objects
from napari_unet.progress import CancelToken, Progress, ignore_progress
from napari_unet.workflow.inputs.image_reference import CallReference
from napari_unet.workflow.large_images.layers import measure_mask
from napari_unet.workflow.large_images.layers.measure_mask import MeasuredMask, MeasureMaskTask
from support.errors import raises_code
from support.large_masks import write_large_mask

if TYPE_CHECKING:
    from pathlib import Path

SIZE = PixelSize(0.5, 0.25, "µm")


def blobs(seed: int = 0, shape: tuple[int, int] = (150, 130)) -> np.ndarray:
    """(Y, X, 2) float32: two classes of blobs that touch borders, strips and each other."""
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal((*shape, 2))
    smooth = np.stack([ndimage.gaussian_filter(noise[..., c], 3) for c in range(2)], axis=-1)
    return np.asarray(1 / (1 + np.exp(-30 * smooth)), np.float32)


def picture(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4096, (*shape, 3)).astype(np.uint16)


def by_region(image: np.ndarray) -> CallReference:
    """An image that nobody reads whole."""

    def whole() -> np.ndarray:
        raise AssertionError("the image is read by region")

    return CallReference("a", FromCaller(whole), None, FromCaller(lambda rows, columns: image[rows, columns]))


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_strips_of_any_height_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(measure_mask, "LEAST", rows)
    monkeypatch.setattr(measure_mask, "MOST", rows)
    said = blobs()
    mask = write_large_mask(tmp_path / "m.zarr", said, classes=("one", "two"))
    image = picture(mask.shape)
    found = run_inline(MeasureMaskTask(tmp_path / "m.zarr", by_region(image), SIZE))
    assert isinstance(found, MeasuredMask)
    objects = connected_objects(mask)
    kept = np.moveaxis(np.asarray(LabelStore.open(tmp_path / "m.zarr").array("probabilities")), 0, -1) / 255
    wanted = measure_objects(objects, mask, image, kept, (0.5, 0.25), "µm")
    assert len(found.table) == len(wanted) > 20
    assert (found.table.unit, found.table.channels) == ("µm", 3)
    # Numbers follow another order, so that objects are found again by the pixel that is told of each.
    row = np.array([wanted.row_of(int(objects[y, x])) for y, x in found.pixels])
    assert sorted(row) == list(range(len(wanted)))
    for name, values in wanted.columns.items():
        if name != "object":
            assert found.table.columns[name] == pytest.approx(values[row], rel=1e-6), name


def test_painting_counts_and_unknown_is_background(tmp_path: Path) -> None:
    said = np.zeros((40, 40, 1), np.float32)
    said[5:15, 5:15] = 0.9
    write_large_mask(tmp_path / "m.zarr", said)
    store = LabelStore.open(tmp_path / "m.zarr")
    store.write(0, (), slice(20, 24), slice(20, 26), np.full((4, 6), 1, np.uint8))
    store.write(0, (), slice(30, 34), slice(0, 6), np.full((4, 6), 255, np.uint8))
    found = run_inline(MeasureMaskTask(tmp_path / "m.zarr"))
    assert found.table.columns["area_px"].tolist() == [100, 24]
    assert found.table.columns["confidence"] == pytest.approx([0.9, 0], abs=0.005)
    assert "area" not in found.table.columns
    assert "intensity_mean" not in found.table.columns


def test_no_objects_and_no_mask(tmp_path: Path) -> None:
    write_large_mask(tmp_path / "m.zarr", np.zeros((20, 30, 1), np.float32))
    found = run_inline(MeasureMaskTask(tmp_path / "m.zarr", None, SIZE))
    assert len(found.table) == 0
    assert found.pixels.shape == (0, 2)
    with raises_code("data.store.missing"):
        run_inline(MeasureMaskTask(tmp_path / "gone.zarr"))


def test_it_tells_how_far_it_is_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_mask, "LEAST", 10)
    monkeypatch.setattr(measure_mask, "MOST", 10)
    write_large_mask(tmp_path / "m.zarr", blobs(2, (60, 40)))
    told: list[Progress] = []
    run_inline(MeasureMaskTask(tmp_path / "m.zarr"), told.append)
    assert [(p.done, p.total) for p in told] == [(n, 24) for n in range(1, 25)]
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        MeasureMaskTask(tmp_path / "m.zarr").run(ignore_progress, token)


def test_memory_holds_strips_and_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_mask, "STRIP", 2**16)
    said = np.zeros((2048, 1024, 1), np.float32)
    said[::64, ::64] = 0.9  # 512 objects of a pixel
    write_large_mask(tmp_path / "m.zarr", said, chunk=512)
    image = np.zeros((2048, 1024, 3), np.uint16)
    task = MeasureMaskTask(tmp_path / "m.zarr", by_region(image))
    run_inline(task)  # what is imported and compiled stays
    tracemalloc.start()
    try:
        found = run_inline(task)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.table) == 512
    assert most < 0.75 * image.nbytes  # 12.6 MB; objects alone would be 8.4 MB, and the mask 2.1
