"""The images of a data set whose sizes differ take turns in one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.channels import read_whole
from napari_unet.errors import DataError
from napari_unet.session.images.layer_metadata import METADATA_KEY, OpenedData
from napari_unet.widgets.canvas.images.layer_images import is_image, opened_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.session.images.collection import Collection

RGB = (3, 4)


def show_in_one_layer(viewer: Any, layer: Any, collection: Collection, identifier: str) -> Any:
    """Show an image of a data set in its layer, and its reference mask in the layer of these.

    Parameters
    ----------
    viewer : napari.Viewer
        Has the layer.
    layer : napari.layers.Image
        Shows another image of the data set.
    collection : Collection
        Reads the image.
    identifier : str
        Which one.

    Returns
    -------
    napari.layers.Image
        The layer, or another in its place: a layer cannot change from grey to colour.

    Raises
    ------
    WorkbenchError
        If the image cannot be read, or has more channels than can be shown so.
    """
    together = _channels_of(viewer, layer)
    if len(together) > 1 and _show_channels(viewer, together, collection, identifier):
        return layer
    values = collection.image(identifier)
    rgb = values.shape[-1] in RGB
    if values.shape[-1] == 1:
        values = values[..., 0]
    elif not rgb:
        raise DataError(
            f"{identifier} cannot be shown in this list",
            code="data.image.channels",
            expected="1, 3 or 4 channels",
            got=f"{values.shape[-1]}",
            remedy="open the file by itself",
        )
    _show_reference(viewer, collection, identifier)
    if rgb == layer.rgb and values.ndim == layer.data.ndim:
        layer.data = values
        if not rgb:
            layer.contrast_limits_range = layer.contrast_limits = _limits(values)
        return layer
    metadata, name = dict(layer.metadata), layer.name
    position = viewer.layers.index(layer)
    fresh = viewer.add_image(values, name=name, rgb=rgb, metadata=metadata)
    viewer.layers.move(viewer.layers.index(fresh), position)
    viewer.layers.remove(layer)
    fresh.name = name
    return fresh


def _channels_of(viewer: Any, layer: Any) -> list[Any]:
    """The layers of the channels of one image, in order."""
    said = opened_data(layer)
    if said is None:
        return [layer]
    found = [(one, opened_data(one)) for one in viewer.layers if is_image(one)]
    return [one for one, other in found if other is not None and other.dataset is said.dataset]


def _show_channels(viewer: Any, layers: list[Any], collection: Collection, identifier: str) -> bool:
    """Put each channel of an image into its layer; says whether the image has as many."""
    values = read_whole(collection.entries[identifier].sample)
    if values.shape[2] != len(layers):
        return False
    _show_reference(viewer, collection, identifier)
    for number, layer in enumerate(layers):
        layer.data = values[..., number]
        layer.contrast_limits_range = layer.contrast_limits = _limits(values[..., number])
    return True


def _show_reference(viewer: Any, collection: Collection, identifier: str) -> None:
    """Let the layer of reference masks follow."""
    for layer in viewer.layers:
        opened = layer.metadata.get(METADATA_KEY)
        if not isinstance(opened, OpenedData) or opened.role != "reference":
            continue
        if collection.dataset is not None and opened.dataset.path == collection.dataset.path:
            mask = collection.reference(identifier)
            values = None if mask is None else mask.labels if mask.objects is None else mask.objects
            shape = collection.image(identifier).shape[:2]
            layer.data = np.zeros(shape, np.uint8) if values is None else np.array(values)


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low, low + 1)
