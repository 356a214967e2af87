"""What a file says about the channels of an image, for whoever must choose among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.files.pages import PageLoader, header_of_loader
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample

COLOURS = ("red", "green", "blue")


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

    def chosen(self, numbers: Sequence[int]) -> Channels:
        """What is known where only these are read; none: all."""
        if not numbers:
            return self
        named = all(number < len(self.names) for number in numbers)
        return Channels(tuple(self.names[number] for number in numbers) if named else (), False)


NOTHING_KNOWN = Channels()


def channels_of(sample: Sample) -> Channels:
    """What is known of the channels of an image, as it is read; nothing where nobody says anything."""
    load = sample.original
    said = getattr(load, "channels", None)
    if isinstance(said, Channels):
        return said
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


@dataclass(frozen=True)
class ChosenChannels:
    """Reads some channels of an image that is no file: () -> (Y, X, C).

    Attributes
    ----------
    whole : callable
        () -> all channels of it, (Y, X, C).
    numbers : tuple of int
        Of the channels that are wanted, in this order.
    """

    whole: Callable[[], NDArray[np.generic]]
    numbers: tuple[int, ...]

    def __call__(self) -> NDArray[np.generic]:
        """Read, and choose."""
        image = self.whole()
        return image if image.shape[2] == 1 else image[..., list(self.numbers)]


def with_channels(sample: Sample, numbers: tuple[str, ...]) -> Sample:
    """The same image, of which only these channels are read: numbers from 0, in order; none: all.

    It is what ``--channel`` does when files are opened.
    """
    load: Any = whole_of(sample)
    if isinstance(load, ImageLoader | PageLoader):
        load = replace(load, reading=replace(load.reading, channels=numbers))
    elif hasattr(load, "choose"):
        load = load.choose(numbers)
        region = None if sample.load_region is None else load
        return replace(sample, load_image=load, original=load, load_region=region)
    elif numbers:
        load = ChosenChannels(load, tuple(map(int, numbers)))
    return sample if load == sample.original else replace(sample, load_image=load, original=load)


def whole_of(sample: Sample) -> Callable[[], NDArray[np.generic]]:
    """What reads all channels of an image, whichever of them are wanted; equal for equal images."""
    load: Any = sample.original
    if isinstance(load, ImageLoader | PageLoader) and load.reading.channels:
        return replace(load, reading=replace(load.reading, channels=()))
    whole: Callable[[], NDArray[np.generic]] = getattr(load, "whole", load)
    return whole


def read_whole(sample: Sample) -> NDArray[np.generic]:
    """(Y, X, C) with all its channels: by that an image is known again, whichever channel is read."""
    whole = whole_of(sample)
    return sample.read_image() if whole == sample.original else whole()


def dataset_with_channels(dataset: Dataset, numbers: tuple[str, ...]) -> Dataset:
    """The same data set, of whose images only these channels are read; none: all."""
    from napari_unet.data.dataset import DEFAULT_CACHE_BYTES, ArrayCache

    return replace(
        dataset,
        samples=tuple(with_channels(s, numbers) for s in dataset.samples),
        unlabelled=tuple(with_channels(s, numbers) for s in dataset.unlabelled),
        channels=numbers,
        cache=ArrayCache(DEFAULT_CACHE_BYTES),
    )
