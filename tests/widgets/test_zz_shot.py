from __future__ import annotations
import numpy as np, pytest
from test_objects_table import *  # noqa
pytestmark = pytest.mark.window
def test_shot(counted, qtbot):
    dock = counted
    dialog = open_table(dock, qtbot)
    dialog.resize(1000, 380)
    dialog.which_box.setCurrentIndex(dialog.which_box.findData("series"))
    qtbot.waitUntil(lambda: "track" in dialog.model.columns and not np.isnan(dialog.model.values("track")).any(), timeout=60000)
    qtbot.wait(500)
    dialog.grab().save("/tmp/o20b/series.png")
    dock.grab().save("/tmp/o20b/dock.png")
