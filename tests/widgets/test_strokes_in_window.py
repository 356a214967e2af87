"""From an image to a first model with the mouse: New mask, two classes, Learn from strokes, Use preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas.label_numbering import BACKGROUND_STROKE
from napari_unet.workflow.strokes import learn_from_strokes_task
from support.hands import LEFT, LONG, click, mask_in_view, press
from support.made_up_strokes import MODEL, MadeUpStrokes, OneThread

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
SHAPE = (64, 80)
OBJECT, BACKGROUND = [(30, 60), (30, 70)], [(10, 10), (10, 30)]  # from, to: row and column


@pytest.fixture
def bench(dock: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The dock with two images, no model, and a trainer that is made up."""
    monkeypatch.setattr(learn_from_strokes_task, "LearnFromStrokesTask", MadeUpStrokes)
    dock.session.background.make_engine = lambda: OneThread(dock.dispatcher)
    viewer.window._qt_window.resize(1100, 800)
    viewer.window._qt_window.show()
    draw = np.random.default_rng(0)
    for name in ("first", "second"):
        viewer.add_image(draw.integers(0, 255, SHAPE, np.uint8), name=name)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 2)
    go_to(dock, qtbot, "first")
    return dock


def go_to(dock: Any, qtbot: Any, identifier: str) -> None:
    dock.session.workspace.select(identifier)
    qtbot.waitUntil(lambda: dock.image_source.layer.name == identifier)
    dock.viewer.reset_view()
    qtbot.wait(50)


def drag(dock: Any, qtbot: Any, way: list[tuple[int, int]]) -> None:
    """A stroke with the left button, from one pixel of the image to another."""
    canvas, camera = dock.viewer.window._qt_viewer.canvas.native, dock.viewer.camera

    def place(row: float, column: float) -> QPoint:
        y, x = camera.center[-2:]
        return QPoint(
            round(canvas.width() / 2 + (column - x) * camera.zoom),
            round(canvas.height() / 2 + (row - y) * camera.zoom),
        )

    (top, left), (bottom, right) = way
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place(top, left))
    for share in (0.25, 0.5, 0.75, 1.0):
        QTest.mouseMove(canvas, place(top + share * (bottom - top), left + share * (right - left)))
        qtbot.wait(5)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place(bottom, right))
    dock.canvas.take_painting()


