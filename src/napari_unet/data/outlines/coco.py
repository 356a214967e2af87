"""COCO JSON: outlines of many images in one file, as polygons or run lengths."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.outlines.files import Collecting, read_json, size_of
from napari_unet.data.outlines.outline import (
    FEWEST_CORNERS,
    DrawnOutline,
    Polygon,
    Runs,
    box_ring,
    malformed,
    ring,
)

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source
    from napari_unet.data.outlines.outline import OutlinedImage, Piece

BITS, SIGN, MORE = 5, 0x10, 0x20  # of a character of compressed run lengths
FIRST = 48  # the character that stands for 0


def read_coco(source: Source, name: str) -> list[OutlinedImage]:
    """Outlines of all images of a file, those without any as well.

    Raises
    ------
    DataError
        If it is no JSON, or not of this form.
    """
    content = read_json(source, name)
    by_image: dict[Any, list[Any]] = defaultdict(list)
    for annotation in content.get("annotations", []):
        by_image[annotation["image_id"]].append(annotation)
    labels, classes = _classes(content, by_image)
    out = []
    for image in content["images"]:
        size = size_of(image.get("height"), image.get("width"))
        called = str(image["file_name"])
        found = Collecting(name, f", image {called}")
        for annotation in by_image.get(image["id"], []):
            label = labels.get(annotation.get("category_id"), "")
            if not label:
                label = f"class {annotation.get('category_id')}"
            found.crowds += bool(annotation.get("iscrowd"))
            found.add(label, partial(_outline, annotation, label))
        out.append(found.done([called], size=size, classes=classes))
    return out


def _classes(content: Any, by_image: dict[Any, list[Any]]) -> tuple[dict[Any, str], tuple[str, ...]]:
    """Names by id, and in the order of the ids; a heading that no annotation has is no class."""
    categories = sorted(content.get("categories", []), key=lambda category: category["id"])
    used = {annotation.get("category_id") for several in by_image.values() for annotation in several}
    headings = {category.get("supercategory") for category in categories}
    labels = {category["id"]: str(category["name"]).strip() for category in categories}
    kept = [name for number, name in labels.items() if number in used or name not in headings]
    return labels, tuple(dict.fromkeys(kept))


def _outline(annotation: Any, label: str, what: str, number: int) -> DrawnOutline | str:
    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        piece: Piece = runs_of(shape, what)
        return DrawnOutline(label, (piece,), number)
    if shape:
        rings = [corners for corners in shape if len(corners) >= 2 * FEWEST_CORNERS]
        if not rings:
            return "outlines of fewer than three corners"
        return DrawnOutline(label, tuple(Polygon((ring(corners, what),)) for corners in rings), number)
    box = annotation.get("bbox")
    if not box:
        return "annotations without an outline"
    left, top, width, height = map(float, box)
    corners = box_ring(left, top, left + width, top + height, what)
    return DrawnOutline(label, (Polygon((corners,)),), number, only_box=True)


def runs_of(shape: Any, what: str) -> Runs:
    """Run lengths, as numbers or compressed into text; errors as ``ring``."""
    height, width = shape["size"]
    counts = shape["counts"]
    try:
        numbers = _decompress(counts) if isinstance(counts, str) else counts
        runs = np.asarray(numbers, np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise malformed(what, "run lengths", str(error)[:100]) from error
    return Runs((int(height), int(width)), runs)


def _decompress(text: str) -> list[int]:
    """Numbers of 5 bits a character, the lowest first; after three, differences to the last but one."""
    counts: list[int] = []
    place = 0
    values = text.encode("ascii", "replace")
    while place < len(values):
        number = shift = 0
        while True:
            if place == len(values):
                raise ValueError("run lengths that are cut off")
            value = values[place] - FIRST
            if not 0 <= value < 2 * MORE:
                raise ValueError(f"the character {text[place]!r}")
            place += 1
            number |= (value & (MORE - 1)) << shift
            shift += BITS
            if not value & MORE:
                break
            if shift > 64:
                raise ValueError("a number of more than 64 bits")
        if value & SIGN:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    return counts
