"""GeoJSON as QuPath and this program write it: every feature an outlined object with its class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_unet.data.outlines.files import Collecting, read_json
from napari_unet.data.outlines.outline import DrawnOutline, Polygon, ring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_unet.data.files.source import Source
    from napari_unet.data.outlines.outline import OutlinedImage

AREAS = {"Polygon", "MultiPolygon"}
NO_OBJECTS = {"tile", "root", "tma_core"}  # what QuPath keeps in the same list


def read_geojson(source: Source, name: str) -> list[OutlinedImage]:
    """Outlines of one image.

    Raises
    ------
    DataError
        If it is no JSON, or not of this form.
    """
    content = read_json(source, name)
    features = content if isinstance(content, list) else content.get("features", [content])
    about = content.get("properties") if isinstance(content, dict) else None
    about = about if isinstance(about, dict) and content.get("type") == "FeatureCollection" else {}
    found = Collecting(name)
    for feature in features:
        found.add(class_of(feature.get("properties") or {}), partial(_outline, feature))
    classes = about.get("classes")
    named = tuple(map(str, classes)) if isinstance(classes, list) else ()
    return [found.done([str(about.get("image") or "")], classes=named)]


def _outline(feature: Any, what: str, number: int) -> DrawnOutline | str:
    properties = feature.get("properties") or {}
    kind = str(properties.get("objectType", "")).lower()
    if kind in NO_OBJECTS:
        return kind
    geometry = feature["geometry"] or {}
    pieces = tuple(Polygon(tuple(ring(r, what) for r in rings)) for rings in _polygons(geometry))
    if not pieces:
        return str(geometry.get("type", "no shape"))
    plane = geometry.get("plane") or {}
    page = 1 + max(int(plane.get("z", 0)), int(plane.get("t", 0))) if plane else 0
    return DrawnOutline(class_of(properties), pieces, number, page)


def class_of(properties: dict[str, Any]) -> str:
    """Name of the class of a feature, as the versions of QuPath write it; "" without."""
    said = properties.get("classification")
    if isinstance(said, str):
        return said.strip()
    if isinstance(said, dict):
        names = said.get("names")
        if isinstance(names, list) and names:
            return ": ".join(map(str, names)).strip()
        return str(said.get("name") or "").strip()
    return ""


def _polygons(geometry: dict[str, Any]) -> Iterator[list[Any]]:
    """Lists of rings, the outer first."""
    if geometry.get("type") == "GeometryCollection":
        for one in geometry["geometries"]:
            yield from _polygons(one)
    elif geometry.get("type") == "Polygon":
        yield geometry["coordinates"]
    elif geometry.get("type") == "MultiPolygon":
        yield from geometry["coordinates"]
