"""CVAT: XML for images, the JSON of a task's backup, and Datumaro's JSON."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.outlines.coco import runs_of
from napari_unet.data.outlines.files import Collecting, read_bytes, read_json, size_of, unreadable
from napari_unet.data.outlines.outline import (
    FEWEST_CORNERS,
    Box,
    BoxRuns,
    DrawnOutline,
    Polygon,
    box_ring,
    ellipse_ring,
    malformed,
    ring,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.data.files.source import Source
    from napari_unet.data.outlines.outline import OutlinedImage, Piece

MANIFEST = "manifest.jsonl"


def read_xml(source: Source, name: str) -> list[OutlinedImage]:
    """Outlines of all images of "CVAT for images 1.1".

    Raises
    ------
    DataError
        If it is no XML, or declares entities, of which a small file can make gigabytes.
    """
    from xml.etree import ElementTree

    data = read_bytes(source, name)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise unreadable(name, "entities of its own, which no program for outlines writes")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise unreadable(name, str(error)[:100]) from error
    classes = tuple(label.text.strip() for label in root.iterfind("meta//labels/label/name") if label.text)
    out = []
    for image in root.iterfind("image"):
        called = str(image.attrib["name"])
        found = Collecting(name, f", image {called}")
        for mark in image:
            label = mark.attrib.get("label", "").strip()
            found.add(label, partial(_from_xml, mark.tag, mark.attrib, label))
        size = size_of(float(image.attrib.get("height", 0)), float(image.attrib.get("width", 0)))
        out.append(found.done([called], size=size, classes=classes))
    return out


def _from_xml(kind: str, values: Mapping[str, str], label: str, what: str, number: int) -> DrawnOutline | str:
    def numbers(*names: str) -> list[float]:
        return [float(values[name]) for name in names]

    turned = float(values.get("rotation", 0))
    if kind == "polygon":
        points = [float(value) for pair in values["points"].split(";") for value in pair.split(",")]
    elif kind == "box":
        points = numbers("xtl", "ytl", "xbr", "ybr")
    elif kind == "ellipse":
        x, y, across, down = numbers("cx", "cy", "rx", "ry")
        points = [x, y, x + across, y - down]
    elif kind == "mask":
        left, top, width, height = (int(value) for value in numbers("left", "top", "width", "height"))
        runs = [int(value) for value in values["rle"].split(",")]
        return DrawnOutline(label, (_box_runs(runs, left, top, width, height, what),), number)
    else:
        return kind
    return _outline(kind, points, turned, label, what, number)


def _outline(
    kind: str, points: Sequence[float], turned: float, label: str, what: str, number: int
) -> DrawnOutline | str:
    """An outline of the numbers that CVAT has for a mark of this kind."""
    piece: Piece
    if kind == "polygon":
        if len(points) < 2 * FEWEST_CORNERS:
            return "outlines of fewer than three corners"
        piece = Polygon((ring(points, what),))
    elif kind in {"box", "rectangle"}:
        left, top, right, bottom = points
        middle = np.array([(left + right) / 2, (top + bottom) / 2])
        corners = box_ring(left, top, right, bottom, what) - middle
        piece = Polygon((turn(corners, turned) + middle,))
    elif kind == "ellipse":
        x, y, right, top = points
        piece = Polygon((ellipse_ring(x, y, right - x, y - top, what, turned),))
    elif kind == "mask":
        left, top, right, bottom = (int(value) for value in points[-4:])
        piece = _box_runs(points[:-4], left, top, right - left + 1, bottom - top + 1, what)
    else:
        return kind
    return DrawnOutline(label, (piece,), number)


def _box_runs(runs: Sequence[float], left: int, top: int, width: int, height: int, what: str) -> BoxRuns:
    if width < 1 or height < 1:
        raise malformed(what, "a box of the image", f"{width} x {height} pixels")
    return BoxRuns(Box(top, left, height, width), np.asarray(runs, np.int64))


def read_backup(source: Source, name: str) -> list[OutlinedImage]:
    """Outlines of a task's backup: annotations.json, with the names of its images in data/manifest.jsonl.

    Raises
    ------
    DataError
        If it is no JSON, or the names of the images are not there.
    """
    content = read_json(source, name)
    frames = _frames(source, name)
    found: dict[int, Collecting] = {}
    for frame, called in frames.items():
        found[frame] = Collecting(name, f", image {called}")
    for job in content if isinstance(content, list) else [content]:
        for shape in job.get("shapes", []):
            if shape.get("outside"):
                continue
            label = str(shape.get("label", "")).strip()
            points = shape.get("points", [])
            turned = float(shape.get("rotation") or 0)
            kind = str(shape["type"])
            found[int(shape["frame"])].add(label, partial(_outline, kind, points, turned, label))
    return [one.done([frames[frame]]) for frame, one in found.items()]


def _frames(source: Source, name: str) -> dict[int, str]:
    """Frame to name of the image, by the manifest next to a backup."""
    folder = name.rpartition("/")[0]
    places = [f"{folder}/data/{MANIFEST}" if folder else f"data/{MANIFEST}"]
    places.append(f"{folder}/{MANIFEST}" if folder else MANIFEST)
    place = next((place for place in places if place in source.sizes), None)
    if place is None:
        raise unreadable(name, f"no {MANIFEST} next to it, which names the images")
    names = []
    for line in read_bytes(source, place).decode("utf-8-sig").splitlines():
        entry = json.loads(line) if line.strip() else {}
        if "name" in entry:
            names.append(str(entry["name"]) + str(entry.get("extension", "")))
    return dict(enumerate(names))


def read_datumaro(source: Source, name: str) -> list[OutlinedImage]:
    """Outlines of Datumaro's JSON.

    Raises
    ------
    DataError
        If it is no JSON.
    """
    content = read_json(source, name)
    labels = content.get("categories", {}).get("label", {}).get("labels", [])
    classes = tuple(str(label["name"]).strip() for label in labels)
    out = []
    for item in content["items"]:
        image = item.get("image") or {}
        called = str(image.get("path") or item["id"])
        found = Collecting(name, f", image {called}")
        for mark in item.get("annotations", []):
            label_id = mark.get("label_id")
            label = classes[label_id] if isinstance(label_id, int) else ""
            found.add(label, partial(_from_datumaro, mark, label))
        height, width = image.get("size") or (None, None)
        out.append(found.done([called, str(item["id"])], size=size_of(height, width), classes=classes))
    return out


def _from_datumaro(mark: Any, label: str, what: str, number: int) -> DrawnOutline | str:
    kind = str(mark["type"])
    if kind == "bbox":
        left, top, width, height = map(float, mark["bbox"])
        return _outline("box", (left, top, left + width, top + height), 0, label, what, number)
    if kind == "mask":
        return DrawnOutline(label, (runs_of(mark["rle"], what),), number)
    return _outline(kind, mark.get("points", []), 0, label, what, number)
