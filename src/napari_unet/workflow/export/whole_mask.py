"""The whole mask of a large image, from the disk; never a part of it as if it was all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import DataError, OutputError
from napari_unet.export.label_store import STATE
from napari_unet.inference.joined import join, look_at_part, number_part

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PART = 2048  # pixels that are looked at together, either way
MOST_PIXELS = 2**28  # of an image whose objects are numbered in memory
ALL = 1 - 1e-9  # of an image


def read_whole_mask(path: Path, name: str) -> NDArray[np.uint8]:
    """Read a mask on disk: (Y, X) uint8.

    Parameters
    ----------
    path : pathlib.Path
        An OME-Zarr of labels.
    name : str
        Of its image.

    Raises
    ------
    DataError
        If only a part of the image is segmented, or the mask is being made, or is gone.
    """
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        state, mask = dict(group.attrs.get(STATE) or {}), group["0"]
    except (OSError, ValueError, KeyError, zarr.errors.BaseZarrError) as error:
        raise DataError(
            f"the mask of {name} is gone",
            code="data.store.missing",
            got=str(path),
            remedy="segment the image again",
        ) from error
    share = float(state.get("share", 0.0))
    if share < ALL or "threshold" not in state:
        raise DataError(
            f"only a part of {name} is segmented",
            code="data.mask.part",
            got=f"{100 * share:.2g} % of it",
            remedy="segment all of this image, then export",
        )
    return np.asarray(mask[...])


def number_whole(mask: NDArray[np.uint8], name: str) -> NDArray[np.int32]:
    """Number the connected objects of a large mask: (Y, X) int32, 0 background, 1..N.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    name : str
        Of its image.

    Raises
    ------
    OutputError
        If that needs too much memory.
    """
    if mask.size > MOST_PIXELS:
        raise OutputError(
            f"{name} is too large to have its objects numbered",
            code="output.mask.large",
            expected=f"at most {MOST_PIXELS / 1e6:.0f} megapixels",
            got=f"{mask.size / 1e6:.0f}",
            remedy="export classes as TIFF, OME-TIFF or PNG, or use `napari-unet segment --objects`",
        )
    places = {
        (row, column): (slice(row * PART, (row + 1) * PART), slice(column * PART, (column + 1) * PART))
        for row in range(-(-mask.shape[0] // PART))
        for column in range(-(-mask.shape[1] // PART))
    }
    joined = join({place: look_at_part(mask[where]) for place, where in places.items()})
    found = np.zeros(mask.shape, np.int32)
    for place, where in places.items():
        found[where] = joined.numbers[place].astype(np.int32)[number_part(mask[where])[0]]
    return found
