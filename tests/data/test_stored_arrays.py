"""Images that are arrays: OME-Zarr and HDF5, alone and with masks, by the names and axes of their files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.data.catalog import open_dataset, open_images
from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.data.volumes.blocks_of_slices import as_volumes
from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import place_of
from napari_unet.progress import CancelToken, ignore_progress
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (5, 20, 24)


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, SHAPE, np.uint8)


def mask() -> np.ndarray:
    """Slice 1 is known in half, slice 3 not at all."""
    found = (values(1) > 128).astype(np.uint8)
    found[0, 0, :2] = [0, 1]
    found[1, :10] = 255
    found[3] = 255
    return found


def write_zarr(path: Path, array: np.ndarray) -> zarr.Group:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", shape=array.shape, dtype=array.dtype, chunks=(2, 16, 16))[...] = array
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    found = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [found]}
    return group


def write_ilastik(path: Path, array: np.ndarray, name: str = "exported_data") -> None:
    """As ilastik writes it: five axes, whose names are JSON."""
    with h5py.File(path, "w") as file:
        found = file.create_dataset(name, data=array[None, ..., None], chunks=(1, 2, 16, 16, 1))
        found.attrs["axistags"] = json.dumps({"axes": [{"key": key, "typeFlags": 2} for key in "tzyxc"]})
        found.attrs["element_size_um"] = [2.0, 0.5, 0.5]


def write_set(folder: Path, kind: str) -> Path:
    if kind == "one file":
        path = folder / "em.h5"
        with h5py.File(path, "w") as file:
            for name, array in (("raw", values()), ("label", mask())):
                file[name] = array
                file[name].attrs["element_size_um"] = [2.0, 0.5, 0.5]
        return path
    if kind == "labels":
        path = folder / "em.ome.zarr"
        write_zarr(path, values())
        write_zarr(path / "labels" / "cells", mask())
        return path
    for name in ("images", "masks"):
        (folder / name).mkdir()
        array = values() if name == "images" else mask()
        if kind == "zarr":
            write_zarr(folder / name / "em.ome.zarr", array)
        else:
            write_ilastik(folder / name / "em.h5", array)
    return folder


@pytest.mark.parametrize("kind", ["zarr", "hdf5", "one file", "labels"])
def test_pairs_are_found_and_read(tmp_path: Path, kind: str) -> None:
    path = write_set(tmp_path, kind)
    dataset = open_dataset(path)
    assert [sample.id for sample in dataset.samples] == [f"em_{n:03d}" for n in range(5)]
    assert not [problem for problem in dataset.problems if problem.kind == "left out"]
    for z, sample in enumerate(dataset.samples):
        np.testing.assert_array_equal(sample.read_image()[..., 0], values()[z])
        place = place_of(sample)
        assert place is not None
        assert (place.volume, place.z, len(place.slices)) == ("em", z, 5)
    half = dataset.samples[1].read_mask()
    assert half.weights is not None
    assert not half.weights[:10].any()
    assert half.weights[10:].all()
    np.testing.assert_array_equal(half.labels[10:], mask()[1, 10:])
    voxel = voxel_size_of(dataset.samples)
    assert voxel is not None
    assert voxel.text == "2 x 0.5 x 0.5 µm"
    found = inspect_dataset(dataset, ignore_progress, CancelToken())
    assert [fact.words for fact in found.volumes] == [
        "em: 5 slices, 4 annotated; voxels of 2 x 0.5 x 0.5 µm, 4 times as thick as wide"
    ]
    (block,) = as_volumes(dataset).samples
    np.testing.assert_array_equal(block.read_image()[..., 0], values())
    assert open_dataset(dataset.path).name == dataset.name


@pytest.mark.parametrize("kind", ["zarr", "hdf5"])
def test_single_arrays_are_opened_as_images(tmp_path: Path, kind: str) -> None:
    write_set(tmp_path, kind)
    (file,) = (tmp_path / "images").iterdir()
    samples = open_images([file])
    assert len(samples) == 5
    np.testing.assert_array_equal(samples[4].read_image()[..., 0], values()[4])
    stack = open_lazy(file)
    assert stack.shape == (20, 24, 1)
    assert stack.slice_distance == 2.0


def test_an_array_is_chosen_by_its_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "em.h5", "w") as file:
        file["first/raw"], file["second/raw"] = values(), values(2)
    samples = open_images([tmp_path / "em.h5:/second/raw"])
    np.testing.assert_array_equal(samples[0].read_image()[..., 0], values(2)[0])
    assert samples[0].image_name == "em.h5:/second/raw[0]"
    with raises_code("data.file.choice", "em.h5:/first/raw"):
        open_lazy(tmp_path / "em.h5")
    with raises_code("data.file.choice", "third"):
        open_images([tmp_path / "em.h5:/third"])


def test_a_damaged_file_is_called_damaged_and_an_empty_one_empty(tmp_path: Path) -> None:
    (tmp_path / "damaged.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    h5py.File(tmp_path / "empty.h5", "w").close()
    with raises_code("data.file.unreadable", "damaged.h5"):
        open_lazy(tmp_path / "damaged.h5")
    with raises_code("data.file.choice", "empty.h5 holds no image"):
        open_lazy(tmp_path / "empty.h5")


def test_axes_that_no_file_names_are_said_by_a_person(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "em.h5", "w") as file:
        file["raw"] = np.moveaxis(values(), 0, 2)
    with reading_images(ImageReading(axes="YXZ")):
        samples = open_images([tmp_path / "em.h5"])
        np.testing.assert_array_equal(samples[3].read_image()[..., 0], values()[3])


def test_weights_of_networks_are_no_images(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values()[0])
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file["layers/conv/vars/0"] = np.zeros((3, 3, 64, 64))
    assert [sample.id for sample in open_images([tmp_path])] == ["a"]


def test_a_file_cannot_pretend_to_be_a_reference(tmp_path: Path) -> None:
    write_zarr(tmp_path / "em.ome.zarr", values())
    (tmp_path / "other").mkdir()
    content = json.dumps([str(tmp_path), "em.ome.zarr"])
    (tmp_path / "other" / "b.png").write_bytes(b"\0array " + content.encode())
    (sample,) = open_images([tmp_path / "other"])
    with raises_code("data.image.unreadable", "b.png"):
        sample.read_image()
