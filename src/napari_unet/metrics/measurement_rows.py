"""Measurements of objects as rows of a table: the same columns in every file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.metrics.object_measures import intensity_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_unet.metrics.object_measures import ObjectTable

FIXED = (
    "image", "object", "class", "area_px", "centroid_y_px", "centroid_x_px", "top_px", "left_px", "bottom_px",
    "right_px", "unit", "area", "centroid_y", "centroid_x", "confidence", "perimeter_px", "circularity",
    "feret_diameter_px", "eccentricity", "solidity", "perimeter", "feret_diameter",
)  # fmt: skip


def measurement_names(channels: int, classes: int = 1) -> tuple[str, ...]:
    """Headings of the table of objects of images with so many channels, and of so many classes.

    "tie" is 1 of an object that may as well be of another class; it is there with several classes only.
    """
    fixed = FIXED if classes < 2 else (*FIXED[:3], "tie", *FIXED[3:])
    return (*fixed, *(intensity_names(channels) if channels else ()))


def measurement_rows(table: ObjectTable, image: str, classes: Sequence[str]) -> Iterator[list[Any]]:
    """Rows of the table of objects under ``measurement_names``, for the objects of one image.

    Parameters
    ----------
    table : ObjectTable
        Its objects.
    image : str
        Its name.
    classes : sequence of str
        Names of the classes 1..K.

    Yields
    ------
    list
        Text of each cell.
    """
    known: dict[str, list[str]] = {
        "image": [image] * len(table),
        "class": [classes[int(label) - 1] for label in table.columns["label"]],
        "unit": [table.unit] * len(table),
    }
    names = measurement_names(table.channels, len(classes))
    for name in names:
        if name not in known:
            known[name] = [_short(value) for value in table.columns.get(name, [np.nan] * len(table))]
    yield from ([known[name][row] for name in names] for row in range(len(table)))


def _short(value: float) -> str:
    """Ten digits, without zeros at the end, and all of a whole number; nothing of what is not known."""
    if np.isnan(value):
        return ""
    return f"{value:.0f}" if value == round(value) else f"{value:.10g}"
