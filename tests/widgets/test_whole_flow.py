"""The dock as a person has it: opened by napari, with a computing process of its own."""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QMessageBox

from support.hands import LONG, click, close_anyway, mask_in_view, pixels_in_view, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]

PLUGIN = "napari-unet-workbench"
MANY = 60  # images, more than are done before somebody stops them
THREADS = ("engine", "session", "thumbnails")
NETWORKS = {"keras", "tensorflow", "torch", "jax"}


def workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        try:
            if "napari_unet.engine.worker" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def ours() -> set[Any]:
    folders = set(Path(tempfile.gettempdir()).glob("napari-unet-*"))
    threads = {t for t in threading.enumerate() if t.name.startswith(THREADS)}
    return {p.pid for p in workers()} | folders | threads


def left_behind(before: set[Any]) -> set[str]:
    """Processes, threads and folders of ours that were not there before."""
    return {str(thing) for thing in ours() - before}


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Any]]:
    from napari_unet.engine import folders

    # A place of its own: what others do in the common ones must not count.
    monkeypatch.setattr(folders, "MEMORY_FOLDER", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = ours()
    yield before
    until = time.monotonic() + 5
    while left_behind(before) and time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.05)
    assert left_behind(before) == set()


@pytest.fixture
def viewer(open_window: Callable[[], Any], qapp: Any) -> Iterator[Any]:
    """A window of its own, as these tests close it."""
    viewer = open_window()
    yield viewer
    close_anyway(viewer)
    qapp.processEvents()


