"""The one place where arrays become layers, and what our layers look like."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.evaluation.error_map import ERROR_COLOURS

# Classes beyond the palette go on with napari's own colours.
CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#0072B2", "#D55E00")


def class_colormap(classes: int) -> Any:
    """Colours of classes 1..K."""
    from napari.utils import DirectLabelColormap
    from napari.utils.colormaps import label_colormap

    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    more = label_colormap(max(classes + 1, 2))
    for number in range(1, classes + 1):
        known = number <= len(CLASS_COLOURS)
        colours[number] = CLASS_COLOURS[number - 1] if known else more.map(number)
    return DirectLabelColormap(color_dict=colours, name=f"classes 1 to {classes}")


def object_colormap() -> Any:
    """Colours of objects, all different from their neighbours."""
    from napari.utils.colormaps import label_colormap

    colormap = label_colormap(49)
    colormap.name = "objects"
    return colormap


def same_colormap(layer: Any, colormap: Any) -> bool:
    """Whether a layer has these colours already."""
    return bool(layer.colormap.name == colormap.name)


def error_colormap() -> Any:
    """Colours of an error map."""
    from napari.utils import DirectLabelColormap

    colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    colours.update(enumerate(ERROR_COLOURS.values(), start=1))
    return DirectLabelColormap(color_dict=colours, name="errors")


def preview_colormap() -> Any:
    """White outlines."""
    from napari.utils import DirectLabelColormap

    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: "white"}, name="preview")


def text_overlay(viewer: Any) -> Any:
    """The line of text in a corner of the canvas, where this version of napari keeps it."""
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    return overlays.text if overlays is not None else viewer.text_overlay


def forget_history(layer: Any) -> None:
    """Leave nothing to undo in a Labels layer whose data was replaced.

    napari keeps the strokes of the data before, and undo would write them into the new. It forgets them
    when a layer stops being editable.
    """
    mode = layer.mode
    layer.editable = False
    layer.editable = True
    layer.mode = mode


def place_over(layer: Any, image: Any) -> None:
    """Lay a two-dimensional layer over the last two axes of another."""
    matrix = np.asarray(image.affine.affine_matrix)
    affine = np.eye(3)
    affine[:2, :2] = matrix[-3:-1, -3:-1]
    affine[:2, 2] = matrix[-3:-1, -1]
    wanted = {
        "scale": np.asarray(image.scale)[-2:],
        "translate": np.asarray(image.translate)[-2:],
        "rotate": np.asarray(image.rotate)[-2:, -2:],
        "affine": affine,
    }
    for name, value in wanted.items():
        have = getattr(layer, name)
        have = np.asarray(have.affine_matrix if name == "affine" else have)
        if have.shape != value.shape or not np.array_equal(have, value):
            setattr(layer, name, value)
    units = getattr(image, "units", None)
    if units is not None and tuple(layer.units) != tuple(units[-2:]):
        layer.units = units[-2:]
