"""Reviewing by real clicks and keys: the queue without a reference, mending, ignoring, verifying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from support.hands import LONG, choose, click, mask_in_view, pixels_in_view, press, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]

COUNT = 5


@pytest.fixture
def stack(ready: Any, viewer: Any, qtbot: Any) -> Any:
    """The dock with a stack of images without references, all segmented."""
    images = np.random.default_rng(0).integers(0, 200, (COUNT, 48, 40)).astype(np.uint8)
    viewer.add_image(images, name="s")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == COUNT)
    segment(ready, qtbot, "all")
    return ready


def paint(dock: Any, box: tuple[slice, slice], label: int) -> None:
    """One stroke of the brush, settled at once."""
    indices = pixels_in_view(dock, *(i.ravel() for i in np.mgrid[box]))
    layer = dock.canvas.mask_layer
    layer.data_setitem(indices, np.full(len(indices[0]), label, layer.dtype))
    dock.canvas.take_painting()


def shape_at_hand(dock: Any, drawn: np.ndarray) -> None:
    """Make the current mask what is drawn, by painting."""
    layer = dock.canvas.mask_layer
    where = np.nonzero(mask_in_view(dock) != drawn)
    layer.data_setitem(pixels_in_view(dock, *where), drawn[where].astype(layer.dtype))
    dock.canvas.take_painting()


def point_at(dock: Any, row: int, column: int) -> None:
    """Hold the pointer over a pixel of the canvas."""
    step = dock.viewer.dims.current_step[: dock.viewer.dims.ndim - 2]
    dock.viewer.cursor.position = (*step, row, column)


def test_without_a_reference_the_worst_is_found_by_an_estimate(stack: Any, viewer: Any, qtbot: Any) -> None:
    session, looking, table = stack.session, stack.review_panel, stack.images.table
    assert "estimates the IoU" in looking.empty.text()
    assert not looking.empty.isHidden()
    assert looking.image_score.text() == ""
    click(qtbot, looking.worst_button)
    assert "Estimating" in session.runner.progress.message or session.runner.progress.message == "Starting"
    qtbot.waitUntil(lambda: session.runner.progress is None, timeout=LONG)
    rows = {r.id: r for r in session.workspace.rows()}
    estimates = {i: r.estimate for i, r in rows.items()}
    assert None not in estimates.values()
    order = sorted(estimates, key=lambda i: (estimates[i], i))
    assert session.workspace.current == order[0]
    shown = [estimates[i] for i in table.shown_ids()]
    assert shown == sorted(shown)
    # The list and the step say that it is an estimate, and what from.
    index = table.view.index_of(order[0])
    cell = index.siblingAtColumn(table.model.columnCount() - 1)
    assert cell.data() == f"~{estimates[order[0]]:.2f}"
    assert rows[order[0]].reason.split(": ")[1] in cell.data(Qt.ItemDataRole.ToolTipRole)
    assert f"~{estimates[order[0]]:.2f}" in looking.image_score.text()
    assert looking.about_score.whole_text().lower() == rows[order[0]].reason.lower()
    # Done, and next: down the queue, not down the list as it was.
    click(qtbot, looking.edit_bar.done_button)
    assert session.workspace.current == order[1]
    press(viewer, "Q")  # left for later
    assert session.workspace.current == order[2]
    press(viewer, "D")
    assert session.workspace.current == order[3]
    press(viewer, "W")
    assert session.workspace.current == order[1]
    assert {r.id for r in session.workspace.rows() if r.status == "done"} == {order[0], order[2]}
    assert session.workspace.row(order[0]).estimate is None


def test_correct_next_draws_an_image_and_done_goes_on_there(stack: Any, viewer: Any, qtbot: Any) -> None:
    session, looking = stack.session, stack.review_panel
    click(qtbot, looking.correct_button)
    estimates = session.estimates
    first = session.workspace.current
    assert first == estimates.to_correct()[0]
    press(viewer, "D")
    assert session.workspace.row(first).status == "done"
    assert session.workspace.current == estimates.to_correct()[0]
    press(viewer, "C")  # left for later
    assert session.workspace.current == estimates.to_correct()[1]
    press(viewer, "C")
    assert session.workspace.current == estimates.to_correct()[2]
    press(viewer, "W")
    qtbot.waitUntil(lambda: session.runner.progress is None, timeout=LONG)
    assert session.workspace.current == estimates.queue()[0]


def test_cancel_of_the_estimate_keeps_what_is_there(stack: Any, qtbot: Any) -> None:
    session = stack.session
    click(qtbot, stack.segment_panel.heading)
    assert stack.segment_panel.folded
    click(qtbot, stack.review_panel.worst_button)
    assert not stack.segment_panel.folded  # where Cancel is
    stack.segment_panel.show_job()
    click(qtbot, stack.segment_panel.cancel_button)
    qtbot.waitUntil(lambda: session.runner.progress is None, timeout=LONG)
    assert {r.status for r in session.workspace.rows()} == {"segmented"}
    click(qtbot, stack.review_panel.worst_button)
    qtbot.waitUntil(lambda: session.runner.progress is None, timeout=LONG)
    assert None not in {r.estimate for r in session.workspace.rows()}


def test_grow_and_shrink_the_object_pointed_at(stack: Any, viewer: Any, qtbot: Any) -> None:
    drawn = np.zeros((48, 40), np.uint8)
    drawn[10:13, 10:13] = drawn[30:33, 30:33] = 1
    shape_at_hand(stack, drawn)
    current = stack.session.workspace.current
    point_at(stack, 11, 11)
    press(viewer, "G")
    wanted = drawn.copy()
    wanted[9:14, 10:13] = wanted[10:13, 9:14] = 1  # one pixel up, down, left and right
    np.testing.assert_array_equal(stack.session.workspace.mask(current), wanted)
    np.testing.assert_array_equal(mask_in_view(stack), wanted)
    point_at(stack, 31, 31)
    choose(qtbot, stack.review_panel.edit_bar.edit_button, "Shrink")
    wanted[30:33, 30:33] = 0
    wanted[31, 31] = 1
    np.testing.assert_array_equal(mask_in_view(stack), wanted)
    choose(qtbot, stack.review_panel.edit_bar.edit_button, "Undo")
    choose(qtbot, stack.review_panel.edit_bar.edit_button, "Undo")
    np.testing.assert_array_equal(mask_in_view(stack), drawn)


def test_where_nothing_is_pointed_at_that_is_said(
    stack: Any, viewer: Any, qtbot: Any, notifications: list[Any]
) -> None:
    shape_at_hand(stack, np.zeros((48, 40), np.uint8))
    point_at(stack, 5, 5)
    press(viewer, "G")
    point_at(stack, -20, 500)
    press(viewer, "Shift-G")
    assert [str(n.message) for n in notifications] == [
        "There is no object to grow under the pointer; point at an object on the canvas, then press G",
        "There is no object to shrink under the pointer; "
        "point at an object on the canvas, then press Shift+G",
    ]
    assert not mask_in_view(stack).any()


def test_among_objects_the_chosen_one_grows_where_nothing_is_pointed_at(stack: Any, viewer: Any) -> None:
    drawn = np.zeros((48, 40), np.uint8)
    drawn[10:13, 10:13] = drawn[30:33, 30:33] = 1
    shape_at_hand(stack, drawn)
    stack.canvas.show_objects(True)
    point_at(stack, -20, 500)
    stack.canvas.mask_layer.selected_label = int(mask_in_view(stack)[31, 31])
    press(viewer, "G")
    mask = stack.session.workspace.mask(stack.session.workspace.current)
    assert mask[:20].sum() == 9
    assert mask[20:].sum() == 21


def test_classes_are_chosen_by_keys_and_by_the_legend(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    viewer.add_image(np.random.default_rng(1).integers(0, 200, (48, 40)).astype(np.uint8), name="p")
    dock.session.workspace.load_model(tiny_models["classes"])
    qtbot.waitUntil(lambda: dock.session.workspace.current == "p")
    assert dock.review_panel.classes.isHidden()
    segment(dock, qtbot)
    layer, legend = dock.canvas.mask_layer, dock.review_panel.classes
    assert not legend.isHidden()
    for words in ("background", "one", "two", "ignore"):
        assert words in legend.text()
    press(layer, "2")
    assert layer.selected_label == 2
    assert str(layer.mode) == "paint"
    assert "<u>two</u>" in legend.text()
    press(layer, "0")
    assert layer.selected_label == 0
    press(layer, "7")  # there is no such class
    assert layer.selected_label == 0
    legend.linkActivated.emit("1")
    assert layer.selected_label == 1
    press(layer, "I")
    assert layer.selected_label == 255
    assert "<u>ignore</u>" in legend.text()
    # Among objects the same keys paint the same classes.
    dock.canvas.show_objects(True)
    press(layer, "2")
    paint(dock, np.s_[0:6, 0:6], layer.selected_label)
    press(layer, "I")
    paint(dock, np.s_[40:46, 30:36], layer.selected_label)
    mask = dock.session.workspace.mask("p")
    assert (mask[0:6, 0:6] == 2).all()
    assert (mask[40:46, 30:36] == 255).all()
    dock.canvas.show_objects(False)
    assert (layer.data[40:46, 30:36] == 255).all()
    assert (layer.data[0:6, 0:6] == 2).all()


def test_ignored_pixels_count_for_nothing_and_survive(
    ready: Any, viewer: Any, qtbot: Any, salt_folder: Path, tmp_path: Path
) -> None:
    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 30)
    session = ready.session
    current = next(
        i
        for i in session.workspace.collection.ids
        if 0 < session.workspace.collection.reference(i).labels.mean() < 1
    )
    session.workspace.select(current)
    segment(ready, qtbot)
    truth = session.workspace.collection.reference(current).labels
    predicted = session.workspace.mask(current).copy()
    layer = ready.canvas.mask_layer
    press(layer, "I")
    paint(ready, np.s_[0:50, 0:101], layer.selected_label)
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    below = np.s_[50:, :]
    both = ((truth[below] > 0) & (predicted[below] > 0)).sum()
    either = ((truth[below] > 0) | (predicted[below] > 0)).sum()
    assert session.workspace.row(current).iou == pytest.approx(both / either if either else 1.0)
    click(qtbot, ready.review_panel.errors_box)
    assert not ready.overlays.layers["errors"].data[0:50].any()
    # Nothing of it teaches, even once the image is done.
    session.painting.set_done([current])
    reference = session.painting.project.corrections[current].reference()
    assert not reference.weights[0:50].any()
    assert (reference.weights[below] == 1).all()
    assert (reference.labels[0:50] == 0).all()
    # Undo and back, another image and back, and from the files.
    choose(qtbot, ready.review_panel.edit_bar.accept_button, "Mark as not done")
    choose(qtbot, ready.review_panel.edit_bar.edit_button, "Undo")
    np.testing.assert_array_equal(layer.data, predicted)
    press(layer, "I")
    paint(ready, np.s_[0:10, 0:101], layer.selected_label)
    ready.step(1)
    ready.step(-1)
    assert (layer.data[0:10] == 255).all()
    folder = session.painting.project.folder
    session.painting.project.corrections.save()
    from napari_unet.project.project import Project

    session.projects.close()
    with Project.open(folder) as project:
        kept = project.corrections[current]
        assert (kept.mask[0:10] == 255).all()
        np.testing.assert_array_equal(kept.mask[10:], predicted[10:])


def test_what_is_vouched_for_is_shown_on_demand(stack: Any, viewer: Any, qtbot: Any) -> None:
    box = stack.review_panel.verified_box
    click(qtbot, box)
    layer = stack.overlays.layers["verified"]
    assert not layer.data.any()  # a prediction is no evidence
    assert not layer.editable
    before = mask_in_view(stack).copy()
    paint(stack, np.s_[10:20, 10:20], 1)
    changed = mask_in_view(stack) != before
    assert layer.data.any()
    assert not layer.data[~changed].any()
    paint(stack, np.s_[12:14, 12:14], 255)
    assert not layer.data[12:14, 12:14].any()
    stack.session.painting.set_done([stack.session.workspace.current])
    rows, columns = np.nonzero(layer.data)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 47, 0, 39)
    press(viewer, "O")
    assert not box.isChecked()
    assert not layer.visible
    press(viewer, "O")
    viewer.layers.remove(layer)
    assert not box.isChecked()


def test_where_the_model_is_unsure_is_shown_on_demand(stack: Any, viewer: Any, qtbot: Any) -> None:
    box, looking, unsure = stack.review_panel.unsure_box, stack.review_panel, stack.overlays.disagreement
    active = viewer.layers.selection.active
    click(qtbot, box)
    qtbot.waitUntil(lambda: stack.overlays.layers["unsure"] is not None, timeout=LONG)
    layer = stack.overlays.layers["unsure"]
    assert layer.name == "unsure"
    assert viewer.layers.selection.active is active  # strokes continue into the mask
    first = np.asarray(layer.data)
    assert first.shape == stack.canvas.current_mask().shape
    assert 0 < first.max() <= 0.5
    np.testing.assert_array_equal(first, unsure.values())
    assert looking.legend.isHidden()
    stack.step(1)
    qtbot.waitUntil(lambda: unsure.values() is not None, timeout=LONG)
    assert layer.visible
    np.testing.assert_array_equal(layer.data, unsure.values())
    assert not np.array_equal(layer.data, first)
    looking.why_not_unsure = lambda: "Too large"
    looking.refresh_legend()
    assert looking.legend.text() == "Too large"
    stack.step(-1)  # it is kept
    np.testing.assert_array_equal(layer.data, first)
    again: list[Any] = []
    layer.events.set_data.connect(again.append)
    paint(stack, np.s_[10:20, 10:20], 1)  # a stroke changes nothing of it
    assert not again
    layer.events.set_data.disconnect(again.append)
    press(viewer, "U")
    assert not box.isChecked()
    assert not layer.visible
    press(viewer, "U")
    assert layer.visible
    viewer.layers.remove(layer)
    assert not box.isChecked()
    assert not unsure.wanted


def test_the_mask_is_hidden_and_shown_by_a_key(stack: Any, viewer: Any) -> None:
    layer = stack.canvas.mask_layer
    press(viewer, "H")
    assert not layer.visible
    press(viewer, "H")
    assert layer.visible


def test_many_are_accepted_at_once_and_taken_back(stack: Any, qtbot: Any) -> None:
    session, bar = stack.session, stack.review_panel.edit_bar
    stack.images.table.select(["s [1]", "s [3]"])
    choose(qtbot, bar.accept_button, "Selected images (2)")
    done = lambda: [r.id for r in session.workspace.rows() if r.status == "done"]  # noqa: E731
    qtbot.waitUntil(lambda: done() == ["s [1]", "s [3]"])
    choose(qtbot, bar.accept_button, f"All images with a mask ({COUNT - 2})")
    qtbot.waitUntil(lambda: len(done()) == COUNT)
    settled(stack, qtbot)
    choose(qtbot, bar.accept_button, f"Undo last accept ({COUNT - 2})")
    qtbot.waitUntil(lambda: done() == ["s [1]", "s [3]"])
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    settled(stack, qtbot)
    assert [
        i for i in session.workspace.collection.ids if session.painting.project.corrections.stats(i).done
    ] == done()


def test_an_earlier_mask_of_the_image_comes_back_and_can_be_undone(stack: Any, qtbot: Any) -> None:
    session, bar = stack.session, stack.review_panel.edit_bar
    assert not bar.revert_button.isEnabled()
    predicted = mask_in_view(stack).copy()
    paint(stack, np.s_[0:10, 0:10], 1)
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    first = mask_in_view(stack).copy()
    paint(stack, np.s_[0:10, 0:10], 0)
    second = mask_in_view(stack).copy()
    settled(stack, qtbot)
    assert stack.review_panel.hint.whole_text().startswith("2 strokes, ")
    assert bar.revert_button.isEnabled()
    kinds = [v.kind for v in session.painting.versions(session.workspace.current)]
    assert kinds == ["prediction", "paint", "paint"]
    pixels = int((first != predicted).sum())
    choose(qtbot, bar.revert_button, f"paint, {pixels:,} px", anywhere=True)
    np.testing.assert_array_equal(mask_in_view(stack), first)
    assert session.workspace.row(session.workspace.current).status == "corrected"
    choose(qtbot, bar.edit_button, "Undo")
    np.testing.assert_array_equal(mask_in_view(stack), second)
    choose(qtbot, bar.revert_button, "To the prediction")
    np.testing.assert_array_equal(mask_in_view(stack), predicted)
    assert session.workspace.row(session.workspace.current).status == "segmented"
    choose(qtbot, bar.edit_button, "Undo")
    np.testing.assert_array_equal(mask_in_view(stack), second)


def test_with_all_steps_open_the_dock_fits_a_small_screen(stack: Any, viewer: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QScrollArea

    click(qtbot, stack.review_panel.worst_button)
    qtbot.waitUntil(lambda: stack.session.runner.progress is None, timeout=LONG)
    click(qtbot, stack.review_panel.verified_box)
    click(qtbot, stack.review_panel.unsure_box)
    qtbot.waitUntil(lambda: stack.overlays.layers["unsure"] is not None, timeout=LONG)
    assert not stack.segment_panel.folded
    assert not stack.review_panel.folded
    area = stack.findChild(QScrollArea)
    # What 800 pixels leave below the menu and the title of the dock, and above the status bar.
    stack.resize(380, 720)
    stack.layout().activate()
    inside = area.widget()
    assert inside.heightForWidth(area.viewport().width()) <= 690
    # Nothing is cut off at the right.
    rows = [
        stack.review_panel.buttons,
        stack.review_panel.edit_bar,
        stack.segment_panel.run_button.parentWidget(),
    ]
    assert all(row.minimumSizeHint().width() <= area.viewport().width() - 16 for row in rows)
    assert stack.images.table.view.minimumSizeHint().height() < 120
