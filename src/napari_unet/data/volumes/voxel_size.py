"""How large a voxel is, where a file says so: the size of a pixel, and the distance between slices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from napari_unet.data.files.decoders.damage import DAMAGE
from napari_unet.data.files.decoders.image_kinds import TIFF_SUFFIXES
from napari_unet.data.files.pixel_size import FOREIGN, METRES, PixelSize, read_pixel_size, unit_name
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

ABOUT_CUBIC = 2.0  # times as thick as wide: thinner slices are pooled and filtered like the other axes
CUBIC = 1.3  # times as long as the shortest side: up to that a volume looks alike along all axes


@dataclass(frozen=True)
class VoxelSize:
    """Length of the sides of a voxel.

    Attributes
    ----------
    z : float
        From one slice to the next, above 0, in the unit of the pixel.
    pixel : PixelSize
        Within a slice.

    Raises
    ------
    SettingsError
        If z is not above 0.
    """

    z: float
    pixel: PixelSize

    def __post_init__(self) -> None:
        if not (math.isfinite(self.z) and self.z > 0):
            raise SettingsError(
                "a voxel cannot have this size",
                code="settings.voxel.range",
                expected="above 0 between slices",
                got=f"{self.z}",
            )

    @property
    def anisotropy(self) -> float:
        """How many times as thick a slice is as a pixel is wide."""
        return self.z / math.sqrt(self.pixel.y * self.pixel.x)

    @property
    def is_cubic(self) -> bool:
        """Whether all sides are about as long."""
        sides = (self.z, self.pixel.y, self.pixel.x)
        return max(sides) <= CUBIC * min(sides)

    @property
    def text(self) -> str:
        """As ``parse_voxel_size`` reads it: "50 x 4.6 x 4.6 nm" (z, y, x), to ten digits."""
        sides = (self.z, self.pixel.y, self.pixel.x)
        return f"{' x '.join(f'{side:.10g}' for side in sides)} {self.pixel.unit}"


def parse_voxel_size(text: str) -> VoxelSize:
    """Read what a person wrote.

    Parameters
    ----------
    text : str
        Like "50x4.6x4.6nm": z, y, x.

    Raises
    ------
    SettingsError
        If it is not three numbers with a unit, or a side is not above 0.
    """
    number = r"\s*([\d.eE+-]+)\s*"
    found = re.fullmatch(f"{number}x{number}x{number}([^\\W\\d]+)\\s*", text)
    try:
        if found is None:
            raise ValueError
        return VoxelSize(float(found[1]), PixelSize(float(found[2]), float(found[3]), found[4]))
    except ValueError as error:
        raise SettingsError(
            f"{text!r} is no size of a voxel",
            code="settings.voxel.malformed",
            expected="three numbers and a unit, z, y and x, like 50x4.6x4.6nm",
        ) from error


def read_voxel_size(file: Path) -> VoxelSize | None:
    """The size of a voxel as a file tells it.

    Parameters
    ----------
    file : pathlib.Path
        OME-TIFF or ImageJ TIFF; any other file says nothing of the distance between slices.

    Returns
    -------
    VoxelSize or None
        None where it does not say, or cannot be read.
    """
    pixel = read_pixel_size(file)
    if pixel is None or file.suffix.lower() not in TIFF_SUFFIXES:
        return None
    try:
        depth = _depth_of_tiff(file)
        return None if depth is None else VoxelSize(depth / METRES[pixel.unit], pixel)
    except (*DAMAGE, ParseError, SettingsError):
        return None


def _depth_of_tiff(file: Path) -> float | None:
    """Metres between slices."""
    from xml.etree import ElementTree

    import tifffile

    with tifffile.TiffFile(file) as tiff:
        ome, imagej = tiff.ome_metadata, tiff.imagej_metadata or {}
    if ome:
        if len(ome) > 2**24 or "<!DOCTYPE" in ome[:2000]:
            return None
        for element in ElementTree.fromstring(ome).iter():
            if element.tag.rsplit("}", 1)[-1] == "Pixels" and "PhysicalSizeZ" in element.attrib:
                found = element.attrib
                return _metres(float(found["PhysicalSizeZ"]), found.get("PhysicalSizeZUnit", "µm"))
        return None
    return _metres(float(imagej["spacing"]), str(imagej.get("unit", ""))) if "spacing" in imagej else None


def _metres(length: float, unit: str) -> float | None:
    foreign = FOREIGN.get(unit.strip().lower())
    if foreign is not None:
        return length * foreign * METRES["µm"]
    name = unit_name(unit)
    return None if name is None else length * METRES[name]
