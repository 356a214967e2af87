"""OME-Zarr and Zarr arrays as lazy stacks."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.file_names import stem_of
from napari_unet.data.files.decoders.damage import DAMAGE
from napari_unet.data.files.lazy_stack import LazyStack, choose_level, usual_axes
from napari_unet.data.files.pixel_size import METRES, PixelSize, unit_name
from napari_unet.data.files.reading import current_reading
from napari_unet.data.files.unreadable import damaged_file
from napari_unet.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.files.reading import ImageReading

MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
RGB = ["FF0000", "00FF00", "0000FF"]


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def is_zarr_image(path: Path) -> bool:
    """Whether a folder is a Zarr array, or an OME-Zarr image; a group of several is none."""
    if (path / ".zarray").is_file():
        return True
    for mark in ("zarr.json", ".zattrs"):
        with suppress(OSError, ValueError):
            about = json.loads((path / mark).read_text("utf-8"))
            if not isinstance(about, dict):
                continue
            attributes = about.get("attributes", about)
            inner = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
            if about.get("node_type") == "array" or (isinstance(inner, dict) and inner.get("multiscales")):
                return True
    return False


def labels_in(path: Path) -> list[str]:
    """Names of the labels in an OME-Zarr image."""
    folder = path / "labels"
    if not folder.is_dir():
        return []
    return sorted(inner.name for inner in folder.iterdir() if inner.is_dir() and is_zarr_image(inner))


def open_zarr(
    path: Path, level: int | None = None, target: float | None = None, reading: ImageReading | None = None
) -> LazyStack:
    """Open an OME-Zarr image or a Zarr array; see ``open_lazy``."""
    import zarr

    reading = current_reading() if reading is None else reading

    try:
        opened = zarr.open(path, mode="r")
        if isinstance(opened, zarr.Array):
            axes = reading.axes.lower() or _axes_of_array(opened)
            return LazyStack(stem_of(path), opened, axes, source=_about(opened))
        found = _multiscales(opened, path)
        names = [str(one["path"]) for one in found["datasets"]]
        sizes = [_pixel_size(found, one) for one in found["datasets"]]
        number = choose_level(sizes, level, target, path.name)
        array = opened[names[number]]
        axes = _axes_of(found, array.ndim)
        channels, colour = _channels(opened, found, axes, array)
    except (*DAMAGE, zarr.errors.BaseZarrError) as error:
        raise damaged_file(path, error) from error
    if colour:
        axes = axes.replace("c", "s")
    return LazyStack(
        stem_of(path), array, axes, sizes[number], channels, source=f"{_about(array)} level {number}",
        slice_distance=_slice_distance(found, found["datasets"][number]),
    )  # fmt: skip


def _about(array: Any) -> str:
    return f"{array.shape} {array.chunks} {array.dtype}"


def _axes_of_array(array: Any) -> str:
    """Axes of an array that belongs to no image: as it names them, else the usual ones."""
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    letters = "".join(str(name)[:1].lower() for name in named or ())
    return letters if len(set(letters)) == array.ndim and {*"yx"} <= {*letters} else usual_axes(array.shape)


def _multiscales(group: Any, path: Path) -> dict[str, Any]:
    attributes = dict(group.attrs)
    about = attributes.get("ome", attributes)
    found = about.get("multiscales") if isinstance(about, dict) else None
    if found and found[0].get("datasets"):
        return dict(found[0])
    inside = sorted(name for name, _ in group.members())
    raise DataError(
        f"{path} is no image",
        code="data.image.format",
        expected="an OME-Zarr image with multiscales, or a Zarr array",
        got=f"a group with {', '.join(inside[:5])}" if inside else "an empty group",
        remedy=f"give what is in it, like {path / inside[0]}" if inside else "give another",
    )


def _axes_of(found: dict[str, Any], count: int) -> str:
    axes = found.get("axes")
    if not axes:  # before version 0.3 they were always these
        return "tczyx"[-count:]
    return "".join(str(a["name"] if isinstance(a, dict) else a).lower()[:1] for a in axes)


def _pixel_size(found: dict[str, Any], dataset: dict[str, Any]) -> PixelSize | None:
    """By the scales of the level and of the image as a whole, where the axes have a length as unit."""
    sides = _sides(found, dataset)
    if not {"y", "x"} <= sides.keys():
        return None
    (y, unit), (x, other) = sides["y"], sides["x"]
    if unit is None or unit != other:
        return None
    try:
        return PixelSize(y, x, unit)
    except SettingsError:
        return None


def _slice_distance(found: dict[str, Any], dataset: dict[str, Any]) -> float | None:
    """From one slice to the next, in the unit of the pixels; None if that is not known."""
    sides = _sides(found, dataset)
    pixel = _pixel_size(found, dataset)
    if pixel is None or "z" not in sides:
        return None
    length, unit = sides["z"]
    known = unit is not None and math.isfinite(length) and length > 0
    return length * METRES[unit] / METRES[pixel.unit] if known and unit is not None else None


def _sides(found: dict[str, Any], dataset: dict[str, Any]) -> dict[str, tuple[float, str | None]]:
    """Length of a pixel along each axis, and its unit."""
    axes = [a for a in found.get("axes") or () if isinstance(a, dict)]
    sides = [1.0] * len(axes)
    for transformation in (
        *(dataset.get("coordinateTransformations") or ()),
        *(found.get("coordinateTransformations") or ()),
    ):
        if transformation.get("type") == "scale" and len(transformation.get("scale", ())) == len(axes):
            sides = [a * float(b) for a, b in zip(sides, transformation["scale"], strict=True)]
    return {
        str(axis.get("name", "")).lower(): (side, unit_name(str(axis.get("unit", ""))))
        for axis, side in zip(axes, sides, strict=True)
    }


def _channels(group: Any, found: dict[str, Any], axes: str, array: Any) -> tuple[tuple[str, ...], bool]:
    """Names of the channels, and whether they are red, green and blue of one colour."""
    if "c" not in axes:
        return (), False
    about = dict(group.attrs)
    described = (about.get("ome", about).get("omero") or {}).get("channels") or []
    count = array.shape[axes.index("c")]
    if len(described) != count:
        return (), False
    colours = [str(channel.get("color", "")).upper() for channel in described]
    colour = colours == RGB and array.dtype == np.uint8
    return tuple(str(channel.get("label", "")) for channel in described), colour
