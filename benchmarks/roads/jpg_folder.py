"""(e) A folder of 15 JPEG files segmented, and their masks exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roads.road import Road
from roads.waiting import spin

if TYPE_CHECKING:
    from pathlib import Path

    from roads.hand import Hand

COUNT = 15


def prepare(folder: Path) -> None:
    """Write 15 made-up images of nuclei as JPEG."""
    from PIL import Image

    from napari_unet.data.synthetic import make_pictures

    images = folder / "images"
    images.mkdir()
    for number, picture in enumerate(make_pictures("nuclei", COUNT, seed=5)):
        Image.fromarray(picture.image).save(images / f"IMG_{2041 + number}.jpg", quality=95)


def drive(hand: Hand, folder: Path) -> str:
    """Open the folder, segment all, export all."""
    bench = hand.open_dock()
    hand.answer("getExistingDirectory", folder / "images")
    hand.menu(bench.images.open_button, "Folder of images")
    spin(lambda: len(bench.session.workspace.rows()) == COUNT)
    hand.choose(bench.segment_panel.scope_box, "all")
    hand.click(bench.segment_panel.run_button)
    hand.segmented(COUNT)
    hand.click(bench.review_panel.edit_bar.export_button)
    dialog = bench.review_panel.edit_bar.export_dialog
    hand.answer("getExistingDirectory", folder)
    hand.click(dialog.browse_button)
    hand.click(dialog.run_button)
    spin(lambda: bool(bench.status.kind == "result"))
    written = len(list(folder.glob("*.tif")))
    return f"{written} masks: “{bench.status.words.toPlainText()}”"


ROAD = Road("e", f"a folder of {COUNT} JPEG files segmented and exported", prepare, drive)
