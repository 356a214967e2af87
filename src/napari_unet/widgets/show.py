"""Opens napari on a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.widgets.layers import add_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def show_result(
    images: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    names: Sequence[str],
) -> None:
    """Open a window on a result and wait until it is closed; arguments as ``layers.add_result``."""
    import napari

    viewer = napari.Viewer(title="U-Net Workbench")
    add_result(viewer, images, predicted, reference, names)
    napari.run()
