"""Which channel of the images is segmented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

if TYPE_CHECKING:
    from napari_unet.session.images.image_channels import ImageChannels

ALL, IMAGES, CHANNELS = "all", "images", "channels"
TIP = "The channel that the model reads, of all images in the list. The mask is shown over every channel"


class ChannelBox(QComboBox):  # type: ignore[misc]
    """All channels, or one of them; shown where the images have several.

    Parameters
    ----------
    parent : QWidget
        Owner.
    """

    wanted = Signal(tuple)  # numbers of the channels that a person chose; none: all
    images_wanted = Signal(bool)  # whether the first axis is that of images rather than of channels

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName("Channel")
        self.setToolTip(TIP)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.setMaximumWidth(170)
        self._shown: tuple[object, ...] = ()
        self.activated.connect(self._on_activated)
        self.hide()

    def show_channels(self, channels: ImageChannels | None, chosen: tuple[str, ...], images: int) -> None:
        """Offer these channels.

        Parameters
        ----------
        channels : ImageChannels or None
            Of the current image; None if it has but one.
        chosen : tuple of str
            Numbers of those that are read; none: all.
        images : int
            As how many images the first axis of its layer may be taken; 0 if that is clear.
        """
        if self._shown == (channels, chosen, images):
            return
        self._shown = channels, chosen, images
        self.clear()
        if channels is not None:
            kind = "colour" if channels.colour else f"all {channels.count}"
            self.addItem(f"Channel: {kind}", ALL)
            for number in range(channels.count):
                self.addItem(f"Channel: {channels.title(number)}", str(number))
        if images:
            self.addItem(f"{images} images" if channels is None else f"These are {images} images", IMAGES)
            if channels is None:
                self.addItem(f"These are {images} channels", CHANNELS)
        if channels is not None:
            self.setCurrentIndex(max(0, self.findData(chosen[0] if len(chosen) == 1 else ALL)))
        self.setVisible(self.count() > 1)

    def _on_activated(self, index: int) -> None:
        wanted = str(self.itemData(index))
        if wanted in (IMAGES, CHANNELS):
            self.images_wanted.emit(wanted == IMAGES)
        else:
            self.wanted.emit(() if wanted == ALL else (wanted,))
