"""Images in HDF5 files as lazy stacks: as ilastik, CREMI and training programs write them."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.damage import DAMAGE
from napari_unet.data.files.lazy_stack import LazyStack, usual_axes
from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.data.files.reading import current_reading
from napari_unet.data.files.unreadable import damaged_file
from napari_unet.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.files.reading import ImageReading

MOST_ARRAYS = 32  # that may be images; a file with more is of something else
SMALLEST = 16  # pixels of an image along Y and X
# What the files of Keras have, whose arrays are weights.
OF_WEIGHTS = {
    "layers",
    "optimizer",
    "model_weights",
    "optimizer_weights",
    "vars",
    "keras_version",
    "layer_names",
}
AXIS_TAGS = "axistags"  # of ilastik and vigra: JSON
ELEMENT_SIZE = "element_size_um"  # of ImageJ's HDF5 plugin: z, y, x


@dataclass(eq=False)
class Hdf5Pixels:
    """An array in an HDF5 file; opened when it is first asked for, and in each process by itself.

    Attributes
    ----------
    path : pathlib.Path
        Of the file.
    name : str
        Of the array in it.
    shape, dtype, chunks
        Of the array.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None

    def __post_init__(self) -> None:
        self._lock = RLock()
        self._file: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        import h5py

        with self._lock:
            if self._file is None:
                self._file = h5py.File(self.path, "r")
            return self._file[self.name][key]


def images_in_hdf5(path: Path) -> list[tuple[str, int]]:
    """Names and bytes of the arrays in a file that may be images; none where it cannot be read.

    Arrays of other files, which it may refer to, are none of it; nor are weights of networks.
    """
    import h5py

    found: list[tuple[str, int]] = []

    def look(group: Any) -> None:
        for key in group:
            if len(found) > MOST_ARRAYS or not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item = group[key]
            if isinstance(item, h5py.Group):
                look(item)
            elif isinstance(item, h5py.Dataset) and _may_be_image(item):
                found.append((str(item.name).lstrip("/"), math.prod(item.shape) * item.dtype.itemsize))

    with suppress(*DAMAGE), h5py.File(path, "r") as file:
        if not OF_WEIGHTS & {*file, *file.attrs}:
            look(file)
    return found if len(found) <= MOST_ARRAYS else []


def _check_whole(path: Path) -> None:
    """Raise a DataError if a file cannot be read."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            list(file)
    except DAMAGE as error:
        raise damaged_file(path, error) from error


def _may_be_image(array: Any) -> bool:
    large = len([side for side in array.shape if side >= SMALLEST]) >= 2
    own = array.external is None and not array.is_virtual
    return bool(large and own and array.ndim <= 6 and array.dtype.kind in "buif")


def open_hdf5_image(path: Path, name: str = "", reading: ImageReading | None = None) -> LazyStack:
    """Open an image in an HDF5 file without reading it.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    name : str
        Of the image in it; needed only if there are several.
    reading : ImageReading, optional
        Axes, where a person knows them; else what the file says of them, else the usual ones.

    Raises
    ------
    DataError
        If it holds no image, several and none is named, or is damaged.
    """
    import h5py

    names = [one for one, _ in images_in_hdf5(path)]
    if not names:
        _check_whole(path)
    name = name.strip("/") or (names[0] if len(names) == 1 else "")
    if name not in names:
        listed = ", ".join(f"{path.name}:/{one}" for one in names[:5])
        raise DataError(
            f"{path} holds no image {name}".rstrip()
            if name or not names
            else f"which image of {path} is meant is not clear",
            code="data.file.choice",
            expected=f"one of {listed}" if names else "an array of numbers with two axes or more",
            got=f"{len(names)} arrays",
            remedy="name the image, like FILE.h5:/NAME",
        )
    reading = current_reading() if reading is None else reading
    try:
        with h5py.File(path, "r") as file:
            array = file[name]
            shape = tuple(map(int, array.shape))
            chunks = None if array.chunks is None else tuple(map(int, array.chunks))
            pixels = Hdf5Pixels(path.resolve(), name, shape, np.dtype(array.dtype), chunks)
            axes = reading.axes.lower() or _axes_of(array)
            sides = np.asarray(array.attrs.get(ELEMENT_SIZE, ()), float).ravel()
    except DAMAGE as error:
        raise damaged_file(path, error) from error
    size, distance = None, None
    if len(sides) == 3:
        with suppress(SettingsError):
            size = PixelSize(float(sides[1]), float(sides[2]))
            distance = float(sides[0]) if math.isfinite(sides[0]) and sides[0] > 0 else None
    about = f"{path.stat().st_size} bytes {name}"
    stem = path.stem if len(names) == 1 else f"{path.stem}_{name.replace('/', '_')}"
    return LazyStack(stem, pixels, axes, size, source=about, slice_distance=distance)


def _axes_of(array: Any) -> str:
    """As the file names the axes of an array, else the usual ones."""
    letters = ""
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        tags = json.loads(array.attrs[AXIS_TAGS])
        letters = "".join(str(axis["key"]) for axis in tags["axes"]).lower()
    if not letters:
        letters = "".join(str(side.label)[:1].lower() for side in array.dims)
    known = len(letters) == array.ndim == len(set(letters)) and {*"yx"} <= set(letters)
    return letters if known else usual_axes(array.shape)
