"""A stack in, a stack out: one Labels layer with all masks; painting stays in the slice in view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt

from support.hands import LONG, click, mask_in_view, segment, settled, whole_stack

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]

SLICES, SHAPE = 4, (48, 40)


@pytest.fixture
def stack(ready: Any, viewer: Any, qtbot: Any) -> Any:
    """The dock with a stack, all of it segmented, at its first slice."""
    images = np.random.default_rng(0).integers(0, 200, (SLICES, *SHAPE)).astype(np.uint8)
    viewer.add_image(images, name="s", scale=(3, 0.5, 0.5))
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == SLICES)
    go_to(ready, qtbot, 0)
    segment(ready, qtbot, "all")
    whole_stack(ready, qtbot)
    return ready


def go_to(dock: Any, qtbot: Any, number: int) -> None:
    """Move napari's slider."""
    dock.viewer.dims.set_current_step(0, number)
    qtbot.waitUntil(lambda: dock.session.workspace.current == f"s [{number}]")


def masks(dock: Any) -> np.ndarray:
    """(Z, Y, X): the masks that the session has, 0 where there is none."""
    found = [dock.session.workspace.mask(i) for i in dock.session.workspace.collection.ids]
    return np.stack([np.zeros(SHAPE, np.uint8) if mask is None else mask for mask in found])


