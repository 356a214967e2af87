from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.window


@pytest.mark.parametrize(("what", "rows"), [("set", 24 + 6), ("image", 1)])
def test_open_shows_a_data_set_or_an_image_in_one_dock(
    what: str, rows: int, salt_folder: Path, viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    from napari_unet.plugin.show_data import show_data
    from napari_unet.widgets.workbench import Workbench

    Image.fromarray(np.full((20, 30), 7, np.uint8)).save(tmp_path / "cells.png")
    path = salt_folder if what == "set" else tmp_path / "cells.png"
    shown = show_data([str(path)])
    try:
        (bench,) = shown.window._qt_window.findChildren(Workbench)
        qtbot.waitUntil(lambda: len(bench.session.workspace.rows()) == rows, timeout=20_000)
        first = shown.layers[0]
        assert (first.name, first.data.shape[:2]) == ("cells", (20, 30)) or what == "set"
        qtbot.waitUntil(lambda: not bench.session.runner.busy, timeout=10_000)
    finally:
        shown.close()
