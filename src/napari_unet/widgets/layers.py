"""The one place where arrays become layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

# Blue and orange of Okabe and Ito's palette, told apart by everybody.
REFERENCE_COLOUR = "#0072B2"
PREDICTED_COLOUR = "#E69F00"


def add_result(
    viewer: Any,
    images: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    names: Sequence[str],
) -> None:
    """Show images with what was predicted (filled) and the reference (outlined).

    Parameters
    ----------
    viewer : napari.Viewer
        Gets three layers.
    images : numpy.ndarray
        (N, Y, X) uint8.
    predicted, reference : numpy.ndarray
        (N, Y, X) uint8 masks.
    names : sequence of str
        N names; that of the image in view stands in the corner.
    """
    from napari.utils import DirectLabelColormap

    viewer.add_image(images, name="images")
    masks = (("predicted", predicted, PREDICTED_COLOUR, 0), ("reference", reference, REFERENCE_COLOUR, 2))
    for title, mask, colour, contour in masks:
        colours = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: colour})
        layer = viewer.add_labels(mask, name=title, colormap=colours, opacity=0.6)
        layer.contour = contour
    viewer.dims.axis_labels = ("image", "y", "x")
    viewer.text_overlay.visible = True

    def show_name(event: object = None) -> None:
        index = int(viewer.dims.current_step[0])
        viewer.text_overlay.text = f"{index + 1} of {len(names)}, worst first: {names[index]}"

    viewer.dims.events.current_step.connect(show_name)
    viewer.dims.set_current_step(0, 0)
    show_name()
