"""Opens napari on what the demo made, in the workbench; runs as a process of its own, without TensorFlow.

python -m napari_unet.plugin.show_demo DIR
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PLUGIN = "napari-unet-workbench"


def show_demo(folder: Path) -> Any:
    """Open a viewer with the workbench on the folder of a demo, and have its images segmented.

    Parameters
    ----------
    folder : pathlib.Path
        With data/ and model/.

    Returns
    -------
    napari.Viewer
        Its dock has the data and the model open; segmentation of all images continues.
    """
    import napari
    from qtpy.QtCore import QTimer

    from napari_unet.plugin.commands import show_workbench

    viewer = napari.Viewer(title="U-Net Workbench")
    bench = show_workbench(viewer)
    viewer.open(str(folder / "data"), plugin=PLUGIN)
    bench.session.workspace.load_model(folder / "model")
    # Once the list is there.
    QTimer.singleShot(0, lambda: bench.segment("all"))
    return viewer


if __name__ == "__main__":
    import napari

    show_demo(Path(sys.argv[1]))
    napari.run()
