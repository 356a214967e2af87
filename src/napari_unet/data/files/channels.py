"""What a file says about the channels of an image, for whoever must choose among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader, header_of_loader
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unet.data.sample import Sample


class Channels(NamedTuple):
    """The channels of an image.

    Attributes
    ----------
    names : tuple of str
        One each; empty where they have none.
    colour : bool or None
        Whether they are red, green and blue of one colour; None where nothing says so.
    """

    names: tuple[str, ...] = ()
    colour: bool | None = None


def channels_of(sample: Sample) -> Channels:
    """What the file of an image says of its channels; nothing for images that are no files."""
    load = sample.original
    if not isinstance(load, ImageLoader | PageLoader):
        return Channels()
    try:
        header = header_of_loader(load)
    except DataError:
        return Channels()  # reading says what is wrong
    return Channels(header.channel_names, header.colour)


def common_channels(samples: Sequence[Sample], count: int) -> tuple[str, ...]:
    """Names, or numbers, of the channels that a model is trained on; empty for one channel and for colours.

    Parameters
    ----------
    samples : sequence of Sample
        The first speaks for all: names that differ are reported when an image is read.
    count : int
        Channels of the network.
    """
    if count == 1 or not samples:
        return ()
    load = samples[0].original
    found = channels_of(samples[0])
    if found.colour or not isinstance(load, ImageLoader | PageLoader):
        return ()
    if len(found.names) == count:
        return found.names
    chosen = load.reading.channels
    return chosen if len(chosen) == count else tuple(map(str, range(count)))
