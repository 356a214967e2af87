"""Layers saved by File > Save in the formats of exports, read back as their users read them."""

from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_unet.data.files.pixel_size import PixelSize, read_pixel_size
from napari_unet.data.sample import Sample
from napari_unet.export.formats import FORMATS
from napari_unet.plugin import export_writer, writer
from napari_unet.session.images.layer_metadata import MASK_KEY, ShownMask
from support import reading
from support.errors import raises_code

OBJECTS = np.array(
    [
        [1, 1, 1, 1, 0, 0, 7, 7],
        [1, 0, 1, 1, 0, 0, 7, 7],  # a hole
        [1, 1, 1, 1, 3, 3, 0, 0],  # objects that touch
        [0, 0, 0, 0, 3, 0, 0, 9],  # at the border
    ],
    np.int32,
)
RANKS = np.searchsorted([0, 1, 3, 7, 9], OBJECTS)
SUFFIXES = {
    "ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr", "geojson": ".geojson", "coco": ".json",
    "imagej-roi": ".zip", "measurements": ".objects.csv",
}  # fmt: skip
WRITERS: dict[str, Any] = {
    "ome-tiff": export_writer.write_ome_tiff, "ome-zarr": export_writer.write_ome_zarr,
    "geojson": export_writer.write_geojson, "coco": export_writer.write_coco,
    "imagej-roi": export_writer.write_imagej_rois, "measurements": export_writer.write_measurements,
}  # fmt: skip


def labels_layer(data: Any, **more: Any) -> Any:
    from napari.layers import Labels

    more = {"name": "cells", "scale": (0.5, 0.25), "units": ("um", "um"), **more}
    return Labels(data, **more)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["ome-tiff", "ome-zarr", "geojson", "coco", "imagej-roi"])
def test_objects_of_a_layer_come_back(plugin_manager: Any, tmp_path: Path, name: str) -> None:
    from npe2 import io_utils

    path = tmp_path / f"out{SUFFIXES[name]}"
    written = io_utils._write(str(path), [labels_layer(OBJECTS)], _pm=plugin_manager)
    assert written == [str(path)]
    found = reading.READERS[name](path, OBJECTS.shape)
    np.testing.assert_array_equal(found, OBJECTS if FORMATS[name].numbered else RANKS)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_table_of_objects(plugin_manager: Any, tmp_path: Path) -> None:
    from npe2 import io_utils

    path = tmp_path / "out.objects.csv"
    assert io_utils._write(str(path), [labels_layer(OBJECTS)], _pm=plugin_manager) == [str(path)]
    rows = rows_of(path)
    assert [row["object"] for row in rows] == ["1", "3", "7", "9"]
    assert [row["area_px"] for row in rows] == ["11", "3", "4", "1"]
    assert [row["area"] for row in rows] == ["1.375", "0.375", "0.5", "0.125"]
    assert {(row["image"], row["unit"], row["class"]) for row in rows} == {("cells", "µm", "object")}
    # The plain suffix stays that of run lengths where nobody chose.
    plain = tmp_path / "out.csv"
    io_utils._write(str(plain), [labels_layer(OBJECTS)], _pm=plugin_manager)
    assert plain.read_text().startswith("id,rle_mask")


def test_scale_and_units_travel(tmp_path: Path) -> None:
    layer = labels_layer(OBJECTS, scale=(0.5, 250), units=("um", "nm")).as_layer_data_tuple()
    (tiff,) = export_writer.write_ome_tiff(str(tmp_path / "a.ome.tif"), *layer[:2])
    assert read_pixel_size(Path(tiff)) == PixelSize(0.5, 0.25, "µm")
    (zarr,) = export_writer.write_ome_zarr(str(tmp_path / "a.zarr"), *layer[:2])
    about = json.loads((Path(zarr) / "labels" / "masks" / "zarr.json").read_text())
    (scales,) = about["attributes"]["ome"]["multiscales"]
    assert [axis["unit"] for axis in scales["axes"]] == ["micrometer", "micrometer"]
    assert scales["datasets"][0]["coordinateTransformations"][0]["scale"] == [0.5, 0.25]
    (coco,) = export_writer.write_coco(str(tmp_path / "a.json"), *layer[:2])
    (image,) = json.loads(Path(coco).read_text())["images"]
    assert image["pixel_size"] == {"y": 0.5, "x": 0.25, "unit": "µm"}
    assert image["file_name"] == "cells"
    # A scale in pixels is no length, and none is made up.
    pixels = labels_layer(OBJECTS, scale=(3, 3), units=("pixel", "pixel")).as_layer_data_tuple()
    (tiff,) = export_writer.write_ome_tiff(str(tmp_path / "b.ome.tif"), *pixels[:2])
    assert read_pixel_size(Path(tiff)) is None


