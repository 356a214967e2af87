"""Run lengths, the masks of Kaggle's tables: pairs of start and length, 1-based, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decode_run_lengths(text: str, shape: tuple[int, int], name: str = "") -> NDArray[np.uint8]:
    """Decode a mask.

    The rule of the Kaggle competitions TGS Salt Identification (2018) and Ultrasound Nerve
    Segmentation (2016): pixels are numbered from 1, top to bottom, then left to right.

    Parameters
    ----------
    text : str
        "start length start length ..."; empty for an empty mask.
    shape : tuple of int
        (Y, X) of the mask.
    name : str
        Of the image, for the error.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8, 0 or 1.

    Raises
    ------
    DataError
        If the text is not pairs of positive numbers, or runs overlap or leave the image.
    """
    whose = f"run lengths of {name}" if name else "run lengths"
    pixels = shape[0] * shape[1]
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{whose} are not whole numbers", got=repr(text[:40]), remedy="mend the table"
        ) from error
    if len(numbers) % 2:
        raise DataError(
            f"{whose} do not come in pairs",
            expected="start and length in turn",
            got=f"{len(numbers)} numbers",
            remedy="mend the table",
        )
    starts, lengths = numbers[0::2], numbers[1::2]
    ends = starts - 1 + lengths
    if len(numbers) and (starts.min() < 1 or lengths.min() < 1 or ends.max() > pixels):
        raise DataError(
            f"{whose} leave the image",
            expected=f"1 to {pixels} ({shape[1]} x {shape[0]} pixels)",
            got=f"a run from {starts.min()} or up to {ends.max()}",
            remedy="mend the table, or check the size of the image",
        )
    changes = np.zeros(pixels + 1, np.int8)
    np.add.at(changes, starts - 1, 1)
    np.subtract.at(changes, ends, 1)
    flat = np.cumsum(changes[:-1], dtype=np.int8)
    if len(flat) and flat.max(initial=0) > 1:
        raise DataError(f"{whose} overlap", remedy="mend the table")
    return np.ascontiguousarray(flat.view(np.uint8).reshape(shape[1], shape[0]).T)


def encode_run_lengths(mask: NDArray[np.generic]) -> str:
    """Encode a mask; the reverse of ``decode_run_lengths``.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X); whatever is not 0 is foreground.

    Returns
    -------
    str
        Empty for an empty mask.
    """
    padded = np.zeros(mask.size + 2, np.int8)
    padded[1:-1] = (mask.T != 0).ravel()
    changes = np.flatnonzero(padded[1:] != padded[:-1]) + 1
    changes[1::2] -= changes[0::2]
    return " ".join(map(str, changes.tolist()))
