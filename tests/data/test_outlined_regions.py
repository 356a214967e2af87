"""An annotated region outside of which nothing is known, in every format that can hold one, and in scores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from support.drawn import SHAPE, SQUARE, coco, cvat_xml, geojson, image, labelme, region, roi_zip, square
from support.file_builders import png

if TYPE_CHECKING:
    from pathlib import Path

    from support.file_builders import Write

AROUND = [[8, 2], [20, 2], [20, 12], [8, 12]]  # rows 2 to 11, columns 8 to 19
DRAWN = [("Region*", AROUND), ("cell", SQUARE)]
CLASSES = ("cell", "Region*")
POINTS = {name: ";".join(f"{x},{y}" for x, y in corners) for name, corners in DRAWN}
BOX = '<box label="Region*" xtl="8" ytl="2" xbr="20" ybr="12"/>'
CELL = f'<polygon label="cell" points="{POINTS["cell"]}"/>'
FILES: dict[str, dict[str, bytes]] = {
    "geojson": {"a.geojson": geojson(DRAWN)},
    "labelme": {"a.json": labelme(DRAWN)},
    "imagej": {
        "a.zip": roi_zip(
            {
                "1.roi": region(AROUND, props="class: Region*\n"),
                "2.roi": region(SQUARE, props="class: cell\n"),
            }
        )
    },
    "coco": {
        "c.json": coco(
            {"a.png": [SQUARE, {"category_id": 2, "segmentation": [np.ravel(AROUND).tolist()]}]}, CLASSES
        )
    },
    "coco, the region a box": {
        "c.json": coco({"a.png": [SQUARE, {"category_id": 2, "bbox": [8, 2, 12, 10]}]}, CLASSES)
    },
    "cvat": {
        "c.xml": cvat_xml(
            {"a.png": f'<polygon label="Region*" points="{POINTS["Region*"]}"/>{CELL}'}, CLASSES
        )
    },
    "cvat, the region a box": {"c.xml": cvat_xml({"a.png": BOX + CELL}, CLASSES)},
}


@pytest.mark.parametrize("kind", FILES)
def test_outside_of_it_nothing_is_known(kind: str, folder: Write) -> None:
    dataset = open_dataset(folder({"a.png": image(), **FILES[kind]}))
    assert dataset.classes == ("cell",)
    mask = dataset.samples[0].read_mask()
    np.testing.assert_array_equal(mask.labels, square())
    known = np.zeros(SHAPE, np.float32)
    known[2:12, 8:20] = 1
    assert mask.weights is not None
    np.testing.assert_array_equal(mask.weights, known)


@pytest.mark.parametrize("kind", FILES)
def test_what_is_found_outside_of_it_is_no_error(
    kind: str, folder: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder({"a.png": image(), **FILES[kind]})
    found = square(255)
    found[25:35, 30:50] = 255  # nobody looked there
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(png(found))
    out = tmp_path / "scores"
    assert main(["evaluate", str(path), "--masks", str(tmp_path / "masks"), "--out", str(out), "--json"]) == 0
    overall: dict[str, Any] = json.loads(capsys.readouterr().out)["overall"]
    assert overall["pooled_iou"] == 1
    assert overall["scores"]["f1_50"]["pooled"] == 1


@pytest.mark.parametrize(
    "files",
    [
        {"a.geojson": geojson([])},
        {"a.json": labelme([])},
        {"c.json": coco({"a.png": []})},
        {"c.xml": cvat_xml({"a.png": ""})},
    ],
    ids=["geojson", "labelme", "coco", "cvat"],
)
def test_a_file_without_an_outline_is_an_image_without_objects(
    files: dict[str, bytes], folder: Write
) -> None:
    mask = open_dataset(folder({"a.png": image(), **files})).samples[0].read_mask()
    assert not mask.labels.any()
    assert mask.weights is None
    assert mask.objects is not None
    assert not mask.objects.any()


def test_an_object_of_two_classes_has_the_smaller_outline_on_top(folder: Write) -> None:
    inner = [[11, 6], [13, 6], [13, 8], [11, 8]]
    dataset = open_dataset(
        folder({"a.png": image(), "a.geojson": geojson([("big", SQUARE), ("small", inner)])})
    )
    mask = dataset.samples[0].read_mask()
    wanted = square()
    wanted[6:8, 11:13] = 2
    np.testing.assert_array_equal(mask.labels, wanted)
    np.testing.assert_array_equal(mask.objects, wanted)
