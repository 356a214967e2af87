"""Tables over all images: run lengths of masks, and measurements of objects."""

from __future__ import annotations

import csv
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import atomic_path
from napari_unet.data.masks.run_length import encode_run_lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.export.segmented import FoundObject, Numbers, SegmentedImage

FIXED = (
    "image", "object", "class", "area_px", "centroid_y_px", "centroid_x_px", "top_px", "left_px", "bottom_px",
    "right_px", "unit", "area", "centroid_y", "centroid_x",
)  # fmt: skip
PER_CHANNEL = ("intensity_mean", "intensity_min", "intensity_max")


@contextmanager
def open_run_lengths(path: Path, numbers: Numbers = "classes") -> Iterator[Callable[[SegmentedImage], None]]:
    """Write masks as run lengths, as Kaggle's tables have them: from 1, down the columns.

    Parameters
    ----------
    path : pathlib.Path
        .csv.
    numbers : str
        "classes": columns id and rle_mask, a row an image, empty where the mask is; with several
        classes also class, and a row each. "objects": ImageId and EncodedPixels, and class where there
        are several, a row an object; an image without objects has one with nothing in it.

    Yields
    ------
    callable
        Takes a SegmentedImage.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    first = True
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")

        def add(image: SegmentedImage) -> None:
            nonlocal first
            several = len(image.classes) > 1
            if first:
                names = ["id", "rle_mask"] if numbers == "classes" else ["ImageId", "EncodedPixels"]
                table.writerow([names[0], *(["class"] if several else []), names[1]])
                first = False
            if numbers == "classes":
                for number in range(1, len(image.classes) + 1):
                    runs = encode_run_lengths(image.mask == number)
                    table.writerow([image.name, *([number] if several else []), runs])
                return
            objects = list(image.found())
            for found in objects:
                runs = encode_run_lengths(image.objects == found.number)
                table.writerow([image.name, *([found.label] if several else []), runs])
            if not objects:
                table.writerow([image.name, *([""] if several else []), ""])

        yield add
        if first:
            table.writerow(["id", "rle_mask"] if numbers == "classes" else ["ImageId", "EncodedPixels"])


@contextmanager
def open_measurements(path: Path, numbers: Numbers = "objects") -> Iterator[Callable[[SegmentedImage], None]]:
    """Measure every object: a row each.

    Parameters
    ----------
    path : pathlib.Path
        .csv.
    numbers : str
        Not used: measured are objects.

    Yields
    ------
    callable
        Takes a SegmentedImage.

    Raises
    ------
    OutputError
        If it cannot be written.

    Notes
    -----
    Columns that end in _px are in pixels. The centroid counts from the centre of the first pixel. A box
    goes from top and left up to, not including, bottom and right. ``area`` and the centroid without _px
    are in `unit` and its square; empty where the size of a pixel is unknown. Then follow mean, lowest
    and highest intensity for each channel, as stored; empty where the image is not there. Values that
    are no numbers (NaN) are left out of them.
    """
    channels = 0
    with (
        atomic_path(path) as partial,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as unsorted,
    ):
        rows = csv.writer(unsorted, lineterminator="\n")

        def add(image: SegmentedImage) -> None:
            nonlocal channels
            pixels = image.load_image() if image.load_image is not None else None
            if pixels is not None and pixels.shape[:2] != image.shape:
                pixels = None
            channels = max(channels, pixels.shape[2] if pixels is not None else 0)
            for found in image.found():
                rows.writerow(_row(image, found, pixels))

        yield add
        # How many channels there are is known only now.
        unsorted.seek(0)
        with partial.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            names = [
                f"{name}_{c}" if channels > 1 else name
                for c in range(1, channels + 1)
                for name in PER_CHANNEL
            ]
            table.writerow([*FIXED, *names])
            for row in csv.reader(unsorted):
                table.writerow(row + [""] * (len(FIXED) + len(names) - len(row)))


def _row(image: SegmentedImage, found: FoundObject, pixels: NDArray[np.generic] | None) -> list[Any]:
    rows, columns = np.nonzero(found.region)
    y, x = float(rows.mean()) + found.top, float(columns.mean()) + found.left
    height, width = found.region.shape
    size = image.pixel_size
    real: list[Any] = ["", "", "", ""]
    if size is not None:
        real = [size.unit, _short(found.area * size.y * size.x), _short(y * size.y), _short(x * size.x)]
    row = [
        image.name, found.number, image.classes[found.label - 1], found.area, _short(y), _short(x),
        found.top, found.left, found.top + height, found.left + width, *real,
    ]  # fmt: skip
    if pixels is None:
        return row
    box = pixels[found.top : found.top + height, found.left : found.left + width]
    for channel in range(pixels.shape[2]):
        values = box[..., channel][found.region].astype(np.float64)
        values = values[np.isfinite(values)]
        row += [_short(float(f(values))) for f in (np.mean, np.min, np.max)] if values.size else ["", "", ""]
    return row


def _short(value: float) -> str:
    """Ten digits, without zeros at the end."""
    return f"{value:.10g}"
