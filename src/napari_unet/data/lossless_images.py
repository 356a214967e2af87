"""Images in files that give back the very same pixels: TIFF, or a NumPy array where a TIFF would not."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.arrays import DAMAGED_ARRAY, read_array
from napari_unet.data.files.image_files import decode_image
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".tif", ".npy")


def encode_exactly(image: NDArray[np.generic], name: str) -> tuple[str, bytes]:
    """Encode an image so that ``read_exactly`` gives it back.

    Parameters
    ----------
    image : numpy.ndarray
        (Y, X, C) of any real dtype.
    name : str
        For errors.

    Returns
    -------
    suffix : str
        ".tif", or ".npy" where a TIFF, as it is read, would alter the image.
    data : bytes
        Content of the file.
    """
    with suppress(DataError, ValueError, TypeError):  # of pixels that a TIFF cannot hold
        data = _tiff(image)
        again = decode_image(data, name)
        if again.dtype == image.dtype and np.array_equal(again, image, equal_nan=image.dtype.kind == "f"):
            return ".tif", data
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(image), allow_pickle=False)
    return ".npy", file.getvalue()


def read_exactly(path: Path) -> NDArray[np.generic]:
    """Read such a file.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) in the stored dtype.

    Raises
    ------
    DataError
        If it is not there, or damaged.
    """
    try:
        if path.suffix == ".npy":
            pixels = read_array(path)
            if pixels.ndim != 3 or not pixels.size:
                raise ValueError(f"an array of the shape {pixels.shape}, not of one image")
            return pixels
        return decode_image(path.read_bytes(), path.name)
    except DAMAGED_ARRAY as error:
        raise DataError(
            f"{path} cannot be read",
            code="data.file.unreadable",
            reason=str(error),
            remedy="put the file back",
        ) from error


def _tiff(image: NDArray[np.generic]) -> bytes:
    import tifffile

    file = io.BytesIO()
    colour = image.shape[2] == 3 and image.dtype in (np.uint8, np.uint16)
    with tifffile.TiffWriter(file) as writer:
        writer.write(
            np.ascontiguousarray(image if image.shape[2] > 1 else image[..., 0]),
            photometric="rgb" if colour else "minisblack",
            planarconfig="contig" if image.shape[2] > 1 else None,
            compression="zlib",
            metadata={"axes": "YXS" if image.shape[2] > 1 else "YX"},
        )
    return file.getvalue()
