"""NumPy's own files, .npy and .npz: read without pickles, and with the size known before memory is taken."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from math import prod
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIX = ".npy"
NUMBERS = "buif"  # kinds of what is stored: bool, unsigned and signed integers, floats
# What NumPy and zipfile raise on damaged files.
DAMAGED_ARRAY = (
    OSError, EOFError, ValueError, TypeError, KeyError, SyntaxError, OverflowError, RuntimeError,
    RecursionError, struct.error, tokenize.TokenError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip


def read_array(path: Path) -> NDArray[Any]:
    """Read a .npy file.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    numpy.ndarray
        Of any shape, bool, integers or floats.

    Raises
    ------
    ValueError
        If it holds other things than numbers, or fewer than its header declares.
    others
        Of ``DAMAGED_ARRAY``.
    """
    with path.open("rb") as file:
        return _read(file, path.stat().st_size)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a .npz file that is not compressed, by the names of the arrays; errors as ``read_array``."""
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(SUFFIX)]
        found = {}
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED:  # so that nothing is larger than the file
                raise ValueError(f"{entry.filename} is compressed")
            with archive.open(entry) as file:
                found[entry.filename.removesuffix(SUFFIX)] = _read(file, entry.file_size)
    return found


def _read(file: IO[bytes], size: int) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version[0]}.{version[1]} of the format, which holds no images")
    if dtype.kind not in NUMBERS:
        raise ValueError(f"an array of {dtype}, not of numbers")
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"an array of the shape {shape}")
    wanted = prod(shape) * dtype.itemsize
    if wanted > size - file.tell():
        raise ValueError(f"cut off: {size - file.tell():,} bytes of {wanted:,}")
    content = file.read(wanted)
    if len(content) != wanted:
        raise ValueError(f"cut off: {len(content):,} bytes of {wanted:,}")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
    return array.astype(dtype.newbyteorder("="))  # also because what came from bytes cannot be written to
