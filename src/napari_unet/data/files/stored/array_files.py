"""Images that are arrays in a folder or a larger file, read page by page as all others are.

A source hands out a reference in place of the bytes of such an image. It begins with a mark that nobody can
write into a file, as each process has another.
"""

from __future__ import annotations

import json
import secrets
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.data.file_names import stem_of
from napari_unet.data.files.decoders.image_kinds import HDF5_SUFFIXES, split_array_name, suffix_of
from napari_unet.data.files.stored.lazy_hdf5 import images_in_hdf5, open_hdf5_image
from napari_unet.data.files.stored.lazy_zarr import is_zarr_image, labels_in, open_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.data.files.reading import ImageReading

MARK = b"\0array " + secrets.token_hex(8).encode()
SLAB = 2**28  # bytes of slices that lie in the same pieces of a file, and are read together


def reference_to(root: Path, name: str) -> bytes:
    """What stands for the bytes of an array that is an image."""
    return MARK + json.dumps([str(root), name]).encode()


def is_reference(head: bytes) -> bool:
    """Whether bytes, or the first of them, are a reference."""
    return head.startswith(MARK)


def open_reference(data: bytes, reading: ImageReading) -> LazyStack:
    """Open the array that a reference stands for."""
    root, name = json.loads(data[len(MARK) :])
    return open_array(str(root), str(name), reading)


@lru_cache(maxsize=16)
def open_array(root: str, name: str, reading: ImageReading) -> LazyStack:
    """Open an image of ``arrays_of`` without reading it."""
    found = split_array_name(name)
    assert found is not None
    file, inner = Path(root) / found[0], found[1]
    if suffix_of(file.name) in HDF5_SUFFIXES:
        return open_hdf5_image(file, inner, reading)
    return open_zarr(file / inner if inner else file, reading=reading)


def arrays_of(path: Path, name: str) -> Iterator[tuple[str, int]]:
    """Names and bytes of the images in an HDF5 file or an OME-Zarr.

    Parameters
    ----------
    path : pathlib.Path
        Of the file or folder.
    name : str
        What it is called.

    Yields
    ------
    name : str
        ``name`` itself of the image of an OME-Zarr, ``name:/INNER`` of its labels, and of arrays in HDF5.
    bytes : int
        Of its pixels; 0 if that is not known.
    """
    if suffix_of(path.name) in HDF5_SUFFIXES and path.is_file():
        for inner, size in images_in_hdf5(path):
            yield f"{name}:/{inner}", size
    elif path.is_dir() and is_zarr_image(path):
        yield name, 0
        for label in labels_in(path):
            yield f"{name}:/labels/{label}", 0


def read_page(stack: LazyStack, page: int) -> NDArray[np.generic]:
    """(Y, X, C): a page of an array; slices that lie in the same pieces of the file are read together."""
    index = stack.indices[page]
    along = [axis for axis, _ in stack.leading]
    thickness = _thickness(stack)
    if thickness < 2 or not stack.is_plain:
        return stack.read(index, *_whole(stack))
    place = along.index("z")
    first = index[place] // thickness * thickness
    slab = _slab(stack, (*index[:place], *index[place + 1 :]), place, first, thickness)
    page_of_slab: NDArray[np.generic] = slab[index[place] - first]
    return page_of_slab


def _thickness(stack: LazyStack) -> int:
    """Slices that are read together."""
    chunks: Any = getattr(stack.pixels, "chunks", None)
    if chunks is None or "z" not in dict(stack.leading):
        return 1
    height, width, channels = stack.shape
    thick = int(chunks[stack.axes.index("z")])
    return thick if thick * height * width * channels * stack.dtype.itemsize <= SLAB else 1


@lru_cache(maxsize=2)
def _slab(
    stack: LazyStack, others: tuple[int, ...], place: int, first: int, thickness: int
) -> NDArray[np.generic]:
    deep = dict(stack.leading)["z"]
    slices = slice(first, min(first + thickness, deep))
    found = stack.read((*others[:place], slices, *others[place:]), *_whole(stack))
    found.flags.writeable = False
    return found


def _whole(stack: LazyStack) -> tuple[slice, slice]:
    return slice(0, stack.shape[0]), slice(0, stack.shape[1])


def stem_of_array(name: str) -> str:
    """What an image in an array is called: "a" of a.ome.zarr, and of a.h5:/raw."""
    found = split_array_name(name)
    return stem_of(Path(name if found is None else found[0]))
