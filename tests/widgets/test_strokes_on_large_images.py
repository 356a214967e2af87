"""New mask on an image whose mask is on disk: painted through the lens, learned from, restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from scipy import ndimage

from napari_unet.project.corrections.correction import IGNORE
from napari_unet.widgets.canvas.label_numbering import BACKGROUND_STROKE
from napari_unet.widgets.canvas.large import lens
from napari_unet.widgets.canvas.layer_styles import camera_of
from napari_unet.widgets.parts.preferences import Preferences
from napari_unet.workflow.strokes import learn_from_strokes_task
from support.hands import LEFT, LONG, click
from support.large_masks import levels_of
from support.made_up_strokes import MODEL, MadeUpStrokes, OneThread

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
SHAPE = (700, 600)


@pytest.fixture
def slide(dock: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The dock with a "large" image of 700 x 600 pixels, no model, a lens of 256 pixels."""
    chosen = Preferences(large_megapixels=0.1, memory=0.2)
    for module in ("workbench", "dock.start_segmenting"):
        monkeypatch.setattr(f"napari_unet.widgets.{module}.read_preferences", lambda: chosen)
    monkeypatch.setattr(lens, "SIDE", 256)
    monkeypatch.setattr(lens, "STEP", 32)
    monkeypatch.setattr(learn_from_strokes_task, "LearnFromStrokesTask", MadeUpStrokes)
    dock.session.background.make_engine = lambda: OneThread(dock.dispatcher)
    dock.large.preferences = chosen
    viewer.window._qt_window.resize(1100, 800)
    viewer.window._qt_window.show()
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 4)
    viewer.add_image((noise * 900 + 128).clip(0, 255).astype(np.uint8), name="a", contrast_limits=(0, 255))
    qtbot.waitUntil(lambda: dock.session.workspace.current == "a", timeout=LONG)
    return dock


def look_at(dock: Any, qtbot: Any, place: tuple[float, float], zoom: float = 5) -> None:
    camera_of(dock.viewer).center = place
    camera_of(dock.viewer).zoom = zoom
    dock.viewer.window._qt_viewer.canvas.on_draw(None)
    qtbot.waitUntil(
        lambda: (
            dock.large.lens_is_shown and dock.large.lens.layer.visible and dock.large.lens._wanted is None
        ),
        timeout=LONG,
    )


def drag(dock: Any, qtbot: Any) -> None:
    """A stroke from the middle of the canvas to the right."""
    canvas = dock.viewer.window._qt_viewer.canvas.native
    start = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mousePress(canvas, LEFT, pos=start)
    for step in range(1, 7):
        QTest.mouseMove(canvas, start + QPoint(10 * step, 0))
        qtbot.wait(5)
    qtbot.mouseRelease(canvas, LEFT, pos=start + QPoint(60, 0))
    dock.large.take_painting()


def paint_both(dock: Any, qtbot: Any) -> None:
    """New mask; a stroke on an object at (350, 300), and one on the background at (400, 330)."""
    click(qtbot, dock.strokes_row.new_button)
    qtbot.waitUntil(lambda: dock.large.disk is not None, timeout=LONG)
    look_at(dock, qtbot, (350, 300))
    drag(dock, qtbot)
    dock.canvas.choose_label(0)
    look_at(dock, qtbot, (400, 330))
    drag(dock, qtbot)


