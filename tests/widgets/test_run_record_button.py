"""Recipes of what is in no data set: through the real window, repeated by the computing process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QFileDialog

from napari_unet.data.masks.mask_pixels import decode_labels
from support.hands import LONG, choose, click, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.workflow.replay.run_record import RunRecord

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


@pytest.fixture
def save(ready: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """(words of the menu, name) -> the recipe, saved with the button."""
    from napari_unet.workflow.replay.run_record import RunRecord

    def click_and_save(words: str, name: str) -> RunRecord:
        target = tmp_path / f"{name}.json"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
        choose(qtbot, ready.segment_panel.run_records, f"Save run: {words}")
        qtbot.waitUntil(target.exists, timeout=LONG)
        settled(ready, qtbot)
        return RunRecord.load(target)

    return click_and_save


def repeat(dock: Any, qtbot: Any, recipe: RunRecord, out: Path) -> None:
    """As `napari-unet run` does it, in the process that computes, for TensorFlow must not be in this one."""
    from napari_unet.workflow.replay.replay_task import ReplayTask

    ended: list[Any] = []
    dock.session.runner.engine.submit(ReplayTask(recipe, out), lambda _: None, ended.append)
    qtbot.waitUntil(lambda: bool(ended), timeout=LONG)
    assert ended[0].state == "done", ended[0].error


def blobs(shape: tuple[int, ...]) -> Any:
    noise = np.random.default_rng(3).random(shape)
    return (np.kron(noise, np.ones((8, 8))) * 200).astype(np.uint8)


def test_a_layer_opened_from_a_file_and_one_of_its_own(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path, save: Any
) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", blobs((6, 9)))
    viewer.open(str(tmp_path / "cells.tif"), plugin="napari")
    viewer.add_image(blobs((7, 7)), name="mine")
    settled(ready, qtbot)
    segment(ready, qtbot, "all")
    shown = {name: ready.session.workspace.mask(name) for name in ("cells", "mine")}
    recipe = save("Segmentation of 2 images", "both")
    assert sorted(i.place.found.name for i in recipe.run.images) == ["cells.tif", "mine.tif"]
    assert [f.name for f in (tmp_path / "both-images").iterdir()] == ["mine.tif"]
    repeat(ready, qtbot, recipe, tmp_path / "out")
    for name, mask in shown.items():
        file = tmp_path / "out" / f"{name}.png"
        np.testing.assert_array_equal(decode_labels(file.read_bytes(), file.name) > 0, mask > 0)


def test_what_is_in_view_and_an_export_of_what_was_painted_on_it(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path, save: Any
) -> None:
    layer = viewer.add_image(blobs((30, 40)), name="large")
    settled(ready, qtbot)
    layer.corner_pixels = np.array([[40, 64], [149, 231]])
    segment(ready, qtbot, "view")
    mask = ready.session.workspace.mask("large")
    recipe = save("Segmentation of a part of 1 image", "part")
    assert recipe.run.images[0].regions == ((40, 64, 150, 232),)
    repeat(ready, qtbot, recipe, tmp_path / "out")
    file = tmp_path / "out" / "large.png"
    np.testing.assert_array_equal(decode_labels(file.read_bytes(), file.name) > 0, mask > 0)

    painted = ready.canvas.mask_layer
    place = tuple(i.ravel() for i in np.mgrid[5:30, 5:60])
    painted.data_setitem(place, np.ones(len(place[0]), painted.dtype))
    qtbot.waitUntil(lambda: ready.session.workspace.row("large").status == "corrected", timeout=LONG)
    settled(ready, qtbot)
    click(qtbot, ready.review_panel.edit_bar.export_button)
    dialog = ready.review_panel.edit_bar.export_dialog
    for name, box in dialog.boxes.items():
        box.setChecked(name == "npy")
    dialog.folder_edit.setText(str(tmp_path / "exported"))
    dialog.export()
    settled(ready, qtbot)
    dialog.close()
    recipe = save("Export of 1 image", "export")
    repeat(ready, qtbot, recipe, tmp_path / "exported again")
    first, again = (np.load(next((tmp_path / f).glob("*.npy"))) for f in ("exported", "exported again"))
    assert first[5:30, 5:60].all()
    np.testing.assert_array_equal(first, again)


def test_a_name_that_got_its_ending_replaces_nothing_unasked(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    viewer.add_image(blobs((5, 5)), name="mine")
    settled(ready, qtbot)
    segment(ready, qtbot)
    (tmp_path / "r.json").write_text("mine")
    told: list[str] = []
    ready.session.runner.failed.connect(lambda sentence, _: told.append(sentence))
    ready.segment_panel.run_records.save("segment", tmp_path / "r")
    assert told == [f"{tmp_path / 'r.json'} is there already; choose that very name to replace it"]
    assert (tmp_path / "r.json").read_text() == "mine"