def paint_with_the_mouse(dock: Any, qtbot: Any) -> None:
    """One press of the brush in the middle of the canvas."""
    viewer, layer = dock.viewer, dock.canvas.mask_layer
    viewer.layers.selection.active = layer
    layer.mode, layer.brush_size = "paint", 6
    layer.selected_label = 1 - int(mask_in_view(dock)[SHAPE[0] // 2, SHAPE[1] // 2])
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center() + QPoint(2, 2))
    settled(dock, qtbot)


def test_all_slices_are_in_one_layer_of_the_shape_of_the_stack(stack: Any, qtbot: Any, viewer: Any) -> None:
    layer = stack.canvas.mask_layer
    assert layer.data.shape == (SLICES, *SHAPE)
    assert layer.data.dtype == np.uint8
    assert tuple(layer.scale) == (3, 0.5, 0.5)
    np.testing.assert_array_equal(layer.data, masks(stack))
    assert masks(stack)[1:].any(axis=(1, 2)).all()
    # The list of layers has the images and the mask above them, and nothing else.
    assert [one.name for one in viewer.layers] == ["s", "U-Net mask"]
    assert viewer.layers.selection.active is layer
    # Another threshold is that of every slice.
    stack.segment_panel.threshold.setValue(0.9)
    assert not np.array_equal(whole_stack(stack, qtbot), masks(stack) * 0)
    np.testing.assert_array_equal(whole_stack(stack, qtbot), masks(stack))


def test_painting_changes_the_slice_in_view_and_undo_no_other(stack: Any, qtbot: Any, viewer: Any) -> None:
    viewer.reset_view()
    layer, before = stack.canvas.mask_layer, whole_stack(stack, qtbot)
    go_to(stack, qtbot, 1)
    paint_with_the_mouse(stack, qtbot)
    first = np.asarray(layer.data).copy()
    assert (first[1] != before[1]).any()
    np.testing.assert_array_equal(np.delete(first, 1, 0), np.delete(before, 1, 0))
    np.testing.assert_array_equal(stack.session.workspace.mask("s [1]"), first[1])
    go_to(stack, qtbot, 2)
    layer.undo()
    np.testing.assert_array_equal(whole_stack(stack, qtbot), first)
    paint_with_the_mouse(stack, qtbot)
    assert (mask_in_view(stack) != before[2]).any()
    layer.undo()
    np.testing.assert_array_equal(whole_stack(stack, qtbot), first)
    assert [r.status for r in stack.session.workspace.rows()] == [
        "segmented",
        "corrected",
        "segmented",
        "segmented",
    ]
    # No brush goes through several slices.
    layer.n_edit_dimensions = 3
    assert layer.n_edit_dimensions == 2


def test_in_three_dimensions_the_whole_mask_is_seen_and_nothing_painted(
    stack: Any, qtbot: Any, viewer: Any
) -> None:
    layer = stack.canvas.mask_layer
    layer.mode = "paint"
    viewer.dims.ndisplay = 3
    assert layer._slice.image.raw.shape == (SLICES, *SHAPE)
    np.testing.assert_array_equal(layer._slice.image.raw, masks(stack))
    assert not layer.editable
    viewer.dims.ndisplay = 2
    assert layer.editable
    viewer.dims.order = (1, 0, 2)  # a section along the stack
    assert not layer.editable
    viewer.dims.order = (0, 1, 2)
    assert layer.editable


def test_what_another_program_writes_into_hidden_slices_is_a_correction(stack: Any, qtbot: Any) -> None:
    layer, wanted = stack.canvas.mask_layer, whole_stack(stack, qtbot)
    wanted[2, :7, :9] = 1 - wanted[2, :7, :9]
    layer.data[2] = wanted[2]  # no event comes of it
    go_to(stack, qtbot, 2)
    np.testing.assert_array_equal(mask_in_view(stack), wanted[2])
    np.testing.assert_array_equal(stack.session.workspace.mask("s [2]"), wanted[2])
    wanted[0, 40:, 30:] = 1 - wanted[0, 40:, 30:]
    layer.data = wanted.copy()  # as most plugins do it
    np.testing.assert_array_equal(stack.session.workspace.mask("s [0]"), wanted[0])
    assert [r.status for r in stack.session.workspace.rows()] == [
        "corrected",
        "segmented",
        "corrected",
        "segmented",
    ]
    np.testing.assert_array_equal(whole_stack(stack, qtbot), wanted)
    np.testing.assert_array_equal(masks(stack), wanted)


def boxes(*places: tuple[int, int]) -> np.ndarray:
    """A mask with boxes of 6 x 6 pixels."""
    mask = np.zeros(SHAPE, np.uint8)
    for row, column in places:
        mask[row : row + 6, column : column + 6] = 1
    return mask


def test_objects_have_one_number_through_all_slices_if_they_are_linked(
    stack: Any, qtbot: Any, viewer: Any
) -> None:
    drawn = [boxes((2, 2), (20, 20)), boxes((3, 2)), boxes((4, 2), (20, 20)), boxes((20, 20))]
    for number, mask in enumerate(drawn):
        stack.session.painting.correct(f"s [{number}]", mask)
        stack.session.workspace.mask_changed.emit(f"s [{number}]")
    whole_stack(stack, qtbot)
    stack.canvas.show_objects(True)
    separate = whole_stack(stack, qtbot)
    assert separate.dtype == np.int32
    np.testing.assert_array_equal(separate > 0, np.stack(drawn) > 0)
    corners = lambda labels: [(int(s[5, 5]), int(s[22, 22])) for s in labels]  # noqa: E731
    # The first is in three slices, moved by one row; the second is missing in one, which ends it.
    assert corners(separate) == [(1, 2), (3, 0), (4, 5), (0, 6)]
    stack.session.workspace.link(True)
    assert corners(whole_stack(stack, qtbot)) == [(1, 2), (1, 0), (1, 3), (0, 3)]
    # A new object in one slice; afterwards it is one of those that are numbered.
    layer = stack.canvas.mask_layer
    layer.data_setitem(tuple(i.ravel() for i in np.mgrid[0:1, 40:44, 30:34]), layer.selected_label)
    settled(stack, qtbot)
    go_to(stack, qtbot, 1)
    linked = whole_stack(stack, qtbot)
    assert corners(linked) == [(1, 2), (1, 0), (1, 4), (0, 4)]
    assert (linked[0, 40:44, 30:34] == 3).all()
    assert stack.session.workspace.mask("s [0]")[40:44, 30:34].all()
    stack.canvas.show_objects(False)
    np.testing.assert_array_equal(whole_stack(stack, qtbot), masks(stack))


def test_a_stack_and_an_image_take_turns_in_the_one_layer(stack: Any, qtbot: Any, viewer: Any) -> None:
    layer, before = stack.canvas.mask_layer, whole_stack(stack, qtbot)
    viewer.add_image(np.random.default_rng(5).integers(0, 200, (30, 30)).astype(np.uint8), name="flat")
    qtbot.waitUntil(lambda: stack.session.workspace.current == "flat")
    segment(stack, qtbot)
    assert stack.canvas.mask_layer is layer
    np.testing.assert_array_equal(layer.data, stack.session.workspace.mask("flat"))
    stack.session.workspace.select("s [3]")
    np.testing.assert_array_equal(whole_stack(stack, qtbot), before)


def test_a_stack_that_is_larger_than_memory_lies_in_a_file(
    ready: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("napari_unet.widgets.canvas.stacks.mask_stack.IN_MEMORY", 1000)
    viewer.add_image(np.random.default_rng(0).integers(0, 200, (3, *SHAPE)).astype(np.uint8), name="s")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 3)
    segment(ready, qtbot, "all")
    np.testing.assert_array_equal(whole_stack(ready, qtbot), masks(ready))
    assert isinstance(ready.canvas.mask_layer.data, np.memmap)


def test_napari_saves_all_slices(stack: Any, qtbot: Any, viewer: Any, tmp_path: Path) -> None:
    """File > Save Selected Layers, right after Segment: the mask is selected."""
    wanted = whole_stack(stack, qtbot)
    go_to(stack, qtbot, 2)
    for name in ("mask.tif", "mask.ome.tif"):
        viewer.layers.save(str(tmp_path / name), selected=True)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), wanted)


