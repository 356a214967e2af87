"""A large image in the window: its mask grows on disk, has a status, is painted on, exported as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from qtpy.QtCore import QPoint, Qt
from scipy import ndimage

from napari_unet.models.card import ModelCard
from napari_unet.widgets.canvas.large import large_masks, lens
from napari_unet.widgets.canvas.layer_styles import camera_of
from napari_unet.widgets.parts.preferences import Preferences
from support import hands
from support.large_masks import halved, levels_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.window
SIDE = 2048
SMALL = (700, 600)


def blobs(shape: tuple[int, int]) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shape), 4)
    return (noise * 900 + 128).clip(0, 255).astype(np.uint8)


@pytest.fixture
def image(tmp_path: Path) -> Any:
    tile = blobs((512, 512))
    array = zarr.create_array(tmp_path / "a.zarr", shape=(SIDE, SIDE), chunks=(512, 512), dtype=np.uint8)
    array[:] = np.tile(tile, (SIDE // 512, SIDE // 512))
    return array


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images from 0.1 megapixels are large, blocks are small, and so is the lens."""
    chosen = Preferences(large_megapixels=0.1, memory=0.2)
    for module in ("workbench", "dock.start_segmenting"):
        monkeypatch.setattr(f"napari_unet.widgets.{module}.read_preferences", lambda: chosen)
    monkeypatch.setattr(lens, "SIDE", 256)
    monkeypatch.setattr(lens, "STEP", 32)


@pytest.fixture
def slide(ready: Any, small_limits: None, qtbot: Any) -> Iterator[Any]:
    """The dock with a "large" image of 700 x 600 pixels."""
    ready.large.preferences = ready.large.preferences.model_copy(update={"large_megapixels": 0.1})
    ready.viewer.add_image(blobs(SMALL), name="a", contrast_limits=(0, 255))
    qtbot.waitUntil(lambda: ready.session.workspace.current == "a", timeout=5000)
    yield ready


def segment(dock: Any, qtbot: Any, scope: str = "image") -> None:
    panel = dock.segment_panel
    panel.scope_box.setCurrentIndex(panel.scope_box.findData(scope))
    hands.click(qtbot, panel.run_button)
    at_rest(dock, qtbot)


def at_rest(dock: Any, qtbot: Any) -> None:
    qtbot.waitUntil(
        lambda: (
            not dock.session.runner.busy
            and dock.large.disk is not None
            and not dock.large.disk.read_only
            and dock.large.masks.making == ""
        ),
        timeout=hands.LONG,
    )


def look_at(dock: Any, place: tuple[float, float], zoom: float) -> None:
    """Move the view, and draw it, which a window that is not shown does not do by itself."""
    camera_of(dock.viewer).center = place
    camera_of(dock.viewer).zoom = zoom
    dock.viewer.window._qt_viewer.canvas.on_draw(None)


def zoom_in(dock: Any, qtbot: Any, place: tuple[float, float] = (350, 300)) -> None:
    look_at(dock, place, 5)
    qtbot.waitUntil(lambda: dock.large.lens_is_shown and dock.large.lens.layer.visible, timeout=5000)


