"""The status line: results with their place, errors in full, long work with Cancel; no toasts for these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QScrollArea

from napari_unet.progress import Progress
from napari_unet.session.outcome import Outcome
from napari_unet.widgets.parts.keys_dialog import KeysDialog
from support.hands import LONG, click, segment

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtCore import QUrl

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that the system was asked to open."""
    paths: list[str] = []

    def open_url(url: QUrl) -> bool:
        paths.append(url.toLocalFile())
        return True

    monkeypatch.setattr(QDesktopServices, "openUrl", open_url)
    return paths


def test_a_report_stays_with_its_place_and_opens_by_a_click(
    ready: Any,
    viewer: Any,
    qtbot: Any,
    salt_folder: Path,
    tmp_path: Path,
    toasts: list[Any],
    opened: list[str],
) -> None:
    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 30)
    status = ready.status
    assert status.said.isHidden()
    assert status.work.isHidden()
    segment(ready, qtbot)
    ready.review_panel.all_scores.write(tmp_path)
    assert not status.work.isHidden()
    assert status.progress_words.text().startswith("Writing the report")
    assert ready.segment_panel.pages.currentIndex() == 0  # one place to look
    qtbot.waitUntil(lambda: status.kind == "result", timeout=LONG)
    qtbot.waitUntil(lambda: status.work.isHidden())
    (page,) = tmp_path.glob("report*/*.html")
    assert status.words.toPlainText() == "The report is written."
    assert status.path.whole_text() == str(page.parent)
    opened.clear()
    click(qtbot, status.folder_button)
    click(qtbot, status.report_button)
    assert opened == [str(page.parent), str(page)]
    # It stays, whatever is looked at meanwhile, until there is something else to say.
    ready.step(1)
    segment(ready, qtbot)
    assert status.words.toPlainText() == "The report is written."
    assert toasts == []
    click(qtbot, status.clear_button)
    assert status.said.isHidden()


def test_an_error_stands_in_full_without_widening_the_dock(
    ready: Any, viewer: Any, qtbot: Any, toasts: list[Any]
) -> None:
    viewer.window._qt_window.resize(900, 700)
    viewer.window._qt_window.show()
    area, status = ready.findChild(QScrollArea), ready.status
    qtbot.wait(50)
    width = area.width()
    path = "/".join(["a-folder-with-a-long-name"] * 12)
    ready.session.runner.failed.emit(
        f"{path} cannot be written: the disk is full; free some space", "Traceback"
    )
    qtbot.wait(50)
    assert (
        status.words.toPlainText()
        == f"{path} cannot be written: the disk is full; free some space".replace("a-", "A-", 1)
    )
    assert area.width() == width
    assert status.words.height() >= status.words.document().size().height()  # nothing is scrolled
    assert status.words.height() > 4 * status.words.fontMetrics().height()  # 312 characters wrap
    status.words.selectAll()
    assert "the disk is full" in status.words.textCursor().selectedText()
    assert not status.details_button.isHidden()
    assert status.folder_button.isHidden()
    assert toasts == []


def test_a_long_path_is_cut_at_the_front(ready: Any, viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    viewer.window._qt_window.resize(900, 700)
    viewer.window._qt_window.show()
    folder = tmp_path / ("deep-" * 30) / "results"
    folder.mkdir(parents=True)
    ready.session.runner.succeeded.emit(Outcome("Exported 3 images in 3 files.", folder))
    qtbot.waitUntil(lambda: ready.status.path.text().startswith("…"))
    assert ready.status.path.text().endswith("/results")
    assert ready.status.path.whole_text() == str(folder)


def test_an_export_is_cancelled_in_the_dock(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So many that the click comes before the end.
    viewer.add_image(np.random.default_rng(0).integers(0, 200, (60, 64, 64)).astype(np.uint8), name="s")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 60)
    segment(ready, qtbot, "all")
    click(qtbot, ready.review_panel.edit_bar.export_button)
    dialog = ready.review_panel.edit_bar.export_dialog
    dialog.folder_edit.setText(str(tmp_path))
    dialog.scope_box.setCurrentIndex(dialog.scope_box.findData("all"))
    click(qtbot, dialog.run_button)
    ready.work.show()
    assert ready.status.progress_words.text().startswith("Exporting")
    assert not ready.segment_panel.run_button.isEnabled()
    click(qtbot, ready.status.cancel_button)
    qtbot.waitUntil(lambda: not ready.session.runner.busy, timeout=LONG)
    assert ready.status.words.toPlainText() == "Export stopped. Files that are finished stay."
    qtbot.waitUntil(ready.segment_panel.run_button.isEnabled)


def test_what_a_folded_step_does_is_shown_in_the_status_line(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(np.zeros((32, 32), np.uint8), name="s")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "s")
    runner, status = ready.session.runner, ready.status
    runner.progress = Progress(3, 15, "Segmenting", 4.0)
    ready.work.show()
    assert status.work.isHidden()  # the step shows it
    click(qtbot, ready.segment_panel.heading)
    assert not status.work.isHidden()
    assert status.progress_words.text() == "3 of 15, 4 s left"
    click(qtbot, ready.segment_panel.heading)
    assert status.work.isHidden()
    runner.progress = None
    ready.work.show()


def test_the_question_mark_lists_every_key_that_is_bound(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(np.random.default_rng(0).integers(0, 200, (48, 40)).astype(np.uint8), name="s")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "s")
    segment(ready, qtbot)
    click(qtbot, ready.help_button)
    (dialog,) = ready.findChildren(KeysDialog)
    assert dialog.isVisible()
    bound = {str(key) for key in (*viewer.keymap, *ready.canvas.mask_layer.keymap)}
    digits = {str(n) for n in range(1, 10)}
    assert digits <= bound
    assert "1 to 9" in dialog.shown
    assert bound - digits <= set(dialog.shown)
    # What is listed beyond that are napari's own tools, and what cancels.
    assert set(dialog.shown) - bound == {"1 to 9", "P", "E", "F", "L", "Z", "Escape"}
    assert ready.status.cancel_button.shortcut().toString() == "Esc"
    dialog.close()
