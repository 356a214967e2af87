"""The channels of the current image: all there are, those that are read, and whether they fit the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_unet.data.files.channels import whole_of
from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader, header_of_loader
from napari_unet.errors import WorkbenchError
from napari_unet.session.images.image_channels import ImageChannels
from napari_unet.widgets.canvas.images.layer_channels import (
    channel_axis,
    channels_in,
    might_be_channels,
    take_as_channels,
    take_as_images,
)
from napari_unet.widgets.canvas.images.layer_images import full_resolution, opened_data

if TYPE_CHECKING:
    from napari_unet.session.session import Session


class ImageLayers(Protocol):
    """The viewer's layers of images, of which one shows the current image."""

    viewer: Any
    layer: Any

    def layers_of_image(self) -> tuple[Any, ...]:
        """The layers that show the current image: one, or one for each channel."""

    def axes_of_slices(self, layer: Any) -> range:
        """Axes of the viewer that are those of the slices of a layer."""

    def follow(self) -> None:
        """List the images again."""


class CurrentChannels:
    """Looks at the channels of the current image.

    Parameters
    ----------
    source : ImageLayers
        Knows which layers show the image.
    session : Session
        Knows which channels are read, and the model.
    """

    def __init__(self, source: ImageLayers, session: Session) -> None:
        self.source, self.session = source, session
        self._headers: dict[Any, ImageChannels | None] = {}  # by what reads an image

    def every(self) -> ImageChannels | None:
        """All channels of the current image; None if it has but one."""
        collection, current = self.session.workspace.collection, self.session.workspace.current
        if self.source.layer is None or collection is None or not current:
            return None
        if opened_data(self.source.layer) is None:
            return channels_in(self.source.layers_of_image())
        load = whole_of(collection.entries[current].sample)
        if not isinstance(load, ImageLoader | PageLoader):
            return channels_in(self.source.layers_of_image())
        if load not in self._headers:
            self._headers[load] = _channels_in_file(load)
        return self._headers[load]

    def count(self) -> int | None:
        """How many channels of the current image are read; None if there is none."""
        if self.source.layer is None:
            return None
        read = self._read()
        return 1 if read is None else read.count

    def misfit(self) -> str:
        """Why the model cannot be put on the current image, by the channels that are read; else empty."""
        read = self._read()
        return self.session.workspace.mismatch(self.count(), None if read is None else read.colour)

    def _read(self) -> ImageChannels | None:
        every, collection = self.every(), self.session.workspace.collection
        return every if every is None or collection is None else every.chosen(collection.channels)

    def show(self, number: int) -> None:
        """Have napari's slider at a channel of the current image, where channels are along an axis."""
        source, layer = self.source, self.source.layer
        if layer is not None and opened_data(layer) is None and channel_axis(layer):
            source.viewer.dims.set_current_step(source.axes_of_slices(layer).start - 1, number)

    def images_along_first_axis(self) -> int:
        """How many images are along the first axis of the current layer, if they may be channels; else 0."""
        layer = self.source.layer
        if layer is None or opened_data(layer) is not None or len(self.source.layers_of_image()) > 1:
            return 0
        return int(full_resolution(layer).shape[0]) if channel_axis(layer) else might_be_channels(layer)

    def take_first_axis_as(self, images: bool) -> None:
        """The first axis of the current layer is that of images, or that of channels."""
        if self.source.layer is None:
            return
        self.session.workspace.leaving.emit()
        if images:
            take_as_images(self.source.layer)
        else:
            take_as_channels(self.source.layer)
        self.session.workspace.current = ""
        self.source.follow()


def _channels_in_file(load: ImageLoader | PageLoader) -> ImageChannels | None:
    """The channels of an image of a data set, by the header of its file."""
    try:
        header = header_of_loader(load)
    except WorkbenchError:
        return None  # where it is shown or segmented, that is said
    if header.channels == 1:
        return None
    return ImageChannels(header.channels, header.channel_names, header.colour)
