"""A volume in the window: one row, the slice in view at once, then all; paint, fill between, undo, 3D."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt

from support.hands import click, mask_in_view, press, segment, settled, whole_stack
from support.volume_models import rods

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
BRIGHT = rods(8)


@pytest.fixture(scope="module")
def volume_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2.5d and 3d: each answers a voxel with the one before it."""
    folder = tmp_path_factory.mktemp("volume-models")
    subprocess.run(
        [sys.executable, "-m", "support.volume_models", str(folder)],
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return folder


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    """What Fiji saves: slices along Z, with the size of a voxel."""
    tifffile.imwrite(
        tmp_path / "em.tif", np.where(BRIGHT, 200, 0).astype(np.uint8), imagej=True, resolution=(4.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"},
    )  # fmt: skip
    return tmp_path / "em.tif"


@pytest.fixture(params=["2.5d"])
def volume(dock: Any, viewer: Any, qtbot: Any, volume_models: Path, stack_file: Path, request: Any) -> Any:
    """The dock with a model of volumes and a stack that a person takes for a volume."""
    dock.session.workspace.load_model(volume_models / request.param)
    viewer.open(str(stack_file), plugin="napari")
    qtbot.waitUntil(lambda: not dock.images.stack_question.isHidden())
    click(qtbot, dock.images.stack_question.volume_button)
    go_to(dock, qtbot, 0)
    return dock


def go_to(dock: Any, qtbot: Any, z: int) -> None:
    """Move napari's slider."""
    dock.viewer.dims.set_current_step(0, z)
    qtbot.waitUntil(lambda: dock.session.workspace.current == f"em [{z}]")


def test_a_volume_that_is_opened_is_drawn_in_the_slice_that_napari_shows(
    dock: Any, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    tifffile.imwrite(
        tmp_path / "em.tif", np.full((8, 8, 10), 200, np.uint8), imagej=True, resolution=(4.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um", "min": 0.0, "max": 255.0},
    )  # fmt: skip
    (layer,) = viewer.open(str(tmp_path / "em.tif"), plugin="napari")
    qtbot.waitUntil(lambda: str(layer.units[0]) == "micrometer")
    assert tuple(layer.scale) == (0.5, 0.25, 0.25)
    qtbot.waitUntil(lambda: layer.thumbnail[..., :3].max() > 0)
    assert viewer.dims.current_step[0] in (3, 4)  # the middle, as before its voxels had a size


def order(question: Any) -> list[Any]:
    """The buttons, from left to right."""
    layout = question.layout()
    return [layout.itemAt(n).widget() for n in range(1, layout.count())]


def test_three_planes_are_offered_for_volumes_and_average_what_the_model_says(
    volume: Any, qtbot: Any
) -> None:
    panel, workspace = volume.segment_panel, volume.session.workspace
    assert not panel.planes_box.isHidden()
    assert not panel.planes_box.isChecked()
    segment(volume, qtbot, "volume")
    # Seen along z alone, each voxel is what the one before it is: the gap is one slice further.
    np.testing.assert_array_equal(whole_stack(volume, qtbot)[1:] > 0, BRIGHT[:-1])
    click(qtbot, panel.planes_box)
    assert workspace.inference.orthogonal
    segment(volume, qtbot, "volume")
    votes = np.zeros(BRIGHT.shape, int)
    for axis in range(3):
        # At the first plane the one before it is the mirrored one behind it.
        before = np.concatenate([np.take(BRIGHT, [1], axis), np.delete(BRIGHT, -1, axis)], axis)
        votes += before
    np.testing.assert_array_equal(whole_stack(volume, qtbot) > 0, votes >= 2)


def test_a_folder_of_numbered_slices_is_one_volume_if_a_person_says_so(
    dock: Any, viewer: Any, qtbot: Any, volume_models: Path, tmp_path: Path
) -> None:
    for z, bright in enumerate(BRIGHT):
        tifffile.imwrite(tmp_path / f"s{z:02d}.tif", np.where(bright, 200, 0).astype(np.uint8))
    dock.session.workspace.load_model(volume_models / "2.5d")
    dock.images.open_paths([str(tmp_path)])
    question = dock.images.stack_question
    qtbot.waitUntil(lambda: not question.isHidden())
    assert question.words.text() == "The 8 numbered files are"
    assert order(question) == [question.images_button, question.volume_button]
    assert len(dock.images.table.model.shown_ids) == 8
    click(qtbot, question.volume_button)
    assert question.isHidden()
    assert dock.images.table.model.shown_ids == ("s",)
    segment(dock, qtbot, "volume")
    np.testing.assert_array_equal(whole_stack(dock, qtbot)[1:] > 0, BRIGHT[:-1])


def statuses(dock: Any) -> list[str]:
    return [row.status for row in dock.session.workspace.rows()]


def paint(dock: Any, qtbot: Any, row: int, column: int, label: int = 1) -> None:
    """One press of the brush of three pixels at a pixel of the slice in view."""
    viewer, layer = dock.viewer, dock.canvas.mask_layer
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size, layer.selected_label = "paint", 3, label
    canvas = viewer.window._qt_viewer.canvas
    world = layer.data_to_world((*viewer.dims.current_step[:1], row, column))[-2:]
    place = canvas.view.scene.transform.map((world[1], world[0], 0, 1))
    x, y = (round(float(n)) for n in (place[:2] / place[3]))
    qtbot.mouseClick(canvas.native, Qt.MouseButton.LeftButton, pos=QPoint(x, y))
    settled(dock, qtbot)


def test_a_stack_along_z_is_one_row_and_asked_about_once(
    dock: Any, viewer: Any, qtbot: Any, stack_file: Path
) -> None:
    question = dock.images.stack_question
    viewer.open(str(stack_file), plugin="napari")
    qtbot.waitUntil(lambda: not question.isHidden())
    # The file's word holds until somebody answers, and is offered first.
    assert question.words.text() == "8 slices along Z are"
    assert order(question) == [question.volume_button, question.images_button]
    assert dock.images.table.model.shown_ids == ("em",)
    click(qtbot, question.images_button)
    assert question.isHidden()
    assert dock.images.table.model.shown_ids == tuple(f"em [{z}]" for z in range(8))
    viewer.layers.clear()
    viewer.open(str(stack_file), plugin="napari")
    qtbot.waitUntil(lambda: len(dock.images.table.model.shown_ids) == 8)
    assert question.isHidden()


def test_a_stack_of_which_nobody_says_anything_is_images_until_a_person_says_volume(
    dock: Any, viewer: Any, qtbot: Any
) -> None:
    question = dock.images.stack_question
    viewer.add_image(np.zeros((7, 8, 10), np.uint8), name="s", axis_labels=("t", "y", "x"))
    qtbot.waitUntil(lambda: len(dock.images.table.model.shown_ids) == 7)
    assert question.isHidden()  # a series over time
    viewer.layers.clear()
    viewer.add_image(np.zeros((7, 8, 10), np.uint8), name="s")
    qtbot.waitUntil(lambda: not question.isHidden())
    assert order(question) == [question.images_button, question.volume_button]
    assert len(dock.images.table.model.shown_ids) == 7
    click(qtbot, question.volume_button)
    assert dock.images.table.model.shown_ids == ("s",)
    assert question.isHidden()


def test_a_mask_of_voxels_of_ten_nanometres_leaves_the_slice_in_view(
    dock: Any, viewer: Any, qtbot: Any, volume_models: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(
        tmp_path / "em.tif", np.where(BRIGHT, 200, 0).astype(np.uint8), imagej=True, resolution=(0.1, 0.1),
        metadata={"axes": "ZYX", "spacing": 10.0, "unit": "nm"},
    )  # fmt: skip
    dock.session.workspace.load_model(volume_models / "2.5d")
    viewer.open(str(tmp_path / "em.tif"), plugin="napari")
    qtbot.waitUntil(lambda: not dock.images.stack_question.isHidden())
    click(qtbot, dock.images.stack_question.volume_button)
    assert tuple(viewer.layers["em"].scale) == (10, 10, 10)
    go_to(dock, qtbot, 5)
    segment(dock, qtbot, "image")
    assert viewer.dims.current_step[0] == 5
    assert dock.session.workspace.current == "em [5]"
    np.testing.assert_array_equal(mask_in_view(dock), BRIGHT[4])


@pytest.mark.parametrize("volume", ["2.5d", "3d"], indirect=True)
def test_the_slice_in_view_is_segmented_and_then_the_volume(volume: Any, qtbot: Any, viewer: Any) -> None:
    go_to(volume, qtbot, 5)
    segment(volume, qtbot, "image")
    layer = volume.canvas.mask_layer
    # The gap of the second rod is in slices 3 and 4: the slice before this one is in it.
    np.testing.assert_array_equal(mask_in_view(volume), BRIGHT[4])
    assert statuses(volume) == ["new"] * 5 + ["segmented"] + ["new"] * 2
    assert layer.data.shape == BRIGHT.shape
    assert tuple(layer.scale) == (0.5, 0.25, 0.25)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    segment(volume, qtbot, "volume")
    np.testing.assert_array_equal(whole_stack(volume, qtbot)[1:], BRIGHT[:-1])
    assert statuses(volume) == ["segmented"] * 8
    (row,) = volume.session.workspace.listed_rows()
    assert (row.id, row.slices, row.status) == ("em", 8, "segmented")


def test_objects_are_numbered_in_three_dimensions(volume: Any, qtbot: Any) -> None:
    segment(volume, qtbot, "volume")
    volume.segment_panel.show_box.setCurrentIndex(1)
    volume.segment_panel.show_box.activated.emit(1)
    numbers = whole_stack(volume, qtbot)
    np.testing.assert_array_equal(numbers[1:] > 0, BRIGHT[:-1])
    # One rod through all slices, and two that the gap parts.
    assert len(np.unique(numbers[numbers > 0])) == 3
    assert len(set(numbers[:, 1, 1])) == 1
    assert len({numbers[2, 5, 6], numbers[7, 5, 6]}) == 2
    assert volume.segment_panel.link_box.isHidden()


def test_painted_slices_are_filled_between_and_accepted_and_taken_back(
    volume: Any, qtbot: Any, viewer: Any
) -> None:
    segment(volume, qtbot, "volume")
    before = whole_stack(volume, qtbot)
    row = volume.review_panel.volume_row
    viewer.reset_view()
    for z, column in ((2, 1), (6, 5)):
        go_to(volume, qtbot, z)
        paint(volume, qtbot, 4, column)  # where there is nothing
    painted = whole_stack(volume, qtbot)
    assert (painted != before).any(axis=(1, 2)).tolist() == [z in (2, 6) for z in range(8)]
    click(qtbot, row.fill_button)
    qtbot.waitUntil(lambda: volume.session.fill.proposal is not None)
    # Outlined in a layer of its own; the mask and what is verified stay.
    layer = viewer.layers["fill, not accepted"]
    assert np.asarray(layer.data).any(axis=(1, 2)).tolist() == [z in (3, 4, 5) for z in range(8)]
    assert not layer.editable
    np.testing.assert_array_equal(whole_stack(volume, qtbot), painted)
    assert statuses(volume)[4] == "segmented"
    wanted = np.asarray(layer.data) > 0
    assert not row.offer.isHidden()
    click(qtbot, row.accept_button)
    qtbot.waitUntil(lambda: not volume.session.fill.busy)
    assert "fill, not accepted" not in viewer.layers
    np.testing.assert_array_equal(whole_stack(volume, qtbot) > 0, (painted > 0) | wanted)
    assert statuses(volume)[3:6] == ["corrected"] * 3
    click(qtbot, row.undo_button)
    qtbot.waitUntil(lambda: not volume.session.fill.busy)
    np.testing.assert_array_equal(whole_stack(volume, qtbot), painted)
    assert row.undo_button.isHidden()
    # By keys: fill, accept.
    press(viewer, "Shift-F")
    qtbot.waitUntil(lambda: volume.session.fill.proposal is not None)
    press(viewer, "A")
    qtbot.waitUntil(lambda: not volume.session.fill.busy)
    np.testing.assert_array_equal(whole_stack(volume, qtbot) > 0, (painted > 0) | wanted)


def test_undo_changes_no_hidden_slice(volume: Any, qtbot: Any, viewer: Any) -> None:
    segment(volume, qtbot, "volume")
    viewer.reset_view()
    go_to(volume, qtbot, 2)
    paint(volume, qtbot, 4, 2)
    painted = whole_stack(volume, qtbot)
    go_to(volume, qtbot, 3)
    volume.canvas.mask_layer.undo()
    volume.mask_editing.edit("undo")  # nothing was painted here
    np.testing.assert_array_equal(whole_stack(volume, qtbot), painted)
    go_to(volume, qtbot, 2)
    volume.mask_editing.edit("undo")
    assert (whole_stack(volume, qtbot) != painted).any(axis=(1, 2)).tolist() == [z == 2 for z in range(8)]


def test_a_brush_in_three_dimensions_paints_slices_that_each_remember_it(
    volume: Any, qtbot: Any, viewer: Any
) -> None:
    segment(volume, qtbot, "volume")
    before = whole_stack(volume, qtbot)
    layer = volume.canvas.mask_layer
    layer.n_edit_dimensions = 3
    assert layer.n_edit_dimensions == 3
    go_to(volume, qtbot, 3)
    layer.brush_size = 6  # as wide as three slices, which are twice as thick as a pixel is wide
    layer.paint((3, 4, 2), 1)
    painted = whole_stack(volume, qtbot)
    changed = (painted != before).any(axis=(1, 2))
    assert changed[3]
    assert changed.sum() > 1
    masks = [volume.session.workspace.mask(f"em [{z}]") for z in range(8)]
    np.testing.assert_array_equal(masks, painted)
    assert [status == "corrected" for status in statuses(volume)] == changed.tolist()
    layer.undo()  # one stroke
    np.testing.assert_array_equal(whole_stack(volume, qtbot), before)
    masks = [volume.session.workspace.mask(f"em [{z}]") for z in range(8)]
    np.testing.assert_array_equal(masks, before)


def test_done_goes_to_the_next_slice_and_a_volume_is_accepted_at_once(volume: Any, qtbot: Any) -> None:
    segment(volume, qtbot, "volume")
    go_to(volume, qtbot, 3)
    click(qtbot, volume.review_panel.edit_bar.done_button)
    assert volume.session.workspace.current == "em [4]"
    volume.images.flush()
    assert volume.images.table.model.image_at(0).done == 1
    bar = volume.review_panel.edit_bar
    bar._fill_accept()
    titles = [action.text() for action in bar.accept_button.menu().actions()]
    assert "All slices of this volume with a mask (7)" in titles
    bar.accept_button.menu().actions()[titles.index("All slices of this volume with a mask (7)")].trigger()
    settled(volume, qtbot)
    assert volume.session.workspace.listed_rows()[0].status == "done"


def test_the_view_in_three_dimensions_shows_mask_and_errors(volume: Any, qtbot: Any, viewer: Any) -> None:
    viewer.add_labels(BRIGHT.astype(np.uint8), name="truth", scale=(0.5, 0.25, 0.25), units=("um",) * 3)
    volume.image_source.reference.choose(viewer.layers["truth"])
    segment(volume, qtbot, "volume")
    whole_stack(volume, qtbot)
    (row,) = volume.session.workspace.listed_rows()
    predicted = np.concatenate([BRIGHT[1:2], BRIGHT[:-1]])  # mirrored at the first slice
    assert row.iou == pytest.approx((predicted & BRIGHT).sum() / (predicted | BRIGHT).sum())
    click(qtbot, volume.review_panel.errors_box)
    click(qtbot, volume.review_panel.volume_row.view_button)
    assert viewer.dims.ndisplay == 3
    qtbot.waitUntil(lambda: "errors in 3D" in viewer.layers)
    errors = np.asarray(viewer.layers["errors in 3D"].data)
    np.testing.assert_array_equal(errors == 1, predicted & BRIGHT)
    np.testing.assert_array_equal(errors == 2, predicted & ~BRIGHT)
    np.testing.assert_array_equal(errors == 3, ~predicted & BRIGHT)
    click(qtbot, volume.review_panel.volume_row.view_button)
    assert viewer.dims.ndisplay == 2
    assert "errors in 3D" not in viewer.layers
    assert volume.canvas.mask_layer.visible
