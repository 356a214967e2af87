"""labelme JSON: one file an image, with polygons, rectangles, circles and small masks."""

from __future__ import annotations

import base64
import binascii
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.image_files import image_header
from napari_unet.data.outlines.files import Collecting, read_json, size_of
from napari_unet.data.outlines.outline import (
    FEWEST_CORNERS,
    Box,
    DrawnOutline,
    Picture,
    Polygon,
    box_ring,
    ellipse_ring,
    malformed,
    ring,
)

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source
    from napari_unet.data.outlines.outline import OutlinedImage, Piece


def read_labelme(source: Source, name: str) -> list[OutlinedImage]:
    """Outlines of one image.

    Raises
    ------
    DataError
        If it is no JSON, or not of this form.
    """
    content = read_json(source, name)
    found = Collecting(name)
    for shape in content["shapes"]:
        label = str(shape.get("label") or "").strip()
        found.add(label, partial(_outline, shape, label))
    size = size_of(content.get("imageHeight"), content.get("imageWidth"))
    return [found.done([str(content.get("imagePath") or "")], size=size)]


def _outline(shape: Any, label: str, what: str, number: int) -> DrawnOutline | str:
    kind = shape.get("shape_type") or "polygon"
    points = shape.get("points") or []
    piece: Piece
    if kind == "polygon":
        if len(points) < FEWEST_CORNERS:
            return "outlines of fewer than three corners"
        piece = Polygon((ring(points, what),))
    elif kind == "rectangle" and len(points) in (2, 4):
        corners = np.asarray(points, np.float64)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        piece = Polygon((box_ring(left, top, right, bottom, what),))
    elif kind == "circle" and len(points) == 2:
        (x, y), (at_x, at_y) = ((float(x), float(y)) for x, y in points)
        radius = math.hypot(at_x - x, at_y - y)
        piece = Polygon((ellipse_ring(x, y, radius, radius, what),))
    elif kind == "mask" and len(points) == 2:
        piece = _picture(shape.get("mask"), points, what)
    else:
        return str(kind)
    return DrawnOutline(label, (piece,), number)


def _picture(text: Any, points: Any, what: str) -> Picture:
    """A picture in base64, whose first point is its first pixel."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise malformed(what, "a mask as a PNG in base64", str(error)[:100]) from error
    header = image_header(data, what)
    left, top = (round(float(value)) for value in points[0])
    return Picture(Box(top, left, header.height, header.width), data)
