from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog
from tifffile import imwrite

from napari_unet.inference.postprocess import connected_objects
from napari_unet.widgets.canvas import layer_styles
from napari_unet.widgets.canvas.images.layer_images import OURS
from napari_unet.widgets.canvas.layer_styles import camera_of
from napari_unet.workflow.segment.prediction import Region
from support.hands import LEFT, click, mask_in_view, pixels_in_view, segment, settled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]

PLUGIN = "napari-unet-workbench"


def picture(seed: int = 0, shape: tuple[int, ...] = (48, 40), dtype: Any = np.uint8) -> Any:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def painted(layer: Any, box: tuple[slice, slice], label: int = 1) -> None:
    """Paint as a brush does: one stroke that can be undone."""
    indices = tuple(i.ravel() for i in np.mgrid[box])
    layer.data_setitem(indices, np.full(len(indices[0]), label, layer.dtype))


def row_of(dock: Any, identifier: str) -> Any:
    return dock.session.workspace.row(identifier)


def click_row(dock: Any, qtbot: Any, identifier: str) -> None:
    view = dock.images.table.view
    place = view.visualRect(view.index_of(identifier)).center()
    qtbot.mouseClick(view.viewport(), LEFT, pos=place)


def iou_by_hand(truth: Any, mask: Any) -> float:
    either = ((truth > 0) | (mask > 0)).sum()
    return float(((truth > 0) & (mask > 0)).sum() / either) if either else 1.0


def reference_of(dock: Any, identifier: str) -> Any:
    return dock.session.workspace.collection.entries[identifier].sample.read_mask().labels


# states without images, without a model


def test_an_empty_window_says_what_to_do(dock: Any, qtbot: Any) -> None:
    assert "Open a data set above" in dock.images.table.message.text()
    assert not dock.segment_panel.run_button.isEnabled()
    assert "Open a model" in dock.segment_panel.about.text()
    assert dock.segment_panel.run_button.toolTip() == "Open a model first."
    assert dock.segment_panel.mask_part.isHidden()
    assert not dock.review_panel.empty.isHidden()
    assert dock.review_panel.histogram.isHidden()
    for key in ("segment", "look", "open"):
        dock.start(key)


