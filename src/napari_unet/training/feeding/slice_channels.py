"""What a network that sees several slices as channels takes of each slice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import ArrayCache
from napari_unet.data.files.channels import channels_of
from napari_unet.data.volumes.neighbours import with_neighbours
from napari_unet.models.normalization import LUMA, Normalization

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.settings import NetworkSettings


@dataclass(frozen=True)
class SliceChannels:
    """Brings one slice to the channels that a network takes of it: a colour to grey, grey to several.

    Attributes
    ----------
    channels : int
        That the network takes of one slice.
    names : tuple of str
        Of the channels of the slice, where they have names.
    colour : bool or None
        Whether they are red, green and blue; None where nobody says so.
    name : str
        Of the slice, for the error.
    """

    channels: int
    names: tuple[str, ...]
    colour: bool | None
    name: str

    def __call__(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        """(Y, X, C) to (Y, X, channels) of the same dtype.

        Raises
        ------
        ModelError
            If there are several channels, and which are meant is not clear.
        """
        have = image.shape[2]
        if have == self.channels:
            return image
        if have == 1:
            return np.repeat(image, self.channels, axis=2)
        image = Normalization(channels=self.channels).pick(image, self.names, self.colour, self.name)
        grey = (image.astype(np.float32) @ LUMA)[..., None]
        return np.asarray(np.rint(grey) if image.dtype.kind in "iu" else grey, image.dtype)


def with_seen_slices(sample: Sample, network: NetworkSettings) -> Sample:
    """An image as a network sees it: with the slices around it as channels, if it sees several.

    Parameters
    ----------
    sample : Sample
        An image, or a slice of a volume.
    network : NetworkSettings
        Of the network.
    """
    slices = network.seen_slices
    if slices == 1:
        return sample
    fit = SliceChannels(network.input_channels // slices, *channels_of(sample), sample.id)
    return with_neighbours(sample, slices, fit)


def dataset_with_seen_slices(dataset: Dataset, network: NetworkSettings) -> Dataset:
    """The same data set, each image with the slices around it, and read into a cache of its own."""
    samples = tuple(with_seen_slices(sample, network) for sample in dataset.samples)
    return replace(dataset, samples=samples, unlabelled=(), cache=ArrayCache(dataset.cache.max_bytes))
