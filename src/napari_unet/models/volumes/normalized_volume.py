"""A volume as a network is fed it: one mean and deviation for all its slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.models.normalization import resize, scaled_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.models.normalization import Normalization


def normalized_volume(
    normalization: Normalization,
    volume: NDArray[np.generic],
    channels: tuple[tuple[str, ...], bool | None] = ((), None),
    name: str = "the volume",
) -> NDArray[np.float32]:
    """Bring a volume into the form the network was trained on.

    Parameters
    ----------
    normalization : Normalization
        Of the model. Its scale is that of Y and X; slices stay as many as they are.
    volume : numpy.ndarray
        (Z, Y, X, C), any real dtype.
    channels : tuple
        Names of its channels, and whether they are those of a colour, as ``channels_of`` gives them.
    name : str
        For the error.

    Returns
    -------
    numpy.ndarray
        (Z, Y * scale, X * scale, channels) float32.

    Raises
    ------
    ModelError
        If the channels cannot be matched.
    """
    depth, height, width, count = volume.shape
    tall = volume.reshape(depth * height, width, count)  # so that all slices have one mean and deviation
    if count > 1:
        tall = normalization.pick(tall, *channels, name)
    values = normalization.model_copy(update={"scale": 1.0}).prepare(tall, name)
    values = values.reshape(depth, height, width, -1)
    if normalization.scale == 1.0:
        return values
    return resized_slices(values, scaled_shape((height, width), normalization.scale))


def resized_slices(
    volume: NDArray[np.float32], shape: tuple[int, int], *, nearest: bool = False
) -> NDArray[np.float32]:
    """Resize every slice of (Z, Y, X, C) to (Y, X), as ``resize`` does."""
    if volume.shape[1:3] == shape:
        return volume
    return np.stack([resize(one, shape, nearest=nearest) for one in volume])


def normalization_of_slices(normalization: Normalization, slices: int) -> Normalization:
    """How one slice alone is prepared, not yet resized, for a network that sees several as channels.

    Parameters
    ----------
    normalization : Normalization
        Of the model, whose channels are those of all slices that it sees.
    slices : int
        How many it sees; 1: each alone.
    """
    channels = normalization.channels // slices
    middle = slice(slices // 2 * channels, (slices // 2 + 1) * channels)
    of_slice = {
        "channels": channels,
        "mean": normalization.mean[middle],
        "deviation": normalization.deviation[middle],
        "scale": 1.0,
    }
    return normalization.model_copy(update=of_slice)