def test_keys_do_no_harm_in_an_empty_window(dock: Any, viewer: Any, notifications: list[Any]) -> None:
    from napari_unet.widgets.parts.keys import KEYS

    for key in KEYS:
        viewer.keymap[next(k for k in viewer.keymap if str(k) == key.replace("-", "+"))](viewer)
    assert [str(n.message) for n in notifications] == ["Open a model first."]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.czi", "run: pip install 'napari-unet-workbench[microscopes]', or export it as OME-TIFF in Fiji"),
        ("a.oir", "export it as OME-TIFF in the program of the microscope, or in Fiji"),
        ("a.md", "is not an image"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(
    dock: Any, tmp_path: Path, notifications: list[Any], name: str, remedy: str
) -> None:
    (tmp_path / name).write_bytes(b"no image")
    dock.images.open_paths([str(tmp_path / name)])
    (said,) = notifications
    assert name in said.message
    assert remedy in said.message


def test_a_dock_that_closes_leaves_the_keys_of_another_plugin(dock: Any, viewer: Any) -> None:
    def other(viewer: Any) -> None: ...

    viewer.bind_key("S", other, overwrite=True)
    dock.shut_down()
    assert list(viewer.keymap.values()) == [other]
    viewer.bind_key("S", None, overwrite=True)


def test_a_model_is_opened_and_described(ready: Any, qtbot: Any, viewer: Any) -> None:
    panel = ready.segment_panel
    assert panel.model_box.currentText() == "grey"
    assert "12 images" in panel.about.text()
    assert "validation IoU 0.50" in panel.about.text()
    assert panel.run_button.toolTip() == "Open images first."
    viewer.add_image(picture())
    qtbot.waitUntil(panel.run_button.isEnabled)
    panel.scope_box.setCurrentIndex(panel.scope_box.findData("selected"))
    ready.images.table.select([])
    assert not panel.run_button.isEnabled()
    assert panel.run_button.toolTip() == "Select rows in the list first."


def test_what_is_no_model_is_told(
    dock: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notifications: list[Any]
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    dock.segment_panel.model_button.menu().actions()[0].trigger()
    assert "There is no model in" in notifications[0].message


# lists of images


def test_a_data_set_is_listed(dock: Any, viewer: Any, salt_folder: Path, qtbot: Any) -> None:
    images, _ = viewer.open(str(salt_folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 30)
    assert dock.images.hint.whole_text() == images.name
    assert (
        dock.session.workspace.current
        == dock.images.table.current_id()
        == dock.session.workspace.collection.ids[0]
    )
    identifier = dock.session.workspace.collection.ids[3]
    click_row(dock, qtbot, identifier)
    assert dock.session.workspace.current == identifier
    assert viewer.dims.current_step[0] == 3
    viewer.dims.set_current_step(0, 5)
    assert (
        dock.session.workspace.current
        == dock.images.table.current_id()
        == dock.session.workspace.collection.ids[5]
    )


def lazy(array: Any) -> Any:
    import dask.array as da

    return da.from_array(array, chunks=(1, *array.shape[1:]))


LAYERS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "grey": (lambda: picture(), {}, 1),
    "colour": (lambda: picture(0, (48, 40, 3)), {"rgb": True}, 1),
    "stack": (lambda: picture(0, (3, 48, 40)), {}, 3),
    "time and depth": (lambda: picture(0, (2, 3, 48, 40)), {}, 6),
    "colour stack": (lambda: picture(0, (2, 48, 40, 4)), {"rgb": True}, 2),
    "uint16": (lambda: picture(0, (48, 40), np.uint16) * 200, {}, 1),
    "with NaN": (lambda: np.where(picture() < 20, np.nan, picture().astype(np.float32)), {}, 1),
    "all NaN": (lambda: np.full((48, 40), np.nan, np.float32), {"contrast_limits": (0, 1)}, 1),
    "constant": (lambda: np.full((48, 40), 7, np.uint8), {}, 1),
    "one pixel": (lambda: np.full((1, 1), 7, np.uint8), {}, 1),
    "one row": (lambda: picture(0, (1, 90)), {}, 1),
    "bool": (lambda: picture() > 99, {}, 1),
    "signed": (lambda: picture(0, (48, 40), np.int16) - 100, {}, 1),
    "dask": (lambda: lazy(picture(0, (3, 48, 40))), {}, 3),
    "pyramid": (lambda: [picture(0, (96, 80)), picture(0, (96, 80))[::2, ::2]], {"multiscale": True}, 1),
    "scaled": (lambda: picture(), {"scale": (0.5, 2), "translate": (5, -3), "rotate": 30}, 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_any_layer_is_listed_slice_by_slice_and_segmented(
    ready: Any, viewer: Any, qtbot: Any, kind: str, notifications: list[Any]
) -> None:
    make, options, count = LAYERS[kind]
    layer = viewer.add_image(make(), name="picture", **options)
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == count)
    ids = ready.session.workspace.collection.ids
    assert ids[0].startswith("picture")
    segment(ready, qtbot, "all")
    assert [str(n.message) for n in notifications] == []
    assert {r.status for r in ready.session.workspace.rows()} == {"segmented"}, [
        r.problem for r in ready.session.workspace.rows()
    ]
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    mask = ready.canvas.mask_layer
    assert mask.data.shape == (shape[:-1] if layer.rgb else shape)  # stack in, stack out
    in_view = ready.session.workspace.mask(ready.session.workspace.current)
    np.testing.assert_array_equal(mask_in_view(ready), in_view)
    np.testing.assert_allclose(mask.scale, layer.scale)
    np.testing.assert_allclose(mask.translate, layer.translate)
    for identifier in ids[1:]:
        ready.session.workspace.select(identifier)
        np.testing.assert_array_equal(mask_in_view(ready), ready.session.workspace.mask(identifier))
    step = viewer.dims.current_step[: viewer.dims.ndim - 2]
    assert ids[-1] == "picture" or ids[-1] == f"picture [{', '.join(str(int(s)) for s in step)}]"


def test_several_layers_are_one_list_and_the_one_at_hand_is_seen(ready: Any, viewer: Any, qtbot: Any) -> None:
    first, second = viewer.add_image(picture(1), name="a"), viewer.add_image(picture(2, (30, 30)), name="b")
    qtbot.waitUntil(lambda: [r.id for r in ready.session.workspace.rows()] == ["a", "b"])
    assert ready.session.workspace.current == "b"
    click_row(ready, qtbot, "a")
    settled(ready, qtbot)
    assert (first.visible, second.visible) == (True, False)
    assert ready.session.workspace.current == "a"
    segment(ready, qtbot)
    assert ready.canvas.mask_layer.data.shape == (48, 40)
    assert row_of(ready, "b").status == "new"


def test_images_of_several_sizes_and_colours_are_browsed(
    ready: Any, viewer: Any, qtbot: Any, nuclei_folder: Path, notifications: list[Any]
) -> None:
    viewer.open(str(nuclei_folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 7)
    shapes = set()
    for identifier in ready.session.workspace.collection.ids:
        click_row(ready, qtbot, identifier)
        qtbot.wait(10)
        assert ready.session.workspace.current == identifier
        image = ready.session.workspace.collection.image(identifier)
        np.testing.assert_array_equal(np.squeeze(ready.image_source.layer.data), np.squeeze(image))
        shapes.add(ready.image_source.layer.data.shape)
    assert len(shapes) > 1
    segment(ready, qtbot)
    assert ready.canvas.mask_layer.data.shape == image.shape[:2]
    click_row(ready, qtbot, ready.session.workspace.collection.ids[0])
    settled(ready, qtbot)
    assert ready.canvas.mask_layer.data.shape == ready.image_source.layer.data.shape[:2]
    assert not ready.canvas.mask_layer.data.any()
    assert [str(n.message) for n in notifications] == []


def test_an_image_of_another_size_fits_the_canvas(
    ready: Any, viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    sizes = {"a": (300, 400, 3), "b": (60, 50, 3), "c": (60, 50), "d": (400, 300, 3)}
    for name, shape in sizes.items():
        imwrite(tmp_path / f"{name}.tif", picture(1, shape))
    viewer.open(str(tmp_path), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 4)
    segment(ready, qtbot)
    for name in ("b", "a", "b", "c", "d", "a"):
        click_row(ready, qtbot, name)
        settled(ready, qtbot)
        assert ready.canvas.mask_layer.data.shape == sizes[name][:2]
        width, height = viewer.window._qt_viewer.canvas.size
        fits = min(height / sizes[name][0], width / sizes[name][1])
        qtbot.waitUntil(lambda fits=fits: camera_of(viewer).zoom == pytest.approx(fits * 0.95, rel=0.02))
        middle = [(n - 1) / 2 for n in sizes[name][:2]]
        np.testing.assert_allclose(camera_of(viewer).center[-2:], middle, atol=1)


def test_layers_called_as_slices_are_have_ids_of_their_own(ready: Any, viewer: Any, qtbot: Any) -> None:
    stack = viewer.add_image(picture(0, (2, 48, 40)), name="p")
    flat = viewer.add_image(picture(1), name="p [0]")
    again = viewer.add_image(picture(2), name="p")
    assert again.name == "p [1]"  # so napari calls it
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 4)
    settled(ready, qtbot)
    ids = ready.session.workspace.collection.ids
    assert ids == ("p [0]", "p [1]", "p [0] (2)", "p [1] (2)")
    segment(ready, qtbot, "all")
    images = (stack.data[0], stack.data[1], flat.data, again.data)
    for identifier, data in zip(ids, images, strict=True):
        np.testing.assert_array_equal(ready.session.workspace.collection.image(identifier)[..., 0], data)
        assert row_of(ready, identifier).status == "segmented"
    ready.image_source.follow()
    assert {r.status for r in ready.session.workspace.rows()} == {"segmented"}
    click_row(ready, qtbot, "p [0] (2)")
    stroke(ready.canvas.mask_layer)
    wanted = ready.canvas.mask_layer.data.copy()
    stack.name = "q"
    qtbot.waitUntil(lambda: ready.session.workspace.collection.ids == ("q [0]", "q [1]", "p [0]", "p [1]"))
    np.testing.assert_array_equal(ready.session.workspace.mask("p [0]"), wanted)


def test_the_tiles_of_the_preferences_count_at_once(
    ready: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.widgets.dock import start_segmenting
    from napari_unet.widgets.parts.preferences import Preferences

    viewer.add_image(picture(), name="p")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "p")
    monkeypatch.setattr(start_segmenting, "read_preferences", lambda: Preferences(tile_size=32))
    segment(ready, qtbot)
    assert ready.session.workspace.tile == 32
    task = ready.session.runner.engine.jobs[-1].task
    assert (task.settings.tile, ready.session.workspace.inference.tile) == (32, 64)


# what is segmented


def test_a_part_in_view_alone_is_segmented(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(picture(0, (200, 200)), name="large")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "large")
    layer = viewer.layers["large"]
    layer.corner_pixels = np.array([[0, 0], [199, 199]])  # as napari tells it: the last one is in view
    segment(ready, qtbot, "view")
    (whole,) = ready.session.workspace.collection.entries["large"].prediction.regions
    assert whole == Region(0, 0, 200, 200)
    assert ready.canvas.mask_layer.data.shape == (200, 200)
    ready.session.workspace.choose_model(None)
    ready.session.workspace.choose_model(next(iter(ready.session.workspace.models.values())))
    layer.corner_pixels = np.array([[20, 10], [79, 89]])
    segment(ready, qtbot, "view")
    prediction = ready.session.workspace.collection.entries["large"].prediction
    (region,) = prediction.regions
    assert region == Region(20, 10, 80, 90)
    kept = np.asarray(prediction.probabilities())[..., 0] > 0
    assert kept[region.slices].all()
    kept[region.slices] = False
    assert not kept.any()
    assert ready.canvas.mask_layer.data.shape == (200, 200)


def test_selected_rows_alone_are_segmented(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(picture(0, (5, 32, 32)), name="s")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 5)
    ready.images.table.select(["s [1]", "s [3]"])
    panel = ready.segment_panel
    assert "Selected rows (2)" in [panel.scope_box.itemText(n) for n in range(panel.scope_box.count())]
    segment(ready, qtbot, "selected")
    done = [r.id for r in ready.session.workspace.rows() if r.status == "segmented"]
    assert done == ["s [1]", "s [3]"]


def test_a_misfit_of_channels_is_explained_before_the_run(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    viewer.add_image(picture(0, (32, 32, 3)), rgb=True, name="colour")
    dock.session.workspace.load_model(tiny_models["colour"])
    panel = dock.segment_panel
    qtbot.waitUntil(lambda: "this one has 3" in panel.run_button.toolTip())
    assert "this one has 3" in panel.about.text()
    assert not panel.run_button.isEnabled()
    assert "border" in panel.model_box.styleSheet()
    dock.session.workspace.load_model(tiny_models["grey"])
    assert panel.run_button.isEnabled()
    assert not panel.model_box.styleSheet()


# the mask


@pytest.fixture
def salt(ready: Any, viewer: Any, salt_folder: Path, qtbot: Any) -> Any:
    """The dock with the salt set, its first image segmented."""
    viewer.open(str(salt_folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 30)
    segment(ready, qtbot)
    return ready


def test_the_threshold_moves_the_mask_at_once(salt: Any, qtbot: Any) -> None:
    session, panel, current = salt.session, salt.segment_panel, salt.session.workspace.current
    assert not panel.mask_part.isHidden()
    panel.threshold.setValue(0.2)
    low = salt.canvas.mask_layer.data.sum()
    panel.threshold.setValue(0.8)
    high = salt.canvas.mask_layer.data.sum()
    assert 0 < high < low
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, session.workspace.mask(current))
    truth = reference_of(salt, current)
    assert row_of(salt, current).iou == pytest.approx(iou_by_hand(truth, salt.canvas.mask_layer.data))
    panel.minimum_size.setFocus()
    panel.minimum_size.selectAll()
    qtbot.keyClicks(panel.minimum_size, "9999")
    qtbot.keyClick(panel.minimum_size, Qt.Key.Key_Return)
    assert not salt.canvas.mask_layer.data.any()
    settled(salt, qtbot)  # others are scored at rest


def test_classes_and_objects(salt: Any, qtbot: Any) -> None:
    classes = salt.canvas.mask_layer.data.copy()
    box = salt.segment_panel.show_box
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Down)
    objects = salt.canvas.mask_layer.data
    # Each piece its own number, in order; one in 49 is left out: its colour is that of ignored pixels.
    numbers, pieces = np.unique(objects, return_inverse=True)
    np.testing.assert_array_equal(pieces.reshape(objects.shape), connected_objects(classes))
    assert not any((int(n) - 1_000_000) % 49 == 0 for n in numbers)
    # An object painted again is foreground, and one that is erased is not.
    painted(salt.canvas.mask_layer, np.s_[0:5, 0:5], int(objects.max()) + 1)
    settled(salt, qtbot)
    assert row_of(salt, salt.session.workspace.current).status == "corrected"
    wanted = classes.copy()
    wanted[0:5, 0:5] = 1
    np.testing.assert_array_equal(salt.session.workspace.mask(salt.session.workspace.current), wanted)
    qtbot.keyClick(box, Qt.Key.Key_Up)
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)


def stroke(layer: Any) -> None:
    painted(layer, np.s_[10:30, 20:38])


def stroke_in_view(dock: Any) -> None:
    """The same in the slice of a stack that is in view."""
    rows, columns = (i.ravel() for i in np.mgrid[10:30, 20:38])
    layer = dock.canvas.mask_layer
    layer.data_setitem(pixels_in_view(dock, rows, columns), np.full(len(rows), 1, layer.dtype))


def brush(layer: Any) -> None:
    layer.brush_size = 15
    layer.paint((30, 30), 1)


def bucket(layer: Any) -> None:
    outside = tuple(np.argwhere(layer.data == 0)[0])
    layer.fill(outside, 1)


def polygon(layer: Any) -> None:
    layer.paint_polygon(np.array([[5.0, 5.0], [5.0, 60.0], [50.0, 60.0]]), 1)


def erase(layer: Any) -> None:
    layer.mode = "erase"
    inside = np.argwhere(layer.data == 1)[0]
    layer.brush_size = 9
    layer.paint(tuple(inside), 0)


def in_place(layer: Any) -> None:
    layer.data[40:60] = 1
    layer.refresh()


def replaced(layer: Any) -> None:
    layer.data = 1 - layer.data


@pytest.mark.parametrize("how", [stroke, brush, bucket, polygon, erase, in_place, replaced])
def test_painting_is_a_correction_however_it_is_done(salt: Any, qtbot: Any, how: Any) -> None:
    session, current, layer = salt.session, salt.session.workspace.current, salt.canvas.mask_layer
    predicted = layer.data.copy()
    how(layer)
    wanted = salt.canvas.mask_layer.data.copy()
    assert (wanted != predicted).any()
    settled(salt, qtbot)
    assert row_of(salt, current).status == "corrected"
    np.testing.assert_array_equal(session.workspace.mask(current), wanted)
    truth = reference_of(salt, current)
    assert row_of(salt, current).iou == pytest.approx(iou_by_hand(truth, wanted))
    assert f"{iou_by_hand(truth, wanted):.3f}" in salt.review_panel.image_score.text()
    assert "corrected" in layer_styles.text_overlay(salt.viewer).text
    # To another image and back.
    qtbot.mouseClick(salt.review_panel.next_button, LEFT)
    assert session.workspace.current != current
    assert not salt.canvas.mask_layer.data.any()
    qtbot.mouseClick(salt.review_panel.previous_button, LEFT)
    assert session.workspace.current == current
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)


def test_a_stroke_just_before_going_on_is_kept(salt: Any, qtbot: Any) -> None:
    first = salt.session.workspace.current
    stroke(salt.canvas.mask_layer)
    wanted = salt.canvas.mask_layer.data.copy()
    salt.step(1)  # at once
    np.testing.assert_array_equal(salt.session.workspace.mask(first), wanted)
    assert row_of(salt, salt.session.workspace.current).status == "new"


def test_a_scripted_edit_that_nobody_was_told_of_is_found_before_going_on(salt: Any, qtbot: Any) -> None:
    session, first = salt.session, salt.session.workspace.current
    salt.canvas.mask_layer.data[40:60] = 1  # no event comes of it
    wanted = np.asarray(salt.canvas.mask_layer.data).copy()
    settled(salt, qtbot)
    click(qtbot, salt.review_panel.next_button)
    np.testing.assert_array_equal(session.workspace.mask(first), wanted)
    assert row_of(salt, first).status == "corrected"


def test_undo_after_a_new_prediction_writes_nothing_stale(
    salt: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    layer, current = salt.canvas.mask_layer, salt.session.workspace.current
    stroke(layer)
    settled(salt, qtbot)
    salt.session.painting.revert(current)
    salt.session.workspace.load_model(tiny_models["classes"])
    segment(salt, qtbot)
    newer = np.asarray(layer.data).copy()
    assert newer.max() == 2
    for step in (layer.undo, layer.redo):
        step()
        settled(salt, qtbot)
        np.testing.assert_array_equal(layer.data, newer)
        assert row_of(salt, current).status == "segmented"


def test_undo_in_a_stack_reaches_no_slice_that_is_not_shown(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(picture(0, (3, 64, 40)), name="s")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 3)
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: ready.session.workspace.current == "s [0]")
    segment(ready, qtbot, "all")
    layer = ready.canvas.mask_layer
    stroke_in_view(ready)
    painted_first = mask_in_view(ready).copy()
    viewer.dims.set_current_step(0, 1)  # the slider, before the stroke was looked at
    qtbot.waitUntil(lambda: ready.session.workspace.current == "s [1]")
    second = mask_in_view(ready).copy()
    layer.undo()
    settled(ready, qtbot)
    np.testing.assert_array_equal(mask_in_view(ready), second)
    np.testing.assert_array_equal(ready.session.workspace.mask("s [0]"), painted_first)
    stroke_in_view(ready)
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: ready.session.workspace.current == "s [0]")
    layer.undo()
    settled(ready, qtbot)
    np.testing.assert_array_equal(mask_in_view(ready), painted_first)
    assert [r.status for r in ready.session.workspace.rows()] == ["corrected", "corrected", "segmented"]


def test_undo_takes_a_correction_back(salt: Any, qtbot: Any) -> None:
    layer, current = salt.canvas.mask_layer, salt.session.workspace.current
    predicted = layer.data.copy()
    stroke(layer)
    settled(salt, qtbot)
    layer.undo()
    settled(salt, qtbot)
    assert row_of(salt, current).status == "segmented"
    np.testing.assert_array_equal(layer.data, predicted)
    layer.redo()
    settled(salt, qtbot)
    assert row_of(salt, current).status == "corrected"


def test_undo_reaches_no_other_image_and_no_newer_mask(salt: Any, qtbot: Any) -> None:
    layer, first = salt.canvas.mask_layer, salt.session.workspace.current
    stroke(layer)
    settled(salt, qtbot)
    salt.step(1)
    segment(salt, qtbot)
    second = layer.data.copy()
    layer.undo()
    settled(salt, qtbot)
    np.testing.assert_array_equal(layer.data, second)
    assert row_of(salt, salt.session.workspace.current).status == "segmented"
    stroke(layer)
    settled(salt, qtbot)
    salt.session.painting.revert(salt.session.workspace.current)
    salt.segment_panel.threshold.setValue(0.3)
    newer = layer.data.copy()
    layer.undo()
    layer.redo()
    settled(salt, qtbot)
    np.testing.assert_array_equal(layer.data, newer)
    assert row_of(salt, first).status == "corrected"
    assert layer.editable


def test_painting_survives_a_new_segmentation_and_another_model(
    salt: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    stroke(salt.canvas.mask_layer)
    wanted = salt.canvas.mask_layer.data.copy()
    segment(salt, qtbot)  # at once, before the stroke was looked at
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)
    salt.segment_panel.threshold.setValue(0.9)
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)
    salt.session.workspace.load_model(tiny_models["classes"])
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)
    segment(salt, qtbot)
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)
    assert row_of(salt, salt.session.workspace.current).status == "corrected"


