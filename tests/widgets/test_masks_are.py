"""What the values in masks are, chosen in the window; and images with problems, left out with one click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import QScrollArea

from napari_unet.data.catalog import open_dataset
from napari_unet.data.inspection.inspect_dataset import inspect_dataset
from napari_unet.project.project import Project
from napari_unet.session.auto_project import remembered_masks
from support.hands import click

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.window
PLUGIN = "napari-unet-workbench"


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Six images of 2 to 4 numbered squares; one image is constant, one mask striped."""
    noise = np.random.default_rng(0)
    root = tmp_path / "cells"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(6):
        image = noise.integers(0, 255, (64, 64), np.uint8)
        mask = np.zeros((64, 64), np.uint16)
        for place in range(2 + number % 3):
            top, left = 4 + place // 2 * 30, 4 + place % 2 * 30
            mask[top : top + 16, left : left + 16] = place + 1
        if number == 1:
            image[:] = 9
        if number == 2:
            mask[:] = 0
            mask[:, :20] = 1
        Image.fromarray(image).save(root / f"images/c{number}.png")
        Image.fromarray(mask).save(root / f"masks/c{number}.png")
    return root


def choose(dock: Any, qtbot: Any, text: str) -> None:
    """Go down or up the list by keys, as a person does."""
    box = dock.images.masks_are
    box.setFocus()
    while box.currentIndex() > 0:
        qtbot.keyClick(box, Qt.Key.Key_Up)
        qtbot.waitUntil(lambda: not dock.image_source._soon.isActive())
    wanted = box.findText(text)
    assert wanted > 0
    for _ in range(wanted):
        qtbot.keyClick(box, Qt.Key.Key_Down)
        qtbot.waitUntil(lambda: not dock.image_source._soon.isActive())


def test_masks_are_read_again_as_a_person_says(dock: Any, viewer: Any, qtbot: Any, cells: Path) -> None:
    viewer.open(str(cells), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 6)
    box = dock.images.masks_are
    assert box.isVisibleTo(dock)
    assert box.currentText() == "Masks: as found (objects)"
    assert "numbers of objects" in box.toolTip()
    assert dock.session.workspace.collection.dataset.classes == ("foreground",)
    names = sorted(layer.name for layer in viewer.layers)
    choose(dock, qtbot, "Masks: classes")
    dataset = dock.session.workspace.collection.dataset
    assert dataset.masks_are == "classes"
    assert dataset.classes == tuple(f"class {n}" for n in range(1, 5))
    assert box.currentText() == "Masks: classes"
    assert len(dock.session.workspace.rows()) == 6
    assert sorted(layer.name for layer in viewer.layers) == names
    choose(dock, qtbot, "Masks: objects")
    assert dock.session.workspace.collection.dataset.classes == ("foreground",)
    assert dock.session.workspace.collection.dataset.masks_are == "objects"


def test_the_project_remembers_how_masks_are_read(dock: Any, viewer: Any, qtbot: Any, cells: Path) -> None:
    viewer.open(str(cells), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 6)
    dock.session.painting.prepare()
    qtbot.waitUntil(lambda: dock.session.painting.project is not None, timeout=30_000)
    choose(dock, qtbot, "Masks: classes")

    def remembered() -> str | None:
        project = dock.session.painting.project
        return None if project is None else project.file.data.masks_are

    qtbot.waitUntil(lambda: remembered() == "classes", timeout=30_000)
    dataset = open_dataset(cells)
    assert dataset.masks_are == ""
    assert remembered_masks(dataset) == "classes"
    project = Project.open(dock.session.painting.project.folder, read_only=True)
    assert project.images.dataset().classes == tuple(f"class {n}" for n in range(1, 5))
    project.close()
    # Dropped on the viewer again, it opens as it was read last.
    before = dock.session.workspace.collection
    viewer.open(str(cells), plugin=PLUGIN)
    qtbot.waitUntil(lambda: dock.session.workspace.collection is not before)
    assert dock.images.masks_are.currentText() == "Masks: classes"


def test_sets_whose_masks_have_one_value_show_no_choice(
    dock: Any, viewer: Any, qtbot: Any, salt_folder: Path
) -> None:
    viewer.open(str(salt_folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 30)
    assert not dock.images.masks_are.isVisibleTo(dock)


def test_the_filter_counts_what_inspect_counts_and_a_click_leaves_it_out(
    dock: Any, viewer: Any, qtbot: Any, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reader would show a dock of its own below this one.
    monkeypatch.setattr("napari_unet.plugin.commands.show_workbench", lambda viewer: None)
    viewer.window.resize(1280, 800)
    viewer.open(str(cells), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 6)
    wanted = inspect_dataset(open_dataset(cells)).images_with_problems()
    assert {"c1", "c2"} <= set(wanted)
    panel = dock.images
    qtbot.waitUntil(lambda: panel.leave_out.isVisibleTo(dock), timeout=30_000)
    panel.flush()
    assert panel.leave_out.text() == f"Leave out {len(wanted)} with problems"
    shown = [row.id for row in dock.session.workspace.rows() if row.problem]
    assert sorted(shown) == sorted(wanted)
    click(qtbot, panel.leave_out)
    assert dock.session.workspace.collection.leave_out_flaws
    viewer.screenshot(str(tmp_path / "window.png"), canvas_only=False, flash=False)
    for area in dock.findChildren(QScrollArea):
        for bar in (area.horizontalScrollBar(), area.verticalScrollBar()):
            assert not (bar.isVisible() and bar.maximum() > 0)
    for widget in (panel.leave_out, panel.masks_are):
        assert widget.width() >= widget.minimumSizeHint().width()
        qtbot.waitUntil(
            lambda w=widget: dock.rect().contains(QRect(w.mapTo(dock, QPoint()), w.size())), timeout=5_000
        )


def test_two_strokes_on_one_of_fifteen_slices_are_one_mask(dock: Any, viewer: Any, qtbot: Any) -> None:
    noise = np.random.default_rng(0)
    viewer.add_image(noise.integers(0, 255, (15, 64, 64), np.uint8), name="s")
    truth = viewer.add_labels(np.zeros((15, 64, 64), np.uint8), name="truth")
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 15)
    viewer.layers.selection.active = viewer.layers["s"]
    dock.image_source.reference.choose(truth)
    assert dock.session.new_model.sources() == {}  # nothing is drawn yet
    for rows in (slice(5, 15), slice(40, 50)):
        rows_of, columns_of = (part.ravel() for part in np.mgrid[rows, 10:30])
        truth.data_setitem((np.full(200, 4), rows_of, columns_of), 1)
    words = "1 of 15 images has a mask; the others are left out"
    qtbot.waitUntil(lambda: bool(dock.session.new_model.sources()))
    assert [row.id for row in dock.session.workspace.rows() if row.has_reference] == ["s [4]"]
    panel = dock.learn_panel
    click(qtbot, panel.heading)
    panel.tabs.setCurrentIndex(1)
    form = panel.form
    qtbot.waitUntil(lambda: form.source_box.currentText() == f"the layers: {words}")
    click(qtbot, form.fold)
    for path, value in ((("network", "filters"), 2), (("network", "depth"), 2), (("training", "patch"), 64)):
        form.settings.rows[path].value = value
    click(qtbot, form.check_button)
    qtbot.waitUntil(lambda: dock.session.new_model.plan is not None, timeout=120_000)
    qtbot.waitUntil(lambda: form.words.text().startswith(f"{words}."))
    assert form.facts.values()["Train"] == "1"
