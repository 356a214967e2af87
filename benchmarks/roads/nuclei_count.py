"""(a) A mask and a count of objects on one's own image of nuclei."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roads.road import Road
from roads.waiting import spin

if TYPE_CHECKING:
    from pathlib import Path

    from roads.hand import Hand

NAME = "cells_2026-11-28_well-B03_field-07_dapi.png"


def prepare(folder: Path) -> None:
    """Write a made-up image of nuclei."""
    from PIL import Image

    from napari_unet.data.synthetic import make_pictures

    Image.fromarray(make_pictures("nuclei", 1, seed=3)[0].image).save(folder / NAME)


def drive(hand: Hand, folder: Path) -> str:
    """Open the image, segment it with what is suggested, read the count."""
    bench = hand.open_dock()
    hand.answer("getOpenFileNames", [folder / NAME])
    hand.menu(bench.images.open_button, "Image files")
    spin(lambda: bool(bench.segment_panel.run_button.isEnabled()))
    hand.click(bench.segment_panel.run_button)
    hand.segmented(1)
    return f"{hand.object_count()} objects, by the model {bench.session.workspace.model.name}"


ROAD = Road("a", "a mask and a count of objects on one's own image of nuclei", prepare, drive)