def test_painting_goes_to_its_own_data_set(ready: Any, viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    """Two data sets whose images are called the same."""
    from napari_unet.data.synthetic import write_synthetic

    sets = [viewer.open(str(write_synthetic("membranes", tmp_path / n, 2, seed=s)), plugin=PLUGIN)[0]
            for s, n in enumerate("ab")]  # fmt: skip
    qtbot.waitUntil(
        lambda: (
            ready.session.workspace.collection is not None and ready.session.workspace.collection.name == "b"
        )
    )
    second = ready.session.workspace.collection
    segment(ready, qtbot)
    stroke(ready.canvas.mask_layer)
    wanted = ready.canvas.mask_layer.data.copy()
    viewer.layers.selection.active = sets[0]
    qtbot.waitUntil(lambda: ready.session.workspace.collection.name == "a")
    settled(ready, qtbot)
    assert {r.status for r in ready.session.workspace.rows()} == {"new"}
    np.testing.assert_array_equal(second.entries[second.ids[0]].corrected, wanted)


def test_classes_of_a_model_colour_the_mask(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    viewer.add_image(picture(), name="p")
    dock.session.workspace.load_model(tiny_models["classes"])
    qtbot.waitUntil(lambda: dock.session.workspace.current == "p")
    segment(dock, qtbot)
    layer = dock.canvas.mask_layer
    assert set(np.unique(layer.data)) <= {0, 1, 2}
    colours = layer.colormap.map(np.array([0, 1, 2, 3, 255], np.uint8)) * 255
    # Orange and blue, and the grey of what is ignored; neither background nor a class too many is seen.
    expected = [[0, 0, 0, 0], [230, 159, 0, 255], [86, 180, 233, 255], [0, 0, 0, 0], [184, 184, 184, 255]]
    np.testing.assert_allclose(colours, expected, atol=0.01)
    painted(layer, np.s_[0:9, 0:9], 2)
    settled(dock, qtbot)
    assert (dock.session.workspace.mask("p")[0:9, 0:9] == 2).all()
    # Labels beyond the classes are the last class.
    painted(layer, np.s_[0:9, 0:9], 9)
    settled(dock, qtbot)
    assert dock.session.workspace.mask("p").max() == 2


# looking


def test_errors_are_coloured_and_counted(salt: Any, qtbot: Any) -> None:
    current = next(i for i in salt.session.workspace.collection.ids if 0 < reference_of(salt, i).mean() < 1)
    salt.session.workspace.select(current)
    segment(salt, qtbot)
    click(qtbot, salt.review_panel.errors_box)
    layer = salt.overlays.layers["errors"]
    truth, mask = reference_of(salt, current) > 0, salt.canvas.mask_layer.data > 0
    found = [int((layer.data == n).sum()) for n in (1, 2, 3)]
    assert found == [int((truth & mask).sum()), int((~truth & mask).sum()), int((truth & ~mask).sum())]
    assert all(found)
    assert row_of(salt, current).iou == pytest.approx(found[0] / sum(found))
    colours = [tuple(np.round(layer.get_color(n)[:3] * 255).astype(int)) for n in (1, 2, 3)]
    assert colours == [(0x56, 0xB4, 0xE9), (0xD5, 0x5E, 0x00), (0xF0, 0xE4, 0x42)]
    assert not salt.review_panel.legend.isHidden()
    assert not layer.editable
    assert salt.viewer.layers.selection.active is not layer
    assert salt.canvas.mask_layer.contour == 1
    stroke(salt.canvas.mask_layer)
    settled(salt, qtbot)
    mask = salt.canvas.mask_layer.data > 0
    assert (layer.data == 2).sum() == (~truth & mask).sum()
    click(qtbot, salt.review_panel.errors_box)
    assert not layer.visible
    assert salt.canvas.mask_layer.contour == 0


def test_worst_first_and_the_histogram(salt: Any, qtbot: Any) -> None:
    segment(salt, qtbot, "all")
    rows = {r.id: r.iou for r in salt.session.workspace.rows() if r.iou is not None}
    assert len(rows) == 24
    click(qtbot, salt.review_panel.worst_button)
    assert rows[salt.session.workspace.current] == min(rows.values())
    shown = [rows[i] for i in salt.images.table.shown_ids()[:24]]
    assert shown == sorted(shown)
    click(qtbot, salt.review_panel.next_button)
    assert rows[salt.session.workspace.current] == shown[1]
    histogram = salt.review_panel.histogram
    qtbot.waitUntil(lambda: sum(histogram.counts) == 12)  # the unseen half
    assert "12 images, unseen" in salt.review_panel.overall_score.text()
    unseen = [r.iou for r in salt.session.workspace.rows() if r.part == "held-out"]
    assert f"{np.mean(unseen):.3f}" in salt.review_panel.overall_score.text()
    bar = int(np.argmax(histogram.counts))
    ground = histogram._ground()
    x = int(ground.left() + (bar + 0.5) * ground.width() / len(histogram.counts))
    qtbot.mouseClick(histogram, LEFT, pos=QPoint(x, int(ground.bottom()) - 1))
    chosen = set(salt.images.table.selected_ids())
    low, high = bar / 20, (bar + 1) / 20
    in_bar = {r.id for r in salt.session.workspace.rows() if r.part == "held-out" and low <= r.iou < high}
    assert chosen == in_bar
    assert len(chosen) == histogram.counts[bar]


def test_a_labels_layer_is_chosen_as_the_reference(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(picture(), name="p")
    labels = np.zeros((48, 40), np.uint16)
    labels[10:30, 10:30] = 700
    truth = viewer.add_labels(labels, name="truth")
    viewer.add_labels(np.zeros((9, 9), np.uint8), name="of another size")
    viewer.layers.selection.active = viewer.layers["p"]
    box = ready.review_panel.reference_box
    qtbot.waitUntil(lambda: box.count() == 2)
    segment(ready, qtbot)
    assert row_of(ready, "p").iou is None
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Down)
    expected = iou_by_hand(labels, ready.canvas.mask_layer.data)
    assert row_of(ready, "p").iou == pytest.approx(expected)
    assert f"{expected:.3f}" in ready.review_panel.image_score.text()
    # The person draws on the reference.
    painted(truth, np.s_[0:20, 0:20], 1)
    qtbot.waitUntil(
        lambda: row_of(ready, "p").iou == pytest.approx(iou_by_hand(truth.data, ready.canvas.mask_layer.data))
    )
    viewer.layers.remove(truth)
    qtbot.waitUntil(lambda: row_of(ready, "p").iou is None)
    assert not row_of(ready, "p").has_reference
    assert ready.review_panel.compare.isHidden()


def test_a_reference_of_two_classes_is_compared_class_by_class(
    dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    viewer.add_image(picture(), name="p")
    labels = np.ones((48, 40), np.uint8)
    labels[20:] = 2
    viewer.add_labels(labels, name="truth")
    viewer.layers.selection.active = viewer.layers["p"]
    dock.image_source.reference.choose(viewer.layers["truth"])
    dock.session.workspace.load_model(tiny_models["classes"])
    segment(dock, qtbot)
    mask = dock.canvas.mask_layer.data
    each = [((mask == n) & (labels == n)).sum() / ((mask == n) | (labels == n)).sum() for n in (1, 2)]
    assert row_of(dock, "p").iou == pytest.approx(np.mean(each))


# layers come and go


def test_layers_of_ours_can_be_deleted_and_come_again(salt: Any, viewer: Any, qtbot: Any) -> None:
    click(qtbot, salt.review_panel.errors_box)
    stroke(salt.canvas.mask_layer)
    wanted = salt.canvas.mask_layer.data.copy()
    current = salt.session.workspace.current
    viewer.layers.remove(salt.overlays.layers["errors"])
    assert salt.overlays.layers["errors"] is None
    qtbot.wait(20)
    viewer.layers.remove(salt.canvas.mask_layer)
    assert salt.canvas.mask_layer is None
    qtbot.wait(20)
    assert not salt.review_panel.errors_box.isChecked()
    assert row_of(salt, current).status == "corrected"
    salt.step(1)
    salt.step(-1)
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)  # type: ignore[attr-defined]
    click(qtbot, salt.review_panel.errors_box)
    assert salt.overlays.layers["errors"].visible  # type: ignore[attr-defined]
    viewer.layers.remove(salt.canvas.mask_layer)
    segment(salt, qtbot)
    np.testing.assert_array_equal(salt.canvas.mask_layer.data, wanted)  # type: ignore[attr-defined]
    ours = [layer.metadata[OURS] for layer in viewer.layers if OURS in layer.metadata]
    assert sorted(ours) == ["errors", "mask"]


def test_without_any_layer_the_dock_is_empty_and_starts_again(
    salt: Any, viewer: Any, qtbot: Any, notifications: list[Any]
) -> None:
    viewer.layers.clear()
    qtbot.waitUntil(lambda: salt.session.workspace.collection is None)
    settled(salt, qtbot)
    assert salt.session.workspace.rows() == []
    assert not salt.segment_panel.run_button.isEnabled()
    assert not layer_styles.text_overlay(viewer).visible
    viewer.add_image(picture(), name="new")
    qtbot.waitUntil(lambda: salt.session.workspace.current == "new")
    segment(salt, qtbot)
    assert row_of(salt, "new").status == "segmented"
    assert [str(n.message) for n in notifications] == []


def test_an_image_that_goes_leaves_the_others(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(picture(1), name="a")
    b = viewer.add_image(picture(2), name="b")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 2)
    segment(ready, qtbot, "all")
    viewer.layers.remove(b)
    qtbot.waitUntil(lambda: ready.session.workspace.collection.ids == ("a",))
    assert ready.session.workspace.current == "a"
    np.testing.assert_array_equal(ready.canvas.mask_layer.data, ready.session.workspace.mask("a"))
    assert viewer.layers["a"].visible


def test_a_layer_that_is_renamed_keeps_what_is_known_of_it(ready: Any, viewer: Any, qtbot: Any) -> None:
    layer = viewer.add_image(picture(0, (2, 48, 40)), name="old")
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 2)
    segment(ready, qtbot, "all")
    stroke_in_view(ready)
    wanted = mask_in_view(ready).copy()
    layer.name = "new"
    qtbot.waitUntil(lambda: ready.session.workspace.collection.ids == ("new [0]", "new [1]"))
    settled(ready, qtbot)
    assert [r.status for r in ready.session.workspace.rows()] == ["corrected", "segmented"] or [
        r.status for r in ready.session.workspace.rows()
    ] == ["segmented", "corrected"]
    np.testing.assert_array_equal(ready.session.workspace.mask(ready.session.workspace.current), wanted)
    np.testing.assert_array_equal(mask_in_view(ready), wanted)


def test_other_pixels_in_a_layer_are_another_image(ready: Any, viewer: Any, qtbot: Any) -> None:
    layer = viewer.add_image(picture(), name="p")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "p")
    segment(ready, qtbot)
    layer.data = picture(3, (60, 52))
    settled(ready, qtbot)
    assert row_of(ready, "p").status == "new"
    assert not ready.canvas.mask_layer.data.any()
    assert ready.canvas.mask_layer.data.shape == (60, 52)
    segment(ready, qtbot)
    assert ready.canvas.mask_layer.data.shape == (60, 52)
    np.testing.assert_array_equal(ready.canvas.mask_layer.data, ready.session.workspace.mask("p"))


