"""The one place where arrays become layers, and what our layers look like."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.error_map import ERROR_COLOURS
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.session.images.layer_metadata import MASK_KEY, ShownMask
from napari_unet.widgets.canvas.label_numbering import BACKGROUND_STROKE, CYCLE, IGNORED_OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.session.images.collection import Collection
    from napari_unet.widgets.canvas.label_numbering import LabelNumbering


# Classes beyond the palette continue with napari's own colours.
CLASS_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#0072B2", "#D55E00")

IGNORED_COLOUR = "#B8B8B8"  # as fog: no class has a grey
BACKGROUND_COLOUR = "#4169FF"  # of strokes that say: here is background
VERIFIED_COLOUR = "#CC79A7"  # hatched, so that its shape differs as well
# Of disagreement, with how much of what lies below they hide.
UNSURE_COLOURS = (("#5B1FBF", 0.0), ("#5B1FBF", 0.15), ("#B14EE9", 0.8), ("#FFE94A", 1.0))
OBJECTS, CLASSES = "objects", "classes 1 to {}"  # names of colours
HATCHES = 40  # lines over the longer side


def class_colour(number: int, classes: int) -> str:
    """Colour of a class in hexadecimals, as its layer shows it."""
    if number <= len(CLASS_COLOURS):
        return CLASS_COLOURS[number - 1]
    from napari.utils.colormaps import label_colormap

    red, green, blue = (round(float(part) * 255) for part in label_colormap(classes + 1).map(number)[:3])
    return f"#{red:02X}{green:02X}{blue:02X}"


def _colormap(colours: dict[int, str], name: str) -> Any:
    """Colours of some labels up to 255; the others are transparent.

    A cycle as long as there are labels. For a dictionary of colours napari compiles code for a second or
    two, where numba is installed, while the window stands still.
    """
    from napari.utils import CyclicLabelColormap

    table = np.zeros((256, 4), np.float32)
    for label, colour in colours.items():
        table[label] = (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1)
    return CyclicLabelColormap(colors=table, name=name)


def class_colormap(classes: int) -> Any:
    """Colours of classes 1..K."""
    colours = {BACKGROUND_STROKE: BACKGROUND_COLOUR}
    colours |= {number: class_colour(number, classes) for number in range(1, classes + 1)}
    return _colormap(colours | {IGNORE: IGNORED_COLOUR}, CLASSES.format(classes))


def object_colormap() -> Any:
    """Colours of objects, all different from their neighbours, and that of ignored pixels."""
    from napari.utils import CyclicLabelColormap
    from napari.utils.colormaps import label_colormap

    colours = np.array(label_colormap(CYCLE).colors)[: CYCLE + 1]
    fog = [int(IGNORED_COLOUR[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    colours[(IGNORED_OBJECT - 1) % CYCLE + 1] = (*fog, 1)
    return CyclicLabelColormap(colors=colours, name=OBJECTS)


def label_colours(as_objects: bool, classes: int) -> Any:
    """Colours of objects, or of classes 1..K."""
    return object_colormap() if as_objects else class_colormap(classes)


def use_colours(layer: Any, as_objects: bool, classes: int) -> None:
    """Give a layer the colours of objects, or of classes 1..K; napari draws all again, so only if it must."""
    if layer.colormap.name != (OBJECTS if as_objects else CLASSES.format(classes)):
        layer.colormap = label_colours(as_objects, classes)


def error_colormap() -> Any:
    """Colours of an error map."""
    return _colormap(dict(enumerate(ERROR_COLOURS.values(), start=1)), "errors")


def verified_colormap() -> Any:
    """Colour of what is verified."""
    return _colormap({1: VERIFIED_COLOUR}, "verified")


def unsure_colormap() -> Any:
    """From nothing to be seen, where all agree, over violet to yellow."""
    from napari.utils import Colormap

    steps = [(*(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)), alpha) for c, alpha in UNSURE_COLOURS]
    return Colormap(steps, controls=[0.0, 0.1, 0.5, 1.0], name="disagreement")


def hatched(where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Slanting lines over a region, and its outline, so that what lies below stays in sight.

    Parameters
    ----------
    where : numpy.ndarray
        (Y, X) bool.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8, 1 on the lines.
    """
    period = max(4, max(where.shape) // HATCHES)
    rows, columns = np.ogrid[: where.shape[0], : where.shape[1]]
    lines = (rows + columns) % period < max(1, period // 4)
    inner = np.pad(where, 1)
    inner = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return np.asarray(where & (lines | ~inner), np.uint8)


def preview_colormap() -> Any:
    """White outlines."""
    return _colormap({1: "#FFFFFF"}, "preview")


def fill_colormap() -> Any:
    """Outlines of what is proposed between slices; one colour for all classes."""
    return _colormap(dict.fromkeys(range(1, 255), "#56B4E9"), "fill")


def text_overlay(viewer: Any) -> Any:
    """The line of text in a corner of the canvas, where this version of napari keeps it."""
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", None)
    return overlays.text if overlays is not None else viewer.text_overlay


def camera_of(viewer: Any) -> Any:
    """The camera of the canvas, where this version of napari keeps it."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def forget_history(layer: Any, *, editable: bool = True) -> None:
    """Leave nothing to undo in a Labels layer whose data was replaced, or that shows another slice.

    napari keeps the strokes of the data before, and undo would write them into the new, or into a slice
    that is not in view. It forgets them when a layer stops being editable.
    """
    mode = layer.mode
    layer.editable = False
    if editable:
        layer.editable = True
        layer.mode = mode


def remove_layer(viewer: Any, layer: Any) -> None:
    """Take a layer out of the list without a pause.

    napari looks for garbage among all objects there are, a quarter of a second, to be safe with drivers of
    Windows. Elsewhere it is spared what was there before.
    """
    spared = sys.platform != "win32" and gc.get_freeze_count() == 0
    if spared:
        gc.freeze()
    try:
        viewer.layers.remove(layer)
    finally:
        if spared:
            gc.unfreeze()


def remember_meaning(
    layer: Any,
    collection: Collection | None,
    identifier: str,
    numbering: LabelNumbering,
    slices: Callable[[], Sequence[Sample]] | None = None,
) -> None:
    """Put into a layer what its numbers mean, for whoever saves it by napari's menu; see ``ShownMask``."""
    if collection is None or identifier not in collection.entries:
        layer.metadata.pop(MASK_KEY, None)
        return
    entry = collection.entries[identifier]
    layer.metadata[MASK_KEY] = ShownMask(
        entry.sample, tuple(collection.classes), numbering.classes, numbering.as_objects, slices
    )


def placement(image: Any, n: int, first: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """Where a layer lies that covers the last axes of another, as napari takes it for a new layer.

    A new layer without it is laid at scale 1 first, and napari goes to another slice.

    Parameters
    ----------
    image : napari layer
        That is covered.
    n : int
        Axes of the layer that covers it.
    first : tuple of int
        Row and column of the image on which its first pixel lies.
    """
    matrix = np.asarray(image.affine.affine_matrix)
    affine = np.eye(n + 1)
    affine[:n, :n] = matrix[-n - 1 : -1, -n - 1 : -1]
    affine[:n, n] = matrix[-n - 1 : -1, -1]
    rotate, scale = np.asarray(image.rotate)[-n:, -n:], np.asarray(image.scale)[-n:]
    place = np.concatenate([np.zeros(n - 2), first])
    return {
        "units": tuple(image.units[-n:]),  # napari ignores all units where layers differ in them
        "scale": scale,
        "translate": np.asarray(image.translate)[-n:] + rotate @ (scale * place),
        "rotate": rotate,
        "affine": affine,
    }


def place_over(layer: Any, image: Any, first: tuple[int, int] = (0, 0)) -> bool:
    """Lay a layer over as many of the last axes of another: a mask over its image, a stack over a stack.

    Says whether it was moved, and so drawn again.

    Parameters
    ----------
    layer, image : napari layers
        The one that is laid, and the other.
    first : tuple of int
        Row and column of the image on which its first pixel lies.
    """
    wanted = placement(image, layer.ndim, first)
    units, moved = wanted.pop("units"), False
    if tuple(layer.units) != units:
        layer.units = units
    for name, value in wanted.items():
        have = getattr(layer, name)
        have = np.asarray(have.affine_matrix if name == "affine" else have)
        if have.shape != value.shape or not np.array_equal(have, value):
            setattr(layer, name, value)
            moved = True
    return moved
