"""COCO JSON: every object of every image with its class, box, area and outline, in one file."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.export.outlines import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_unet.export.segmented import FoundObject, Numbers, SegmentedImage


@contextmanager
def open_coco(path: Path, numbers: Numbers = "objects") -> Iterator[Callable[[SegmentedImage], None]]:
    """Write images and their objects one after another; the file is there when the block ends well.

    Objects without holes are polygons along the edges of their pixels, which pycocotools fills with
    these very pixels; those with holes, which COCO's polygons cannot have, are run lengths.

    Parameters
    ----------
    path : pathlib.Path
        .json.
    numbers : str
        Not used: COCO is of objects.

    Yields
    ------
    callable
        Takes a SegmentedImage.

    Raises
    ------
    OutputError
        If it cannot be written.

    References
    ----------
    Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48; https://cocodataset.org/#format-data.
    """
    images: list[dict[str, Any]] = []
    classes: dict[str, int] = {}
    about: dict[str, Any] = {}
    count = 0
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"annotations": [')

        def add(image: SegmentedImage) -> None:
            nonlocal count
            images.append(_about(image, len(images) + 1))
            about.update(image.about)
            for name in image.classes:
                classes.setdefault(name, len(classes) + 1)
            for found in image.found():
                count += 1
                category = classes[image.classes[found.label - 1]]
                file.write(",\n" if count > 1 else "\n")
                annotation = _annotation(found, image.shape, count, len(images), category)
                if found.number in image.ties:
                    annotation["attributes"] = {"tie of classes": True}
                json.dump(annotation, file)

        yield add
        file.write("\n],\n")
        categories = [{"id": number, "name": name, "supercategory": ""} for name, number in classes.items()]
        for key, value in (("images", images), ("categories", categories), ("licenses", [])):
            file.write(f'"{key}": {json.dumps(value)},\n')
        info = {"description": "objects", "contributor": "napari-unet-workbench", **about}
        file.write(f'"info": {json.dumps(info)}}}\n')


def _about(image: SegmentedImage, number: int) -> dict[str, Any]:
    about: dict[str, Any] = {
        "id": number,
        "file_name": image.file_name or image.name,
        "height": image.shape[0],
        "width": image.shape[1],
    }
    if image.pixel_size is not None:
        size = image.pixel_size
        about["pixel_size"] = {"y": size.y, "x": size.x, "unit": size.unit}
    return about


def _annotation(
    found: FoundObject, shape: tuple[int, int], number: int, image: int, category: int
) -> dict[str, Any]:
    outlines = trace(found.region, found.top, found.left)
    segmentation: Any = [[part for corner in outline.exterior for part in corner] for outline in outlines]
    if any(outline.holes for outline in outlines):
        segmentation = {"size": list(shape), "counts": run_lengths(found, shape)}
    height, width = found.region.shape
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "area": found.area,
        "bbox": [found.left, found.top, width, height],
        "iscrowd": 0,
    }


def run_lengths(found: FoundObject, shape: tuple[int, int]) -> list[int]:
    """Lengths of runs of background and object in turn, down the columns of the whole image.

    Parameters
    ----------
    found : FoundObject
        What to encode.
    shape : tuple of int
        (Y, X) of the image.

    Returns
    -------
    list of int
        COCO's uncompressed run lengths; they sum to Y * X.
    """
    rows, columns = np.nonzero(found.region)
    places = np.sort((columns + found.left) * shape[0] + rows + found.top)
    breaks = np.flatnonzero(np.diff(places) > 1)
    starts = places[np.concatenate([[0], breaks + 1])]
    ends = places[np.concatenate([breaks, [len(places) - 1]])] + 1
    edges = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [shape[0] * shape[1]]])
    counts = np.diff(edges)
    # A run of background after the last pixel of the image has no length and is left out.
    return [int(n) for n in (counts if counts[-1] else counts[:-1])]
