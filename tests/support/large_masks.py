"""Masks on disk as the segmentation of a large image leaves them, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_unet.export.label_store import LabelStore
from napari_unet.export.ome_zarr import LabelShape
from napari_unet.workflow.large_images.layers.layer_mask import MaskRule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def write_large_mask(
    path: Path,
    probabilities: NDArray[np.float32],
    *,
    threshold: float = 0.5,
    chunk: int = 32,
    classes: Sequence[str] = ("one",),
    share: float = 1.0,
) -> NDArray[np.uint8]:
    """Write a mask with its probabilities (Y, X, K) float32; gives the mask, (Y, X) uint8."""
    shape = (probabilities.shape[0], probabilities.shape[1])
    store = LabelStore.create(
        path, LabelShape((), shape, (chunk, chunk)), "a", classes, {}, probabilities=True
    )
    rule = MaskRule(threshold, 0, "sigmoid")
    whole = slice(0, shape[0]), slice(0, shape[1])
    mask = rule.mask(np.moveaxis(np.rint(probabilities * 255), -1, 0).astype(np.uint8))
    store.write_probabilities((), *whole, rule.keep(probabilities, mask))
    store.write(0, (), *whole, mask)
    store.preview(0, (), *whole)
    store.set_state({"threshold": threshold, "minimum_size": 0, "objects": None, "share": share})
    return mask


def levels_of(path: Path) -> list[NDArray[np.uint8]]:
    """Every level of a mask on disk."""
    return [np.asarray(level) for level in LabelStore.open(path).levels]


def halved(mask: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    """The levels that a mask has when they are built from nothing: every second pixel, again and again."""
    return [mask[:: 2**level, :: 2**level] for level in range(count)]
