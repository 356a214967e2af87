"""Several opinions of the same images, one after another, and their mean and spread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import WorkbenchError
from napari_unet.inference.predict import FLIPS, predict_probabilities, rays_flipped_back
from napari_unet.models.normalization import resize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.inference.predict import Flip, Network
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings

UPRIGHT: Flip = (False, False, False)
MOST_FLIPS = 4


@dataclass(frozen=True, eq=False)
class EnsembleMember:
    """One opinion: a network, how it wants its images, and how much it counts.

    Attributes
    ----------
    prepare : callable
        (image, name) -> (Y, X, C) float32, at the network's resolution.
    network : callable
        (N, Y, X, C) float32 to (N, Y', X', K) float32.
    sizes : InputSizes
        Of the network.
    settings : InferenceSettings
        Tiles, flips to average over.
    weight : float
        Share in the mean.
    flip : tuple of bool
        Along Y, along X, and whether the axes are exchanged before: how it looks at the image.
    rays : int
        How many channels of its outputs, the last, are distances along rays.
    """

    prepare: Callable[[NDArray[np.generic], str], NDArray[np.float32]]
    network: Network
    sizes: InputSizes
    settings: InferenceSettings
    weight: float = 1.0
    flip: Flip = UPRIGHT
    rays: int = 0

    def outputs(
        self, images: Iterable[NDArray[np.float32]], cancel: CancelToken | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """What it makes of prepared images, in order, the right way round again."""
        flipped = (flip_image(image, self.flip) for image in images)
        for found in predict_probabilities(
            flipped, self.network, self.sizes, self.settings, cancel, self.rays
        ):
            back = flip_back(found, self.flip)
            yield rays_flipped_back(back, self.rays, self.flip) if self.rays else back


def flip_image(image: NDArray[np.float32], flip: Flip) -> NDArray[np.float32]:
    """Look at an image in another way: one of the eight of the dihedral group.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, ...).
    flip : tuple of bool
        Along Y, along X, and whether the axes are exchanged before.
    """
    y, x, transpose = flip
    image = image.swapaxes(0, 1) if transpose else image
    return np.ascontiguousarray(image[:: -1 if y else 1, :: -1 if x else 1])


def flip_back(image: NDArray[np.float32], flip: Flip) -> NDArray[np.float32]:
    """Undo ``turn``."""
    y, x, transpose = flip
    image = image[:: -1 if y else 1, :: -1 if x else 1]
    return image.swapaxes(0, 1) if transpose else image


def flips_of(symmetry: str, most: int = MOST_FLIPS) -> tuple[Flip, ...]:
    """Ways to look at an image that are compared: those the model was trained to be the same under."""
    flips = FLIPS.get(symmetry, FLIPS["none"])
    if len(flips) == 1:  # what was not trained still tells of doubt
        flips = FLIPS["horizontal"]
    step = max(1, len(flips) // most)
    return flips[::step][:most]


@dataclass(eq=False)
class RunningMean:
    """Weighted mean and spread of several opinions of one image, added one after another.

    Attributes
    ----------
    shape : tuple of int
        (Y, X) of the image.
    """

    shape: tuple[int, int]
    _mean: NDArray[np.float32] | None = field(default=None, init=False)
    _square: NDArray[np.float32] | None = field(default=None, init=False)
    _weight: float = field(default=0.0, init=False)

    def add(self, probabilities: NDArray[np.float32], weight: float) -> None:
        """Take one more opinion.

        Parameters
        ----------
        probabilities : numpy.ndarray
            (Y, X, K) float32 in [0, 1], at any resolution.
        weight : float
            Above 0.

        Notes
        -----
        West 1979, doi:10.1145/359146.359153: mean and squared deviations are carried along, which does
        not cancel where opinions are nearly equal.
        """
        full = resize(probabilities, self.shape)
        self._weight += weight
        if self._mean is None or self._square is None:
            self._mean, self._square = full.copy(), np.zeros_like(full)
            return
        away = full - self._mean
        self._mean += np.float32(weight / self._weight) * away
        self._square += np.float32(weight) * away * (full - self._mean)

    @property
    def mean(self) -> NDArray[np.float32]:
        """(Y, X, K) float32, the weighted mean."""
        assert self._mean is not None
        return self._mean

    def spread(self, classes: int) -> NDArray[np.float32]:
        """(Y, X) float32 in [0, 0.5]: how far opinions lie apart.

        The weighted standard deviation of the probability, of the first `classes` channels the largest: 0
        where all agree, 0.5 where half of them say 0 and half 1.
        """
        assert self._square is not None
        return spread_of(self._square[..., :classes], self._weight)


def spread_of(square: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """(Y, X) float32: the largest standard deviation, of summed squares (Y, X, K) and the weight of all."""
    variance = np.maximum(square, 0) / np.float32(weight)
    return np.asarray(np.sqrt(variance).max(axis=-1), np.float32)


def predict_members(
    images: Sequence[NDArray[np.generic]],
    names: Sequence[str],
    members: Iterable[EnsembleMember],
    cancel: CancelToken | None = None,
    on_problem: Callable[[int, WorkbenchError], None] | None = None,
) -> list[RunningMean | None]:
    """Put several voices on the same images, one voice after another.

    Parameters
    ----------
    images : sequence of numpy.ndarray
        (Y, X, C) as stored.
    names : sequence of str
        For errors.
    members : iterable of EnsembleMember
        Each is done with before the next is asked for, so that one at a time need be in memory.
    cancel : CancelToken, optional
        Checked before every batch.
    on_problem : callable, optional
        Takes the number of an image that does not fit, and the error; without it that is raised.

    Returns
    -------
    list of RunningMean
        One an image; None for those that do not fit a voice.

    Raises
    ------
    Cancelled
        When the token was set.
    """
    found: list[RunningMean | None] = [RunningMean((image.shape[0], image.shape[1])) for image in images]
    for member in members:
        asked: list[int] = []

        def prepared(
            member: EnsembleMember = member, asked: list[int] = asked
        ) -> Iterator[NDArray[np.float32]]:
            for number, image in enumerate(images):
                if found[number] is None:
                    continue
                try:
                    ready = member.prepare(image, names[number])
                except WorkbenchError as error:
                    if on_problem is None:
                        raise
                    found[number] = None
                    on_problem(number, error)
                    continue
                asked.append(number)
                yield ready

        for outputs in member.outputs(prepared(), cancel):
            mean = found[asked.pop(0)]
            if mean is not None:
                mean.add(outputs, member.weight)
    return found