def test_two_classes_are_painted_on_a_large_image_and_the_rest_is_unknown(slide: Any, qtbot: Any) -> None:
    row, session = slide.strokes_row, slide.session
    assert session.workspace.model is None
    assert row.new_button.isEnabled()
    click(qtbot, row.new_button)
    qtbot.waitUntil(lambda: slide.large.disk is not None, timeout=LONG)
    disk = slide.large.disk
    assert session.workspace.row("a").status == "new"  # nothing is painted yet
    assert (disk.mask() == IGNORE).all()
    assert not np.asarray(slide.large.layer.data[0]).any()  # the whole shows unknown pixels as nothing
    look_at(slide, qtbot, (350, 300))
    layer = slide.large.lens.layer
    assert slide.viewer.layers.selection.active is layer
    top, left, bottom, right = slide.large.view
    assert (str(layer.mode), layer.selected_label) == ("paint", 1)
    assert layer.brush_size == max(3, min(bottom - top, right - left) // 64)
    assert [one.name for one in slide.viewer.layers] == ["a", "U-Net mask, whole", "U-Net mask"]
    drag(slide, qtbot)
    slide.canvas.choose_label(0)
    assert layer.selected_label == BACKGROUND_STROKE
    look_at(slide, qtbot, (400, 330))
    drag(slide, qtbot)
    mask = disk.mask()
    assert set(np.unique(mask)) == {0, 1, IGNORE}
    assert (mask[350, 301:310] == 1).all()
    assert (mask[400, 331:340] == 0).all()
    assert 30 < int((mask != IGNORE).sum()) < 200
    qtbot.waitUntil(lambda: row.count.text() == "1 image with strokes", timeout=LONG)
    assert session.workspace.row("a").status == "corrected"
    assert session.workspace.row("a").iou is None
    # Undo makes them unknown again.
    slide.mask_editing.edit("undo")
    assert (disk.mask()[400, 331:340] == IGNORE).all()
    assert disk.flush()
    np.testing.assert_array_equal(levels_of(disk.path)[0], disk.mask())


def test_strokes_on_a_large_image_teach_a_first_model(
    slide: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    row, session = slide.strokes_row, slide.session
    paint_both(slide, qtbot)
    collection = session.workspace.collection
    (part,) = session.strokes._strokes(collection, {})
    assert (part.id, part.whole, part.image.shape) == ("a [0:700, 0:600]", "a", (700, 600, 1))
    np.testing.assert_array_equal(part.mask, slide.large.disk.mask())
    assert session.strokes._strokes(collection, {part.id: part.number}) == []
    from napari_unet.models.normalization import Normalization

    found = session.strokes._intensities(collection, "a", Normalization())
    pixels = slide.viewer.layers["a"].data / 255
    assert found.mean[0] == pytest.approx(float(pixels.mean()), abs=1e-5)
    assert found.deviation[0] == pytest.approx(float(pixels.std()), abs=1e-5)
    session.painting.prepare()
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    (session.painting.project.folder / MODEL).write_text(str(tiny_models["grey"]))
    failed: list[str] = []
    session.runner.failed.connect(lambda words, details: failed.append(words + details))
    qtbot.waitUntil(row.learn_button.isEnabled, timeout=LONG)
    click(qtbot, row.learn_button)
    # The preview is of what is in view, and lies there.
    qtbot.waitUntil(lambda: slide.stroke_preview.layer is not None, timeout=LONG)
    view, preview = slide.large.view, slide.stroke_preview.layer
    height, width = view[2] - view[0], view[3] - view[1]
    assert preview.data.shape == (height, width)
    assert tuple(preview.translate) == pytest.approx(view[:2])
    assert preview.data[:, width // 2 + 1 :].any()
    assert not preview.data[:, : width // 2 - 1].any()
    assert not row.accept_button.isVisible()  # of a part, which is no mask of the image
    qtbot.waitUntil(row.stop_button.isVisible, timeout=LONG)
    click(qtbot, row.stop_button)
    qtbot.waitUntil(lambda: not session.strokes.running, timeout=LONG)
    qtbot.waitUntil(lambda: session.workspace.model is not None, timeout=LONG)
    assert failed == []
    assert slide.large.disk is not None
    assert (slide.large.disk.mask()[350, 301:310] == 1).all()


def test_strokes_on_a_large_image_are_there_in_the_next_session(slide: Any, qtbot: Any) -> None:
    paint_both(slide, qtbot)
    mask = slide.large.disk.mask()
    # As if the program was started again: nothing of the image is known.
    data = slide.viewer.layers["a"].data
    slide.viewer.layers.clear()
    qtbot.wait(50)
    slide.session.disk_masks._asked.clear()
    slide.viewer.add_image(data, name="a", contrast_limits=(0, 255))
    qtbot.waitUntil(lambda: slide.large.disk is not None, timeout=LONG)
    assert slide.large.disk.holds_strokes_only
    np.testing.assert_array_equal(slide.large.disk.mask(), mask)
    look_at(slide, qtbot, (400, 330))
    (top, left), shown = slide.large.lens.crop.box[:2], np.asarray(slide.large.lens.layer.data)
    assert (shown[400 - top, 331 - left : 340 - left] == BACKGROUND_STROKE).all()
    assert slide.strokes_row.legend.isVisible()
