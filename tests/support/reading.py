"""Every export read back to (Y, X) numbers of objects, with the library that its own users use."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def within(geometry: Any, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centre lies in a geometry of shapely."""
    import shapely

    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return shapely.contains_xy(geometry, x, y)


def read_coco(path: Path, shape: tuple[int, int], image: int = 1) -> np.ndarray:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    out = np.zeros(shape, np.int32)
    for number, annotation in enumerate(coco.imgToAnns[image], start=1):
        mask = coco.annToMask(annotation).astype(bool)
        assert mask.sum() == annotation["area"]
        rows, columns = np.nonzero(mask)
        left, top, width, height = annotation["bbox"]
        assert (left, top) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert not out[mask].any()
        out[mask] = number
    return out


def read_geojson(path: Path, shape: tuple[int, int]) -> np.ndarray:
    import geojson
    import shapely

    features = geojson.loads(path.read_text(encoding="utf-8"))
    assert features.is_valid, features.errors()
    out = np.zeros(shape, np.int32)
    for number, feature in enumerate(features["features"], start=1):
        geometry = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert geometry.is_valid, shapely.is_valid_reason(geometry)
        mask = within(geometry, shape)
        assert mask.sum() == geometry.area == feature["properties"]["measurements"]["Area px^2"]
        assert not out[mask].any()
        out[mask] = number
    return out


def read_imagej(path: Path, shape: tuple[int, int]) -> np.ndarray:
    import roifile
    import shapely

    out = np.zeros(shape, np.int32)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    for number, region in enumerate(roifile.roiread(path) if names else [], start=1):
        # ImageJ fills a path by the even-odd rule, what symmetric differences do.
        geometry = shapely.Polygon()
        paths = region.coordinates(multi=True) if region.composite else [region.coordinates()]
        for loop in paths:
            geometry = geometry ^ shapely.Polygon(loop)
        mask = within(geometry, shape)
        assert (region.top, region.left) == tuple(axis.min() for axis in np.nonzero(mask))
        assert (region.bottom, region.right) == tuple(axis.max() + 1 for axis in np.nonzero(mask))
        assert not out[mask].any()
        out[mask] = number
    return out


def read_tiff(path: Path, shape: tuple[int, int]) -> np.ndarray:
    import tifffile

    return tifffile.imread(path)


def read_png(path: Path, shape: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture)


def read_zarr(path: Path, shape: tuple[int, int]) -> np.ndarray:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = {str(node.zarr).rsplit("/", 1)[-1].split(" ")[0]: node for node in Reader(parse_url(path))()}
    return np.asarray(nodes["masks"].data[0])


def read_run_lengths(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Decoded here, as Kaggle describes it: pairs of start, from 1, and length, down the columns."""
    import csv

    out = np.zeros(shape[0] * shape[1], np.int32)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    for number, row in enumerate((r for r in rows if r[-1]), start=1):
        runs = list(map(int, row[-1].split()))
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            assert not out[start - 1 : start - 1 + length].any()
            out[start - 1 : start - 1 + length] = number
    return out.reshape(shape[::-1]).T


READERS: dict[str, Callable[[Path, tuple[int, int]], np.ndarray]] = {
    "tiff": read_tiff,
    "png": read_png,
    "ome-tiff": read_tiff,
    "ome-zarr": read_zarr,
    "ome-zarr-0.4": read_zarr,
    "npy": lambda path, shape: np.load(path, allow_pickle=False),
    "run-lengths": read_run_lengths,
    "coco": read_coco,
    "geojson": read_geojson,
    "imagej-roi": read_imagej,
}
