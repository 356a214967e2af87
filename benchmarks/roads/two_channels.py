"""(f) An image of two channels, segmented on that of the nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roads.road import Road
from roads.waiting import spin

if TYPE_CHECKING:
    from pathlib import Path

    from roads.hand import Hand

NAME, CHANNELS = "cells_2026-11-28_well-B03.ome.tif", ["phase contrast", "DAPI"]


def prepare(folder: Path) -> None:
    """Write a made-up image: a channel of uneven grey, and one of nuclei."""
    import tifffile

    from napari_unet.data.synthetic import make_pictures

    nuclei = make_pictures("nuclei", 1, seed=3)[0].image
    nuclei = nuclei.reshape(*nuclei.shape[:2], -1)[..., 0]
    rows, columns = np.mgrid[: nuclei.shape[0], : nuclei.shape[1]]
    waves = 120 + 40 * np.sin(rows / 9) * np.cos(columns / 13)
    phase = np.random.default_rng(0).normal(waves, 6).clip(0, 255).astype(np.uint8)
    tifffile.imwrite(
        folder / NAME, np.stack([phase, nuclei]), ome=True, photometric="minisblack",
        metadata={"axes": "CYX", "Channel": {"Name": CHANNELS}},
    )  # fmt: skip


def drive(hand: Hand, folder: Path) -> str:
    """Open the image, choose its second channel, segment it with what is suggested, read the count."""
    bench = hand.open_dock()
    hand.answer("getOpenFileNames", [folder / NAME])
    hand.menu(bench.images.open_button, "Image files")
    panel, box = bench.segment_panel, bench.images.channel_box
    spin(lambda: not box.isHidden())
    hand.choose(box, "1")
    spin(lambda: bool(panel.run_button.isEnabled()))
    hand.click(panel.run_button)
    hand.segmented(1)
    model = bench.session.workspace.model.name
    return f"{hand.object_count()} objects on “{box.currentText()}”, by the model {model}"


ROAD = Road("f", "a two-channel image segmented on the right channel", prepare, drive)
