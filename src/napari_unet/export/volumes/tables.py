"""Tables of the objects of a volume."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.atomic import write_text
from napari_unet.metrics.volume_measures import IN_UNITS, IN_VOXELS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_unet.metrics.volume_measures import VolumeTable

WHOLE = {"volume_voxels", "front", "top", "left", "back", "bottom", "right"}
WITHOUT_UNIT = {"sphericity"}


def write_volume_table(path: Path, volume: str, table: VolumeTable, classes: Sequence[str]) -> Path:
    """Write a row an object as CSV.

    Parameters
    ----------
    path : pathlib.Path
        Of the file.
    volume : str
        What the volume is called.
    table : VolumeTable
        Its objects.
    classes : sequence of str
        Names of the classes 1..K.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written.

    Notes
    -----
    Columns without "_px" and "_voxels" are in the unit of the column ``unit``, its square for the surface
    and its cube for the volume. They are empty where the size of a voxel is not known, but for the
    sphericity, for which voxels are taken for cubic then.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["volume_name", "object", "class", *IN_VOXELS, *IN_UNITS, "unit"])
    for row in range(len(table)):
        label = int(table.columns["label"][row])
        name = classes[label - 1] if 0 < label <= len(classes) else ""
        cells = [_cell(column, float(table.columns[column][row])) for column in IN_VOXELS]
        for column in IN_UNITS:
            known = table.unit or column in WITHOUT_UNIT
            cells.append(_cell(column, float(table.columns[column][row])) if known else "")
        rows.writerow([volume, int(table.columns["object"][row]), name, *cells, table.unit])
    write_text(path, text.getvalue())
    return path


def _cell(column: str, value: float) -> str:
    if not np.isfinite(value):
        return ""
    return f"{value:.0f}" if column in WHOLE else f"{value:.6g}"
