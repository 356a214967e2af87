"""Opens napari with the workbench on images or a data set; runs as a process of its own, without TensorFlow.

python -m napari_unet.plugin.show_data DATA [DATA ...]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from napari_unet.plugin.commands import PLUGIN, show_workbench

if TYPE_CHECKING:
    from collections.abc import Sequence


def show_data(paths: Sequence[str]) -> Any:
    """Open a viewer with the workbench on what lies there.

    Parameters
    ----------
    paths : sequence of str
        What the plugin reads it opens; everything else is napari's own reader's.

    Returns
    -------
    napari.Viewer
        Its dock is open.
    """
    import napari

    from napari_unet.plugin.reader import get_reader

    viewer = napari.Viewer(title="U-Net Workbench")
    show_workbench(viewer)
    for path in paths:
        viewer.open(path, plugin=PLUGIN if get_reader(path) is not None else "napari")
    return viewer


if __name__ == "__main__":
    import napari

    show_data(sys.argv[1:])
    napari.run()
