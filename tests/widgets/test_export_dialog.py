"""Exporting masks from the window, by clicks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hands import click, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


def test_masks_at_hand_are_exported_and_nothing_is_replaced_unasked(
    ready: Any, viewer: Any, salt_folder: Path, qtbot: Any, tmp_path: Path
) -> None:
    from napari_unet.export.masks import read_mask

    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    session = ready.session
    qtbot.waitUntil(lambda: len(session.rows()) == 30)
    segment(ready, qtbot)
    current = session.current
    click(qtbot, ready.looking.mend.export_button)
    dialog = ready.looking.mend.export_dialog
    assert dialog.preview.text() == "Choose a folder."
    assert not dialog.run_button.isEnabled()
    dialog.folder_edit.setText(str(tmp_path / "out"))
    dialog.pattern_edit.setText("{nam}")
    assert "{nam}" in dialog.preview.text()
    assert not dialog.run_button.isEnabled()
    dialog.pattern_edit.setText("{name}_m")
    click(qtbot, dialog.boxes["png"])
    click(qtbot, dialog.boxes["coco"])
    dialog.scope_box.setCurrentIndex(dialog.scope_box.findData("all"))
    assert dialog.scope_box.currentText() == "all with a mask (1)"
    names = dialog.preview.text().splitlines()
    assert names == [f"{current}_m.tif", f"{current}_m.png", "coco.json"]
    # What was painted goes out, not what was predicted; ignored pixels are background.
    painted = np.zeros((101, 101), np.uint8)
    painted[10:20, 30:50] = 1
    painted[60:65, 60:65] = 255
    session.painting.correct(current, painted)
    click(qtbot, dialog.run_button)
    qtbot.waitUntil(lambda: "1 image in 3 files" in dialog.words.text(), timeout=60_000)
    settled(ready, qtbot)
    written = read_mask(tmp_path / "out" / f"{current}_m.png")
    assert np.array_equal(written, painted == 1)
    (found,) = json.loads((tmp_path / "out" / "coco.json").read_text())["annotations"]
    assert found["area"] == 200
    assert found["bbox"] == [30, 10, 20, 10]
    # The same again would replace three files.
    assert "3 of these files are there already" in dialog.preview.text()
    assert not dialog.run_button.isEnabled()
    click(qtbot, dialog.overwrite_box)
    assert dialog.run_button.isEnabled()
    # Leave to replace is for these files, not for those of another folder.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "coco.json").write_text("{}")
    dialog.folder_edit.setText(str(tmp_path / "other"))
    assert not dialog.overwrite_box.isChecked()
    assert not dialog.run_button.isEnabled()
    dialog.close()
