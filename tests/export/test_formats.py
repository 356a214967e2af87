"""Exports give back the very objects, read with the libraries that their users use."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.data.files.pixel_size import PixelSize, read_pixel_size
from napari_unet.data.masks.run_length import decode_run_lengths
from napari_unet.errors import SettingsError
from napari_unet.export.formats import FORMATS
from napari_unet.export.outlines import trace
from napari_unet.export.segmented import SegmentedImage, class_colour
from napari_unet.inference.postprocess import connected_objects
from napari_unet.widgets.canvas.layer_styles import CLASS_COLOURS
from support.errors import raises_code
from support.reading import READERS, within

if TYPE_CHECKING:
    from pathlib import Path

MASK = np.array(
    [
        [1, 1, 1, 1, 0, 0, 2, 2],
        [1, 0, 1, 1, 0, 0, 2, 2],  # a hole
        [1, 1, 0, 1, 2, 0, 0, 0],  # a hole over a corner, objects that touch
        [1, 1, 1, 1, 2, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 0, 1],  # pieces over a corner, at the border
    ],
    np.uint8,
)


def segmented(
    mask: np.ndarray, classes: tuple[str, ...] = ("cell", "nerve"), **more: object
) -> SegmentedImage:
    return SegmentedImage("one", mask, lambda: connected_objects(mask), classes, **more)  # type: ignore[arg-type]


def export(image: SegmentedImage, name: str, folder: Path, numbers: str = "objects") -> Path:
    entry = FORMATS[name]
    path = folder / f"{name}{entry.suffix}"
    if entry.gather is not None:
        with entry.gather(path, numbers) as add:  # type: ignore[arg-type]
            add(image)
    else:
        assert entry.write is not None
        assert entry.write(path, image, numbers) == path  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("name", READERS)
def test_objects_come_back(name: str, tmp_path: Path) -> None:
    image = segmented(MASK)
    assert image.objects.max() == 4
    found = READERS[name](export(image, name, tmp_path), MASK.shape)
    np.testing.assert_array_equal(found, image.objects)


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.numbered and n != "run-lengths"])
def test_classes_come_back(name: str, tmp_path: Path) -> None:
    path = export(segmented(MASK), name, tmp_path, "classes")
    np.testing.assert_array_equal(READERS[name](path, MASK.shape), MASK)


@pytest.mark.parametrize("name", ["coco", "geojson", "imagej-roi", "run-lengths"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 2)))
def test_random_objects_come_back(name: str, mask: np.ndarray, tmp_path: Path) -> None:
    image = segmented(mask)
    np.testing.assert_array_equal(READERS[name](export(image, name, tmp_path), mask.shape), image.objects)


@settings(max_examples=200)
@given(region=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_outlines_are_valid_and_exact(region: np.ndarray) -> None:
    outlines = trace(region, 3, 5)
    for outline in outlines:
        for loop in (outline.exterior, *outline.holes):
            assert len(set(loop)) == len(loop)
            steps = np.diff([*loop, loop[0]], axis=0)
            assert ((steps == 0).sum(axis=1) == 1).all()  # along the edges, without corners that are none
            assert (steps[:, 0] * np.roll(steps[:, 0], 1) == 0).all()
    shape = shapely.MultiPolygon([shapely.Polygon(o.exterior, o.holes) for o in outlines])
    assert shape.is_valid
    whole = np.zeros((region.shape[0] + 3, region.shape[1] + 5), bool)
    whole[3:, 5:] = region
    np.testing.assert_array_equal(within(shape, whole.shape), whole)


def test_outline_worked_by_hand() -> None:
    (outline,) = trace(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool), 10, 20)
    assert set(outline.exterior) == {(20, 10), (23, 10), (23, 13), (20, 13)}
    (hole,) = outline.holes
    assert set(hole) == {(21, 11), (22, 11), (22, 12), (21, 12)}
    assert [o.exterior for o in trace(np.eye(2, dtype=bool))] == [
        ((0, 0), (1, 0), (1, 1), (0, 1)),
        ((1, 1), (2, 1), (2, 2), (1, 2)),
    ]
    assert trace(np.zeros((2, 2), bool)) == ()


def test_coco_has_polygons_where_they_are_exact_and_tells_of_several_images(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    gather = FORMATS["coco"].gather
    assert gather is not None
    with gather(path, "objects") as add:
        add(segmented(MASK, pixel_size=PixelSize(0.5, 0.25), file_name="one.tif"))
        add(segmented(np.zeros((2, 3), np.uint8)))
        add(segmented(np.ones((2, 3), np.uint8)))
    content = json.loads(path.read_text())
    assert [type(a["segmentation"]) for a in content["annotations"]] == [dict, list, list, list, list]
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 1, 1, 3]
    assert [a["id"] for a in content["annotations"]] == [1, 2, 3, 4, 5]
    assert content["annotations"][-1]["segmentation"] == [[0, 0, 3, 0, 3, 2, 0, 2]]
    assert content["annotations"][-1]["bbox"] == [0, 0, 3, 2]
    assert content["categories"] == [
        {"id": 1, "name": "cell", "supercategory": ""},
        {"id": 2, "name": "nerve", "supercategory": ""},
    ]
    assert content["images"][0] == {
        "id": 1, "file_name": "one.tif", "height": 5, "width": 8,
        "pixel_size": {"y": 0.5, "x": 0.25, "unit": "µm"},
    }  # fmt: skip


def test_an_interrupted_export_leaves_nothing(tmp_path: Path) -> None:
    for name in ("coco", "measurements", "run-lengths"):
        gather = FORMATS[name].gather
        assert gather is not None
        with pytest.raises(KeyboardInterrupt), gather(tmp_path / name, "objects") as add:
            add(segmented(MASK))
            raise KeyboardInterrupt
    broken = segmented(MASK, load_image=lambda: 1 / 0)
    for name in ("ome-zarr", "ome-zarr-0.4", "measurements"):
        with pytest.raises(ZeroDivisionError):
            export(broken, name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_zarr_is_replaced_as_a_whole(tmp_path: Path) -> None:
    export(segmented(MASK), "ome-zarr", tmp_path)
    export(segmented(np.ones((2, 3), np.uint8)), "ome-zarr", tmp_path)
    (path,) = tmp_path.iterdir()
    assert READERS["ome-zarr"](path, (2, 3)).shape == (2, 3)


@pytest.mark.parametrize("name", ["ome-zarr", "ome-zarr-0.4"])
def test_zarr_has_image_levels_colours_and_pixel_size(name: str, tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    mask = np.zeros((300, 601), np.uint8)
    mask[10:20, 5:9] = 2
    image = np.random.default_rng(0).integers(0, 255, (300, 601, 3)).astype(np.uint8)
    path = export(
        segmented(mask, load_image=lambda: image, pixel_size=PixelSize(500, 250, "nm")),
        name,
        tmp_path,
        "classes",
    )
    shown, _, labels = list(Reader(parse_url(path))())
    np.testing.assert_array_equal(np.asarray(shown.data[0]), np.moveaxis(image, -1, 0))
    assert [level.shape for level in shown.data] == [(3, 300, 601), (3, 150, 301), (3, 75, 151)]
    assert int(shown.data[1][0, 0, 0].compute()) == round(float(image[:2, :2, 0].mean()))
    assert [a.get("unit") for a in shown.metadata["axes"]] == [None, "nanometer", "nanometer"]
    scales = [t[0]["scale"] for t in shown.metadata["coordinateTransformations"]]
    assert scales[0] == [1, 500, 250]
    assert scales[1] == [1, 1000, pytest.approx(250 * 601 / 301)]
    np.testing.assert_array_equal(np.asarray(labels.data[1]), mask[::2, ::2])
    assert labels.metadata["properties"][2]["class"] == "nerve"
    assert labels.metadata["color"][2] == pytest.approx([86 / 255, 180 / 255, 233 / 255, 1])


def test_pixel_size_travels(tmp_path: Path) -> None:
    image = segmented(MASK, pixel_size=PixelSize(0.5, 0.25, "um"))
    for name in ("tiff", "ome-tiff"):
        assert read_pixel_size(export(image, name, tmp_path)) == PixelSize(0.5, 0.25, "µm")
        assert read_pixel_size(export(segmented(MASK), name, tmp_path)) is None
    from PIL import Image

    with Image.open(export(image, "png", tmp_path)) as picture:
        assert picture.info["dpi"] == pytest.approx((25400 / 0.25, 25400 / 0.5), rel=1e-4)
        assert json.loads(picture.info["Description"])["pixel_size"] == {"y": 0.5, "x": 0.25, "unit": "um"}
    content = json.loads(export(image, "geojson", tmp_path).read_text(encoding="utf-8"))
    assert content["features"][1]["properties"]["measurements"]["Area µm^2"] == 3 * 0.125


def test_colours_and_names_travel(tmp_path: Path) -> None:
    import roifile
    import tifffile
    from PIL import Image

    assert [f"#{r:02X}{g:02X}{b:02X}" for r, g, b in map(class_colour, range(1, 8))] == list(CLASS_COLOURS)
    assert len({class_colour(n) for n in range(1, 60)}) == 59
    image = segmented(MASK)
    with Image.open(export(image, "png", tmp_path, "classes")) as picture:
        assert picture.convert("RGB").getpixel((6, 0)) == class_colour(2)
    with tifffile.TiffFile(export(image, "tiff", tmp_path, "classes")) as tiff:
        colours = tiff.pages[0].colormap
        assert tuple(colours[:, 2] // 257) == class_colour(2)
        assert json.loads(tiff.pages[0].description)["classes"] == ["cell", "nerve"]
    with tifffile.TiffFile(export(image, "ome-tiff", tmp_path)) as tiff:
        assert '<M K="2">nerve</M>' in tiff.ome_metadata
    regions = roifile.roiread(export(image, "imagej-roi", tmp_path))
    assert [(r.name, r.group, tuple(r.stroke_color)) for r in regions][2] == (
        "00003-nerve",
        2,
        (255, 86, 180, 233),
    )
    features = json.loads(export(image, "geojson", tmp_path).read_text(encoding="utf-8"))["features"]
    assert features[2]["properties"]["classification"] == {"name": "nerve", "color": [86, 180, 233]}


def test_measurements_agree_with_scikit_image(tmp_path: Path) -> None:
    from skimage.measure import regionprops

    pixels = np.random.default_rng(1).integers(0, 60000, (5, 8, 2)).astype(np.uint16)
    image = segmented(MASK, load_image=lambda: pixels, pixel_size=PixelSize(2, 3, "nm"))
    with export(image, "measurements", tmp_path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row, truth in zip(rows, regionprops(image.objects, pixels), strict=True):
        assert int(row["object"]) == truth.label
        assert int(row["area_px"]) == truth.area
        assert float(row["area"]) == 6 * truth.area
        assert (float(row["centroid_y_px"]), float(row["centroid_x_px"])) == pytest.approx(truth.centroid)
        assert float(row["centroid_x"]) == pytest.approx(3 * truth.centroid[1])
        box = tuple(int(row[f"{side}_px"]) for side in ("top", "left", "bottom", "right"))
        assert box == truth.bbox
        assert row["unit"] == "nm"
        for channel in range(2):
            assert float(row[f"intensity_mean_{channel + 1}"]) == pytest.approx(truth.intensity_mean[channel])
            assert float(row[f"intensity_min_{channel + 1}"]) == truth.intensity_min[channel]
            assert float(row[f"intensity_max_{channel + 1}"]) == truth.intensity_max[channel]
    assert [row["class"] for row in rows] == ["cell", "cell", "nerve", "nerve"]


def test_measurements_without_image_and_pixel_size(tmp_path: Path) -> None:
    gather = FORMATS["measurements"].gather
    assert gather is not None
    grey = np.ones((5, 8, 1), np.float32)
    grey[0, 0] = np.nan
    with gather(tmp_path / "m.csv", "objects") as add:
        add(segmented(MASK))
        add(segmented(MASK, load_image=lambda: grey))
    with (tmp_path / "m.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["unit"], rows[0]["area"], rows[0]["intensity_mean"]) == ("", "", "")
    assert (rows[4]["area_px"], rows[4]["intensity_mean"], rows[4]["intensity_max"]) == ("14", "1", "1")


def test_kaggles_run_lengths(tmp_path: Path) -> None:
    image = segmented(np.array([[0, 1], [1, 1]], np.uint8), ("salt",))
    assert export(image, "run-lengths", tmp_path, "classes").read_text() == "id,rle_mask\none,2 3\n"
    empty = segmented(np.zeros((2, 2), np.uint8), ("salt",))
    assert export(empty, "run-lengths", tmp_path, "classes").read_text() == "id,rle_mask\none,\n"
    assert export(empty, "run-lengths", tmp_path).read_text() == "ImageId,EncodedPixels\none,\n"
    rows = export(segmented(MASK), "run-lengths", tmp_path, "classes").read_text().splitlines()
    assert rows[0] == "id,class,rle_mask"
    np.testing.assert_array_equal(decode_run_lengths(rows[2].split(",")[2], MASK.shape), MASK == 2)


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    many = np.arange(70_000, dtype=np.int32).reshape(200, 350)
    crowd = SegmentedImage("crowd", (many > 0).astype(np.uint8), lambda: many, ("dot",))
    with raises_code("output.mask.objects"):
        export(crowd, "png", tmp_path)
    assert READERS["tiff"](export(crowd, "tiff", tmp_path), many.shape).dtype == np.uint32
    wide = SegmentedImage(
        "wide", np.zeros((1, 60_536), np.uint8), lambda: np.zeros((1, 60_536), np.int32), ("dot",)
    )
    with raises_code("output.mask.size", "60535"):
        export(wide, "imagej-roi", tmp_path)


@pytest.mark.parametrize("size", [(0, 1, "µm"), (1, float("nan"), "µm"), (1, 1, "parsec")])
def test_no_pixel_has_such_a_size(size: tuple[float, float, str]) -> None:
    with pytest.raises(SettingsError):
        PixelSize(*size)


def test_pixel_size_of_other_programs(tmp_path: Path) -> None:
    import tifffile

    pixels = np.zeros((4, 4), np.uint8)
    tifffile.imwrite(tmp_path / "j.tif", pixels, imagej=True, resolution=(4, 2), metadata={"unit": "um"})
    assert read_pixel_size(tmp_path / "j.tif") == PixelSize(0.5, 0.25)
    tifffile.imwrite(tmp_path / "screen.tif", pixels, resolution=(72, 72), resolutionunit=2)
    assert read_pixel_size(tmp_path / "screen.tif") is None
    tifffile.imwrite(tmp_path / "inch.tif", pixels, resolution=(25400, 25400), resolutionunit=2)
    size = read_pixel_size(tmp_path / "inch.tif")
    assert size is not None
    assert size.x == pytest.approx(1.0)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "j.tif").read_bytes()[:100])
    assert read_pixel_size(tmp_path / "cut.tif") is None
    assert read_pixel_size(tmp_path / "none.tif") is None
