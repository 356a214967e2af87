"""Opens napari on what the demo made; runs as a process of its own, without TensorFlow.

python -m napari_unet.widgets.show DIR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.data.catalog import open_dataset
from napari_unet.data.image_files import decode_labels
from napari_unet.widgets.layers import add_result


def show_demo(folder: Path) -> Any:
    """Open a viewer on the folder of a demo, worst image first.

    Parameters
    ----------
    folder : pathlib.Path
        With data/, masks/ and report/.

    Returns
    -------
    napari.Viewer
        With images, predicted and reference masks.
    """
    import napari

    report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    names = [row["image"] for row in report["images"]]
    dataset = open_dataset(folder / "data").subset(names)
    images = np.stack([dataset.image(s)[..., 0] for s in dataset.samples]).astype(np.uint8)
    reference = np.stack([dataset.mask(s).labels for s in dataset.samples])
    files = [folder / "masks" / f"{name}.png" for name in names]
    predicted = np.stack([decode_labels(f.read_bytes(), f.name) > 0 for f in files])  # type: ignore[operator]
    viewer = napari.Viewer(title="U-Net Workbench")
    titles = [f"{row['image']}, IoU {row['iou']:.2f}" for row in report["images"]]
    add_result(viewer, images, predicted.astype(np.uint8), reference, titles)
    return viewer


if __name__ == "__main__":
    import napari

    show_demo(Path(sys.argv[1]))
    napari.run()
