"""Where an image lies in the stack that it is a slice of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_unet.data.files.pixel_size import unit_name


@dataclass(frozen=True, eq=False)
class SlicePlace:
    """Where an image lies in the stack that it is a slice of.

    Attributes
    ----------
    layer : napari.layers.Image
        The stack.
    index : tuple of int
        Of the slice over the leading axes.
    leading : tuple of int
        How many slices there are along each of these axes.
    """

    layer: Any
    index: tuple[int, ...]
    leading: tuple[int, ...]


def slice_depth(layer: Any) -> tuple[float, str] | None:
    """From one slice of a stack to the next, with its unit; None where that is no length."""
    name = unit_name(str(layer.units[-3]))
    return (abs(float(layer.scale[-3])), name) if name is not None and layer.scale[-3] else None