def named_classes() -> Any:
    from napari.utils import DirectLabelColormap

    colours = {None: "transparent", 0: "transparent", 1: "#102030", 2: "#FF8000"}
    features = pd.DataFrame({"index": [1, 2], "class": ["cell", "nerve"]})
    mask = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 0, 0, 0]], np.uint8)
    return labels_layer(mask, features=features, colormap=DirectLabelColormap(color_dict=colours))


def test_names_and_colours_of_classes_travel(tmp_path: Path) -> None:
    import roifile

    data, about, _ = named_classes().as_layer_data_tuple()
    (geo,) = export_writer.write_geojson(str(tmp_path / "a.geojson"), data, about)
    features = [f["properties"] for f in json.loads(Path(geo).read_text(encoding="utf-8"))["features"]]
    told = sorted((f["classification"]["name"], *f["classification"]["color"]) for f in features)
    assert told == [("cell", 16, 32, 48), ("cell", 16, 32, 48), ("nerve", 255, 128, 0)]
    (zipped,) = export_writer.write_imagej_rois(str(tmp_path / "a.zip"), data, about)
    regions = {(r.name[6:], r.group, tuple(r.stroke_color)) for r in roifile.roiread(zipped)}
    assert regions == {("cell", 1, (255, 16, 32, 48)), ("nerve", 2, (255, 255, 128, 0))}
    (coco,) = export_writer.write_coco(str(tmp_path / "a.json"), data, about)
    assert [c["name"] for c in json.loads(Path(coco).read_text())["categories"]] == ["cell", "nerve"]
    (tiff,) = export_writer.write_ome_tiff(str(tmp_path / "a.ome.tif"), data, about)
    np.testing.assert_array_equal(tifffile.imread(tiff), data)
    with tifffile.TiffFile(tiff) as file:
        assert '<M K="2">nerve</M>' in file.ome_metadata
        assert '<M K="colour 2">#FF8000</M>' in file.ome_metadata
    (zarr,) = export_writer.write_ome_zarr(str(tmp_path / "a.zarr"), data, about)
    table = json.loads((Path(zarr) / "labels" / "masks" / "zarr.json").read_text())["attributes"]["ome"]
    assert table["image-label"]["colors"][1] == {"label-value": 2, "rgba": [255, 128, 0, 255]}
    assert table["image-label"]["properties"][1] == {"label-value": 2, "class": "nerve"}


def test_numbers_whose_names_come_again_are_objects(tmp_path: Path) -> None:
    features = pd.DataFrame({"index": [0, 1, 3, 7, 9], "class": ["", "cell", "nerve", "cell", "nerve"]})
    data, about, _ = labels_layer(OBJECTS, features=features).as_layer_data_tuple()
    rows = rows_of(Path(export_writer.write_measurements(str(tmp_path / "a.csv"), data, about)[0]))
    assert [(r["object"], r["class"]) for r in rows] == [
        ("1", "cell"), ("3", "nerve"), ("7", "cell"), ("9", "nerve"),
    ]  # fmt: skip


def test_one_number_is_foreground_in_pieces(tmp_path: Path) -> None:
    data, about, _ = labels_layer(
        (OBJECTS == 7).astype(np.uint8) | np.eye(4, 8, dtype=np.uint8)
    ).as_layer_data_tuple()
    rows = rows_of(Path(export_writer.write_measurements(str(tmp_path / "a"), data, about)[0]))
    assert [r["area_px"] for r in rows] == ["4", "4"]
    assert {r["class"] for r in rows} == {"foreground"}


def test_the_mask_of_the_workbench_knows_its_image_and_classes(tmp_path: Path) -> None:
    image = np.arange(32, dtype=np.uint16).reshape(4, 8, 1)
    sample = Sample("nerve 7", lambda: image, image_name="n7.tif")
    classes = np.array([0, 1, 2, 255], np.uint8)  # the last number is ignored
    shown = ShownMask(sample, ("cell", "nerve"), lambda labels: classes[labels], objects=True)
    labels = np.zeros((4, 8), np.int32)
    labels[0, :2], labels[1, :2], labels[3, 5:] = 1, 2, 3
    layer = labels_layer(labels, metadata={MASK_KEY: shown})
    data, about, _ = layer.as_layer_data_tuple()
    rows = rows_of(Path(export_writer.write_measurements(str(tmp_path / "a.csv"), data, about)[0]))
    assert [(r["image"], r["class"], r["intensity_mean"]) for r in rows] == [
        ("nerve 7", "cell", "0.5"),
        ("nerve 7", "nerve", "8.5"),
    ]
    (coco,) = export_writer.write_coco(str(tmp_path / "a.json"), data, about)
    assert json.loads(Path(coco).read_text())["images"][0]["file_name"] == "n7.tif"


