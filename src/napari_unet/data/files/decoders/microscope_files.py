"""Files of microscopes (CZI, LIF, ND2), read by bioio where its plug-in for them is installed."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.files.decoders.decoded_image import DecodedImage

if TYPE_CHECKING:
    from collections.abc import Iterator

# Suffix to the plug-in of bioio that reads it.
PLUGINS = {".czi": "bioio_czi", ".lif": "bioio_lif", ".nd2": "bioio_nd2"}


@cache
def is_installed(suffix: str) -> bool:
    """Whether files with this suffix, in lower case, can be read."""
    plugin = PLUGINS.get(suffix)
    return plugin is not None and find_spec("bioio") is not None and find_spec(plugin) is not None


@dataclass(frozen=True)
class Scene:
    """One scene of a file: its sizes and its channels.

    Attributes
    ----------
    name : str
        As bioio calls it.
    times, slices, height, width : int
        Each time and each slice is an image of its own.
    channels : tuple of str
        Names.
    colour : bool
        Whether the channels are red, green and blue.
    dtype : numpy.dtype
        Of the stored values.
    pixel_size : tuple of float or None
        (Y, X) in µm; None where the file does not say.
    """

    name: str
    times: int
    slices: int
    height: int
    width: int
    channels: tuple[str, ...]
    colour: bool
    dtype: np.dtype[Any]
    pixel_size: tuple[float, float] | None

    @property
    def images(self) -> int:
        """How many images it holds."""
        return self.times * self.slices


class MicroscopeImages:
    """The images of one file: all scenes, times and slices, in this order.

    Parameters
    ----------
    reader : bioio.BioImage
        Of the open file.

    Attributes
    ----------
    scenes : tuple of Scene
        At least one.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.scenes = tuple(self._scene(name) for name in reader.scenes)
        if not self.scenes:
            raise ValueError("a file without an image")

    @property
    def count(self) -> int:
        """How many images the file holds."""
        return sum(scene.images for scene in self.scenes)

    def find(self, page: int) -> tuple[Scene, int, int]:
        """The scene of an image, its time and its slice."""
        for scene in self.scenes:
            if page < scene.images:
                return scene, *divmod(page, scene.slices)
            page -= scene.images
        raise IndexError(page)

    def decode(self, page: int) -> DecodedImage:
        """Read one image; from the file no other is read where its format allows."""
        scene, time, level = self.find(page)
        self._reader.set_scene(scene.name)
        axes, channel = ("YXS", {"C": 0}) if scene.colour else ("CYX", {})
        pixels = np.asarray(self._reader.get_image_dask_data(axes, T=time, Z=level, **channel).compute())
        if not scene.colour:
            pixels = np.moveaxis(pixels, 0, -1)
        names = () if scene.colour else scene.channels
        alpha = 3 if scene.colour and pixels.shape[2] == 4 else None
        return DecodedImage(np.ascontiguousarray(pixels), names, alpha, scene.colour)

    def _scene(self, name: str) -> Scene:
        self._reader.set_scene(name)
        sizes = dict(zip(self._reader.dims.order, self._reader.dims.shape, strict=True))
        others = [axis for axis, size in sizes.items() if axis not in "TCZYXS" and size > 1]
        if others:
            raise ValueError(f"axes that are not known here: {', '.join(others)}")
        colour = sizes.get("S", 1) in (3, 4)
        named = ("red", "green", "blue", "alpha")[: sizes["S"]] if colour else self._reader.channel_names
        size = self._reader.physical_pixel_sizes
        known = size.Y and size.X
        return Scene(
            name, sizes.get("T", 1), sizes.get("Z", 1), sizes["Y"], sizes["X"],
            tuple(map(str, named or range(sizes.get("C", 1)))), colour, np.dtype(self._reader.dtype),
            (float(size.Y), float(size.X)) if known else None,
        )  # fmt: skip


@contextmanager
def opened_microscope_file(file: IO[bytes], name: str) -> Iterator[MicroscopeImages]:
    """Open a file whose suffix ``is_installed``.

    Parameters
    ----------
    file : binary file
        Where it is not a file on disk, as in an archive, a copy of it is read.
    name : str
        With the suffix.

    Raises
    ------
    ValueError
        If bioio cannot read it, or it has axes that are not known here.
    """
    from bioio import BioImage
    from bioio_base.exceptions import UnsupportedFileFormatError

    suffix = PurePosixPath(name).suffix.lower()
    reader = import_module(PLUGINS[suffix]).Reader
    with tempfile.TemporaryDirectory() as folder:
        path = Path(str(getattr(file, "name", "")))
        if not path.is_file():
            path = Path(folder, f"image{suffix}")
            path.write_bytes(file.read())
        try:
            yield MicroscopeImages(BioImage(path, reader=reader))
        except UnsupportedFileFormatError as error:
            raise ValueError(f"bioio cannot read it: {error}") from error
