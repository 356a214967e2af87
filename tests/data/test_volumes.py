"""Volumes: which images are slices of one, what they are with their neighbours, and how they are split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_dataset, open_images
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.files.stack_axes import mirrored
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.data.masks.mask_reading import MaskReading, reading_masks
from napari_unet.data.volumes.blocks_of_slices import as_volumes
from napari_unet.data.volumes.neighbours import with_neighbours
from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import place_of, runs_of_slices
from napari_unet.data.volumes.volume_split import make_volume_split
from napari_unet.data.volumes.voxel_size import VoxelSize, parse_voxel_size, read_voxel_size
from napari_unet.errors import DataError
from napari_unet.progress import CancelToken, ignore_progress
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.dataset import Dataset

VOXEL = {"axes": "ZYX", "spacing": 5.0, "unit": "um"}


def write_pair(
    folder: Path, slices: int = 12, name: str = "em", axes: str = "ZYX", masks: np.ndarray | None = None
) -> Path:
    """A stack whose slice z is z everywhere, with masks that number one object through all slices."""
    stack = np.broadcast_to(np.arange(slices, dtype=np.uint8)[:, None, None], (slices, 6, 8)).copy()
    if masks is None:
        masks = np.zeros((slices, 6, 8), np.uint16)
        masks[:, 1:4, 2:5] = 7
        masks[:, 5, 6] = 9
    for kind, array in (("images", stack), ("masks", masks)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        metadata = {**VOXEL, "axes": axes} if axes == "ZYX" else {"axes": axes}
        file = folder / kind / f"{name}.tif"
        tifffile.imwrite(file, array, imagej=True, metadata=metadata, resolution=(1.0, 1.0))
    return folder


def split_of(dataset: Dataset, share: float = 0.2) -> dict[str, list[int]]:
    split = make_volume_split(
        dataset, validation=share, held_out=share, seed=0, coverage=None,
        on_progress=ignore_progress, cancel=CancelToken(),
    )  # fmt: skip
    z = {sample.id: place_of(sample).z for sample in dataset.samples}
    return {part: [z[i] for i in getattr(split, part)] for part in ("train", "validation", "held_out")}


def test_an_axis_z_makes_pages_slices(tmp_path: Path) -> None:
    dataset = open_dataset(write_pair(tmp_path))
    place = place_of(dataset.samples[3])
    assert (place.volume, place.z, sorted(place.slices)) == ("em", 3, list(range(12)))
    assert place.slices[5]().max() == 5


def test_time_points_are_no_slices_unless_a_person_says_so(tmp_path: Path) -> None:
    folder = write_pair(tmp_path, axes="TYX")
    assert place_of(open_dataset(folder).samples[0]) is None
    with raises_code("data.volume.slices"):
        as_volumes(open_dataset(folder))
    with reading_images(ImageReading("ZYX")):
        assert place_of(open_dataset(folder).samples[3]).z == 3


def test_each_time_point_of_a_hyperstack_is_a_volume(tmp_path: Path) -> None:
    stack = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 5), np.uint8)
    tifffile.imwrite(tmp_path / "h.tif", stack.reshape(2, 3, 4, 5), imagej=True, metadata={"axes": "TZYX"})
    samples = open_images([tmp_path / "h.tif"])
    assert [place_of(s).z for s in samples] == [0, 1, 2, 0, 1, 2]
    assert [place_of(s).volume for s in samples] == ["h_0"] * 3 + ["h_1"] * 3
    assert place_of(samples[4]).slices[2]().max() == 5
    assert [len(run) for run in runs_of_slices(samples)] == [3, 3]


def test_numbers_of_files_are_slices_in_their_order(tmp_path: Path) -> None:
    for number in (2, 9, 10, 11):
        tifffile.imwrite(tmp_path / f"cut{number}.tif", np.full((4, 5), number, np.uint8))
    samples = open_images([tmp_path])
    assert [place_of(s).z for s in samples] == [2, 9, 10, 11]
    assert [[s.id for s in run] for run in runs_of_slices(samples)] == [["cut2"], ["cut9", "cut10", "cut11"]]
    assert place_of(samples[0]).volume == "cut"


def test_neighbours_are_channels_and_the_volume_is_mirrored_at_its_ends(tmp_path: Path) -> None:
    samples = open_dataset(write_pair(tmp_path)).samples
    channels = [list(with_neighbours(samples[z], 5).read_image()[0, 0]) for z in (0, 1, 6, 11)]
    assert channels == [[2, 1, 0, 1, 2], [1, 0, 1, 2, 3], [4, 5, 6, 7, 8], [9, 10, 11, 10, 9]]


def test_the_volume_is_mirrored_at_a_damaged_slice(tmp_path: Path) -> None:
    for number in range(5):
        tifffile.imwrite(tmp_path / f"cut{number}.tif", np.full((4, 5), number, np.uint8))
    (tmp_path / "cut3.tif").write_bytes(b"II*\0 and no more")
    samples = open_images([tmp_path])
    seen = {s.id: list(with_neighbours(s, 3).read_image()[0, 0]) for s in samples if s.id != "cut3"}
    assert seen == {"cut0": [1, 0, 1], "cut1": [0, 1, 2], "cut2": [1, 2, 1], "cut4": [4, 4, 4]}
    with pytest.raises(DataError):
        with_neighbours(next(s for s in samples if s.id == "cut3"), 3).read_image()


def test_an_image_that_is_no_slice_is_its_own_neighbour(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", np.full((4, 5), 3, np.uint8))
    (sample,) = open_images([tmp_path / "one.tif"])
    assert list(with_neighbours(sample, 3).read_image()[0, 0]) == [3, 3, 3]


def test_mirrored_places() -> None:
    assert mirrored(0, 3, 2) == [1, 0, 1, 0, 1, 0, 1]
    assert mirrored(4, 2, 5) == [2, 3, 4, 3, 2]


def test_slices_become_a_volume_with_one_numbering_of_objects(tmp_path: Path) -> None:
    with reading_masks(MaskReading(masks_are="objects")):
        volumes = as_volumes(open_dataset(write_pair(tmp_path)))
    (volume,) = volumes.samples
    image, mask = volumes.image(volume), volumes.mask(volume)
    assert volume.id == "images/em.tif[z0-11]"
    assert image.shape == (12, 6, 8, 1)
    assert list(image[:, 0, 0, 0]) == list(range(12))
    assert mask.labels.sum() == 12 * 10  # nine pixels of the object 7 and one of 9 in every slice
    assert sorted(np.unique(mask.objects)) == [0, 7, 9]
    assert mask.weights is None


def test_slices_without_a_mask_weigh_nothing_and_those_of_other_parts_are_not_seen(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", np.full((4, 5), number, np.uint8))
    (tmp_path / "masks").mkdir()
    for number in (1, 4, 7):
        tifffile.imwrite(tmp_path / "masks" / f"{number}.tif", np.full((4, 5), number % 2, np.uint8))
    dataset = open_dataset(tmp_path)
    (volume,) = as_volumes(dataset).samples
    assert list(volume.read_image()[:, 0, 0, 0]) == [1, 2, 3, 4, 5, 6, 7]
    assert list(volume.read_mask().weights[:, 0, 0]) == [1, 0, 0, 1, 0, 0, 1]
    held_out = {(place_of(s).file, place_of(s).z) for s in dataset.samples if s.id == "4"}
    blocks = as_volumes(dataset.subset(["1", "7"]), held_out).samples
    assert [len(block.read_image()) for block in blocks] == [1, 1]


def test_one_volume_is_cut_along_z_with_a_gap(tmp_path: Path) -> None:
    """Slices are five times as thick as wide: a gap of one slice, where it would be four of cubic voxels."""
    assert split_of(open_dataset(write_pair(tmp_path, 20))) == {
        "train": list(range(10)),
        "validation": [11, 12, 13, 14],
        "held_out": [16, 17, 18, 19],
    }


def test_a_volume_too_small_to_be_cut_trains_whole(tmp_path: Path) -> None:
    assert split_of(open_dataset(write_pair(tmp_path, 2)))["train"] == [0, 1]


def test_several_volumes_go_whole_to_one_part(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_pair(tmp_path, 4, name)
    found = split_of(open_dataset(tmp_path))
    assert {part: len(slices) for part, slices in found.items()} == {
        "train": 8, "validation": 4, "held_out": 4,
    }  # fmt: skip
    assert found["held_out"] == [0, 1, 2, 3]


def test_the_size_of_a_voxel_by_metadata(tmp_path: Path) -> None:
    dataset = open_dataset(write_pair(tmp_path))
    voxel = voxel_size_of(dataset.samples)
    assert voxel.text == "5 x 1 x 1 µm"
    assert voxel.anisotropy == pytest.approx(5)
    ome = tmp_path / "one.ome.tif"
    sizes = {
        "PhysicalSizeX": 4.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 4.0, "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 0.03, "PhysicalSizeZUnit": "µm",
    }  # fmt: skip
    stack, grey = np.zeros((6, 4, 5), np.uint8), "minisblack"
    tifffile.imwrite(ome, stack, photometric=grey, metadata={"axes": "ZYX", **sizes})
    assert read_voxel_size(ome).anisotropy == pytest.approx(7.5)
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, stack, photometric=grey)
    assert read_voxel_size(plain) is None


def test_the_size_of_a_voxel_by_hand() -> None:
    assert parse_voxel_size("50x4.6x4.6nm").text == "50 x 4.6 x 4.6 nm"
    assert isinstance(parse_voxel_size("0.5 x 0.1 x 0.1 um"), VoxelSize)
    for text in ("50nm", "50x4x4", "a x b x c nm"):
        with raises_code("settings.voxel.malformed"):
            parse_voxel_size(text)
    with raises_code("settings.voxel.range"):
        parse_voxel_size("0x1x1nm")


def test_inspecting_tells_slices_voxels_and_what_is_annotated(tmp_path: Path) -> None:
    masks = np.zeros((12, 6, 8), np.uint8)
    masks[:, 1:4, 2:5] = 1
    masks[3:] = 255  # unknown
    found = inspect_dataset(open_dataset(write_pair(tmp_path, masks=masks)))
    assert found.to_json()["volumes"] == [
        {"name": "em", "slices": 12, "annotated": 3, "voxel_size": "5 x 1 x 1 µm", "anisotropy": 5.0}
    ]
    assert "em: 12 slices, 3 annotated; voxels of 5 x 1 x 1 µm, 5 times as thick as wide" in found.summary()


def test_time_points_and_numbered_files_are_no_volumes_of_an_inspection(tmp_path: Path) -> None:
    assert inspect_dataset(open_dataset(write_pair(tmp_path / "a", axes="TYX"))).volumes == []
    for kind in ("images", "masks"):
        (tmp_path / "b" / kind).mkdir(parents=True)
        for number in range(3):
            tifffile.imwrite(tmp_path / "b" / kind / f"{number}.tif", np.eye(5, dtype=np.uint8) * number)
    assert inspect_dataset(open_dataset(tmp_path / "b")).volumes == []