def click_background(dock: Any, qtbot: Any) -> None:
    """The first word of the legend."""
    legend = dock.strokes_row.legend
    qtbot.mouseClick(legend, LEFT, pos=QPoint(45, legend.height() // 2))
    assert dock.canvas.mask_layer.selected_label == BACKGROUND_STROKE


def paint_both(dock: Any, qtbot: Any) -> None:
    click(qtbot, dock.strokes_row.new_button)
    drag(dock, qtbot, OBJECT)
    click_background(dock, qtbot)
    drag(dock, qtbot, BACKGROUND)


def strokes_of(dock: Any, identifier: str) -> Any:
    """(Y, X): classes that are painted on an image, 255 elsewhere."""
    return dock.session.workspace.collection.entries[identifier].corrected


def test_two_classes_are_painted_without_a_model_and_the_rest_is_unknown(bench: Any, qtbot: Any) -> None:
    row = bench.strokes_row
    assert bench.session.workspace.model is None
    assert row.isVisible()
    assert not row.legend.isVisible()
    click(qtbot, row.new_button)
    layer = bench.canvas.mask_layer
    assert bench.viewer.layers.selection.active is layer
    assert (str(layer.mode), layer.selected_label, layer.brush_size) == ("paint", 1, 3)
    assert row.legend.isVisible()
    assert not row.new_button.isVisible()
    assert (bench.canvas.current_mask() == IGNORE).all()
    assert bench.session.workspace.row("first").status == "new"  # nothing is painted yet
    drag(bench, qtbot, OBJECT)
    click_background(bench, qtbot)
    drag(bench, qtbot, BACKGROUND)
    mask = strokes_of(bench, "first")
    assert (mask[30, 60:71] == 1).all()
    assert (mask[10, 10:31] == 0).all()
    painted = int((mask != IGNORE).sum())
    assert 60 < painted < 150  # two lines of 11 and 21 pixels, three wide
    # On the screen: background in a colour of its own, unknown in none.
    shown = mask_in_view(bench)
    assert layer.colormap.map(int(shown[10, 20])).ravel()[3] == 1
    assert layer.colormap.map(int(shown[50, 50])).ravel()[3] == 0
    qtbot.waitUntil(lambda: row.count.text() == "1 image with strokes")
    # Painting with I makes pixels unknown again; undo brings them back.
    press(layer, "I")
    drag(bench, qtbot, [(10, 20), (10, 30)])
    assert (strokes_of(bench, "first")[10, 20:31] == IGNORE).all()
    assert (strokes_of(bench, "first")[10, 10:19] == 0).all()
    bench.mask_editing.edit("undo")
    assert (strokes_of(bench, "first")[10, 10:31] == 0).all()


def test_untouched_images_are_no_background(bench: Any, qtbot: Any) -> None:
    paint_both(bench, qtbot)
    qtbot.waitUntil(lambda: bench.session.painting.project is not None, timeout=LONG)
    qtbot.waitUntil(lambda: bench.session.new_model.sources() != {})
    assert bench.session.new_model.sources() == {"corrections": "corrections: 1 image"}
    assert bench.session.strokes.words() == "1 image with strokes"
    assert strokes_of(bench, "second") is None
    row = bench.session.workspace.row("first")
    assert row.iou is None
    data, _, _ = bench.session.new_model._data("corrections")
    (item,) = data.items
    assert item.weights.sum() == (strokes_of(bench, "first") != IGNORE).sum()


def test_a_preview_comes_while_one_paints_and_becomes_the_mask(
    bench: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    row, session = bench.strokes_row, bench.session
    paint_both(bench, qtbot)
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    (session.painting.project.folder / MODEL).write_text(str(tiny_models["grey"]))
    failed: list[str] = []
    session.runner.failed.connect(lambda words, details: failed.append(words + details))
    shown: list[int] = []
    session.strokes.previewed.connect(lambda: shown.append(1))
    click(qtbot, row.learn_button)
    qtbot.waitUntil(lambda: len(shown) == 1, timeout=LONG)
    assert failed == []
    preview = bench.stroke_preview.layer
    assert preview.name == "preview, not saved"
    assert preview.visible
    assert not preview.editable
    assert not preview.data[:, :39].any()  # of the left half nothing is an object
    assert preview.data[50, 40:].any()
    painted = strokes_of(bench, "first") != IGNORE
    assert not preview.data[painted].any()
    qtbot.waitUntil(lambda: row.progress_words.text() == "42 s left")
    assert row.stop_button.isVisible()
    # The person paints on: the next round shows what it makes of that.
    click_background(bench, qtbot)
    drag(bench, qtbot, [(50, 50), (50, 70)])
    qtbot.waitUntil(lambda: len(shown) >= 2, timeout=LONG)
    assert not preview.data[50, 50:71].any()
    # The mask is what was painted, until the person uses the preview; painted pixels win.
    assert (strokes_of(bench, "first")[60] == IGNORE).all()
    click(qtbot, row.accept_button)
    mask = strokes_of(bench, "first")
    assert set(np.unique(mask)) == {0, 1}
    assert (mask[60, 40:] == 1).all()
    assert (mask[60, :40] == 0).all()
    assert (mask[50, 50:71] == 0).all()  # painted, against the preview
    assert preview not in bench.viewer.layers
    verified = session.painting.verified("first")
    assert verified[50, 60]
    assert not verified[60, 60]
    click(qtbot, row.stop_button)
    qtbot.waitUntil(lambda: not session.strokes.running, timeout=LONG)
    # What was learned is a model, and in use.
    assert session.workspace.model.path.name == "v001"
    assert session.candidate.version is None
    assert session.candidate.versions[0].note == "from strokes"
    assert session.candidate.versions[0].parent == 0
    assert "earned from strokes on 1 image: v001 is in use" in bench.status.words.toPlainText()


def test_a_slice_of_a_stack_is_painted_like_an_image(dock: Any, viewer: Any, qtbot: Any) -> None:
    viewer.window._qt_window.resize(1100, 800)
    viewer.window._qt_window.show()
    viewer.add_image(np.random.default_rng(1).integers(0, 255, (15, *SHAPE), np.uint8), name="stack")
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 15)
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: dock.session.workspace.current == "stack [3]")
    paint_both(dock, qtbot)
    mask = strokes_of(dock, "stack [3]")
    assert (mask[30, 62], mask[10, 20], mask[50, 50]) == (1, 0, IGNORE)
    viewer.dims.set_current_step(0, 4)
    qtbot.waitUntil(lambda: dock.session.workspace.current == "stack [4]")
    assert not mask_in_view(dock).any()
    assert dock.session.strokes.words() == "1 image with strokes"  # not 15
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: dock.session.workspace.current == "stack [3]")
    np.testing.assert_array_equal(dock.canvas.current_mask(), mask)
    assert dock.strokes_row.legend.isVisible()
    qtbot.wait(100)
    np.testing.assert_array_equal(strokes_of(dock, "stack [3]"), mask)
