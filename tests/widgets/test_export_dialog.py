"""Exporting masks from the window, by clicks."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support.hands import click, segment, settled

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
    from napari_unet.data.masks.mask_pixels import decode_labels

    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    session = ready.session
    qtbot.waitUntil(lambda: len(session.workspace.rows()) == 30)
    segment(ready, qtbot)
    current = session.workspace.current
    click(qtbot, ready.review_panel.edit_bar.export_button)
    dialog = ready.review_panel.edit_bar.export_dialog
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
    assert not dialog.isVisible()  # how far it is and what comes of it is said in the dock
    said = "Exported 1 image in 3 files."
    qtbot.waitUntil(lambda: ready.status.words.toPlainText() == said, timeout=60_000)
    settled(ready, qtbot)
    assert ready.status.path.whole_text() == str(tmp_path / "out")
    assert dialog.preview.text().count("\n") == 2  # no word of files that are there already
    file = tmp_path / "out" / f"{current}_m.png"
    written = decode_labels(file.read_bytes(), file.name) > 0
    assert np.array_equal(written, painted == 1)
    (found,) = json.loads((tmp_path / "out" / "coco.json").read_text())["annotations"]
    assert found["area"] == 200
    assert found["bbox"] == [30, 10, 20, 10]
    # The same again would replace three files.
    click(qtbot, ready.review_panel.edit_bar.export_button)
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


def test_the_menu_opens_the_dialog_which_knows_the_pixel_size_of_the_layer(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.data.files.pixel_size import PixelSize, read_pixel_size
    from napari_unet.plugin import commands

    monkeypatch.setattr(commands, "show_workbench", lambda viewer: ready)
    commands.export(viewer)
    dialog = ready.review_panel.edit_bar.export_dialog
    assert dialog.isVisible()
    assert dialog.preview.text() == "No such image has a mask: segment some first."
    images = np.random.default_rng(0).integers(0, 200, (2, 48, 40)).astype(np.uint8)
    first = viewer.add_image(images[0], name="first", scale=(0.5, 0.25), units=("um", "um"))
    second = viewer.add_image(images[1], name="second", scale=(2, 2), units=("pixel", "pixel"))
    session = ready.session
    qtbot.waitUntil(lambda: len(session.workspace.rows()) == 2)
    segment(ready, qtbot, "all")
    session.workspace.select("second")
    settled(ready, qtbot)
    assert dialog.size_edit.text() == ""  # twice a pixel is no length
    session.workspace.select("first")
    settled(ready, qtbot)
    assert dialog.size_edit.text() == "0.5 x 0.25 µm"
    # Two images that differ get what their layers say each; the file of the second says nothing.
    dialog.scope_box.setCurrentIndex(dialog.scope_box.findData("all"))
    assert dialog.size_edit.text() == ""
    dialog.folder_edit.setText(str(tmp_path))
    click(qtbot, dialog.run_button)
    said = "Exported 2 images in 2 files."
    qtbot.waitUntil(lambda: ready.status.words.toPlainText() == said, timeout=60_000)
    settled(ready, qtbot)
    commands.export(viewer)
    assert read_pixel_size(tmp_path / "first_mask.tif") == PixelSize(0.5, 0.25)
    assert read_pixel_size(tmp_path / "second_mask.tif") is None
    # What a person writes stays, whichever images are chosen, and counts for all.
    dialog.size_edit.setText("3 nm")
    dialog.scope_box.setCurrentIndex(dialog.scope_box.findData("image"))
    second.scale, second.units = (7, 7), ("um", "um")
    session.workspace.select("second")
    settled(ready, qtbot)
    assert dialog.size_edit.text() == "3 nm"
    assert ready.image_source.pixel_sizes(["first", "second"])["second"] == PixelSize(7, 7)
    dialog.close()
    assert first in viewer.layers


def test_the_mask_is_saved_from_napari_with_its_image_and_classes(
    ready: Any, viewer: Any, salt_folder: Path, qtbot: Any, tmp_path: Path
) -> None:
    from napari_unet.plugin import export_writer

    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    session = ready.session
    qtbot.waitUntil(lambda: len(session.workspace.rows()) == 30)
    segment(ready, qtbot)
    painted = np.zeros((101, 101), np.uint8)
    painted[10:20, 30:50], painted[40:42, :5], painted[60:65, 60:65] = 1, 1, 255
    ready.canvas.mask_layer.data = painted
    settled(ready, qtbot)
    pixels = session.workspace.collection.entries[session.workspace.current].sample.read_image()
    for objects in (False, True):
        ready.canvas.show_objects(objects)
        ready.canvas.mask_layer.units, ready.canvas.mask_layer.scale = ("um", "um"), (2, 2)
        data, about, _ = ready.canvas.mask_layer.as_layer_data_tuple()
        export_writer.write_coco(str(tmp_path / f"{objects}.json"), data, about)
        content = json.loads((tmp_path / f"{objects}.json").read_text())
        assert sorted(a["area"] for a in content["annotations"]) == [10, 200]
        assert [c["name"] for c in content["categories"]] == list(session.workspace.collection.classes)
        table = tmp_path / f"{objects}.csv"
        export_writer.write_measurements(str(table), data, about)
        with table.open(encoding="utf-8", newline="") as file:
            rows = {int(row["area_px"]): row for row in csv.DictReader(file)}
        assert rows[200]["image"] == session.workspace.current
        assert float(rows[200]["area"]) == 800
        wanted = pixels[10:20, 30:50, 0].mean()
        assert float(rows[200].get("intensity_mean", rows[200].get("intensity_mean_1"))) == pytest.approx(
            wanted
        )
