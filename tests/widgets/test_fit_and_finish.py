"""What the dock looks like in a small window: rows of images, no nested scroll bars, its name, the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtWidgets import QScrollArea

from napari_unet.widgets.parts import one_dock
from support.hands import LONG, click, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
PLUGIN = "napari-unet-workbench"
LEAST_ROWS = 5


@pytest.fixture
def scored(ready: Any, viewer: Any, qtbot: Any, salt_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A data set with reference masks, all of it segmented, in a window of 1280 x 800."""
    monkeypatch.setattr("napari_unet.plugin.commands.show_workbench", lambda viewer: None)
    viewer.window._qt_window.showNormal()
    viewer.window.resize(1280, 800)
    viewer.open(str(salt_folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 30, timeout=LONG)
    segment(ready, qtbot, "all")
    return ready


def rows_in_view(dock: Any) -> float:
    view = dock.images.table.view
    return float(view.viewport().height() / view.rowHeight(0))


def bars(dock: Any) -> list[Any]:
    """Scroll bars that are needed, but for that of the list itself."""
    every = [bar for area in dock.findChildren(QScrollArea) for bar in (area.verticalScrollBar(),)]
    return [bar for bar in every if bar.isVisible() and bar.maximum() > 0]


def test_five_rows_of_images_whatever_step_is_open(scored: Any, qtbot: Any) -> None:
    steps = scored.segment_panel, scored.review_panel, scored.learn_panel
    assert not scored.segment_panel.folded
    assert not scored.review_panel.folded
    assert scored.window().height() <= 800
    assert rows_in_view(scored) >= LEAST_ROWS
    assert bars(scored) == []
    for one in steps:
        for other in steps:
            other.set_folded(other is not one)
        settled(scored, qtbot)
        qtbot.waitUntil(lambda: rows_in_view(scored) >= LEAST_ROWS)
        assert bars(scored) == [], one.heading.text()


def test_unsure_lies_over_outlines_alone(scored: Any, viewer: Any, qtbot: Any) -> None:
    mask, (reference,) = scored.canvas.mask_layer, [n for n in viewer.layers if "reference" in n.name]
    assert mask.contour == 0
    assert reference.visible
    click(qtbot, scored.review_panel.unsure_box)
    qtbot.waitUntil(lambda: scored.overlays.layers["unsure"] is not None, timeout=LONG)
    assert scored.overlays.layers["unsure"].visible
    assert mask.contour == 1
    assert not reference.visible
    click(qtbot, scored.review_panel.unsure_box)
    assert mask.contour == 0
    assert reference.visible


def test_the_dock_is_called_by_its_name_once(dock: Any, viewer: Any, qtbot: Any) -> None:
    around = one_dock.dock_around(dock)
    name, around.name = around.name, "U-Net Workbench (U-Net Workbench)"  # as napari's menu calls it
    around._update_title_bar(False)
    around.topLevelChanged.emit(False)
    around.name = name
    qtbot.waitUntil(lambda: around.titleBarWidget().title.text() == "U-Net Workbench")
    assert around.windowTitle() == "U-Net Workbench"


def test_the_image_fits_when_the_dock_opens_over_it(
    viewer: Any, qtbot: Any, make_engine: Any, shipped: Path
) -> None:
    from napari_unet.widgets.workbench import Workbench

    viewer.window._qt_window.show()
    viewer.window.resize(1280, 800)
    layer = viewer.add_image(np.zeros((300, 900), np.uint8))
    viewer.reset_view()
    qtbot.waitUntil(lambda: _columns(layer) == (0, 899))
    widget = Workbench(viewer, make_engine)
    viewer.window.add_dock_widget(widget, name="U-Net Workbench", area="right")
    try:
        qtbot.waitUntil(lambda: widget.width() > 300)
        qtbot.wait(300)
        qtbot.waitUntil(lambda: widget.image_source.in_view.looks == 0)
        assert _columns(layer) == (0, 899)
    finally:
        widget.shut_down()
        widget.deleteLater()
        qtbot.wait(20)


def _columns(layer: Any) -> tuple[int, int]:
    return int(layer.corner_pixels[0, 1]), int(layer.corner_pixels[1, 1])
