"""(c) A slide of 6,000 x 6,000 pixels: segmented, one stroke corrected, the whole mask exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from roads.road import Road
from roads.waiting import spin
from slides import write_slide

if TYPE_CHECKING:
    from pathlib import Path

    from roads.hand import Hand

SIDE = 6000
NAME = "slide"
LONG = 1200.0  # seconds that a busy machine may take for the whole slide


def prepare(folder: Path) -> None:
    """Write a made-up slide."""
    write_slide(folder / f"{NAME}.tif", SIDE)


def drive(hand: Hand, folder: Path) -> str:
    """Open the slide, segment it, zoom in, paint a stroke, export, read the file again."""
    import tifffile

    from napari_unet.widgets.canvas.layer_styles import camera_of

    bench = hand.open_dock()
    session, panel, large = bench.session, bench.segment_panel, bench.large
    hand.answer("getOpenFileNames", [folder / f"{NAME}.tif"])
    hand.menu(bench.images.open_button, "Image files")
    spin(lambda: session.workspace.current == NAME)
    if session.workspace.model is None:  # none is suggested for such images: a person chooses
        entries = range(panel.model_box.count())
        number = next(n for n in entries if "nuclei" in panel.model_box.itemText(n))
        hand.choose(panel.model_box, panel.model_box.itemData(number))
    spin(lambda: bool(panel.run_button.isEnabled()))
    start = hand.clock()
    hand.click(panel.run_button)
    spin(lambda: session.workspace.row(NAME).status == "segmented" and not session.runner.busy, LONG)
    segmented = hand.clock() - start
    camera_of(hand.viewer).zoom = 1  # by the wheel
    spin(lambda: bool(large.lens_is_shown and large.lens.layer.visible))
    before = int(np.count_nonzero(large.lens.layer.data))
    bench.canvas.choose_label(1)  # the key 1
    hand.clicks += 1
    row, column = (round(n) for n in camera_of(hand.viewer).center[-2:])
    hand.drag([(row, column + 2 * step) for step in range(20)])
    spin(lambda: session.workspace.row(NAME).status == "corrected")
    if int(np.count_nonzero(large.lens.layer.data)) <= before:
        raise AssertionError("the stroke painted nothing")
    hand.click(bench.review_panel.edit_bar.export_button)
    dialog = bench.review_panel.edit_bar.export_dialog
    hand.answer("getExistingDirectory", folder / "out")
    hand.click(dialog.browse_button)
    done: list[object] = []
    session.runner.succeeded.connect(done.append)
    hand.click(dialog.run_button)
    spin(lambda: bool(done), LONG)
    dialog.close()
    large.disk.flush()
    (written,) = (folder / "out").glob("*.tif")
    mask = tifffile.imread(written) > 0  # objects have numbers there
    whole = large.disk.mask() > 0
    if mask.shape != whole.shape or not np.array_equal(mask, whole):
        wrong = np.count_nonzero(mask != whole) if mask.shape == whole.shape else mask.shape
        raise AssertionError(f"the file does not have the whole mask: {wrong}")
    return f"segmented after {segmented:.0f} s; the file has the whole mask with the stroke"


ROAD = Road("c", "an exported mask of a 6,000 x 6,000 RGB image with one stroke corrected", prepare, drive)
