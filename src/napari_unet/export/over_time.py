"""Objects over time as a table: a row for each object in each image of each series."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_unet.atomic import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_unet.metrics.objects_over_time import ObjectInTime

COLUMNS = (
    "series", "image", "frame", "object", "class", "area_px", "centroid_y_px", "centroid_x_px", "began",
    "came_from", "ended", "became",
)  # fmt: skip


def write_objects_over_time(
    path: Path,
    series: Mapping[str, Sequence[ObjectInTime]],
    classes: Sequence[str],
    *,
    append: bool = False,
) -> Path:
    """Write the objects of one or more series.

    Parameters
    ----------
    path : pathlib.Path
        .csv.
    series : mapping
        Name of each series to its objects.
    classes : sequence of str
        Names of the classes 1..K.
    append : bool
        Whether rows of other series that are in the table already stay.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    earlier = ""
    if append and path.is_file():
        earlier = path.read_text(encoding="utf-8").partition("\n")[2]
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        file.write(earlier)
        for name, rows in series.items():
            for row in rows:
                y, x = row.centroid
                table.writerow(
                    [
                        name, row.image, row.frame, row.object, classes[row.label - 1], row.area,
                        f"{y:.10g}", f"{x:.10g}", row.began, " ".join(map(str, row.came_from)), row.ended,
                        " ".join(map(str, row.became)),
                    ]
                )  # fmt: skip
    return path