def drag(dock: Any, qtbot: Any, steps: int = 8) -> None:
    """Paint from the middle of the canvas to the right, with the mouse."""
    canvas = dock.viewer.window._qt_viewer.canvas.native
    start = QPoint(canvas.width() // 2, canvas.height() // 2)
    qtbot.mousePress(canvas, hands.LEFT, pos=start)
    for step in range(1, steps + 1):
        qtbot.mouseMove(canvas, start + QPoint(8 * step, 0))
        qtbot.wait(10)
    qtbot.mouseRelease(canvas, hands.LEFT, pos=start + QPoint(8 * steps, 0))


def painted(dock: Any) -> bool:
    """Whether a stroke was handed in, to its end."""
    return dock.session.workspace.row("a").status == "corrected" and not dock.large.lens._watch.touched


def pixels(dock: Any) -> np.ndarray:
    """The mask as it is on disk."""
    assert dock.large.disk.flush()
    return levels_of(dock.large.disk.path)[0]


@pytest.mark.usefixtures("small_limits")
def test_a_large_image_is_segmented_from_where_one_looks(ready: Any, image: Any, qtbot: Any) -> None:
    viewer, session = ready.viewer, ready.session
    viewer.add_image(image, name="a", contrast_limits=(0, 255))
    qtbot.waitUntil(lambda: session.workspace.current == "a", timeout=5000)
    viewer.layers["a"].corner_pixels = np.array([[1700, 1700], [SIDE - 1, SIDE - 1]])
    told: list[str] = []
    # The words are written at the same signal, just before.
    ready.work.soon.timeout.connect(lambda: told.append(ready.segment_panel.progress_words.text()))
    pieces: list[Any] = []
    grown: list[str] = []
    ready.large.masks.grew.connect(grown.append)
    run = session.runner.run

    def watched(task: Any, total: int, on_progress: Any, on_end: Any) -> Any:
        def progressed(progress: Any) -> None:
            on_progress(progress)
            if hasattr(progress.piece, "rows"):
                pieces.append(progress.piece)
                if len(pieces) == stop_after:
                    session.runner.cancel()

        return run(task, total, progressed, on_end)

    session.runner.run = watched
    stop_after = 3
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: session.runner.busy, timeout=5000)
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=120_000)
    masks = session.disk_masks.folder("a")
    first = pieces[0]
    assert first.rows.start > SIDE / 2
    assert first.columns.start > SIDE / 2
    (unfinished,) = masks.iterdir()
    assert unfinished.name.endswith(".unfinished")
    layer = ready.large.layer
    assert layer.multiscale
    # What is finished is seen on the coarsest level, too, and nothing else.
    rows, columns = (slice(p.start // 4, p.stop // 4) for p in (first.rows, first.columns))
    assert np.asarray(layer.data[2][rows, columns]).any()
    assert not np.asarray(layer.data[2][: SIDE // 16, : SIDE // 16]).any()
    qtbot.waitUntil(lambda: session.workspace.row("a").status == "segmented", timeout=5000)
    assert 0 < ready.large.disk.share < 1

    files = {path: path.stat().st_mtime_ns for path in (unfinished / "0" / "c").glob("*/*")}
    assert len(files) >= 3
    pieces.clear()
    stop_after = -1
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: session.runner.busy, timeout=5000)
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=240_000)
    (out,) = masks.iterdir()
    assert out.name.endswith(".ome.zarr")
    for path, stamp in files.items():
        assert (out / path.relative_to(unfinished)).stat().st_mtime_ns == stamp
    qtbot.waitUntil(lambda: ready.large.disk.path == out, timeout=5000)
    assert ready.large.layer is layer
    assert Path(layer.data[0].store.root) == out
    found = np.asarray(layer.data[0])
    assert 0.1 < found.mean() < 0.9
    # The image repeats itself, and so does its mask, away from the border.
    np.testing.assert_array_equal(found[512:1024, 512:1024], found[1024:1536, 512:1024])
    assert sum((p.rows.stop - p.rows.start) * (p.columns.stop - p.columns.start) for p in pieces) < SIDE**2
    assert any("Megapixels" in words and "left" in words for words in told)
    # Asked for again, it is there.
    pieces.clear()
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=20_000)
    assert not pieces
    assert [path.name for path in masks.iterdir()] == [out.name]


def test_it_has_a_status_a_count_and_a_place_that_is_told(slide: Any, qtbot: Any, tmp_path: Path) -> None:
    row, session = slide.large_mask_row, slide.session
    folder = session.disk_masks.folder("a")
    assert str(folder) in row.path.toolTip()
    assert not folder.exists()  # nothing is written unasked
    segment(slide, qtbot)
    assert session.workspace.row("a").status == "segmented"
    mask = pixels(slide)
    qtbot.waitUntil(lambda: "being" not in row.words.text(), timeout=5000)
    count = ndimage.label(mask, np.ones((3, 3)))[1]
    assert count > 10
    assert row.words.text() == f"{count:,} objects"
    assert [layer.name for layer in slide.viewer.layers] == ["a", "U-Net mask, whole"]
    # The next one goes where the person says.
    session.disk_masks.choose_folder("a", tmp_path)
    session.workspace.load_model(session.workspace.model.path.parent / "grey")
    assert session.disk_masks.folder("a") == tmp_path


@pytest.mark.usefixtures("small_limits")
def test_what_is_in_view_first_and_then_all_is_one_mask_and_exported_whole(
    ready: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    slide = ready
    slide.viewer.add_image(image[:1024, :1024], name="a", contrast_limits=(0, 255))
    qtbot.waitUntil(lambda: slide.session.workspace.current == "a", timeout=5000)
    look_at(slide, (40, 40), 12)
    segment(slide, qtbot, "view")
    part = pixels(slide)
    assert 0 < slide.large.disk.share < 1
    assert part[:100, :100].any()
    assert not part[-100:].any()
    dialog = exporting(slide, qtbot, tmp_path / "part")
    assert not dialog.run_button.isEnabled()
    assert "part" in dialog.preview.text()
    dialog.close()
    segment(slide, qtbot)
    assert slide.large.disk.share == 1
    whole = pixels(slide)
    assert whole.sum() > part.sum()
    np.testing.assert_array_equal(whole[part > 0], 1)
    ours = [layer.name for layer in slide.viewer.layers if layer.name != "a"]
    assert sorted(ours) == ["U-Net mask", "U-Net mask, whole"]
    assert sum(layer.visible for layer in slide.viewer.layers if layer.name != "a") == 1
    dialog = exporting(slide, qtbot, tmp_path / "out")
    dialog.boxes["measurements"].setChecked(True)
    dialog.boxes["ome-tiff"].setChecked(True)
    said: list[Any] = []
    slide.session.runner.succeeded.connect(said.append)
    hands.click(qtbot, dialog.run_button)
    qtbot.waitUntil(lambda: bool(said), timeout=hands.LONG)
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    np.testing.assert_array_equal(tifffile.imread(written["a_mask.tif"]), whole)
    np.testing.assert_array_equal(tifffile.imread(written["a_mask.ome.tif"]), whole)
    rows = written["measurements.csv"].read_text().splitlines()
    assert len(rows) - 1 == ndimage.label(whole, np.ones((3, 3)))[1]


def exporting(dock: Any, qtbot: Any, folder: Path) -> Any:
    hands.click(qtbot, dock.review_panel.edit_bar.export_button)
    dialog = dock.review_panel.edit_bar.export_dialog
    dialog.scope_box.setCurrentIndex(dialog.scope_box.findData("image"))
    dialog.folder_edit.setText(str(folder))
    return dialog


def test_threshold_and_minimum_size_make_the_mask_again(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    first = pixels(slide)
    panel = slide.segment_panel
    panel.threshold.setValue(0.6)
    qtbot.waitUntil(lambda: slide.large.disk.state.get("threshold") == 0.6, timeout=hands.LONG)
    at_rest(slide, qtbot)
    higher = pixels(slide)
    assert higher.sum() < first.sum()
    assert not higher[first == 0].any()
    pieces, _ = ndimage.label(higher, np.ones((3, 3)))
    areas = np.bincount(pieces.ravel())
    panel.minimum_size.setValue(60)
    qtbot.waitUntil(lambda: slide.large.disk.state.get("minimum_size") == 60, timeout=hands.LONG)
    at_rest(slide, qtbot)
    large = pixels(slide)
    np.testing.assert_array_equal(large, higher * (areas >= 60)[pieces])
    assert slide.large_mask_row.words.text() == f"{(areas[1:] >= 60).sum():,} objects"
    panel.minimum_size.setValue(0)
    panel.threshold.setValue(0.5)
    qtbot.waitUntil(lambda: slide.large.disk.state.get("threshold") == 0.5, timeout=hands.LONG)
    at_rest(slide, qtbot)
    np.testing.assert_array_equal(pixels(slide), first)


def test_a_stroke_through_the_lens_is_on_disk_on_all_levels_and_undone(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    before = pixels(slide)
    zoom_in(slide, qtbot)
    layer = slide.large.lens.layer
    assert layer.name == "U-Net mask"
    assert layer.data.shape == (256, 256)
    assert not slide.large.layer.visible
    hands.press(layer, "0")
    assert layer.mode == "paint"
    layer.brush_size = 12
    drag(slide, qtbot)
    qtbot.waitUntil(lambda: painted(slide), timeout=1000)
    after = pixels(slide)
    assert (after != before).sum() > 30
    rows, columns = np.nonzero(after != before)
    row, column = slide.viewer.cursor.position  # where the mouse was let go
    assert abs(rows.mean() - row) < 8
    assert column - 30 < columns.min() < columns.max() < column + 8
    top, left, bottom, right = slide.large.lens.crop.box
    np.testing.assert_array_equal(layer.data, after[top:bottom, left:right])
    for found, wanted in zip(levels_of(slide.large.disk.path), halved(after, 3), strict=False):
        np.testing.assert_array_equal(found, wanted)
    # The view moves on, the lens with it, and what was painted is there when it comes back.
    zoom_in(slide, qtbot, (100, 100))
    qtbot.waitUntil(lambda: slide.large.lens.crop.box[0] < 64, timeout=5000)
    top, left, bottom, right = slide.large.lens.crop.box
    np.testing.assert_array_equal(layer.data, after[top:bottom, left:right])
    np.testing.assert_array_equal(layer.translate, [top, left])
    hands.press(layer, "Ctrl-Z")
    qtbot.waitUntil(lambda: slide.session.workspace.row("a").status == "segmented", timeout=5000)
    np.testing.assert_array_equal(pixels(slide), before)


def test_done_and_mending_work_on_it(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    zoom_in(slide, qtbot)
    before = pixels(slide)
    slide.mask_editing.edit("fill")
    after = pixels(slide)
    top, left, bottom, right = slide.large.lens.crop.box
    inside = np.zeros(before.shape, bool)
    inside[top:bottom, left:right] = True
    assert (after > before).any()
    assert not (after != before)[~inside].any()
    hands.click(qtbot, slide.review_panel.edit_bar.done_button)
    assert slide.session.workspace.row("a").status == "done"
    told: list[str] = []
    slide.session.runner.failed.connect(lambda sentence, _: told.append(sentence))
    slide.segment_panel.run_button.click()
    assert not slide.session.runner.busy
    assert "not done" in told[0]


def test_objects_are_deleted_and_split_through_the_lens(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    zoom_in(slide, qtbot)
    before, crop = pixels(slide), slide.large.lens.crop
    top, left, bottom, right = crop.box
    pieces, _ = ndimage.label(before[top:bottom, left:right], np.ones((3, 3)))
    edge = {*pieces[0], *pieces[-1], *pieces[:, 0], *pieces[:, -1]}
    whole = [n for n in range(1, int(pieces.max()) + 1) if n not in edge and (pieces == n).sum() > 60]
    inside = np.argwhere(pieces == whole[0])
    row, column = inside[len(inside) // 2]
    slide.viewer.cursor.position = tuple(slide.large.lens.layer.data_to_world((row, column)))
    hands.press(slide.viewer, "R")
    gone = before != pixels(slide)
    wanted = np.zeros(before.shape, bool)
    wanted[top:bottom, left:right] = pieces == whole[0]
    np.testing.assert_array_equal(gone, wanted)
    hands.press(slide.large.lens.layer, "Ctrl-Z")
    np.testing.assert_array_equal(pixels(slide), before)
    # A cut leaves two pieces, and a line of background between them.
    qtbot.waitUntil(lambda: np.array_equal(slide.large.lens.crop.mask, before[top:bottom, left:right]))
    middle = round(float(inside[:, 1].mean()))
    ends = inside[:, 0].min() - 3, inside[:, 0].max() + 3
    slide.objects.tools._stroke("split", np.array([(ends[0], middle), (ends[1], middle)], np.float64))
    cut = np.argwhere(before != pixels(slide)) - (top, left)
    assert set(cut[:, 1]) == {middle}
    assert {pieces[tuple(place)] for place in cut} == {whole[0]}


def canvas_place(dock: Any, y: float, x: float) -> QPoint:
    """Where a pixel of the image is on the canvas, in pixels of the screen."""
    drawn = dock.viewer.window._qt_viewer.canvas
    drawn.on_draw(None)
    first, far = (np.array(drawn._map_canvas2world(place, drawn.view)[-2:]) for place in ((0, 0), (100, 100)))
    row, column = (np.array((y, x)) - first) / (far - first) * 100
    return QPoint(round(column), round(row))


def stroke(dock: Any, qtbot: Any, start: np.ndarray, end: np.ndarray, steps: int = 10) -> None:
    """Draw from one pixel of the image to another, with the mouse."""
    canvas = dock.viewer.window._qt_viewer.canvas.native
    places = [canvas_place(dock, *(start + (end - start) * n / steps)) for n in range(steps + 1)]
    qtbot.mousePress(canvas, hands.LEFT, pos=places[0])
    for place in places[1:]:
        qtbot.mouseMove(canvas, place)
        qtbot.wait(2)
    qtbot.mouseRelease(canvas, hands.LEFT, pos=places[-1])


def draw(dock: Any, qtbot: Any, drawn: np.ndarray) -> None:
    """Have a mask on disk, and in the lens."""
    disk = dock.large.disk
    disk.paint(pixels(dock), drawn, (0, 0))
    dock.large.lens.reload()
    shown(dock, qtbot, drawn)


def shown(dock: Any, qtbot: Any, mask: np.ndarray) -> None:
    """Wait until the lens shows this mask, which is on disk."""
    top, left, bottom, right = dock.large.lens.crop.box
    part = mask[top:bottom, left:right]
    qtbot.waitUntil(lambda: np.array_equal(dock.large.lens.crop.mask, part), timeout=5000)
    np.testing.assert_array_equal(pixels(dock), mask)


def test_objects_of_a_slide_are_merged_cut_and_deleted_by_mouse(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    box = slide.segment_panel.show_box
    box.setCurrentIndex(1)
    box.activated.emit(1)
    zoom_in(slide, qtbot)
    row = slide.objects.row
    assert not row.isHidden()
    assert row.words.isHidden()
    assert not row.table_button.isHidden()
    start = pixels(slide)
    start[330:380, 270:330] = 0
    start[340:350, 285:295] = start[340:350, 305:315] = start[356:366, 290:310] = 1
    draw(slide, qtbot, start)

    # One stroke from one object into another: the gap is filled, three pixels high, and nothing else.
    hands.click(qtbot, row.tool_buttons["merge"])
    stroke(slide, qtbot, np.array((345, 290)), np.array((345, 310)))
    merged = start.copy()
    merged[344:347, 295:305] = 1
    shown(slide, qtbot, merged)
    # One stroke across an object: a line of background.
    hands.click(qtbot, row.tool_buttons["split"])
    stroke(slide, qtbot, np.array((352, 300)), np.array((370, 300)))
    cut = merged.copy()
    cut[356:366, 300] = 0
    shown(slide, qtbot, cut)
    # One click: it is gone, with what was merged into it.
    hands.click(qtbot, row.tool_buttons["delete"])
    canvas = slide.viewer.window._qt_viewer.canvas.native
    qtbot.mouseClick(canvas, hands.LEFT, pos=canvas_place(slide, 345, 310))
    gone = cut.copy()
    gone[340:350, 285:315] = 0
    shown(slide, qtbot, gone)
    # Each is undone on its own.
    for mask in (cut, merged, start):
        hands.press(slide.large.lens.layer, "Ctrl-Z")
        shown(slide, qtbot, mask)


def test_an_object_that_reaches_beyond_the_lens_is_deleted_whole(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    zoom_in(slide, qtbot)
    crop = slide.large.lens.crop
    clean = pixels(slide)
    clean[340:361] = 0
    drawn = clean.copy()
    drawn[345:356, 20:580] = 1  # wider than the lens, which is 256 pixels
    assert crop.box[1] > 20
    assert crop.box[3] < 580
    draw(slide, qtbot, drawn)
    slide.viewer.cursor.position = (350.0, 300.0)
    hands.press(slide.viewer, "R")
    shown(slide, qtbot, clean)


def test_corrections_are_there_in_the_next_session(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    zoom_in(slide, qtbot)
    layer = slide.large.lens.layer
    hands.press(layer, "0")
    layer.brush_size = 12
    drag(slide, qtbot)
    qtbot.waitUntil(lambda: painted(slide), timeout=1000)
    after = pixels(slide)
    # As if the program was started again: nothing of the image is known.
    data = slide.viewer.layers["a"].data
    slide.viewer.layers.clear()
    qtbot.wait(50)
    slide.session.disk_masks._asked.clear()
    slide.viewer.add_image(data, name="a", contrast_limits=(0, 255))
    qtbot.waitUntil(lambda: slide.large.disk is not None, timeout=5000)
    assert slide.session.workspace.row("a").status == "corrected"
    np.testing.assert_array_equal(pixels(slide), after)


@pytest.mark.usefixtures("small_limits")
def test_who_goes_to_another_image_finds_the_mask_where_it_belongs(
    ready: Any, image: Any, qtbot: Any
) -> None:
    viewer, session = ready.viewer, ready.session
    viewer.add_image(image, name="a", contrast_limits=(0, 255))
    viewer.add_image(image[:300, :300], name="b", contrast_limits=(0, 255))
    qtbot.waitUntil(
        lambda: session.workspace.collection is not None and len(session.workspace.collection) == 2,
        timeout=5000,
    )
    session.workspace.select("a")
    qtbot.waitUntil(lambda: session.workspace.current == "a", timeout=5000)
    begun: list[str] = []

    def leave(identifier: str, path: Path) -> None:
        begun.append(identifier)
        session.workspace.select("b")  # before anything of the mask is there

    session.disk_masks.begun.connect(leave)
    ready.segment_panel.run_button.click()
    qtbot.waitUntil(lambda: session.runner.busy, timeout=5000)
    qtbot.waitUntil(lambda: not session.runner.busy, timeout=240_000)
    assert begun == ["a"]
    assert session.workspace.current == "b"
    qtbot.waitUntil(lambda: session.workspace.row("a").status == "segmented", timeout=5000)
    assert session.workspace.row("b").status == "new"
    assert not [one for one in viewer.layers if one.name.startswith("U-Net mask")]
    (out,) = session.disk_masks.folder("a").iterdir()
    session.workspace.select("a")
    (layer,) = [one for one in viewer.layers if one.name == "U-Net mask, whole"]
    assert Path(layer.data[0].store.root) == out
    assert layer.data[0].shape == (SIDE, SIDE)


def test_models_that_see_an_image_as_a_whole_do_not_go_by_blocks(tiny_models: dict[str, Path]) -> None:
    card = ModelCard.read(tiny_models["grey"])
    plain = card.recipe.inference
    assert large_masks.goes_by_blocks(card, plain)
    assert not large_masks.goes_by_blocks(card, plain.model_copy(update={"refinement": 0.5}))
    members = {"ensemble": {"members": ["a", "b"], "weights": [0.5, 0.5]}}
    assert large_masks.goes_by_blocks(replace(card, provenance=members), plain)

    def with_network(**changes: Any) -> ModelCard:
        network = card.recipe.network.model_copy(update=changes)
        return replace(card, recipe=card.recipe.model_copy(update={"network": network}))

    assert large_masks.goes_by_blocks(with_network(name="mask_rcnn", separation="objects"), plain)
    present = with_network(presence=True)
    assert large_masks.goes_by_blocks(present, plain)
    assert not large_masks.goes_by_blocks(present, plain.model_copy(update={"least_presence": 0.5}))


def test_the_table_of_objects_and_a_large_image_are_tied_both_ways(slide: Any, qtbot: Any) -> None:
    segment(slide, qtbot)
    panel, objects = slide.segment_panel, slide.objects
    qtbot.keyClick(panel.show_box, Qt.Key.Key_Down)  # objects, not classes
    assert slide.canvas.as_objects
    qtbot.waitUntil(lambda: objects.row.isVisibleTo(panel), timeout=5000)
    assert objects.dialog is None
    assert slide.session.objects.latest("a") is None  # measured once its table is wanted
    assert not objects.row.table_button.isHidden()
    hands.click(qtbot, objects.row.table_button)
    dialog: Any = objects.dialog
    qtbot.waitUntil(lambda: dialog.model.rowCount() > 0, timeout=hands.LONG)
    mask = pixels(slide)
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    assert dialog.model.rowCount() == count == slide.session.disk_masks.objects("a")
    assert dialog.model.values("area_px").sum() == np.count_nonzero(mask)
    assert np.isfinite(dialog.model.values("intensity_mean")).all()
    # A click on a row brings its object into the middle, with an outline.
    place = dialog.view.visualRect(dialog.model.index(3, 1)).center()
    qtbot.mouseClick(dialog.view.viewport(), hands.LEFT, pos=place)
    marks = objects.marks
    qtbot.waitUntil(lambda: marks.layer is not None and marks.layer.visible, timeout=5000)
    centre = dialog.model.values("centroid_y_px")[3], dialog.model.values("centroid_x_px")[3]
    assert np.allclose(camera_of(slide.viewer).center[-2:], centre, atol=0.6)
    inside = np.argwhere(marks.layer.data) + np.round(marks.layer.translate[-2:]).astype(int)
    number = {int(pieces[y, x]) for y, x in inside}
    assert len(number) == 1
    assert len(inside) == np.count_nonzero(pieces == number.pop()) == dialog.model.values("area_px")[3]
    # A click on an object selects its row.
    y, x = np.argwhere(mask)[-1]
    marks.picked.emit("a", marks.number_at(int(y), int(x)))
    assert len(dialog._selected_rows()) == 1
    row = int(dialog._selected_rows()[0])
    assert dialog.model.values("area_px")[row] == np.count_nonzero(pieces == pieces[y, x])
    dialog.close()
