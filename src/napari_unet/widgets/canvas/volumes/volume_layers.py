"""Volumes in napari's layers: whether the slices of a layer lie one behind another, and how far apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.volumes.voxel_size import read_voxel_size
from napari_unet.errors import WorkbenchError
from napari_unet.widgets.canvas.images.layer_channels import TIFF, channel_axis

if TYPE_CHECKING:
    from napari_unet.data.volumes.voxel_size import VoxelSize

KEY = "napari_unet_volume"  # of layer metadata: whether a person says that it is a volume
WORD = "napari_unet_axis"  # of layer metadata: letter of the axis of slices by labels or file; "" unknown
SIZED = "napari_unet_voxel"  # of layer metadata: whether it was looked for the size of a voxel
DEPTH, OTHER_AXES = "z", "tcq"
PLANE = 2

_answers: dict[str, bool] = {}  # by the file of a layer: nobody is asked twice


def axis_of_slices(layer: Any) -> str:
    """Letter of the last leading axis of a layer by labels or file: "z", "t", ...; empty if unknown."""
    if slices_in(layer) < 2:
        return ""
    if WORD not in layer.metadata:
        layer.metadata[WORD] = _by_labels(layer) or _by_file(layer)
    return str(layer.metadata[WORD])


def slices_in(layer: Any) -> int:
    """How many slices lie along the last leading axis of a layer; 0 of a single image, or of a pyramid."""
    if layer.multiscale or layer.ndim - PLANE - channel_axis(layer) < 1:
        return 0
    return int(layer.data.shape[-PLANE - 1 - int(bool(layer.rgb))])


def answer(layer: Any) -> bool | None:
    """What a person said: whether it is a volume; None if nobody was asked."""
    said = layer.metadata.get(KEY)
    if isinstance(said, bool):
        return said
    return _answers.get(str(layer.source.path)) if layer.source.path is not None else None


def is_volume(layer: Any) -> bool:
    """Whether the slices of a layer lie one behind another: as a person said, else by labels or file."""
    said = answer(layer)
    if slices_in(layer) < 2:
        return False
    return axis_of_slices(layer) == DEPTH if said is None else said


def say(layer: Any, volume: bool) -> None:
    """Note what a person said, for this layer, and for its file when that is opened again."""
    layer.metadata[KEY] = volume
    if layer.source.path is not None:
        _answers[str(layer.source.path)] = volume


def take_voxel_size(layer: Any) -> bool:
    """Give a volume the size of its voxels, where its file tells it and the layer has none; says whether."""
    path = layer.source.path
    if path is None or layer.metadata.get(SIZED):
        return False
    layer.metadata[SIZED] = True
    size = read_voxel_size(Path(str(path)))
    return size is not None and give_voxel_size(layer, size)


def give_voxel_size(layer: Any, size: VoxelSize) -> bool:
    """Scale a layer by the size of a voxel, unless it has a scale or units already; says whether."""
    plain = np.all(np.asarray(layer.scale) == 1) and all(str(unit) == "pixel" for unit in layer.units)
    if not plain or layer.ndim < 3:
        return False
    others = layer.ndim - 3
    # Units first: napari draws a layer whose units alone changed as empty, until something else changes.
    layer.units = (*layer.units[:others], *[size.pixel.unit] * 3)
    layer.scale = (*layer.scale[:others], size.z, size.pixel.y, size.pixel.x)
    return True


def anisotropy_of(layer: Any) -> float:
    """How many times as thick a slice is as a pixel is wide; 1 of a single image."""
    scale = np.abs(np.asarray(layer.scale, float))[-3:]
    return float(scale[0] / np.sqrt(scale[1] * scale[2])) if len(scale) == 3 and scale.all() else 1.0


def _by_labels(layer: Any) -> str:
    label = str(layer.axis_labels[-PLANE - 1]).lower()
    return label[:1] if label[:1] in DEPTH + OTHER_AXES else ""


def _by_file(layer: Any) -> str:
    """What a TIFF file says of the axes of the array that napari read from it."""
    path = Path(str(layer.source.path)) if layer.source.path is not None else None
    if path is None or path.suffix.lower() not in TIFF or not path.is_file():
        return ""
    from napari_unet.data.files.decoders.tiff_images import opened_tiff

    try:
        with opened_tiff(path, path.name) as images:
            part = images.parts[0]
            letters = [part.axes[n].lower() for n in part.leading]
            lengths = [part.shape[n] for n in part.leading]
    except (WorkbenchError, OSError, ValueError, KeyError, IndexError):
        return ""  # napari has read it, which is enough
    if not letters or lengths[-1] != slices_in(layer):
        return ""
    return letters[-1] if letters[-1] in DEPTH + OTHER_AXES else ""
