"""The part of a report about the objects in the masks: how many, how large, which ones to doubt."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.report import figures, summary_text
from napari_unet.evaluation.report.report_tables import MOST_CELLS, NOTHING, table_of
from napari_unet.metrics.measurement_rows import measurement_names, measurement_rows
from napari_unet.metrics.object_measures import together
from napari_unet.metrics.object_words import plural, short_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.metrics.object_measures import ObjectTable

LISTED = (
    "confidence", "area_px", "area", "perimeter_px", "perimeter", "circularity", "feret_diameter_px",
    "feret_diameter", "eccentricity", "solidity", "centroid_y_px", "centroid_x_px",
)  # fmt: skip
WHOLE = ("object", "area_px")
SHARES = ("confidence", "circularity", "eccentricity", "solidity")


def object_rows(objects: Mapping[str, ObjectTable], classes: Sequence[str]) -> list[dict[str, Any]]:
    """How many objects each image has, and how large and how likely right they are.

    Parameters
    ----------
    objects : mapping
        Image to the measurements of its objects.
    classes : sequence of str
        Names of the classes 1..K.

    Returns
    -------
    list of dict
        One an image: "image", "objects", the number of each class if there are several, "median_area_px",
        "median_area", "unit", "mean_confidence". None where there is no such value.
    """
    rows = []
    for image, table in objects.items():
        labels = np.asarray(table.columns["label"])
        row: dict[str, Any] = {"image": image, "objects": len(table)}
        if len(classes) > 1:
            row |= {name: int((labels == n).sum()) for n, name in enumerate(classes, start=1)}
        row["median_area_px"] = _of(np.median, table, "area_px")
        row["median_area"] = _of(np.median, table, "area") if table.unit else None
        row["unit"] = table.unit
        row["mean_confidence"] = _of(np.mean, table, "confidence")
        rows.append(row)
    return rows


def _of(what: Any, table: ObjectTable, name: str) -> float | None:
    values = np.asarray(table.columns.get(name, ()), np.float64)
    values = values[np.isfinite(values)]
    return float(what(values)) if values.size else None


def object_section(objects: Mapping[str, ObjectTable], classes: Sequence[str]) -> dict[str, Any] | None:
    """What the page shows of the objects; None without images.

    Parameters
    ----------
    objects, classes
        As ``object_rows``.

    Returns
    -------
    dict
        "figures"; "images", a table with a row an image; "table", with a row an object, the least certain
        first, as many as a page can bear.
    """
    if not objects:
        return None
    every = together(list(objects.values()))
    counts = np.array([len(table) for table in objects.values()])
    noun = plural(classes[0]) if len(classes) == 1 and classes[0] != "foreground" else "objects"
    images, middle = summary_text.count_of(len(counts), "image"), short_number(float(np.median(counts)))
    drawn = [
        {
            "title": f"How many {noun} an image has",
            "address": figures.value_histogram(counts.astype(np.float64), f"{noun} in an image", "images"),
            "caption": f"{images}: {counts.min():,} to {counts.max():,}, median {middle}.",
        }
    ]
    if len(every):
        name, unit = ("area", f"{every.unit}²") if every.unit else ("area_px", "px")
        area = np.asarray(every.columns[name], np.float64)
        middle = f"{short_number(float(np.median(area)))} {unit}"
        drawn.append(
            {
                "title": f"How large the {noun} are",
                "address": figures.value_histogram(area, f"area ({unit})", noun),
                "caption": f"{len(every):,} {noun}, median area {middle}.",
            }
        )
    return {
        "figures": drawn,
        "images": _images(objects, classes),
        "table": _every_object(objects, classes) if len(every) else None,
    }


def _images(objects: Mapping[str, ObjectTable], classes: Sequence[str]) -> dict[str, Any]:
    rows = object_rows(objects, classes)
    units = {row["unit"] for row in rows if row["unit"]}
    several = list(classes) if len(classes) > 1 else []
    columns = [("Image", False, ""), ("Objects", True, ""), *((name, True, "") for name in several)]
    columns.append(("Median area (px)", True, ""))
    columns += [("Median area", True, "in physical units")] if units else []
    known = any(row["mean_confidence"] is not None for row in rows)
    columns += [("Mean confidence", True, "of its objects")] if known else []
    cells = []
    for row in rows[: max(1, MOST_CELLS // len(columns))]:
        texts = [row["image"], f"{row['objects']:,}", *(f"{row[name]:,}" for name in several)]
        texts.append(_short(row["median_area_px"]))
        texts += [_short(row["median_area"], f" {row['unit']}²")] if units else []
        texts += [_short(row["mean_confidence"])] if known else []
        cells.append(texts)
    return {**table_of(columns, cells), "left_out": len(rows) - len(cells)}


def _every_object(objects: Mapping[str, ObjectTable], classes: Sequence[str]) -> dict[str, Any]:
    """A row an object, the least certain first; of those without a confidence the order of the images."""
    tables = list(objects.values())
    every = together(tables)
    units = {table.unit for table in tables}
    intensities = [name for name in every.columns if name.startswith("intensity_")]
    names = [name for name in (*LISTED, *intensities) if np.isfinite(_column(every, name)).any()]
    columns = [("Image", False, ""), ("Object", True, "its number in the image")]
    columns += [("Class", False, "")] if len(classes) > 1 else []
    unit = units.pop() if len(units) == 1 else ""
    columns += [(_title(name, unit), True, "") for name in names]
    images = np.repeat(np.array(list(objects), object), [len(table) for table in tables])
    order = np.argsort(_column(every, "confidence"), kind="stable")
    shown = order[: max(1, MOST_CELLS // len(columns))]
    values = {name: _column(every, name) for name in ("object", "label", *names)}
    cells = []
    for place in shown:
        texts = [str(images[place]), f"{values['object'][place]:.0f}"]
        texts += [classes[int(values["label"][place]) - 1]] if len(classes) > 1 else []
        cells.append([*texts, *(_cell(name, float(values[name][place])) for name in names)])
    first = ", least certain first" if "confidence" in names else ""
    title = f"{summary_text.count_of(len(every), 'object')}{first}"
    return {**table_of(columns, cells), "left_out": len(every) - len(cells), "title": title}


def _column(table: ObjectTable, name: str) -> Any:
    return np.asarray(table.columns.get(name, np.full(len(table), np.nan)), np.float64)


def _title(name: str, unit: str) -> str:
    """Heading of a column."""
    bare = name.removesuffix("_px")
    words = bare.replace("_", " ").replace("intensity ", "").replace("feret", "Feret")
    words = words[:1].upper() + words[1:]
    if bare in SHARES or name.startswith("intensity_"):
        return words
    return f"{words} (px)" if name != bare else f"{words} ({unit}{'²' if bare == 'area' else ''})"


def _cell(name: str, value: float) -> str:
    if np.isnan(value):
        return NOTHING
    if name in WHOLE:
        return f"{value:.0f}"
    return f"{value:.3f}" if name in SHARES else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def _short(value: float | None, unit: str = "") -> str:
    return NOTHING if value is None else f"{short_number(value)}{unit}"


def objects_text(objects: Mapping[str, ObjectTable], classes: Sequence[str]) -> str:
    """Measurements of all objects as the text of a CSV file, with the columns of exports."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = measurement_names(max((table.channels for table in objects.values()), default=0), len(classes))
    rows.writerow(names)
    for image, table in objects.items():
        for row in measurement_rows(table, image, classes):
            rows.writerow(row + [""] * (len(names) - len(row)))
    return text.getvalue()
