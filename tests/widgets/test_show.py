from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.export.masks import write_mask

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.window

HAS_SCREEN = bool(os.environ.get("DISPLAY")) or shutil.which("Xvfb") or sys.platform in {"win32", "darwin"}


@pytest.mark.skipif(not HAS_SCREEN, reason="there is neither a screen nor Xvfb")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_the_result_of_the_demo_opens_worst_first(salt_folder: Path, tmp_path: Path, qapp: object) -> None:
    from napari_unet.widgets.show import show_demo

    shutil.copytree(salt_folder, tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    chosen = dataset.samples[:3]
    for sample in chosen:
        write_mask(tmp_path / "masks" / f"{sample.id}.png", sample.read_mask().labels)
    (tmp_path / "report").mkdir()
    rows = [{"image": s.id, "iou": 0.5} for s in reversed(chosen)]
    (tmp_path / "report" / "report.json").write_text(json.dumps({"images": rows}))
    viewer = show_demo(tmp_path)
    try:
        assert [layer.name for layer in viewer.layers] == ["images", "predicted", "reference"]
        assert viewer.layers["images"].data.shape == (3, 101, 101)
        np.testing.assert_array_equal(viewer.layers["predicted"].data, viewer.layers["reference"].data)
        assert viewer.text_overlay.text == f"1 of 3, worst first: {chosen[2].id}, IoU 0.50"
        viewer.dims.set_current_step(0, 2)
        assert viewer.text_overlay.text == f"3 of 3, worst first: {chosen[0].id}, IoU 0.50"
    finally:
        viewer.close()
