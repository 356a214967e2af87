"""Files of outlines as the programs that draw them write them, and sets of images with them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import roifile

from napari_unet.export.formats import FORMATS
from napari_unet.export.segmented import SegmentedImage
from support.file_builders import png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SHAPE = (40, 60)
SQUARE = [[10, 5], [14, 5], [14, 8], [10, 8]]  # rows 5 to 7, columns 10 to 13
Outlined = tuple[str, Any]  # class, and corners


def square(pixels: int = 1) -> np.ndarray:
    """(40, 60) uint8 mask of SQUARE."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:8, 10:14] = pixels
    return mask


def image(seed: int = 0) -> bytes:
    """A PNG of 60 x 40 pixels."""
    return png(np.random.default_rng(seed).integers(0, 200, SHAPE, np.uint8))


def geojson(outlines: Sequence[Outlined], **more: Any) -> bytes:
    """As QuPath writes it."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
            "properties": {
                "objectType": "annotation",
                **({"classification": {"name": label}} if label else {}),
            },
        }
        for label, corners in outlines
    ]
    return json.dumps({"type": "FeatureCollection", "features": features, **more}).encode()


def coco(images: Mapping[str, Sequence[Any]], classes: Sequence[str] = ("cell",), **more: Any) -> bytes:
    """Annotations by file name; a list of corners stands for a polygon of the first class."""
    annotations: list[dict[str, Any]] = []
    for number, several in enumerate(images.values(), start=1):
        for one in several:
            known = one if isinstance(one, dict) else {"segmentation": [np.ravel(one).tolist()]}
            annotations.append({"id": len(annotations), "image_id": number, "category_id": 1, **known})
    listed = [
        {"id": n, "file_name": name, "height": SHAPE[0], "width": SHAPE[1]}
        for n, name in enumerate(images, start=1)
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(classes, start=1)]
    return json.dumps(
        {"images": listed, "categories": categories, "annotations": annotations, **more}
    ).encode()


def labelme(outlines: Sequence[Outlined], image_path: str = "a.png", **more: Any) -> bytes:
    """As labelme writes it."""
    shapes = [{"label": label, "points": corners, "shape_type": "polygon"} for label, corners in outlines]
    about = {"imagePath": image_path, "imageHeight": SHAPE[0], "imageWidth": SHAPE[1], "imageData": None}
    return json.dumps({"version": "5.4.1", "flags": {}, "shapes": shapes, **about, **more}).encode()


def region(corners: Any, **more: Any) -> bytes:
    """One ImageJ region."""
    found = roifile.ImagejRoi.frompoints(np.asarray(corners))
    for name, value in more.items():
        setattr(found, name, value)
    return bytes(found.tobytes())


def roi_zip(regions: Mapping[str, bytes]) -> bytes:
    """As the ROI Manager writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in regions.items():
            archive.writestr(name, data)
    return file.getvalue()


def cvat_xml(images: Mapping[str, str], classes: Sequence[str] = ("cell",)) -> bytes:
    """ "CVAT for images 1.1": file name to the marks in it."""
    labels = "".join(f"<label><name>{name}</name></label>" for name in classes)
    listed = "".join(
        f'<image id="{n}" name="{name}" width="{SHAPE[1]}" height="{SHAPE[0]}">{marks}</image>'
        for n, (name, marks) in enumerate(images.items())
    )
    head = f"<version>1.1</version><meta><job><labels>{labels}</labels></job></meta>"
    return f'<?xml version="1.0"?><annotations>{head}{listed}</annotations>'.encode()


def exported(
    folder: Path, kind: str, masks: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: tuple[str, ...]
) -> None:
    """Write masks and objects of images, by their names, with our own writer, beside the images."""
    entry = FORMATS[kind]
    images = []
    for name, (mask, objects) in masks.items():
        (folder / f"{name}.png").write_bytes(png(np.zeros(mask.shape, np.uint8)))
        images.append(SegmentedImage(name, mask, lambda o=objects: o, classes, file_name=f"{name}.png"))
    if entry.gather is not None:
        with entry.gather(folder / f"{kind}{entry.suffix}", "objects") as add:
            for one in images:
                add(one)
        return
    assert entry.write is not None
    for one in images:
        entry.write(folder / f"{one.name}_mask{entry.suffix}", one, "objects")
