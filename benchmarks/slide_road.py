"""From a slide to an exported mask with one stroke corrected, by clicks in the real window.

    xvfb-run python benchmarks/slide_road.py --side 6000

`make window` does this, too. Counted are clicks, keys and drags of a person who opens an RGB TIFF in napari,
and the seconds until each step is done; the person does not hesitate.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from roads.waiting import rest, spin
from slides import write_slide


class Hand:
    """Clicks, presses keys, drags, and counts."""

    def __init__(self) -> None:
        self.clicks = 0

    def click(self, button: Any) -> None:
        """Press a button with the mouse."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.clicks += 1
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def choose(self, box: Any, index: int) -> None:
        """Open a box of choices and take one: two clicks."""
        self.clicks += 2
        box.setCurrentIndex(index)
        box.activated.emit(index)

    def key(self, canvas: Any, key: Any) -> None:
        """Press a key over the canvas."""
        from qtpy.QtTest import QTest

        self.clicks += 1
        QTest.keyClick(canvas, key)

    def drag(self, canvas: Any) -> None:
        """One stroke in the middle of the canvas."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        self.clicks += 1
        start = QPoint(canvas.width() // 2, canvas.height() // 2)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        for step in range(20):
            QTest.mouseMove(canvas, start + QPoint(2 * step, 0))
            rest(0.008)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start + QPoint(40, 0))


def road(folder: Path, side: int) -> dict[str, float]:
    """Walk the road; gives clicks and seconds."""
    import napari
    import numpy as np
    import tifffile
    from qtpy.QtCore import Qt

    from napari_unet.widgets.canvas.layer_styles import camera_of
    from napari_unet.widgets.workbench import Workbench

    path = folder / "slide.tif"
    write_slide(path, side)
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1270, 780)
    rest(1)
    hand, start = Hand(), time.perf_counter()
    viewer.open(str(path), plugin="napari")
    hand.clicks += 2  # File > Open, and the file; or dragged onto the window
    _, bench = viewer.window.add_plugin_dock_widget("napari-unet-workbench", "U-Net Workbench")
    assert isinstance(bench, Workbench)
    hand.clicks += 2  # Plugins > U-Net Workbench
    session, panel = bench.session, bench.segment_panel
    spin(lambda: session.workspace.current == "slide")
    if session.workspace.model is None:
        index = next(n for n in range(panel.model_box.count()) if "nuclei" in panel.model_box.itemText(n))
        hand.choose(panel.model_box, index)
    spin(lambda: panel.run_button.isEnabled())
    opened = time.perf_counter() - start
    hand.click(panel.run_button)
    spin(lambda: session.workspace.row("slide").status == "segmented" and not session.runner.busy, 1200)
    segmented = time.perf_counter() - start
    camera_of(viewer).zoom = 1  # by the wheel
    spin(lambda: bench.large.lens_is_shown and bench.large.lens.layer.visible)
    canvas = viewer.window._qt_viewer.canvas.native
    before = bench.large.lens.layer.data.sum()
    hand.key(canvas, Qt.Key.Key_1)
    if bench.large.lens.layer.mode != "paint":
        bench.canvas.choose_label(1)
    hand.drag(canvas)
    spin(lambda: session.workspace.row("slide").status == "corrected")
    assert bench.large.lens.layer.data.sum() > before
    hand.click(bench.review_panel.edit_bar.export_button)
    dialog = bench.review_panel.edit_bar.export_dialog
    assert dialog is not None
    dialog.folder_edit.setText(str(folder / "out"))
    hand.clicks += 2  # Browse, and the folder
    spin(lambda: dialog.run_button.isEnabled())
    said: list[object] = []
    session.runner.succeeded.connect(said.append)
    hand.click(dialog.run_button)
    spin(lambda: bool(said), 600)
    seconds = time.perf_counter() - start
    dialog.close()
    bench.large.disk.flush()  # type: ignore[union-attr]
    (written,) = (folder / "out").glob("*.tif")
    mask = tifffile.imread(written)
    whole = mask.shape == (side, side) and np.array_equal(mask, bench.large.disk.mask())  # type: ignore[union-attr]
    bench.shut_down()
    viewer.close()
    rest(0.2)
    return {
        "slide: clicks, keys and drags": float(hand.clicks),
        "slide: opened, s": opened,
        "slide: segmented, s": segmented,
        "slide: corrected and exported, s": seconds,
        "slide: the whole mask is in the file": float(whole),
    }


def main() -> None:
    """Walk and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=6000, help="pixels of the slide, a multiple of 500")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_UNET_HOME"] = str(Path(folder) / "home")
        for name, value in road(Path(folder), options.side).items():
            print(f"{name:42}{value:10.1f}")


if __name__ == "__main__":
    main()
