"""Objects by real clicks: counted, measured, selected from the table and from the canvas, brushed, saved."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from skimage.draw import disk

import napari_unet.models.shipped as built_in
from napari_unet.metrics.object_confidence import KEY
from support.hands import LEFT, LONG, click, press, segment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]
NUCLEI = built_in.FOLDER / "nuclei"  # before a fixture puts another folder there
# One of them is small, one is far from the others.
DISCS = [((28, 30), 11), ((28, 90), 9), ((90, 30), 7), ((90, 96), 12), ((60, 62), 10)]


def picture() -> Any:
    image = np.full((120, 128), 20, np.uint8)
    for centre, radius in DISCS:
        image[disk(centre, radius, shape=image.shape)] = 170
    return image


@pytest.fixture
def counted(dock: Any, viewer: Any, qtbot: Any) -> Any:
    """The dock with two images of five and four nuclei, half a micrometre a pixel, segmented."""
    second = picture()
    second[80:, 80:] = 20
    for name, image in (("five", picture()), ("four", second)):
        viewer.add_image(image, name=name, scale=(0.5, 0.5), units=("um", "um"))
    dock.session.workspace.load_model(NUCLEI)
    qtbot.waitUntil(dock.segment_panel.run_button.isEnabled)
    dock.images.table.select(["five"])
    dock.session.workspace.select("five")
    segment(dock, qtbot, "all")
    qtbot.waitUntil(lambda: dock.objects.row.words.text().startswith("<b>5 nuclei"), timeout=LONG)
    return dock


def open_table(dock: Any, qtbot: Any) -> Any:
    click(qtbot, dock.objects.row.table_button)
    dialog = dock.objects.dialog
    qtbot.waitUntil(lambda: dialog.model.rowCount() == 5, timeout=LONG)
    return dialog


def click_row(qtbot: Any, dialog: Any, row: int) -> None:
    place = dialog.view.visualRect(dialog.model.index(row, 1)).center()
    qtbot.mouseClick(dialog.view.viewport(), LEFT, pos=place)


def row_at(dialog: Any, y: int, x: int) -> int:
    """Displayed row of the object around a pixel."""
    distance = np.hypot(dialog.model.values("centroid_y_px") - y, dialog.model.values("centroid_x_px") - x)
    return int(np.argmin(distance))


def click_canvas(dock: Any, y: int, x: int) -> None:
    """Press and release over a pixel, as napari hands it to whoever listens."""

    class Event:
        type, button = "mouse_press", 1
        pos = (100, 100)
        position = tuple(dock.image_source.layer.data_to_world((y, x)))

    event = Event()
    running = dock.objects.marks._on_press(dock.viewer, event)
    assert next(running, "ended") is None
    event.type = "mouse_release"
    assert next(running, "ended") == "ended"


def test_the_dock_counts_and_the_table_measures(
    counted: Any, qtbot: Any, viewer: Any, tmp_path: Path
) -> None:
    dock = counted
    dialog = open_table(dock, qtbot)
    area = np.sort(dialog.model.values("area_px"))
    median = float(np.median(area))
    words = f"5 nuclei, median area {median:,.0f} px ({median / 4:.1f} µm²)"
    assert dock.objects.row.words.text() == f"<b>{words}</b>"
    assert dialog.words.text() == f"<b>{words}</b> in five"
    heading = dialog.model.columns.index("confidence")
    tip = dialog.model.headerData(heading, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    fitted = json.loads((NUCLEI / "settings.json").read_text())["provenance"][KEY]
    assert fitted["objects"] > 1000
    assert tip.endswith(f"Measured on {fitted['objects']:,} objects of 24 validation images")
    # Each disc is found in its place, with the pixels that it has on the canvas.
    labels = np.asarray(dock.canvas.mask_layer.data)
    for (y, x), _ in DISCS:
        row = row_at(dialog, y, x)
        assert dialog.model.values("area_px")[row] == np.count_nonzero(labels == labels[y, x])
        assert dialog.model.values("area")[row] == dialog.model.values("area_px")[row] / 4
        assert dialog.model.values("centroid_y_px")[row] == pytest.approx(y, abs=1)
        assert 0.5 < dialog.model.values("solidity")[row] <= 1
        assert dialog.model.values("confidence")[row] > 0.6
        assert dialog.model.values("intensity_max")[row] == 170
    # Features of the layer have the same numbers under the layer's own.
    layer = dock.canvas.mask_layer
    features = layer.features.set_index("index")
    (y, x), _ = DISCS[3]
    wanted = dialog.model.values("area_px")[row_at(dialog, y, x)]
    assert features.loc[layer.data[y, x], "area_px"] == wanted
    assert set(features["class"]) == {"nucleus"}
    # The file is what Export writes.
    monkey = dialog.save.__globals__["QFileDialog"]
    ask, monkey.getSaveFileName = monkey.getSaveFileName, lambda *_: (str(tmp_path / "a.csv"), "")
    try:
        click(qtbot, dialog.save_button)
    finally:
        monkey.getSaveFileName = ask
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(float(r["area_px"]) for r in rows) == area.tolist()
    assert {(r["image"], r["class"], r["unit"]) for r in rows} == {("five", "nucleus", "µm")}


def test_a_row_shows_its_object_and_an_object_its_row(counted: Any, qtbot: Any, viewer: Any) -> None:
    dock = counted
    dialog = open_table(dock, qtbot)
    (y, x), _ = DISCS[3]
    click_row(qtbot, dialog, row_at(dialog, y, x))
    marks = dock.objects.marks
    # It is in the middle of the canvas, and outlined where it is.
    centre = viewer.camera.center[-2:]
    assert np.allclose(centre, (y * 0.5, x * 0.5), atol=0.6)
    assert marks.layer.visible
    top, left = (round(t / 0.5) for t in marks.layer.translate[-2:])
    inside = np.argwhere(marks.layer.data) + np.array([top, left])
    assert np.allclose(inside.mean(axis=0), (y, x), atol=1)
    assert len(inside) == dialog.model.values("area_px")[row_at(dialog, y, x)]
    assert marks.layer.contour == 2
    assert viewer.layers.selection.active is not marks.layer
    # A click on another object selects its row, and leaves the view where it is.
    (y, x), _ = DISCS[0]
    click_canvas(dock, y, x)
    assert dialog._selected_rows().tolist() == [row_at(dialog, y, x)]
    assert dialog.selected_words.text() == "1 of 5 selected"
    assert np.allclose(viewer.camera.center[-2:], centre)
    inside = np.argwhere(marks.layer.data) + [round(t / 0.5) for t in marks.layer.translate[-2:]]
    assert np.allclose(inside.mean(axis=0), (y, x), atol=1)
    # On empty ground nothing changes; closed, nothing is outlined.
    click_canvas(dock, 2, 2)
    assert dialog._selected_rows().tolist() == [row_at(dialog, y, x)]
    dialog.close()
    assert marks.layer is None
    assert "selected objects" not in viewer.layers


def test_all_images_are_in_one_table_and_a_brush_selects(counted: Any, qtbot: Any) -> None:
    dock = counted
    dialog = open_table(dock, qtbot)
    dialog.which_box.setFocus()
    qtbot.keyClick(dialog.which_box, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: dialog.model.rowCount() == 9, timeout=LONG)
    assert dialog.words.text() == "<b>9 nuclei</b> in 2 images"
    header = dialog.view.horizontalHeader()
    place = dialog.model.columns.index("area_px")
    qtbot.mouseClick(
        header.viewport(), LEFT, pos=QPoint(header.sectionViewportPosition(place) + 20, header.height() // 2)
    )
    areas = dialog.model.values("area_px")
    assert np.all(np.diff(areas) >= 0)
    # A row of the other image brings that into view.
    last = [r for r in range(9) if dialog.model.object_at(r)[0] == "four"][-1]
    click_row(qtbot, dialog, last)
    assert dock.session.workspace.current == "four"
    qtbot.waitUntil(lambda: dock.objects.marks.layer is not None and dock.objects.marks.layer.visible)
    # A stroke over the right half of the histogram selects the larger ones.
    histogram = dialog.histogram
    low = (areas[0] + areas[-1]) / 2
    start = QPoint(round(histogram.position_of(low)), histogram.height() // 2)
    qtbot.mousePress(histogram, LEFT, pos=start)
    qtbot.mouseMove(histogram, QPoint(histogram.width() - 1, start.y()))
    qtbot.mouseRelease(histogram, LEFT, pos=QPoint(histogram.width() - 1, start.y()))
    chosen = dialog._selected_rows()
    assert chosen.tolist() == np.flatnonzero(areas >= histogram.brush[0]).tolist()
    assert 0 < len(chosen) < 9
    qtbot.mouseClick(histogram, LEFT, pos=start)
    assert len(dialog._selected_rows()) == 0
    # Back to the image that is shown now.
    qtbot.keyClick(dialog.which_box, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: dialog.model.rowCount() == 4, timeout=LONG)
    assert {dialog.model.object_at(row)[0] for row in range(4)} == {"four"}


def test_every_measurement_can_be_shown_and_hidden(counted: Any, qtbot: Any) -> None:
    dialog = open_table(counted, qtbot)
    assert set(dialog.model.columns) == {
        "image", "object", "class", "confidence", "area_px", "area", "perimeter_px", "perimeter",
        "circularity", "feret_diameter_px", "feret_diameter", "eccentricity", "solidity", "centroid_y_px",
        "centroid_y", "centroid_x_px", "centroid_x", "top_px", "left_px", "bottom_px", "right_px",
        "intensity_mean", "intensity_min", "intensity_max", "intensity_sum",
    }  # fmt: skip
    shown = dialog.shown_columns()
    assert "intensity_mean" in shown
    assert "perimeter" not in shown
    menu = dialog.columns_menu()
    titles = {action.text(): action for action in menu.actions()}
    assert titles["Mean"].isChecked()
    titles["Mean"].trigger()
    titles["Perimeter (µm)"].trigger()
    menu.close()
    assert set(dialog.shown_columns()) ^ set(shown) == {"intensity_mean", "perimeter"}
    counted.session.objects.changed.emit("five")  # news do not bring it back
    qtbot.wait(200)
    assert "intensity_mean" not in dialog.shown_columns()


def test_objects_are_followed_from_image_to_image(counted: Any, qtbot: Any, tmp_path: Path) -> None:
    dock = counted
    dialog = open_table(dock, qtbot)
    dialog.which_box.setCurrentIndex(dialog.which_box.findData("series"))
    qtbot.waitUntil(
        lambda: "track" in dialog.model.columns and not np.isnan(dialog.model.values("track")).any(),
        timeout=LONG,
    )
    # The second image has four of the five nuclei, in their places: five objects over two images.
    assert dialog.words.text() == "<b>5 nuclei</b> over 2 images"
    frames, tracks = dialog.model.values("frame"), dialog.model.values("track")
    assert sorted(frames.tolist()) == [1] * 5 + [2] * 4
    assert sorted(tracks[frames == 1].tolist()) == [1, 2, 3, 4, 5]
    for row in np.flatnonzero(frames == 2):
        where = np.flatnonzero((tracks == tracks[row]) & (frames == 1))
        assert len(where) == 1
        for axis in ("centroid_y_px", "centroid_x_px"):
            values = dialog.model.values(axis)
            assert values[row] == pytest.approx(values[where[0]], abs=1)
    assert {"image", "frame", "track"} <= set(dialog.shown_columns())
    monkey = dialog.save.__globals__["QFileDialog"]
    ask, monkey.getSaveFileName = monkey.getSaveFileName, lambda *_: (str(tmp_path / "a.csv"), "")
    try:
        click(qtbot, dialog.save_button)
    finally:
        monkey.getSaveFileName = ask
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["image"] for r in rows] == ["five"] * 5 + ["four"] * 4
    assert [r["ended"] for r in rows].count("disappears") == 1
    assert {r["class"] for r in rows} == {"nucleus"}


def on_canvas(dock: Any, y: float, x: float) -> QPoint:
    """Where a pixel of the image is on the canvas, in pixels of the screen."""
    drawn = dock.viewer.window._qt_viewer.canvas
    drawn.on_draw(None)  # which a window that is not shown does not do by itself
    first, far = (np.array(drawn._map_canvas2world(place, drawn.view)[-2:]) for place in ((0, 0), (100, 100)))
    wanted = np.array(dock.image_source.layer.data_to_world((y, x)))[-2:]
    row, column = (wanted - first) / (far - first) * 100
    return QPoint(round(column), round(row))


def drag(
    dock: Any, qtbot: Any, start: tuple[float, float], end: tuple[float, float], steps: int = 12
) -> None:
    """A stroke with the left button, by the mouse."""
    canvas = dock.viewer.window._qt_viewer.canvas.native
    points = [
        on_canvas(dock, *(np.array(start) + (np.array(end) - start) * n / steps)) for n in range(steps + 1)
    ]
    qtbot.mouseMove(canvas, points[0])
    qtbot.mousePress(canvas, LEFT, pos=points[0])
    for point in points[1:]:
        qtbot.mouseMove(canvas, point)
        qtbot.wait(2)
    qtbot.mouseRelease(canvas, LEFT, pos=points[-1])


def counts(dock: Any, qtbot: Any, number: int) -> None:
    """Wait until the dock counts so many nuclei."""
    qtbot.waitUntil(lambda: dock.objects.row.words.text().startswith(f"<b>{number} nuclei"), timeout=LONG)


def mask_of(dock: Any) -> Any:
    return dock.session.workspace.mask("five").copy()


def test_objects_are_deleted_split_and_merged_by_clicks_and_strokes(
    counted: Any, qtbot: Any, viewer: Any
) -> None:
    dock, row = counted, counted.objects.row
    canvas = viewer.window._qt_viewer.canvas.native
    start, centre = mask_of(dock), viewer.camera.center
    # A click with the tool deletes the object, and no other pixel; Ctrl+Z brings it back.
    click(qtbot, row.tool_buttons["delete"])
    assert row.tool_buttons["delete"].isChecked()
    (y, x), _ = DISCS[3]
    here = on_canvas(dock, y, x)
    qtbot.mouseMove(canvas, here)
    qtbot.mouseClick(canvas, LEFT, pos=here)
    counts(dock, qtbot, 4)
    gone = start.astype(int) - mask_of(dock)
    assert gone.sum() == gone[y - 16 : y + 17, x - 16 : x + 17].sum() > 200
    assert viewer.camera.center == centre  # it did not move the image
    press(dock.canvas.mask_layer, "Ctrl-Z")
    counts(dock, qtbot, 5)
    np.testing.assert_array_equal(mask_of(dock), start)
    # A stroke across an object cuts it.
    click(qtbot, row.tool_buttons["split"])
    assert not row.tool_buttons["delete"].isChecked()
    (y, x), _ = DISCS[0]
    drag(dock, qtbot, (y, x - 18), (y, x + 18))
    counts(dock, qtbot, 6)
    cut = np.argwhere(mask_of(dock) != start)
    assert set(cut[:, 0]) <= {y - 1, y, y + 1}
    assert len(cut) >= 18
    assert viewer.camera.center == centre
    # A stroke from one half to the other makes them one again.
    press(viewer, "J")
    assert row.tool_buttons["merge"].isChecked()
    drag(dock, qtbot, (y - 5, x), (y + 5, x))
    counts(dock, qtbot, 5)
    bridged = mask_of(dock)
    assert bridged[y, x] == 1
    # Two that are far apart are bridged, too; each of these is undone on its own.
    (y2, x2), _ = DISCS[4]
    drag(dock, qtbot, (y, x), (y2, x2))
    counts(dock, qtbot, 4)
    for number, mask in ((5, bridged), (6, None), (5, start)):
        press(dock.canvas.mask_layer, "Ctrl-Z")
        counts(dock, qtbot, number)
        if mask is not None:
            np.testing.assert_array_equal(mask_of(dock), mask)
    # A stroke over nothing says what is wrong.
    drag(dock, qtbot, (2, 2), (6, 8))
    assert "fewer than two objects" in dock.status.words.toPlainText()
    press(viewer, "J")
    assert dock.objects.tools.tool == ""
    # The key deletes what the pointer is on.
    viewer.cursor.position = tuple(dock.image_source.layer.data_to_world((y, x)))
    press(viewer, "R")
    counts(dock, qtbot, 4)
    # All of it is in the versions of the image.
    kinds = [v.kind for v in dock.session.painting.versions("five")]
    assert kinds[-1] == "delete object"
    assert {"split object", "merge objects"} <= set(kinds)


def test_the_worst_object_of_all_images_comes_first(counted: Any, qtbot: Any, viewer: Any) -> None:
    dock = counted
    dialog = open_table(dock, qtbot)
    click(qtbot, dialog.worst_button)
    qtbot.waitUntil(lambda: len(dialog._selected_rows()) == 1, timeout=LONG)
    assert dialog.model.rowCount() == 9  # of both images
    confidence = dialog.model.values("confidence")
    assert np.all(np.diff(confidence) >= 0)
    assert np.all((confidence > 0) & (confidence < 1))
    # It is shown, in its image; the next click goes on to the next, and so does the key.
    for row in range(3):
        assert dialog._selected_rows().tolist() == [row]
        identifier, number = dialog.model.object_at(row)
        assert dock.session.workspace.current == identifier
        qtbot.waitUntil(lambda i=identifier, n=number: dock.objects.marks._marked == (i, (n,)))
        if row < 2:
            click(qtbot, dialog.worst_button) if row == 0 else press(viewer, "Shift-W")
