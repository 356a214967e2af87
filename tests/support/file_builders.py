"""Small image files, zips and masks, made in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from napari_unet.errors import DataError

Write = Callable[[Mapping[str, bytes]], Path]


def png(pixels: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    """A PNG file; mode "P" makes the values palette indices."""
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture = Image.fromarray(pixels, "L") if pixels.dtype != np.uint8 else picture
        indexed = Image.new("P", picture.size)
        indexed.putdata(pixels.ravel().tolist())
        colours = [0, 0, 0, 200, 10, 20, 30, 220, 40, 90, 90, 250]
        # With four colours the file has two bits a pixel.
        indexed.putpalette(colours if pixels.max() < 4 else colours + [*range(4, 256)] * 3)
        picture = indexed
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()


def jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    """A TIFF file."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file; zips in it are stored by the same method."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def grey(value: int = 0, size: int = 6) -> np.ndarray:
    """(size, size) uint8 whose first pixel is `value` and whose others count up."""
    pixels = np.arange(size * size, dtype=np.uint8).reshape(size, size)
    pixels[0, 0] = value
    return pixels


def corner(value: int = 255, size: int = 6, dtype: type = np.uint8) -> np.ndarray:
    """(size, size) mask with `value` in the 2 x 3 pixels (rows x columns) at the top left."""
    mask = np.zeros((size, size), dtype)  # type: ignore[var-annotated]
    mask[:2, :3] = value
    return mask


CORNER_RUNS = "1 2 7 2 13 2"  # of corner(): columns of six pixels, two each


def unreadable(dataset: Any) -> Any:
    """Ids of the samples whose image or mask cannot be read."""
    found = []
    for sample in (*dataset.samples, *dataset.unlabelled):
        try:
            sample.read_image()
            if sample.has_mask:
                sample.read_mask()
        except DataError:
            found.append(sample.id)
    return found