def stack() -> np.ndarray:
    return np.stack([OBJECTS, np.zeros_like(OBJECTS), OBJECTS[::-1]])


@pytest.mark.parametrize("name", ["ome-zarr", "geojson", "imagej-roi"])
def test_a_stack_is_a_folder(tmp_path: Path, name: str) -> None:
    layer = labels_layer(stack(), scale=(2, 0.5, 0.25), units=("um",) * 3)
    data, about, _ = layer.as_layer_data_tuple()
    path = str(tmp_path / f"out{SUFFIXES[name]}")
    written = WRITERS[name](path, data, about)
    suffix = FORMATS[name].suffix
    assert written == [str(tmp_path / "out" / f"cells_{index}{suffix}") for index in range(3)]
    for file, page in zip(written, stack(), strict=True):
        found = reading.READERS[name](Path(file), page.shape)
        np.testing.assert_array_equal(found > 0, page > 0)
        assert len(np.unique(found)) == len(np.unique(page))
    with raises_code("output.exists"):
        WRITERS[name](path, data, about)


def test_a_stack_is_one_ome_tiff_and_one_table(tmp_path: Path) -> None:
    import dask.array as da

    layer = labels_layer(da.from_array(stack(), chunks=(1, 4, 8)), scale=(2, 0.5, 0.25), units=("um",) * 3)
    data, about, _ = layer.as_layer_data_tuple()
    (tiff,) = export_writer.write_ome_tiff(str(tmp_path / "a"), data, about)
    assert tiff.endswith("a.ome.tif")
    with tifffile.TiffFile(tiff) as file:
        assert file.series[0].axes == "ZYX"
        assert 'PhysicalSizeZ="2.0"' in file.ome_metadata
        np.testing.assert_array_equal(file.asarray(), stack())
    (coco,) = export_writer.write_coco(str(tmp_path / "a.json"), data, about)
    for number, page in enumerate(stack(), start=1):
        found = reading.read_coco(Path(coco), page.shape, number)
        np.testing.assert_array_equal(found > 0, page > 0)
    rows = rows_of(Path(export_writer.write_measurements(str(tmp_path / "a.csv"), data, about)[0]))
    assert [r["image"] for r in rows] == ["cells_0"] * 4 + ["cells_2"] * 4
    deep = np.stack([stack(), stack()])
    assert writer.write_tiff(str(tmp_path / "b.ome.tiff"), deep, {"name": "deep"})
    with tifffile.TiffFile(tmp_path / "b.ome.tiff") as file:
        assert file.series[0].axes == "TZYX"
        np.testing.assert_array_equal(file.asarray(), deep)


def test_a_stack_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.plugin.layer_masks.READ_PIXELS", 2 * OBJECTS.size)
    deep = np.stack([stack(), stack()[::-1]]) * np.arange(1, 7).reshape(2, 3, 1, 1)  # each plane its own

    class Counted:
        """An array that remembers how many pixels were asked for at once."""

        shape, ndim, dtype = deep.shape, deep.ndim, deep.dtype
        most = 0

        def __getitem__(self, index: Any) -> np.ndarray:
            found = deep[index]
            Counted.most = max(Counted.most, found.size)
            return found

    (path,) = export_writer.write_ome_tiff(str(tmp_path / "a"), Counted(), {})
    np.testing.assert_array_equal(tifffile.imread(path), deep)
    assert Counted.most == 2 * OBJECTS.size


@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_saved_says_why_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / f"a{SUFFIXES[name]}")
    for labels, said in (
        (np.array([[-1]]), ("output.mask.negative", "got -1")),
        (np.array([[2**24]]), ("output.mask.objects",)),
        (np.zeros((1,) * 5, int), ("output.mask.dimensions",)),
        (np.zeros((0, 4, 8), int), ("output.mask.empty", "0 x 4 x 8")),
    ):
        with raises_code(*said):
            WRITERS[name](path, labels, {})
    assert not list(tmp_path.iterdir())


def test_a_stack_that_fails_midway_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = os.fsync, iter(range(10))

    def full(handle: int) -> None:
        if next(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr("napari_unet.atomic.os.fsync", full)
    with raises_code("output.unwritable", "No space left on device"):
        export_writer.write_geojson(str(tmp_path / "a.geojson"), stack(), {})
    assert not list(tmp_path.iterdir())
