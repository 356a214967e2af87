"""Projects in the window: names, the list of the last ones, and where corrections are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog

from napari_unet.project.project_file import read_project_file
from napari_unet.session.projects.recent_projects import recent_projects
from support.hands import LONG, choose, click, segment, settled

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


def test_a_project_says_where_it_is_gets_a_name_and_is_opened_again(
    ready: Any, viewer: Any, qtbot: Any, salt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, status, panel = ready.session, ready.status, ready.images
    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    qtbot.waitUntil(lambda: len(session.workspace.rows()) == 30)
    segment(ready, qtbot)
    current, layer = session.workspace.current, ready.canvas.mask_layer
    place = tuple(i.ravel() for i in np.mgrid[5:30, 5:60])
    layer.data_setitem(place, np.ones(len(place[0]), layer.dtype))
    ready.canvas.take_painting()
    # The first stroke makes a project, and the dock says where.
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    folder = session.painting.project.folder
    assert status.words.toPlainText() == "Corrections are saved in this folder."
    assert status.path.whole_text() == str(folder)
    # It moves to a folder of the person's, and gets a name.
    elsewhere = tmp_path / "corrections of november"
    session.projects.use_folder(elsewhere)
    qtbot.waitUntil(lambda: session.painting.project.folder == elsewhere, timeout=LONG)
    settled(ready, qtbot)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("Salt, second look", True))
    choose(qtbot, panel.open_button, "Rename project")
    assert read_project_file(elsewhere)[0].name == "Salt, second look"
    assert panel.hint.whole_text() == "Salt, second look"
    click(qtbot, status.clear_button)
    choose(qtbot, panel.open_button, "Where are my corrections?")
    assert status.path.whole_text() == str(elsewhere)
    # Both are listed, the last first; a click opens the images with that project.
    assert [(one.name, Path(one.folder)) for one in recent_projects()] == [
        ("Salt, second look", elsewhere),
        (salt_folder.name, folder),
    ]
    mask = session.workspace.mask(current)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: session.workspace.collection is None or not len(session.workspace.collection))
    panel.projects.recent.aboutToShow.emit()
    first = panel.projects.recent.actions()[0]
    assert first.text() == "Salt, second look (30 images)"
    first.trigger()
    qtbot.waitUntil(lambda: len(session.workspace.rows()) == 30)
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    assert session.painting.project.folder == elsewhere
    np.testing.assert_array_equal(session.workspace.mask(current), mask)
