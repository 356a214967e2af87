"""ImageJ regions: .roi files, one by one or in a zip of the ROI Manager."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.archive import ZIP_ERRORS
from napari_unet.data.outlines.files import Collecting, read_bytes, unreadable
from napari_unet.data.outlines.outline import (
    FEWEST_CORNERS,
    DrawnOutline,
    Polygon,
    box_ring,
    ellipse_ring,
    malformed,
    ring,
)
from napari_unet.errors import DataError
from napari_unet.plain_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_unet.data.files.source import Source
    from napari_unet.data.outlines.outline import OutlinedImage

MOST_REGIONS = 1_000_000
MOST_BYTES = 2**29  # of all regions of a zip, unpacked
OURS = re.compile(r"\d{5,}-(?P<label>.*\D.*)")  # what this program calls a region
CLASS = re.compile(r"^class:\s*(?P<label>.+?)\s*$", re.MULTILINE)
CLASSES = re.compile(r"^classes:\s*(?P<names>\[.*\])\s*$", re.MULTILINE)
# What the reader of regions raises on damaged ones.
BAD_REGION = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, NotImplementedError,
    OverflowError, struct.error,
)  # fmt: skip
AREAS = {"POLYGON", "FREEHAND", "TRACED"}


def read_zip(source: Source, name: str) -> list[OutlinedImage]:
    """Outlines of one image, from a zip of the ROI Manager.

    Raises
    ------
    DataError
        If it is damaged, names files outside itself, or holds more than it may.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(source, name))) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _check(infos, name)
            regions = [(info.filename, archive.read(info)) for info in infos if _is_region(info.filename)]
    except ZIP_ERRORS as error:
        raise unreadable(name, str(error)[:100]) from error
    return [_of_regions(name, regions)]


def _is_region(name: str) -> bool:
    return name.lower().endswith(".roi")


def _check(infos: list[zipfile.ZipInfo], name: str) -> None:
    for info in infos:
        parts = info.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise DataError(
                f"{name} has an entry that points out of it",
                code="data.archive.outside",
                expected="names below the archive's root",
                got=repr(info.filename[:100]),
                remedy="do not trust this archive",
            )
    size = sum(info.file_size for info in infos)
    if len(infos) > MOST_REGIONS or size > MOST_BYTES:
        raise DataError(
            f"{name} holds too much for regions of one image",
            code="data.outlines.large",
            expected=f"at most {MOST_REGIONS:,} regions and {MOST_BYTES // 2**20} MB",
            got=f"{len(infos):,} and {size // 2**20} MB",
            remedy="save fewer regions in a zip",
        )


def read_files(source: Source, folder: str, names: Iterable[str]) -> list[OutlinedImage]:
    """Outlines of one image, each in a .roi file of its own."""
    return [_of_regions(folder, [(name, read_bytes(source, name)) for name in names])]


def _of_regions(file: str, regions: list[tuple[str, bytes]]) -> OutlinedImage:
    found = Collecting(file)
    classes: list[str] = []
    for called, data in regions:
        found.add("", partial(_outline, data, called, classes))
    return found.done([], classes=tuple(dict.fromkeys(classes)))


def _outline(data: bytes, called: str, classes: list[str], what: str, number: int) -> DrawnOutline | str:
    """The outline of a region; the names of all classes, where it tells them, are added to a list."""
    import roifile

    what = f"{what} ({called})"
    try:
        region = roifile.ImagejRoi.frombytes(data)
        if not classes and (said := CLASSES.search(region.props or "")):
            classes += map(str, parse_json(said["names"]))
        return _read(region, what, number)
    except BAD_REGION as error:
        raise malformed(what, "an ImageJ region", str(error)[:100] or type(error).__name__) from error


def _read(region: Any, what: str, number: int) -> DrawnOutline | str:
    kind = region.roitype.name
    rings: list[Any]
    if region.composite:
        rings = [ring(loop, what) for loop in region.coordinates(multi=True) if len(loop) >= FEWEST_CORNERS]
    elif kind in AREAS:
        corners = region.coordinates()
        if len(corners) < FEWEST_CORNERS:
            return "outlines of fewer than three corners"
        rings = [ring(np.asarray(corners, np.float64), what)]
    elif kind in {"RECT", "OVAL"}:
        left, top, width, height = _box(region)
        if kind == "RECT":
            rings = [box_ring(left, top, left + width, top + height, what)]
        else:
            rings = [ellipse_ring(left + width / 2, top + height / 2, width / 2, height / 2, what)]
    else:
        return str(kind.lower())
    if not rings:
        return "outlines of fewer than three corners"
    page = region.position or region.z_position or region.t_position
    return DrawnOutline(label_of(region), (Polygon(tuple(rings), parity=True),), number, max(0, int(page)))


def _box(region: Any) -> tuple[float, float, float, float]:
    if region.subpixelrect:
        return region.xd, region.yd, region.widthd, region.heightd
    return region.left, region.top, region.right - region.left, region.bottom - region.top


def label_of(region: Any) -> str:
    """Class of a region: its property "class", what this program calls it, or its group; "" without any."""
    if said := CLASS.search(region.props or ""):
        return said["label"]
    # Earlier versions of this program gave a group and such a name; others give any name.
    if region.group and (ours := OURS.fullmatch(region.name or "")):
        return ours["label"]
    return f"group {region.group}" if region.group else ""
