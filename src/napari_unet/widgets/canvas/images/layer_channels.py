"""Channels in napari's layers: the first axis of a layer, a layer each, or colours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import WorkbenchError
from napari_unet.session.images.image_channels import ImageChannels

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = "napari_unet_channels"  # of layer metadata: an ImageChannels where the first axis is that of channels
TIFF = {".tif", ".tiff"}
LABELS = {"c", "ch", "channel", "channels"}
MOST_UNSAID = 5  # images in a stack that might as well be channels, where nobody says what they are
THIN = 5  # pixels: an image is wider than that, so that its last axis is that of channels
NUMBERED = re.compile(r"^(.*) \[\d+\]$")  # what napari calls the second of several layers of one name


def channel_axis(layer: Any) -> int:
    """How many of the first axes of a layer are channels: 1 or 0."""
    return int(isinstance(layer.metadata.get(KEY), ImageChannels))


def channels_in(layers: Sequence[Any]) -> ImageChannels | None:
    """The channels of an image that these layers show; None if it has but one."""
    layer = layers[0]
    if len(layers) > 1:
        names = tuple(str(one.name) for one in layers)
        plain = all(NUMBERED.match(name) for name in names[1:])
        return ImageChannels(len(layers), () if plain else names)
    if layer.rgb:
        return ImageChannels(3, colour=True)
    found = layer.metadata.get(KEY)
    return found if isinstance(found, ImageChannels) else None


def might_be_channels(layer: Any) -> int:
    """How many images there are along the first axis of a layer, where they might be channels; else 0."""
    if layer.rgb or layer.multiscale or layer.ndim < 3 or isinstance(layer.metadata.get(KEY), ImageChannels):
        return 0
    count = int(layer.data.shape[0])
    return count if 1 < count <= MOST_UNSAID else 0


def find_channels(layer: Any) -> None:
    """Note the axis of channels in a layer, where its labels, its file or its shape tell of one.

    Channels go first, as the pixels of an image are along the last two axes of a layer.
    """
    if layer.rgb or layer.multiscale or layer.ndim < 3 or KEY in layer.metadata:
        return
    found = _by_labels(layer) or _by_file(layer) or _by_shape(layer)
    if found is not None:
        take_as_channels(layer, *found)


def take_as_channels(layer: Any, axis: int = 0, names: tuple[str, ...] = (), colour: bool = False) -> None:
    """An axis of a layer is that of channels."""
    count = int(layer.data.shape[axis])
    if axis:
        order = [axis, *(n for n in range(layer.ndim) if n != axis)]
        scale, translate = np.asarray(layer.scale)[order], np.asarray(layer.translate)[order]
        layer.data = np.moveaxis(layer.data, axis, 0)
        layer.scale, layer.translate = scale, translate
    layer.metadata[KEY] = ImageChannels(count, names, colour)


def take_as_images(layer: Any) -> None:
    """The first axis of a layer is that of images, whatever else was thought of it."""
    layer.metadata[KEY] = None


def images_of(layers: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Which layers show one image: each by itself, but for channels that napari made a layer each of.

    Those follow each other, have one file, shape, type and place, and all but the first are blended
    additively.
    """
    found: list[tuple[Any, ...]] = []
    for layer in layers:
        before = found[-1][0] if found else None
        if before is not None and layer.blending == "additive" and _alike(before, layer):
            found[-1] = (*found[-1], layer)
        else:
            found.append((layer,))
    return found


def name_of(layers: Sequence[Any]) -> str:
    """What the image of several layers is called."""
    first, path = str(layers[0].name), layers[0].source.path
    if len(layers) == 1:
        return first
    if all(NUMBERED.match(str(one.name)) for one in layers[1:]):
        return first
    return Path(str(path)).stem if path is not None else " + ".join(str(one.name) for one in layers)


def _alike(one: Any, other: Any) -> bool:
    if one.rgb or other.rgb or one.multiscale or other.multiscale or channel_axis(one) or channel_axis(other):
        return False
    same = one.data.shape == other.data.shape and one.data.dtype == other.data.dtype
    placed = np.array_equal(one.scale, other.scale) and np.array_equal(one.translate, other.translate)
    return same and placed and one.source.path == other.source.path


Found = tuple[int, tuple[str, ...], bool]  # axis, names, whether they are red, green and blue


def _by_labels(layer: Any) -> Found | None:
    labels = [str(label).lower() for label in layer.axis_labels]
    return next(((n, (), False) for n, label in enumerate(labels) if label in LABELS), None)


def _by_file(layer: Any) -> Found | None:
    """What a TIFF file says of the axes of the array that napari read from it."""
    path = Path(str(layer.source.path)) if layer.source.path is not None else None
    if path is None or path.suffix.lower() not in TIFF or not path.is_file():
        return None
    from napari_unet.data.files.decoders.tiff_images import opened_tiff

    try:
        with opened_tiff(path, path.name) as images:
            part = images.parts[0]
            axis = next((n for n, letter in enumerate(part.axes) if letter in "CS"), None)
            if axis is None or tuple(part.shape) != tuple(layer.data.shape):
                return None
            return axis, part.names(part.channels), part.colour
    except (WorkbenchError, OSError, ValueError, KeyError, IndexError):
        return None  # napari has read it, which is enough


def _by_shape(layer: Any) -> Found | None:
    """Rows of two to four pixels, and many of them, are no images."""
    rows, columns = layer.data.shape[-2:]
    return (layer.ndim - 1, (), False) if 1 < columns < THIN < rows else None
