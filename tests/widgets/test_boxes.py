"""A stroke on a large image is looked at where it was painted, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_unet.project.corrections.stroke import changed_runs
from support.hands import LONG

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.window
SIDE = 4096
DRAG = [(0, 0), (12, 4), (24, 8)]  # of the mouse, from where it is pressed


@pytest.fixture
def large(ready: Any, viewer: Any, qtbot: Any) -> Any:
    """The dock with an image whose mask was corrected already, seen as a whole, the brush taken up."""
    viewer.window._qt_window.resize(1500, 1000)
    viewer.add_image(np.zeros((SIDE, SIDE), np.uint8), name="large")
    session = ready.session
    qtbot.waitUntil(lambda: session.workspace.current == "large", timeout=LONG)
    session.painting.prepare()
    qtbot.waitUntil(lambda: session.painting.project is not None, timeout=LONG)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:8, :8] = 1
    session.painting.correct("large", mask)
    session.workspace.mask_changed.emit("large")
    qtbot.waitUntil(lambda: ready.canvas.current_mask() is not None, timeout=LONG)
    viewer.reset_view()
    layer = ready.canvas.mask_layer
    viewer.layers.selection.active = layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 1, 10
    qtbot.wait(1500)  # until what the window does after a change has been done
    return ready


def drag(dock: Any, qtbot: Any, row: int) -> None:
    """Press the button over the canvas, this many pixels of the screen below its middle; move, let go."""
    canvas = dock.viewer.window._qt_viewer.canvas.native
    start = canvas.rect().center() + QPoint(0, row)
    places = [start + QPoint(x, y) for x, y in DRAG]
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:]:
        qtbot.mouseMove(canvas, place)
        qtbot.wait(5)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=places[-1])


def around(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """The box of all that changed, by a comparison of every pixel."""
    rows, columns = np.nonzero(before != after)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def test_strokes_one_after_another_are_recorded_by_their_boxes(
    large: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, stage = large.session, large.canvas
    corrections = session.painting.project.corrections
    given: list[Any] = []
    record = type(corrections).record

    def noted(self: Any, identifier: str, before: Any, after: Any, *rest: Any, **named: Any) -> Any:
        stroke = record(self, identifier, before, after, *rest, **named)
        given.append((named.get("box"), before.copy(), after.copy(), stroke))
        return stroke

    monkeypatch.setattr(type(corrections), "record", noted)
    began = np.asarray(stage.mask_layer.data).copy()
    for number in range(3):  # what the window does after each stroke must not spoil the next
        drag(large, qtbot, 60 * number)
        qtbot.waitUntil(lambda number=number: len(given) == number + 1, timeout=LONG)
        qtbot.wait(1200)
        assert len(given) == number + 1  # and nothing is compared once more
    assert all(box is not None for box, *_ in given), [box for box, *_ in given]
    for box, before, after, stroke in given:
        assert box is not None
        assert (box[2] - box[0]) * (box[3] - box[1]) < SIDE**2 / 100
        assert stroke.box == around(before, after)
        expected = changed_runs(before.astype(np.uint16), after.astype(np.uint16) + (before != after) * 256)
        assert stroke.box == expected[0]
        np.testing.assert_array_equal(stroke.gaps, expected[1])
        np.testing.assert_array_equal(stroke.lengths, expected[2])
    painted = np.asarray(stage.mask_layer.data)
    np.testing.assert_array_equal(corrections.mask("large"), painted)
    assert (painted != began).sum() == sum(stroke.pixels for *_, stroke in given)

    stage.mask_layer.undo()
    qtbot.waitUntil(lambda: len(given) == 4, timeout=LONG)
    box, before, _, stroke = given[-1]
    assert box is None  # napari does not say where
    assert stroke.kind == "undo"
    np.testing.assert_array_equal(corrections.mask("large"), given[1][2])
    assert corrections.stats("large").strokes == 4  # the mask it began with, and three: work that was done
    stage.mask_layer.redo()
    qtbot.waitUntil(lambda: len(given) == 5, timeout=LONG)
    np.testing.assert_array_equal(corrections.mask("large"), before)


def test_what_another_program_sets_is_found_wherever_it_is(large: Any, qtbot: Any) -> None:
    corrections, layer = large.session.painting.project.corrections, large.canvas.mask_layer
    wanted = np.asarray(layer.data).copy()
    wanted[4000:4010, 4000:4020] = 1
    drag(large, qtbot, 0)
    wanted = np.maximum(wanted, np.asarray(layer.data))
    layer.data = wanted.copy()
    qtbot.waitUntil(lambda: bool((corrections.mask("large") == wanted).all()), timeout=LONG)
