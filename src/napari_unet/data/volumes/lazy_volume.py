"""A lazy stack with an axis Z as volumes, of which any block can be read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.volumes.voxel_size import VoxelSize
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.data.files.pixel_size import PixelSize

    Index = tuple[int, ...]

PART_VOXELS = 2**22  # that are read at once by who needs every voxel once


@dataclass(frozen=True, eq=False)
class LazyVolume:
    """Volumes of one size, read by block: the slices of a stack along its axis Z.

    Attributes
    ----------
    slices : LazyStack
        All slices, with an axis z.

    Raises
    ------
    DataError
        If the stack has no axis z.
    """

    slices: LazyStack

    def __post_init__(self) -> None:
        if "z" not in dict(self.slices.leading):
            axes = self.slices.axes.upper()
            raise DataError(
                f"{self.slices.name} is no volume, as far as its file says",
                code="data.volume.slices",
                expected="an axis Z",
                got=f"the axes {axes}",
                remedy="if the images are slices, add --axes ZYX; else take a model with dimensions=2d",
            )

    def __getattr__(self, name: str) -> Any:
        """What is the same for all slices: name, axes, sizes of pixels, channels."""
        if name.startswith("_") or name == "slices":
            raise AttributeError(name)
        return getattr(self.slices, name)

    @property
    def pixel_size(self) -> PixelSize | None:
        """Within a slice."""
        return self.slices.pixel_size

    @property
    def anisotropy(self) -> float:
        """How many times as thick a slice is as a pixel is wide; 1 if unknown."""
        pixel, distance = self.slices.pixel_size, self.slices.slice_distance
        return 1.0 if pixel is None or distance is None else VoxelSize(distance, pixel).anisotropy

    @cached_property
    def leading(self) -> tuple[tuple[str, int], ...]:
        """Name and size of each axis of volumes."""
        return tuple((axis, size) for axis, size in self.slices.leading if axis != "z")

    @property
    def indices(self) -> list[Index]:
        """Index of every volume; one empty index where there is one."""
        return list(np.ndindex(*(size for _, size in self.leading)))

    @cached_property
    def size(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return (dict(self.slices.leading)["z"], *self.slices.shape[:2])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Y, X, C) of a slice, as a stack has it."""
        return self.slices.shape

    def slice_index(self, index: Index, z: int | slice) -> tuple[int | slice, ...]:
        """The index of a slice in the stack, or of some."""
        place = [axis for axis, _ in self.slices.leading].index("z")
        return (*index[:place], z, *index[place:])

    def read(self, index: Index, depth: slice, rows: slice, columns: slice) -> NDArray[np.generic]:
        """Read a block.

        Parameters
        ----------
        index : tuple of int
            Of the volume.
        depth, rows, columns : slice
            Along Z, Y and X, within the volume; step 1.

        Returns
        -------
        numpy.ndarray
            (Z, Y, X, C).

        Raises
        ------
        DataError
            If it cannot be read.
        """
        if self.thickness > 1 and self.slices.is_plain:
            return self.slices.read(self.slice_index(index, depth), rows, columns)
        numbers = range(depth.start, depth.stop)
        return np.stack([self.slices.read(self.slice_index(index, z), rows, columns) for z in numbers])

    @cached_property
    def thickness(self) -> int:
        """Slices that the source reads at once."""
        chunks = getattr(self.slices.pixels, "chunks", None)
        if chunks is None:
            return 1
        of_z = chunks[self.slices.axes.index("z")]
        return int(max(of_z) if isinstance(of_z, tuple | list) else of_z)

    def parts(self, index: Index) -> Iterator[tuple[slice, slice, NDArray[np.generic]]]:
        """Every voxel once, of the volume as one tall image (Z * Y, X): rows, columns and (Y', X', C)."""
        deep, height, width = self.size
        depth = min(self.thickness, deep)
        down, across = self.slices.piece
        # Whole pieces of the source, as many as are read at once.
        across = min(width, max(1, PART_VOXELS // (depth * down * across)) * across)
        down = min(height, max(1, PART_VOXELS // (depth * across * down)) * down)
        for first in range(0, deep, depth):
            slab = slice(first, min(first + depth, deep))
            for top in range(0, height, down):
                rows = slice(top, min(top + down, height))
                for left in range(0, width, across):
                    columns = slice(left, min(left + across, width))
                    block = self.read(index, slab, rows, columns)
                    for z, part in enumerate(block, start=first):
                        yield slice(z * height + rows.start, z * height + rows.stop), columns, part


def voxels_of(*parts: slice) -> int:
    """How many voxels are in a block."""
    return prod(part.stop - part.start for part in parts)
