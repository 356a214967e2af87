from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.window


def test_the_demo_opens_in_the_workbench_and_segments_its_images(
    salt_folder: Path, tiny_models: dict[str, Path], viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    from napari_unet.plugin.show_demo import show_demo
    from napari_unet.widgets.workbench import Workbench

    shutil.copytree(salt_folder, tmp_path / "data")
    shutil.copytree(tiny_models["grey"], tmp_path / "model")
    shown = show_demo(tmp_path)
    try:
        (bench,) = shown.window._qt_window.findChildren(Workbench)
        session = bench.session
        qtbot.waitUntil(lambda: {r.status for r in session.workspace.rows()} == {"segmented"}, timeout=60_000)
        assert len(session.workspace.rows()) == 24 + 6  # with those that have no reference
        assert [layer.name for layer in shown.layers][:2] == ["data", "data reference"]
        qtbot.waitUntil(lambda: not session.runner.busy, timeout=10_000)
    finally:
        shown.close()