# errors


def test_errors_come_with_details(
    ready: Any, viewer: Any, qtbot: Any, notifications: list[Any], tmp_path: Path
) -> None:
    import shutil

    viewer.add_image(picture(), name="p")
    qtbot.waitUntil(lambda: ready.session.workspace.current == "p")
    shutil.copytree(ready.session.workspace.model.path, tmp_path / "gone")
    ready.session.workspace.load_model(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    segment(ready, qtbot)
    assert "There is no model" in notifications[-1].message
    assert ready.status.words.toPlainText() == notifications[-1].message
    click(qtbot, ready.status.details_button)
    from qtpy.QtWidgets import QDialog, QPlainTextEdit

    box = next(w for w in ready.findChildren(QDialog) if w.isVisible())
    assert "Traceback" in box.findChild(QPlainTextEdit).toPlainText()
    box.close()
    assert ready.segment_panel.run_button.isEnabled()


def broken_stack() -> Any:
    """Three slices, the last of which cannot be read."""
    import dask.array as da

    def read(block_info: Any = None) -> Any:
        place = block_info[None]["array-location"][0][0]
        if place == 2:
            raise OSError("the disk is gone")
        return picture(place, (1, 32, 32))

    return da.map_blocks(
        read, chunks=((1, 1, 1), (32,), (32,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )


def test_a_slice_that_cannot_be_read_is_told_in_its_row(ready: Any, viewer: Any, qtbot: Any) -> None:
    viewer.add_image(broken_stack(), name="d", contrast_limits=(0, 255), cache=False)
    qtbot.waitUntil(lambda: len(ready.session.workspace.rows()) == 3)
    segment(ready, qtbot, "all")
    rows = {r.id: r for r in ready.session.workspace.rows()}
    assert "the disk is gone" in rows["d [2]"].problem
    assert [rows[f"d [{n}]"].status for n in range(3)] == ["segmented", "segmented", "new"]


def test_a_slice_that_cannot_be_shown_says_so_and_the_next_one_comes(
    dock: Any, viewer: Any, qtbot: Any, notifications: list[Any]
) -> None:
    viewer.add_image(broken_stack(), name="d", contrast_limits=(0, 255), cache=False)
    qtbot.waitUntil(lambda: len(dock.session.workspace.rows()) == 3)
    dock.session.workspace.select("d [0]")
    click_row(dock, qtbot, "d [2]")
    assert dock.session.workspace.current == "d [2]"
    sentence = "d [2] cannot be shown: the disk is gone; see whether its file can still be read"
    assert row_of(dock, "d [2]").problem == sentence
    assert [str(n.message).lower() for n in notifications] == [sentence]
    assert "cannot be shown" in viewer.text_overlay.text
    click_row(dock, qtbot, "d [1]")
    assert viewer.dims.current_step[0] == 1
    assert viewer.text_overlay.text == "d [1]"
    assert len(notifications) == 1


def test_probabilities_gone_from_the_disk_do_not_stop_the_window(salt: Any, qtbot: Any) -> None:
    prediction = salt.session.workspace.collection.entries[salt.session.workspace.current].prediction
    prediction.file.unlink()
    click(qtbot, salt.review_panel.boxes["probabilities"])
    assert salt.overlays.layers["probabilities"] is None
    salt.step(1)
    salt.step(-1)
    assert "segment it again" in row_of(salt, prediction.id).problem


def test_the_window_has_no_network_in_it(salt: Any) -> None:
    assert not {"keras", "tensorflow", "torch", "jax"} & set(sys.modules)


def test_what_was_done_is_saved_as_a_recipe(
    ready: Any, viewer: Any, salt_folder: Path, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.workflow.replay.run_record import RunRecord, SegmentRun

    button = ready.segment_panel.run_records
    assert button.isHidden()  # nothing was done
    viewer.open(str(salt_folder), plugin="napari-unet-workbench")
    qtbot.waitUntil(lambda: getattr(ready.session.workspace.collection, "dataset", None) is not None)
    segment(ready, qtbot)
    assert not button.isHidden()
    target = tmp_path / "again"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), "Recipes (*.json)"))
    button._fill()
    assert [a.text() for a in button.choices.actions()] == ["Save run: Segmentation of 1 image…"]
    (action,) = button.choices.actions()
    action.trigger()
    qtbot.waitUntil((tmp_path / "again.json").exists)
    settled(ready, qtbot)
    run = RunRecord.load(tmp_path / "again.json").run
    assert isinstance(run, SegmentRun)
    assert run.names == (ready.session.workspace.current,)
    assert run.data[0].path == str(salt_folder.resolve())


def test_opening_the_dock_loads_nothing_that_only_later_steps_need() -> None:
    """Imports are most of what it takes until the dock is there."""
    later = [
        "workflow.replay.run_record",
        "workflow.export.mask_sources",
        "workflow.segment.segment_samples",
        "workflow.finetune.fine_tune_task",
        "workflow.train.train_task",
        "workflow.evaluate.evaluate_task",
        "data.catalog",
        "widgets.review.scores_dialog",
        "widgets.review.export_dialog",
        "widgets.learn.compare_dialog",
    ]
    code = f"""
import sys
import napari_unet.widgets.workbench
print([name for name in {later!r} if f"napari_unet.{{name}}" in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"
