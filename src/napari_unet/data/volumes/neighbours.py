"""A slice with those before and after it, as channels of one image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.stack_axes import mirrored
from napari_unet.data.volumes.slices import Place, place_of
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample


SLICES_IN_MEMORY = 64  # that were read last: neighbours are read for several slices


@dataclass(frozen=True)
class NeighbourLoader:
    """Reads a slice with its neighbours: () -> (Y, X, slices * C), the first slice's channels first.

    Beyond the first and the last slice the volume is mirrored, as tiles are at the borders of an image. So
    is it at a slice that is missing, damaged, or of another size.

    Attributes
    ----------
    middle : callable
        Reads the slice itself.
    before, after : tuple of callable
        Read its neighbours, the nearest first, as far as there are any.
    reach : int
        How many neighbours there are to be on either side.
    fit : callable, optional
        (Y, X, C) of one slice to the channels that are wanted of it.
    """

    middle: Callable[[], NDArray[np.generic]]
    before: tuple[Callable[[], NDArray[np.generic]], ...]
    after: tuple[Callable[[], NDArray[np.generic]], ...]
    reach: int
    fit: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None = None

    def __call__(self) -> NDArray[np.generic]:
        """Read all of them."""
        middle = self.middle()
        upwards, downwards = (self._as_long(side, middle) for side in (self.before, self.after))
        row = [*reversed(upwards), middle, *downwards]
        places = mirrored(len(upwards), self.reach, len(row))
        if self.fit is not None:
            row = [self.fit(image) for image in row]
        return np.concatenate([row[place] for place in places], axis=2)

    @staticmethod
    def _as_long(
        side: tuple[Callable[[], NDArray[np.generic]], ...], middle: NDArray[np.generic]
    ) -> list[NDArray[np.generic]]:
        found = []
        for load in side:
            try:
                image = read_slice(load)
            except DataError:
                break  # the error is said where that slice itself is read
            if image.shape != middle.shape:
                break
            found.append(image.astype(middle.dtype, copy=False))
        return found


@lru_cache(maxsize=SLICES_IN_MEMORY)
def read_slice(load: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """What a loader reads; the last slices stay in memory, as neighbours are read for several others."""
    return load()


def with_neighbours(
    sample: Sample, slices: int, fit: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None = None
) -> Sample:
    """An image with its neighbours as channels.

    Parameters
    ----------
    sample : Sample
        A slice of a volume; an image that is none is its own neighbour.
    slices : int
        How many are seen, an odd number.
    fit : callable, optional
        (Y, X, C) of one slice to the channels that are wanted of it.
    """
    reach = slices // 2
    place = place_of(sample)
    before: tuple[Callable[[], NDArray[np.generic]], ...] = ()
    after: tuple[Callable[[], NDArray[np.generic]], ...] = ()
    if place is not None:
        before, after = neighbours(place, -1, reach), neighbours(place, 1, reach)
    return replace(sample, load_image=NeighbourLoader(sample.load_image, before, after, reach, fit))


def neighbours(place: Place, step: int, most: int) -> tuple[Callable[[], NDArray[np.generic]], ...]:
    """What reads the slices before (step -1) or after (1) a place, the nearest first, up to a missing one."""
    found = []
    for z in range(place.z + step, place.z + step * (most + 1), step):
        if z not in place.slices:
            break
        found.append(place.slices[z])
    return tuple(found)
