"""HDF5 that somebody else may have written: nothing outside it is read, sizes are looked at first."""

from __future__ import annotations

from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_OBJECTS = 50_000  # groups and arrays in one file
MAX_DEPTH = 12
MAX_CHUNK = 2**26  # numbers that are unpacked at once


@contextmanager
def open_hdf5(path: Path, most: int | None = None) -> Iterator[Any]:
    """Open a file that holds nothing but arrays in groups.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    most : int, optional
        Numbers that one array may have; those that belong to an optimizer do not count.

    Yields
    ------
    h5py.File
        To be read.

    Raises
    ------
    ValueError
        If something in it points to other files, or is larger than it may be.
    OSError, RuntimeError, KeyError
        What h5py raises on a damaged file.
    """
    import h5py

    seen = 0

    def check(group: Any, depth: int) -> None:
        nonlocal seen
        for key in group:
            seen += 1
            if seen > MAX_OBJECTS or depth > MAX_DEPTH:
                raise ValueError("more groups than any network has")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{key}, which points elsewhere")
            item = group[key]
            if isinstance(item, h5py.Group):
                check(item, depth + 1)
                continue
            if not isinstance(item, h5py.Dataset):
                raise ValueError(f"{key}, which is no array")
            if item.is_virtual or item.external:
                raise ValueError(f"{key}, which is in another file")
            if prod(item.chunks or ()) > MAX_CHUNK:
                raise ValueError(f"{key}, of which a single piece is {prod(item.chunks):,} numbers")
            size = prod(item.shape or ())
            if most is not None and size > most and not item.name.startswith("/optimizer"):
                raise ValueError(f"{key} of {size:,} numbers, the network has {most:,}")

    with h5py.File(path, "r") as file:
        check(file, 0)
        yield file
