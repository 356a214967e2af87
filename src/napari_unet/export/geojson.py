"""GeoJSON as QuPath reads it: every object a feature with its class, colour and measurements."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from napari_unet.atomic import atomic_path
from napari_unet.export.outlines import trace

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.export.segmented import FoundObject, Numbers, SegmentedImage

NAMESPACE = uuid.UUID("6f2f64f5-0a55-4d3b-9c53-3c1b4bb8e5a4")


def write_geojson(path: Path, image: SegmentedImage, numbers: Numbers = "objects") -> Path:
    """Write the objects of an image as GeoJSON.

    Parameters
    ----------
    path : pathlib.Path
        .geojson.
    image : SegmentedImage
        What to write.
    numbers : str
        Not used: features are objects.

    Returns
    -------
    pathlib.Path
        The same path. Coordinates are pixels of the image, x before y, from the upper left corner of
        its first pixel, as QuPath has them; what a polygon encloses is the very object.

    Raises
    ------
    OutputError
        If it cannot be written.

    References
    ----------
    RFC 7946. Bankhead et al. 2017 (QuPath), doi:10.1038/s41598-017-17204-5.
    """
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, found in enumerate(image.found()):
            file.write(",\n" if number else "\n")
            json.dump(_feature(image, found), file, ensure_ascii=False)
        size = image.pixel_size
        about = {
            "image": image.file_name or image.name,
            "classes": list(image.classes),
            "pixel_size": {"y": size.y, "x": size.x, "unit": size.unit} if size is not None else None,
            **image.about,
        }
        file.write(f'\n], "properties": {json.dumps(about, ensure_ascii=False)}}}\n')
    return path


def _feature(image: SegmentedImage, found: FoundObject) -> dict[str, Any]:
    polygons = [
        [[*map(list, loop), list(loop[0])] for loop in (outline.exterior, *outline.holes)]
        for outline in trace(found.region, found.top, found.left)
    ]
    single = len(polygons) == 1
    name = image.classes[found.label - 1]
    measured: dict[str, float] = {"Area px^2": found.area}
    if image.pixel_size is not None:
        size = image.pixel_size
        measured[f"Area {size.unit}^2"] = found.area * size.y * size.x
    if found.number in image.ties:
        measured["Tie of classes"] = 1
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(NAMESPACE, f"{image.name}/{found.number}")),
        "geometry": {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": polygons[0] if single else polygons,
        },
        "properties": {
            "objectType": "annotation",
            "name": f"{name} {found.number}",
            "classification": {"name": name, "color": list(image.colours[found.label - 1])},
            "isLocked": False,
            "measurements": measured,
        },
    }
