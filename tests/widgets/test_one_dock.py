"""The dock in a window of napari: one, however it is opened; hidden by its cross; shown as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from npe2 import PluginManager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QPushButton

from napari_unet.plugin import commands
from napari_unet.widgets.parts import one_dock

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
PLUGIN = "napari-unet-workbench"
COMMAND = f"{PLUGIN}.workbench"
TITLE = "U-Net Workbench"


@pytest.fixture
def made(viewer: Any, make_engine: Any, shipped: Any, qtbot: Any) -> Iterator[list[Any]]:
    """Every workbench that napari makes, by whichever way, in a process that is warm already."""
    from napari_unet.widgets.workbench import Workbench

    every: list[Any] = []

    class Ours(Workbench):  # type: ignore[misc]
        def __init__(self, napari_viewer: Any) -> None:
            super().__init__(napari_viewer, make_engine)
            every.append(self)

    registered = PluginManager.instance().commands
    before = registered.get(COMMAND)
    registered.unregister(COMMAND)
    registered.register(COMMAND, Ours)
    yield every
    registered.unregister(COMMAND)
    registered.register(COMMAND, before)
    for bench in every:
        bench.shut_down()
        bench.deleteLater()
    qtbot.wait(20)


def by_menu(viewer: Any) -> None:
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command(COMMAND).result()


def by_command(viewer: Any) -> None:
    commands.segment(viewer)


def by_start(viewer: Any) -> None:
    """As ``napari -w`` and scripts do."""
    viewer.window.add_plugin_dock_widget(PLUGIN, TITLE)


def docks(viewer: Any) -> list[QDockWidget]:
    return [dock for widget in viewer.window.dock_widgets.values() if (dock := one_dock.dock_around(widget))]


def cross(dock: QDockWidget) -> QPushButton:
    """napari's own button, the one that takes other docks apart."""
    return dock.titleBarWidget().findChild(QPushButton, "QTitleBarCloseButton")


@pytest.mark.parametrize("second", [by_menu, by_command, by_start])
@pytest.mark.parametrize("first", [by_menu, by_command, by_start])
def test_a_window_has_one_dock_however_it_is_opened(
    made: list[Any], viewer: Any, qtbot: Any, first: Any, second: Any
) -> None:
    first(viewer)
    qtbot.wait(20)
    (dock,) = docks(viewer)
    dock.hide()
    second(viewer)
    qtbot.wait(50)
    assert docks(viewer) == [dock]
    assert len(made) == 1
    if (first, second) != (by_start, by_start):  # of that, napari gives the dock to its caller as it is
        assert not dock.isHidden()
    assert one_dock.workbench_of(viewer.window) is made[0]


def test_the_menu_hides_and_shows_the_dock_that_a_command_opened(made: list[Any], viewer: Any) -> None:
    viewer.window._qt_window.show()
    by_command(viewer)
    (dock,) = docks(viewer)
    by_menu(viewer)
    assert dock.isHidden()
    by_menu(viewer)
    assert not dock.isHidden()
    assert docks(viewer) == [dock]


def test_the_cross_hides_and_what_was_there_comes_back(
    made: list[Any], viewer: Any, qtbot: Any, tiny_models: Any
) -> None:
    by_menu(viewer)
    (bench,) = made
    qtbot.wait(20)
    bench.session.workspace.load_model(tiny_models["grey"])
    viewer.add_image(np.arange(48 * 40, dtype=np.uint16).reshape(48, 40), name="mine")
    qtbot.waitUntil(bench.segment_panel.run_button.isEnabled)
    keys = dict(viewer.keymap)
    assert keys
    (dock,) = docks(viewer)
    qtbot.mouseClick(cross(dock), Qt.MouseButton.LeftButton)
    assert dock.isHidden()
    assert not viewer.keymap  # nobody expects a hidden dock to answer
    by_menu(viewer)
    assert not dock.isHidden()
    assert set(viewer.keymap) == set(keys)
    assert [row.id for row in bench.session.workspace.rows()] == ["mine"]
    assert bench.segment_panel.model_box.currentText() == "grey"


def test_the_cross_ends_no_work_and_says_that_it_continues(
    made: list[Any], viewer: Any, qtbot: Any, notifications: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.session.session import Session

    by_menu(viewer)
    (bench,) = made
    qtbot.wait(20)
    monkeypatch.setattr(Session, "has_unsaved_work", True)
    (dock,) = docks(viewer)
    qtbot.mouseClick(cross(dock), Qt.MouseButton.LeftButton)
    monkeypatch.undo()
    assert not bench._closed
    (said,) = [str(n.message) for n in notifications]
    assert said == "Work continues while the dock is hidden. Plugins > U-Net Workbench shows it again."


def test_a_dock_behind_another_keeps_its_keys(made: list[Any], viewer: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QLabel

    by_menu(viewer)
    qtbot.wait(20)
    (dock,) = docks(viewer)
    other = viewer.window.add_dock_widget(QLabel("notes"), name="notes", area="right")
    viewer.window._qt_window.tabifyDockWidget(dock, other)
    other.raise_()
    qtbot.wait(20)
    assert viewer.keymap


def test_the_mask_lies_over_an_image_that_was_opened_later(ready: Any, viewer: Any, qtbot: Any) -> None:
    def segment() -> None:
        qtbot.waitUntil(ready.segment_panel.run_button.isEnabled)
        qtbot.mouseClick(ready.segment_panel.run_button, Qt.MouseButton.LeftButton)
        current = ready.session.workspace.current
        qtbot.waitUntil(lambda: ready.session.workspace.row(current).status == "segmented", timeout=20_000)
        qtbot.waitUntil(lambda: not ready.session.runner.busy, timeout=20_000)

    viewer.add_image(np.arange(48 * 40, dtype=np.uint16).reshape(48, 40), name="small")
    segment()
    large = viewer.add_image(np.arange(96 * 120, dtype=np.uint16).reshape(96, 120), name="large")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "large")
    segment()
    mask = ready.canvas.mask_layer
    assert viewer.layers.index(mask) > viewer.layers.index(large)
    assert mask.data.shape == (96, 120)
    assert viewer.layers.selection.active is mask
    qtbot.waitUntil(lambda: tuple(viewer.camera.center[-2:]) == (47.5, 59.5))  # the middle of 96 x 120


def test_the_dock_is_wide_enough_for_all_that_comes(ready: Any, viewer: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QScrollArea

    viewer.window._qt_window.resize(900, 600)
    viewer.window._qt_window.show()
    area = ready.findChild(QScrollArea)
    ready.segment_panel.run_button.setMinimumWidth(450)
    qtbot.waitUntil(lambda: area.viewport().width() >= area.widget().minimumSizeHint().width() >= 450)
