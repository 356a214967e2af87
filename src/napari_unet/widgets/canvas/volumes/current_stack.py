"""The stack in view: a volume, or images of their own; and the size of its voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.session.images.layer_metadata import METADATA_KEY, OpenedData
from napari_unet.session.images.volume_rows import FILES, count_numbered
from napari_unet.widgets.canvas.images.layer_channels import MOST_UNSAID
from napari_unet.widgets.canvas.images.layer_images import full_resolution, opened_data
from napari_unet.widgets.canvas.volumes.volume_layers import (
    answer,
    axis_of_slices,
    give_voxel_size,
    say,
    slices_in,
    take_voxel_size,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.volumes.voxel_size import VoxelSize
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.session import Session
    from napari_unet.widgets.canvas.images.whole_in_view import WholeInView


class StackLayers(Protocol):
    """The viewer's layers of images, of which one shows the current image."""

    viewer: Any
    layer: Any
    in_view: WholeInView

    def layers_of_image(self) -> tuple[Any, ...]:
        """The layers that show the current image: one, or one for each channel."""

    def find_pages(self, layer: Any, collection: Collection, opened: OpenedData) -> None:
        """Find where each slice of a stack of a data set lies among the others."""

    def follow(self) -> None:
        """List the images again."""


class CurrentStack:
    """What the slices of the stack in view are.

    Parameters
    ----------
    source : StackLayers
        Knows which layers show the stack.
    session : Session
        Knows what is open.
    """

    def __init__(self, source: StackLayers, session: Session) -> None:
        self.source, self.session = source, session

    def to_ask_about(self) -> tuple[int, str] | None:
        """How many slices the stack in view has, and by its file along which axis; None if nothing is open.

        Nobody is asked about a single image, a series over time, or a stack that was asked about.
        """
        layer, collection = self.source.layer, self.session.workspace.collection
        if layer is None or collection is None or layer not in self.source.viewer.layers:
            return None
        if answer(layer) is not None:
            return None
        if opened_data(layer) is not None:
            slices = self.session.workspace.volume
            if slices:
                return len(slices), "z"
            count = count_numbered([entry.sample for entry in collection.entries.values()])
            return (count, FILES) if count > MOST_UNSAID and layer.ndim > 2 else None  # all of one size
        count, axis = slices_in(layer), axis_of_slices(layer)
        # Few of which nothing is known may be channels, which another box asks about.
        asks = axis == "z" or (not axis and count > MOST_UNSAID)
        return (count, axis) if count > 1 and asks else None

    def take_as(self, volume: bool) -> None:
        """The slices of the stack in view lie one behind another, or are images of their own."""
        layer, workspace = self.source.layer, self.session.workspace
        if layer is None:
            return
        workspace.leaving.emit()
        for one in self.source.layers_of_image():
            say(one, volume)
        opened = opened_data(layer)
        if opened is None or workspace.collection is None:
            self.source.follow()
            return
        workspace.collection.take_volumes(volume, numbered=volume)
        if layer.ndim > 2 and len(opened.ids) == full_resolution(layer).shape[0]:
            self.source.find_pages(layer, workspace.collection, opened)
        workspace.collection_changed.emit()

    def measure_dataset(self, layer: Any, collection: Collection, opened: OpenedData) -> None:
        """Give the layers of a data set of volumes the size of a voxel, if all files tell the same."""
        size = voxel_size_of(entry.sample for entry in collection.entries.values())
        if size is None:
            return
        said = [(one, one.metadata.get(METADATA_KEY)) for one in self.source.viewer.layers]
        ours = [one for one, data in said if isinstance(data, OpenedData) and data.dataset is opened.dataset]
        self.measure(ours or [layer], size)

    def measure(self, layers: Sequence[Any], size: VoxelSize | None = None) -> None:
        """Give the layers of a volume the size of its voxels, or that of their file, in the slice in view."""
        dims = self.source.viewer.dims
        for layer in layers:
            step = dims.current_step
            if take_voxel_size(layer) if size is None else give_voxel_size(layer, size):
                dims.current_step = step  # steps have another size now
                self.source.in_view.fit_soon()