def test_the_dialog_exports_one_file_or_one_a_slice(stack: Any, qtbot: Any, tmp_path: Path) -> None:
    go_to(stack, qtbot, 1)
    click(qtbot, stack.review_panel.edit_bar.export_button)
    dialog = stack.review_panel.edit_bar.export_dialog
    dialog.folder_edit.setText(str(tmp_path))
    assert dialog.scope_box.currentText() == f"this stack ({SLICES})"
    assert dialog.preview.text() == "s_mask.tif"
    click(qtbot, dialog.run_button)
    qtbot.waitUntil(lambda: (tmp_path / "s_mask.tif").exists(), timeout=LONG)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "s_mask.tif"), masks(stack))
    settled(stack, qtbot)
    dialog.file_box.setCurrentIndex(dialog.file_box.findData(False))
    assert dialog.preview.text().splitlines()[0] == "s_0_mask.tif"
    dialog.file_box.setCurrentIndex(dialog.file_box.findData(True))
    stack.images.table.select(["s [1]", "s [3]"])
    dialog.scope_box.setCurrentIndex(dialog.scope_box.findData("selected"))
    assert "2 of 4 slices are not among these: they are empty in the file." in dialog.preview.text()
    dialog.scope_box.setCurrentIndex(dialog.scope_box.findData("image"))
    assert dialog.preview.text().splitlines()[0] == "s_1_mask.tif"
    # The box to link objects is one and the same in dialog and dock.
    assert not dialog.link_box.isEnabled()  # classes have no links
    dialog.numbers_box.setCurrentIndex(dialog.numbers_box.findData("objects"))
    click(qtbot, dialog.link_box)
    assert stack.session.workspace.link_objects
    assert stack.segment_panel.link_box.isChecked()
    dialog.close()


def test_what_a_box_shows_is_in_the_list_of_layers_only_while_it_is_ticked(
    stack: Any, qtbot: Any, viewer: Any
) -> None:
    names = lambda: [layer.name for layer in viewer.layers]  # noqa: E731
    stack.overlays._tidy.setInterval(50)
    for kind in ("probabilities", "verified"):
        box = stack.review_panel.boxes[kind]
        click(qtbot, box)
        assert kind in names()
        assert viewer.layers.selection.active is stack.canvas.mask_layer
        stack.step(1)
        assert kind in names()
        click(qtbot, box)
        assert not viewer.layers[kind].visible  # at once
        qtbot.waitUntil(lambda: names() == ["s", "U-Net mask"])
    click(qtbot, stack.review_panel.boxes["probabilities"])
    layer = viewer.layers["probabilities"]
    entry = stack.session.workspace.collection.entries[stack.session.workspace.current]
    np.testing.assert_array_equal(layer.data, np.asarray(entry.prediction.probabilities()).max(axis=-1))
    assert names() == ["s", "probabilities", "U-Net mask"]
    viewer.layers.remove(layer)  # by a person
    assert not stack.review_panel.boxes["probabilities"].isChecked()


def test_the_pages_of_one_file_are_a_stack_too(ready: Any, viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 200, (3, *SHAPE)).astype(np.uint8)
    for name, pages in (("train-volume.tif", images), ("train-labels.tif", (images > 99) * np.uint8(255))):
        tifffile.imwrite(tmp_path / name, pages, photometric="minisblack")
    viewer.open(str(tmp_path), plugin="napari-unet-workbench")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 3)
    segment(ready, qtbot, "all")
    assert whole_stack(ready, qtbot).shape == (3, *SHAPE)
    np.testing.assert_array_equal(ready.canvas.mask_layer.data, masks(ready))
    places = ready.image_source.stack_slices(ready.session.workspace.collection.ids)
    assert [place.stack for place in places.values()] == ["train-volume"] * 3


def test_an_image_after_a_cleared_stack_opens_without_a_word_of_qt(
    stack: Any, viewer: Any, qtbot: Any, qtlog: Any
) -> None:
    """napari tells of a step of the slider while its list of layers is half changed."""
    go_to(stack, qtbot, SLICES - 1)
    viewer.layers.clear()
    levels = [np.zeros((4096 >> n, 4096 >> n, 3), np.uint8) for n in range(4)]
    viewer.add_image(levels, multiscale=True, name="slide")
    qtbot.waitUntil(lambda: stack.session.workspace.current == "slide")
    settled(stack, qtbot)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not stack.session.workspace.current)
    viewer.add_image(np.zeros((2, SLICES, *SHAPE), np.uint8), name="s")
    viewer.dims.set_current_step((0, 1), (1, 2))
    viewer.add_image(levels[0], name="slide", rgb=True)
    qtbot.waitUntil(lambda: stack.session.workspace.current == "slide")
    settled(stack, qtbot)
    viewer.layers.selection.active = viewer.layers["s"]
    workspace = stack.session.workspace
    qtbot.waitUntil(lambda: workspace.current.startswith("s ["))
    place = stack.image_source.slice_place(workspace.current)
    assert place.index == viewer.dims.current_step[:2] == (1, 2)
    assert not [record.message for record in qtlog.records if "inconsistent" in record.message]
    assert viewer.dims.ndim == 4
