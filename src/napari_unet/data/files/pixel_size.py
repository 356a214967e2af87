"""How large a pixel is, where a file says so."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

import numpy as np

from napari_unet.data.files.decoders.damage import DAMAGE
from napari_unet.data.files.decoders.image_kinds import HEAD_BYTES, kind_of
from napari_unet.data.files.decoders.microscope_files import is_installed, opened_microscope_file
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What files and people write, as one unit for each: the OME model's names, and their size in metres.
METRES = {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
NAMES = {
    "um": "µm", "μm": "µm", "micron": "µm", "microns": "µm", "micrometer": "µm", "micrometre": "µm",
    "micrometers": "µm", "\\u00b5m": "µm", "nanometer": "nm", "nanometre": "nm", "nanometers": "nm",
    "millimeter": "mm", "millimetre": "mm", "millimeters": "mm", "centimeter": "cm", "centimetre": "cm",
    "meter": "m", "metre": "m",
}  # fmt: skip
LONG = {"nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
INCH = 0.0254  # metres
# Lengths that files use and people do not: in µm.
FOREIGN = {"inch": 25400.0, "inches": 25400.0, "in": 25400.0, '"': 25400.0, "\u00e5": 1e-4, "a\u030a": 1e-4,
           "angstrom": 1e-4, "ångström": 1e-4, "pm": 1e-6, "picometer": 1e-6}  # fmt: skip


@dataclass(frozen=True)
class PixelSize:
    """Length of the sides of a pixel.

    Attributes
    ----------
    y, x : float
        Above 0, in `unit`.
    unit : str
        "nm", "µm", "mm", "cm" or "m".

    Raises
    ------
    SettingsError
        If a side is not above 0, or the unit is none of these.
    """

    y: float
    x: float
    unit: str = "µm"

    def __post_init__(self) -> None:
        if not all(math.isfinite(side) and side > 0 for side in (self.y, self.x)):
            raise SettingsError(
                "a pixel cannot have this size",
                code="settings.pixel.range",
                expected="above 0",
                got=f"{self.y} x {self.x}",
            )
        unit = unit_name(self.unit)
        if unit is None:
            raise SettingsError(
                f"there is no unit {self.unit!r}",
                code="settings.pixel.unit",
                expected=", ".join(METRES),
                got=self.unit,
            )
        object.__setattr__(self, "unit", unit)

    def metres(self) -> tuple[float, float]:
        """(Y, X) in metres."""
        return self.y * METRES[self.unit], self.x * METRES[self.unit]

    @property
    def long_unit(self) -> str:
        """The unit as OME-Zarr writes it: "micrometer"."""
        return LONG[self.unit]

    @property
    def text(self) -> str:
        """As ``parse_pixel_size`` reads it: "0.65 µm", or "0.5 x 0.65 µm" (y, x), to ten digits."""
        sides = (self.y,) if self.y == self.x else (self.y, self.x)
        return f"{' x '.join(f'{side:.10g}' for side in sides)} {self.unit}"


def parse_pixel_size(text: str) -> PixelSize:
    """Read what a person wrote.

    Parameters
    ----------
    text : str
        Like "0.65um", or "0.5x0.65 µm": y, then x.

    Raises
    ------
    SettingsError
        If it is no number with a unit, or a side is not above 0.
    """
    found = re.fullmatch(r"\s*([\d.eE+-]+)(?:\s*x\s*([\d.eE+-]+))?\s*([^\W\d]+)\s*", text)
    try:
        if found is None:
            raise ValueError
        y = float(found[1])
        return PixelSize(y, float(found[2]) if found[2] else y, found[3])
    except ValueError as error:
        raise SettingsError(
            f"{text!r} is no size of a pixel",
            code="settings.pixel.malformed",
            expected="a number and a unit, like 0.65um",
        ) from error


def pixel_size_of_layer(scale: Sequence[float], units: Sequence[object]) -> PixelSize | None:
    """The size of a pixel by the scale and the units of a layer of napari.

    Parameters
    ----------
    scale : sequence of float
        Of the axes, y and x last.
    units : sequence
        Names of the units of the axes, or what turns into them; y and x last.

    Returns
    -------
    PixelSize or None
        In the unit of y; None where the units are no lengths known here: pixels are none.
    """
    if len(scale) < 2 or len(units) < 2:
        return None
    names = [unit_name(str(unit)) for unit in units[-2:]]
    if names[0] is None or names[1] is None:
        return None
    y, x = (float(side) for side in scale[-2:])
    if names[0] != names[1]:
        x *= METRES[names[1]] / METRES[names[0]]
    try:
        return PixelSize(abs(y), abs(x), names[0])
    except SettingsError:
        return None


def unit_name(text: str) -> str | None:
    """One of our units for whatever a file or a person writes; None if it is no length we know."""
    text = text.strip()
    for candidate in (text, text.lower()):
        name = NAMES.get(candidate, candidate)
        if name in METRES:
            return name
    return None


def read_pixel_size(file: Path) -> PixelSize | None:
    """The size of a pixel as a file tells it.

    Parameters
    ----------
    file : pathlib.Path
        OME-TIFF, ImageJ TIFF, a TIFF with resolution in its tags, or a file of a microscope. Any other
        file says nothing, as the resolution of a PNG or JPEG is that of a screen.

    Returns
    -------
    PixelSize or None
        None where it does not say, cannot be read, or says 72 or 96 dots an inch, which programs
        write where they know nothing.
    """
    try:
        with file.open("rb") as opened:
            if is_installed(file.suffix.lower()):
                with opened_microscope_file(opened, file.name) as images:
                    size = images.scenes[0].pixel_size
                    return PixelSize(*size, "µm") if size is not None else None
            if kind_of(opened.read(HEAD_BYTES)) != "TIFF":
                return None
            opened.seek(0)
            return _of_tiff(opened)
    except (*DAMAGE, ParseError, SettingsError):
        return None


def _of_tiff(opened: IO[bytes]) -> PixelSize | None:
    import tifffile

    with tifffile.TiffFile(opened) as tiff:
        if tiff.ome_metadata:
            return _of_ome(tiff.ome_metadata)
        tags = tiff.pages[0].tags
        sides = [_resolution(tags.get(name)) for name in ("YResolution", "XResolution")]
        imagej = tiff.imagej_metadata or {}
    if None in sides:
        return None
    y, x = (float(side) for side in sides if side is not None)
    stored_unit = str(imagej.get("unit", ""))
    if stored_unit.strip().lower() in FOREIGN:
        size = FOREIGN[stored_unit.strip().lower()]
        return PixelSize(size / y, size / x, "µm")
    unit = unit_name(stored_unit)
    if unit is not None:  # ImageJ counts pixels a unit, whatever the tag of the unit says
        return PixelSize(1 / y, 1 / x, unit)
    kind = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1
    if kind == 2 and {round(y), round(x)} & {72, 96}:
        return None
    if kind == 2:
        return PixelSize(INCH / y * 1e6, INCH / x * 1e6, "µm")
    return PixelSize(1e4 / y, 1e4 / x, "µm") if kind == 3 else None


def _of_ome(text: str) -> PixelSize | None:
    from xml.etree import ElementTree

    if len(text) > 2**24 or "<!DOCTYPE" in text[:2000]:  # nothing of the kind belongs there
        return None
    for element in ElementTree.fromstring(text).iter():
        if element.tag.rsplit("}", 1)[-1] == "Pixels" and "PhysicalSizeX" in element.attrib:
            found = element.attrib
            stored_unit = found.get("PhysicalSizeXUnit", "µm")
            unit = unit_name(stored_unit)
            y = float(found.get("PhysicalSizeY", found["PhysicalSizeX"]))
            if stored_unit.strip().lower() in FOREIGN:
                size = FOREIGN[stored_unit.strip().lower()]
                return PixelSize(y * size, float(found["PhysicalSizeX"]) * size, "µm")
            return PixelSize(y, float(found["PhysicalSizeX"]), unit) if unit else None
    return None


def _resolution(tag: Any) -> float | None:
    if tag is None:
        return None
    above, below = tag.value if isinstance(tag.value, tuple) else (tag.value, 1)
    value = float(above) / float(below) if below else 0.0
    return value if np.isfinite(value) and value > 0 else None
