"""(b) A saved mask of a stack of 20 slices: opened, segmented, saved by napari's own menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roads.hand import MENU
from roads.road import Road
from roads.waiting import spin

if TYPE_CHECKING:
    from pathlib import Path

    from roads.hand import Hand

SHAPE = (20, 512, 512)
IMAGE, MASK = "cells_2026-11-28_20-slices.tif", "mask.tif"


def prepare(folder: Path) -> None:
    """Write a made-up stack of nuclei that move a little from slice to slice."""
    import tifffile

    from napari_unet.data.synthetic import make_pictures

    (picture,) = make_pictures("nuclei", 1, seed=3)
    grey = picture.image.reshape(*picture.image.shape[:2], -1)[..., 0]
    tiles = [-(-side // had) for side, had in zip(SHAPE[1:], grey.shape, strict=True)]
    plane = np.tile(grey, tiles)[: SHAPE[1], : SHAPE[2]].astype(np.uint16) * 200
    stack = np.stack([np.roll(plane, number, axis=1) for number in range(SHAPE[0])])
    tifffile.imwrite(folder / IMAGE, stack, photometric="minisblack")


def drive(hand: Hand, folder: Path) -> str:
    """Open the stack, segment all slices with what is suggested, save the mask, read it again."""
    import tifffile

    bench = hand.open_dock()
    hand.answer("getOpenFileNames", [folder / IMAGE])
    hand.menu(bench.images.open_button, "Image files")
    spin(lambda: len(bench.session.workspace.rows()) == SHAPE[0])
    spin(lambda: bool(bench.segment_panel.run_button.isEnabled()))
    hand.choose(bench.segment_panel.scope_box, "all")
    hand.click(bench.segment_panel.run_button)
    hand.segmented(SHAPE[0])
    spin(lambda: not bench.canvas.stacks.filling)
    layer = bench.canvas.mask_layer
    if hand.viewer.layers.selection.active is not layer:
        raise AssertionError("the mask is not the layer that napari saves")
    hand.clicks += MENU  # File > Save Selected Layers
    hand.answer("getSaveFileName", folder / MASK)
    hand.viewer.window._qt_viewer._save_layers_dialog(selected=True)
    spin(lambda: (folder / MASK).is_file())
    saved = tifffile.imread(folder / MASK)
    if saved.shape != SHAPE or not np.array_equal(saved, layer.data):
        raise AssertionError(f"{saved.shape} is not the mask of all slices")
    filled = int(saved.any(axis=(1, 2)).sum())
    return f"one file of {' x '.join(map(str, saved.shape))}, {filled} slices with a mask"


ROAD = Road("b", "a saved (20, 512, 512) mask of a stack", prepare, drive)