@pytest.fixture
def dock(nothing_left: set[Any], viewer: Any, qtbot: Any) -> Iterator[Any]:
    """Opened from the menu."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "U-Net Workbench")
    yield widget
    close_anyway(viewer)


def many(viewer: Any, count: int = MANY) -> Any:
    """A task long enough to be disturbed."""
    stack = np.random.default_rng(0).integers(0, 255, (count, 256, 256), np.uint8)
    return viewer.add_image(stack, name="many")


def test_from_a_zip_to_the_worst_image_and_a_correction(
    dock: Any,
    viewer: Any,
    qtbot: Any,
    salt_zip: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    notifications: list[Any],
) -> None:
    from qtpy.QtWidgets import QFileDialog

    viewer.open(str(salt_zip), plugin=None)  # as when dropped
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 30)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tiny_models["grey"]))
    dock.segment_panel.model_button.menu().actions()[0].trigger()
    assert dock.segment_panel.model_box.currentText() == "grey"
    segment(dock, qtbot, "image")
    first = dock.session.workspace.current
    assert dock.session.workspace.row(first).status == "segmented"
    assert dock.canvas.mask_layer.data.any()
    segment(dock, qtbot, "all")
    scores = {r.id: r.iou for r in dock.session.workspace.rows() if r.iou is not None}
    assert len(scores) == 24
    click(qtbot, dock.review_panel.worst_button)
    worst = dock.session.workspace.current
    assert scores[worst] == min(scores.values())
    assert dock.images.table.current_id() == worst
    click(qtbot, dock.review_panel.errors_box)
    assert dock.overlays.layers["errors"].visible
    # A person paints the truth: nothing is wrong any more.
    layer = dock.canvas.mask_layer
    truth = dock.session.workspace.collection.entries[worst].sample.read_mask().labels
    wrong = np.nonzero(layer.data != truth)
    layer.data_setitem(wrong, truth[wrong])
    qtbot.waitUntil(lambda: dock.session.workspace.row(worst).status == "corrected")
    assert dock.session.workspace.row(worst).iou == 1.0
    assert not (dock.overlays.layers["errors"].data > 1).any()
    click(qtbot, dock.review_panel.next_button)
    assert dock.session.workspace.current != worst
    assert [str(n.message) for n in notifications] == []
    assert not NETWORKS & set(sys.modules)
    assert [p.pid for p in workers()] != []
    viewer.close()


def test_a_killed_process_is_told_and_replaced(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path], notifications: list[Any]
) -> None:
    dock.session.workspace.load_model(tiny_models["grey"])
    many(viewer)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == MANY)
    segment(dock, qtbot, "image")
    current, layer = dock.session.workspace.current, dock.canvas.mask_layer
    pixels = pixels_in_view(dock, np.arange(9), np.arange(9))
    layer.data_setitem(pixels, 1 - layer.data[pixels])
    wanted = mask_in_view(dock).copy()
    segment(dock, qtbot, "all", wait=False)
    qtbot.waitUntil(
        lambda: sum(r.status == "segmented" for r in dock.session.workspace.rows()) > 2, timeout=LONG
    )
    psutil.Process(dock.session.runner.engine.process_id).kill()
    qtbot.waitUntil(lambda: not dock.session.runner.busy, timeout=LONG)
    assert "the computing process ended in the middle of the work" in str(notifications[-1].message).lower()
    done = [r.id for r in dock.session.workspace.rows() if r.status == "segmented"]
    assert 2 < len(done) < MANY
    assert all(dock.session.workspace.mask(i) is not None for i in done)
    np.testing.assert_array_equal(mask_in_view(dock), wanted)
    np.testing.assert_array_equal(dock.session.workspace.mask(current), wanted)
    assert dock.segment_panel.run_button.isEnabled()
    new = next(r.id for r in dock.session.workspace.rows() if r.status == "new")
    dock.session.workspace.select(new)
    segment(dock, qtbot, "image")
    assert dock.session.workspace.row(new).status == "segmented"


def test_cancel_keeps_what_is_finished(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path], notifications: list[Any]
) -> None:
    dock.session.workspace.load_model(tiny_models["grey"])
    many(viewer)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == MANY)
    segment(dock, qtbot, "all", wait=False)
    assert dock.segment_panel.pages.currentIndex() == 1
    qtbot.waitUntil(lambda: any(r.status == "segmented" for r in dock.session.workspace.rows()), timeout=LONG)
    click(qtbot, dock.segment_panel.cancel_button)
    qtbot.waitUntil(lambda: not dock.session.runner.busy, timeout=10_000)
    qtbot.wait(50)
    assert dock.segment_panel.pages.currentIndex() == 0
    done = sum(r.status == "segmented" for r in dock.session.workspace.rows())
    assert 0 < done < MANY
    # Another list is taken to hand while a task runs.
    segment(dock, qtbot, "all", wait=False)
    viewer.layers.remove("many")
    viewer.add_image(np.zeros((32, 32), np.uint8), name="small")
    qtbot.waitUntil(
        lambda: dock.session.workspace.current == "small" and not dock.session.runner.busy, timeout=10_000
    )
    segment(dock, qtbot, "image")
    assert [str(n.message) for n in notifications] == []


def test_closing_the_window_during_a_task_asks(
    dock: Any,
    viewer: Any,
    qtbot: Any,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    nothing_left: set[Any],
) -> None:
    dock.session.workspace.load_model(tiny_models["grey"])
    many(viewer)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == MANY)
    segment(dock, qtbot, "all", wait=False)
    asked: list[str] = []
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def question(parent: Any, title: str, text: str, *more: Any) -> Any:
        asked.append(text)
        return answers[len(asked) - 1]

    monkeypatch.setattr(QMessageBox, "question", question)
    window = viewer.window._qt_window
    assert not window.close()
    assert "Stop it and close?" in asked[0]
    assert dock.session.runner.busy
    assert window.close()
    assert len(asked) == 2
    qtbot.waitUntil(lambda: left_behind(nothing_left) == set(), timeout=10_000)


@pytest.mark.parametrize("busy", [False, True])
def test_taking_the_dock_out_of_the_window_leaves_nothing(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path], nothing_left: set[Any], busy: bool
) -> None:
    dock.session.workspace.load_model(tiny_models["grey"])
    many(viewer, 40)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 40)
    segment(dock, qtbot, "all" if busy else "image", wait=not busy)
    wrapped = next(d for d in viewer.window._wrapped_dock_widgets.values() if d.inner_widget() is dock)
    viewer.window.remove_dock_widget(wrapped)
    qtbot.waitUntil(lambda: left_behind(nothing_left) == set(), timeout=10_000)
    # The viewer continues without it, and with another.
    viewer.dims.set_current_step(0, 3)
    for layer in list(viewer.layers):
        viewer.layers.remove(layer)
    _, again = viewer.window.add_plugin_dock_widget(PLUGIN, "U-Net Workbench")
    assert again is not dock
    viewer.add_image(np.zeros((32, 32), np.uint8), name="new")
    qtbot.waitUntil(lambda: again.session.workspace.current == "new")


class Refusal(QObject):
    """Says no for the person; Qt's bindings do not bear that a method of an event is patched."""

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if event.type() != QEvent.Type.Close:
            return False
        event.ignore()
        return True


def test_a_window_that_stays_open_after_all_keeps_its_dock(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    """Napari asks too, and the person may say no to that."""
    dock.session.workspace.load_model(tiny_models["grey"])
    viewer.add_image(np.zeros((32, 32), np.uint8), name="p")
    qtbot.waitUntil(lambda: dock.session.workspace.current == "p")
    window = viewer.window._qt_window
    window.show()
    qtbot.wait(100)
    refusal = Refusal()
    window.removeEventFilter(dock)
    window.installEventFilter(refusal)
    window.installEventFilter(dock)  # the last one is asked first
    assert not window.close()
    window.removeEventFilter(refusal)
    segment(dock, qtbot, "image")
    assert dock.session.workspace.row("p").status == "segmented"


def test_no_widget_of_ours_is_left(
    nothing_left: set[Any], viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    before = QApplication.allWidgets()

    def widgets() -> list[Any]:
        mine = [w for w in QApplication.allWidgets() if type(w).__module__.startswith("napari_unet")]
        return [w for w in mine if not any(w is known for known in before)]

    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "U-Net Workbench")
    dock.session.workspace.load_model(tiny_models["grey"])
    viewer.add_image(np.zeros((32, 32), np.uint8), name="p")
    qtbot.waitUntil(lambda: dock.session.workspace.current == "p")
    assert widgets()
    viewer.close()
    dock = None
    for _ in range(5):
        gc.collect()
        qtbot.wait(20)
    assert widgets() == []
