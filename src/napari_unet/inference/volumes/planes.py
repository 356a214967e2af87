"""A volume seen in planes across z, y and x: a network of images answers along each axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.stack_axes import mirrored
from napari_unet.inference.predict import predict_probabilities
from napari_unet.models.normalization import resize, scaled_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.inference.predict import Network
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings

AXES = 3


@dataclass(frozen=True, eq=False)
class PlaneNetwork:
    """A network of images, and how it is shown the planes of a volume.

    Attributes
    ----------
    network : callable
        (N, Y, X, C) float32 to (N, Y', X', K) float32 probabilities.
    sizes : InputSizes
        Of the network.
    settings : InferenceSettings
        Tile, overlap, pixels a batch, flips.
    slices : int
        Planes that it sees at once, as channels; an odd number.
    scales : tuple of float
        By which a plane is resized along Z, Y and X before it enters the network.
    """

    network: Network
    sizes: InputSizes
    settings: InferenceSettings
    slices: int = 1
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def answers(
        self,
        volume: NDArray[np.float32],
        axis: int,
        planes: range,
        cancel: CancelToken | None = None,
    ) -> Iterator[NDArray[np.float16]]:
        """Answer for planes one behind another.

        Parameters
        ----------
        volume : numpy.ndarray
            (N, A, B, C) float32: prepared planes, with those around them that are seen as neighbours.
        axis : int
            Along which they lie one behind another; A and B are along the others, in their order.
        planes : range
            Which are wanted, by their numbers in `volume`.
        cancel : CancelToken, optional
            Checked before every batch.

        Yields
        ------
        numpy.ndarray
            (A, B, K) float16 in [0, 1] of each.
        """
        _, height, width, _ = volume.shape
        along, across = (scale for n, scale in enumerate(self.scales) if n != axis)
        shown = scaled_shape((height, width), along)[0], scaled_shape((height, width), across)[1]
        images = (resize(with_planes_around(volume, n, self.slices), shown) for n in planes)
        for outputs in predict_probabilities(images, self.network, self.sizes, self.settings, cancel):
            yield resize(outputs, (height, width)).astype(np.float16)


def with_planes_around(volume: NDArray[np.float32], place: int, slices: int) -> NDArray[np.float32]:
    """A plane with its neighbours as channels, the first one's first; mirrored at both ends.

    Parameters
    ----------
    volume : numpy.ndarray
        (N, A, B, C) float32.
    place : int
        Number of the plane.
    slices : int
        How many planes are seen, an odd number.

    Returns
    -------
    numpy.ndarray
        (A, B, slices * C) float32.
    """
    reach = slices // 2
    first, last = max(place - reach, 0), min(place + reach + 1, len(volume))
    seen = mirrored(place - first, reach, last - first)
    return np.concatenate([volume[first + n] for n in seen], axis=-1)


def mean_of_planes(answers: Sequence[NDArray[np.float16]]) -> NDArray[np.float32]:
    """Average what was answered along the axes.

    Parameters
    ----------
    answers : sequence of numpy.ndarray
        (Z, Y, X, K) float16 in [0, 1] each, in the order of the axes.

    Returns
    -------
    numpy.ndarray
        (Z, Y, X, K) float32 in [0, 1].
    """
    total = answers[0].astype(np.float32)
    for answer in answers[1:]:
        total += answer
    total /= np.float32(len(answers))
    return total
