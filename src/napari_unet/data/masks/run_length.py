"""Run lengths, the masks of Kaggle's tables: pairs of start and length, 1-based, column by column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_NUMBERS = re.compile(r"[^0-9\s]", re.ASCII)
UNBOUNDED = 2**27  # pixels: more than any image of these competitions has
TOO_LONG = re.compile(r"[0-9]{19}")  # does not fit into 64 bits


def decode_run_lengths(text: str, shape: tuple[int, int], name: str = "") -> NDArray[np.uint8]:
    """Decode a mask.

    The rule of the Kaggle competitions TGS Salt Identification (2018) and Ultrasound Nerve
    Segmentation (2016): pixels are numbered from 1, top to bottom, then left to right.

    Parameters
    ----------
    text : str
        "start length start length ...", in any order; empty for an empty mask.
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
    height, width = shape
    if not text or text.isspace():
        return np.zeros((height, width), np.uint8)
    starts, ends = run_bounds(text, shape, name)
    # Alternating stretches of background and foreground, from the first pixel to the last.
    edges = np.empty(2 * len(starts) + 2, np.int64)
    edges[0], edges[1:-1:2], edges[2:-1:2], edges[-1] = 0, starts, ends, height * width
    values = np.zeros(len(edges) - 1, np.uint8)
    values[1::2] = 1
    flat = np.repeat(values, np.diff(edges))
    return np.ascontiguousarray(flat.reshape(width, height).T)


def run_bounds(
    text: str, shape: tuple[int, int] | None, name: str = ""
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel and pixel behind the last of every run, counted from 0, in rising order.

    Parameters
    ----------
    text : str
        As ``decode_run_lengths`` takes it, but not empty.
    shape : tuple of int, optional
        (Y, X) of the mask; None where it is not known, so that no run can leave it.
    name : str
        Of the image, for the error.

    Returns
    -------
    starts, ends : numpy.ndarray
        (N,) int64 each.

    Raises
    ------
    DataError
        As ``decode_run_lengths``.
    """
    whose = f"run lengths of {name}" if name else "run lengths"
    if NO_NUMBERS.search(text):
        raise DataError(
            f"{whose} are not whole positive numbers",
            code="data.runs.malformed",
            expected="start and length in turn",
            got=repr(text[:40]),
            remedy="mend the table",
        )
    if TOO_LONG.search(text):
        raise _out_of_range(text, shape, whose)
    numbers = np.fromstring(text, np.int64, sep=" ")
    if len(numbers) % 2:
        raise DataError(
            f"{whose} do not come in pairs",
            code="data.runs.malformed",
            expected="start and length in turn",
            got=f"{len(numbers)} numbers",
            remedy="mend the table",
        )
    starts, lengths = numbers[0::2] - 1, numbers[1::2]
    ends = starts + lengths
    pixels = shape[0] * shape[1] if shape is not None else UNBOUNDED
    if starts.min() < 0 or lengths.min() < 1 or ends.max() > pixels:
        raise _out_of_range(text, shape, whose)
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
    if (ends[:-1] > starts[1:]).any():
        raise DataError(
            f"{whose} overlap",
            code="data.runs.overlap",
            expected="every pixel once",
            got=repr(text[:40]),
            remedy="mend the table",
        )
    return starts, ends


def _out_of_range(text: str, shape: tuple[int, int] | None, whose: str) -> DataError:
    end = f", ending by {shape[0] * shape[1]} ({shape[1]} x {shape[0]} pixels)" if shape is not None else ""
    return DataError(
        f"{whose} leave the image",
        code="data.runs.outside",
        expected=f"starts and lengths from 1{end}",
        got=repr(text[:40]),
        remedy="mend the table, or check the size of the image",
    )


def encode_run_lengths(mask: NDArray[np.generic]) -> str:
    """Encode a mask; the reverse of ``decode_run_lengths``.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X); whatever is not 0 is foreground.

    Returns
    -------
    str
        Runs in rising order, as long as they can be; empty for an empty mask.

    Raises
    ------
    DataError
        If the mask is not of two dimensions.
    """
    _check_plane(mask)
    padded = np.zeros(mask.size + 2, np.bool_)
    np.not_equal(mask.T, 0, out=padded[1:-1].reshape(mask.shape[1], mask.shape[0]))
    changes = np.flatnonzero(padded[1:] != padded[:-1]) + 1
    changes[1::2] -= changes[0::2]
    return " ".join(map(str, changes.tolist()))


def encode_object_run_lengths(objects: NDArray[np.integer]) -> list[str]:
    """Encode numbered objects, all in one pass.

    Parameters
    ----------
    objects : numpy.ndarray
        (Y, X) of integers, 0 background, one positive number an object.

    Returns
    -------
    list of str
        One text an object, in the order of their numbers; no pixel is in two of them.

    Raises
    ------
    DataError
        If the mask is not of two dimensions.
    """
    _check_plane(objects)
    flat = objects.T.ravel()
    if not flat.size:
        return []
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    numbers = flat[starts]
    inside = np.flatnonzero(numbers > 0)
    inside = inside[np.argsort(numbers[inside], kind="stable")]
    pairs = np.stack([starts[inside] + 1, lengths[inside]], axis=1)
    cuts = np.flatnonzero(np.diff(numbers[inside])) + 1
    return [" ".join(map(str, part.ravel().tolist())) for part in np.split(pairs, cuts) if len(part)]


def _check_plane(mask: NDArray[np.generic]) -> None:
    if mask.ndim != 2:
        raise DataError(
            "run lengths are of one mask",
            code="data.runs.shape",
            expected="(Y, X)",
            got=f"shape {mask.shape}",
        )
