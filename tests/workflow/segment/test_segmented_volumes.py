"""What segmenting writes of volumes: one file each, with the size of voxels, and objects in 3D."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.volumes.voxel_size import read_voxel_size
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.workflow.segment.segment_task import SegmentTask
from support.errors import raises_code
from support.volume_models import thresholding

if TYPE_CHECKING:
    from pathlib import Path


def write_stack(file: Path) -> np.ndarray:
    """Two rods through slices; one of them is interrupted."""
    bright = np.zeros((6, 8, 10), bool)
    bright[:, 1:3, 1:4] = True
    bright[[0, 1, 4, 5], 5:7, 6:9] = True
    tifffile.imwrite(
        file, np.where(bright, 200, 0).astype(np.uint8), imagej=True, resolution=(4.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 0.75, "unit": "um"},
    )  # fmt: skip
    return bright


@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_a_volume_becomes_one_file_with_the_size_of_its_voxels(tmp_path: Path, dimensions: str) -> None:
    bright = write_stack(tmp_path / "em.tif")
    model = thresholding(tmp_path / "model", dimensions)
    task = SegmentTask((tmp_path / "em.tif",), model, tmp_path / "out")
    (written,) = task.run(ignore_progress, CancelToken())
    assert written.name == "em.ome.tif"
    with tifffile.TiffFile(written) as tiff:
        assert tiff.series[0].axes == "ZYX"
    np.testing.assert_array_equal(tifffile.imread(written) > 0, bright)
    voxel = read_voxel_size(written)
    assert (voxel.z, voxel.pixel.y, voxel.pixel.x) == pytest.approx((0.75, 0.25, 0.25))


@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_objects_are_found_in_three_dimensions(tmp_path: Path, dimensions: str) -> None:
    bright = write_stack(tmp_path / "em.tif")
    model = thresholding(tmp_path / "model", dimensions)
    task = SegmentTask((tmp_path / "em.tif",), model, tmp_path / "out", objects=True)
    (written,) = task.run(ignore_progress, CancelToken())
    found = tifffile.imread(written)
    np.testing.assert_array_equal(found > 0, bright)
    assert found.max() == 3
    with (tmp_path / "out" / "em.objects.csv").open() as file:
        table = list(csv.DictReader(file))
    assert sorted(int(row["volume_voxels"]) for row in table) == [12, 12, 36]
    assert {row["unit"] for row in table} == {"µm"}
    assert sum(float(row["volume"]) for row in table) == pytest.approx(60 * 0.75 * 0.25 * 0.25)
    assert len(np.unique(found[:, 1, 1])) == 1
    assert len(set(found[[0, 1, 4, 5], 5, 6])) == 2


def test_numbered_files_become_one_volume(tmp_path: Path) -> None:
    bright = write_stack(tmp_path / "em.tif")
    folder = tmp_path / "slices"
    folder.mkdir()
    for z, image in enumerate(tifffile.imread(tmp_path / "em.tif")):
        tifffile.imwrite(folder / f"s{z + 7}.tif", image)
    task = SegmentTask((folder,), thresholding(tmp_path / "model", "3d"), tmp_path / "out")
    (written,) = task.run(ignore_progress, CancelToken())
    assert written.name == "s.ome.tif"
    np.testing.assert_array_equal(tifffile.imread(written) > 0, bright)


def test_an_image_that_is_no_slice_has_a_file_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(tmp_path / "alone.tif", np.full((8, 8), 200, np.uint8))
    model = thresholding(tmp_path / "model", "3d")
    (written,) = SegmentTask((tmp_path / "alone.tif",), model, tmp_path / "out").run(
        ignore_progress, CancelToken()
    )
    assert written.name == "alone.png"
    (note,) = [message for message in caplog.messages if "neighbours" in message]
    assert note.startswith("1 image is no slice of a volume")
    assert "neighbours: alone. If" in note


def test_a_damaged_stack_is_not_called_an_image_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_stack(tmp_path / "em.tif")
    content = (tmp_path / "em.tif").read_bytes()
    (tmp_path / "em.tif").write_bytes(content[: len(content) // 2])
    model = thresholding(tmp_path / "model", "3d")
    with raises_code("data.images.unusable", "em.tif"):
        SegmentTask((tmp_path,), model, tmp_path / "out").run(ignore_progress, CancelToken())
    assert "neighbours" not in caplog.text
