"""Measurements as features of the Labels layer, where napari and other plugins find them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_unet.session.quality.image_objects import ImageObjects
    from napari_unet.widgets.canvas.mask_canvas import MaskCanvas


def show_features(canvas: MaskCanvas, measured: ImageObjects | None) -> None:
    """Give the layer of the mask the measurements of its objects as ``features``.

    Parameters
    ----------
    canvas : MaskCanvas
        With the mask of the current image as objects.
    measured : ImageObjects or None
        Of that mask; None while it is not measured: then the layer has no features.
    """
    import pandas as pd

    layer, mask = canvas.mask_layer, canvas.current_mask()
    if layer is None:
        return
    if measured is None or mask is None or not len(measured.table):
        if len(layer.features):
            layer.features = None
        return
    rows, columns = measured.pixels.T
    if rows.max() >= mask.shape[0] or columns.max() >= mask.shape[1]:
        return
    numbers = canvas.numbers_in_layer()[rows, columns]  # the layer has gaps between its numbers
    table = {
        name: values for name, values in measured.table.columns.items() if name not in ("object", "label")
    }
    names = [measured.classes[int(label) - 1] for label in measured.table.columns["label"]]
    frame = pd.DataFrame({"index": np.asarray(numbers, np.int64), "class": names, **table})
    layer.features = frame[frame["index"] > 0].drop_duplicates("index").reset_index(drop=True)
