"""What the window says and does where strokes cannot be saved: full disk, read-only or vanished folder."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_unet.project.corrections.journal import StrokeFile, read_strokes
from napari_unet.project.project import Project
from support.hands import LONG, mask_in_view, pixels_in_view, segment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


@pytest.fixture
def kept(ready: Any, viewer: Any, qtbot: Any, tmp_path: Path) -> Any:
    """The dock with two images, whose corrections are kept in a folder of the person's choice."""
    images = np.random.default_rng(0).integers(0, 200, (2, 48, 40)).astype(np.uint8)
    viewer.add_image(images, name="s")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 2)
    segment(ready, qtbot)
    ready.session.projects.use_folder(tmp_path / "kept")
    qtbot.waitUntil(lambda: ready.session.painting.project is not None, timeout=LONG)
    ready.session.painting.project.corrections.writer.retry_seconds = 0.05
    return ready


def stroke(dock: Any, qtbot: Any, top: int) -> np.ndarray:
    """Paint as a brush does, and let the window see it; gives back the mask."""
    layer = dock.canvas.mask_layer
    rows, columns = (i.ravel() for i in np.mgrid[top : top + 6, 0:30])
    before = mask_in_view(dock)[rows, columns]
    layer.data_setitem(pixels_in_view(dock, rows, columns), 1 - before)
    wanted = mask_in_view(dock).copy()
    qtbot.waitUntil(lambda: (dock.session.workspace.mask(dock.session.workspace.current) == wanted).all())
    return wanted


def told(notifications: list[Any]) -> list[str]:
    return [str(n.message) for n in notifications]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_is_said_and_strokes_are_saved_once_it_takes_them(
    kept: Any, qtbot: Any, notifications: list[Any], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write, full = StrokeFile._write, [True]

    def refuse(self: StrokeFile, data: bytes) -> None:
        if full[0]:
            raise OSError(number, os.strerror(number))
        write(self, data)

    stroke(kept, qtbot, 0)
    assert kept.session.painting.project.save()
    monkeypatch.setattr(StrokeFile, "_write", refuse)
    stroke(kept, qtbot, 10)
    qtbot.waitUntil(lambda: len(notifications) == 1, timeout=LONG)
    (sentence,) = told(notifications)
    assert os.strerror(number) in sentence
    assert "Painting continues" in sentence
    wanted = stroke(kept, qtbot, 20)  # it does
    assert kept.session.workspace.row("s [0]").status == "corrected"
    full[0] = False
    qtbot.waitUntil(lambda: len(notifications) == 2, timeout=LONG)
    assert told(notifications)[1] == "All strokes are saved again."
    with Project.open(kept.session.painting.project.folder, read_only=True) as project:
        np.testing.assert_array_equal(project.corrections["s [0]"].mask, wanted)


def test_a_folder_that_vanishes_while_painting_is_said_and_taken_up_again(
    kept: Any, qtbot: Any, notifications: list[Any]
) -> None:
    folder = kept.session.painting.project.folder
    away = folder.rename(folder.with_name("away"))
    stroke(kept, qtbot, 0)
    qtbot.waitUntil(lambda: len(notifications) == 1, timeout=LONG)
    assert "Painting continues" in told(notifications)[0]
    # Every helper continues in memory, too.
    wanted = stroke(kept, qtbot, 12)
    kept.mask_editing.edit("undo")
    wanted[12:18, 0:30] = 1 - wanted[12:18, 0:30]
    np.testing.assert_array_equal(mask_in_view(kept), wanted)
    assert not folder.exists()
    away.rename(folder)
    qtbot.waitUntil(lambda: len(notifications) == 2, timeout=LONG)
    assert told(notifications)[1] == "All strokes are saved again."
    with Project.open(folder, read_only=True) as project:
        np.testing.assert_array_equal(project.corrections["s [0]"].mask, wanted)


def test_a_place_where_no_project_can_be_made_is_said_and_caught_up_with(
    ready: Any, viewer: Any, qtbot: Any, notifications: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.session.projects import current_project

    create = Project.create

    def refuse(*args: Any, **more: Any) -> Project:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Project, "create", refuse)
    monkeypatch.setattr(current_project, "RETRY_SECONDS", 0.0)
    viewer.add_image(np.random.default_rng(0).integers(0, 200, (48, 40)).astype(np.uint8), name="p")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "p")
    segment(ready, qtbot)
    stroke(ready, qtbot, 0)
    qtbot.waitUntil(lambda: len(notifications) == 1, timeout=LONG)
    assert "painting continues in memory" in told(notifications)[0]
    stroke(ready, qtbot, 10)
    assert ready.session.painting.project is None
    monkeypatch.setattr(Project, "create", create)
    wanted = stroke(ready, qtbot, 20)
    qtbot.waitUntil(lambda: ready.session.painting.project is not None, timeout=LONG)
    np.testing.assert_array_equal(ready.session.painting.project.corrections["p"].mask, wanted)  # type: ignore[attr-defined]
    assert len(notifications) == 1


def test_a_drag_is_on_the_disk_while_it_goes_on_and_is_one_stroke(
    kept: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A brush that moves every 20 milliseconds, for two seconds, without being lifted."""
    session, layer = kept.session, kept.canvas.mask_layer
    current, corrections = session.workspace.current, session.painting.project.corrections
    journal = session.painting.project.folder / "journal"
    held = [Qt.MouseButton.NoButton]
    monkeypatch.setattr(QApplication, "mouseButtons", staticmethod(lambda: held[0]))
    predicted = mask_in_view(kept).copy()

    def on_disk() -> int:
        """Pixels of the image that are in the journal."""
        return sum(s.pixels for f in journal.glob("*.strokes") for s in read_strokes(f).strokes)

    def drag(row: int, moves: int) -> list[int]:
        """Set one more pixel of a row with each move; gives back how many were not on disk after each."""
        behind, before = [], on_disk()
        held[0] = Qt.MouseButton.LeftButton
        with layer.block_history():  # as napari does it from pressing the button until it is let go
            for place in range(moves):
                y, x = np.array([row + place // 40]), np.array([place % 40])
                layer.data_setitem(pixels_in_view(kept, y, x), 1 - mask_in_view(kept)[y, x])
                qtbot.wait(20)
                behind.append(place + 1 - (on_disk() - before))
            held[0] = Qt.MouseButton.NoButton
        return behind

    behind = drag(0, 80)
    assert behind[-1] < 80
    # None waits longer than a second, which is at most 50 moves.
    assert max(behind) <= 50
    qtbot.waitUntil(lambda: on_disk() == 80, timeout=1000)
    pieces = [s.begun for f in journal.glob("*.strokes") for s in read_strokes(f).strokes]
    assert len(pieces) > 1
    assert pieces == [1] + [0] * (len(pieces) - 1)
    assert corrections.stats(current).strokes == 1
    drag(4, 10)
    qtbot.waitUntil(lambda: on_disk() == 90, timeout=1000)
    assert corrections.stats(current).strokes == 2
    assert [v.pixels for v in corrections.versions(current)] == [0, 80, 10]
    for _ in range(2):
        session.painting.undo(current)
    np.testing.assert_array_equal(session.workspace.mask(current), predicted)
